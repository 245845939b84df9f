"""How much the scores of real faces spread, by how far a face lies from the real faces that are known.

Faces unlike those learned from have scores that spread more, and of a source that nobody knows most are such. A score
in units of the spread expected at its distance is as often high for near as for far faces, so that one threshold does
for both: normalised conformal prediction (Papadopoulos et al., "Inductive Confidence Machines for Regression", ECML
2002; Lei et al., J. Am. Stat. Assoc. 113, 2018, section 5.2).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from verovolto.core.errors import InputError
from verovolto.features.distance import FeatureDistance

FEWEST = 39
"""Real faces that a spread is fitted to, at least: of fewer, a few odd ones decide how fast it grows."""

_FAR = 0.99  # of the faces fitted to: what lies farther is taken to spread as these do
_LEAST = 1e-6  # a squared score is this at least: a gamma distribution knows no 0


@dataclass(frozen=True, kw_only=True)
class ScoreSpread:
    """Standard deviation of the scores of real faces: `exp(level + growth * min(distance, most))`.

    Attributes:
        distance: from the real faces that the score was fitted to, as they came: what corruption takes from a face
            spreads its scores as all else that sets it apart, though it is no reason to call it out of the domain.
        level: see there.
        growth: 0 or more.
        most: distance from which on nothing more is expected.
    """

    distance: FeatureDistance
    level: float
    growth: float
    most: float

    @staticmethod
    def fit(
        scores: NDArray[np.floating],
        features: NDArray[np.float32],
        weights: NDArray[np.floating],
        distance: FeatureDistance,
    ) -> ScoreSpread:
        """Fit to real faces that the score was not fitted to.

        The likelihood of squared scores as of a normal distribution about 0 is that of a gamma regression with a
        logarithmic link.

        Args:
            scores: of mean about 0, `[n]`.
            features: of the same faces, `[n, D]`, what `distance` is taken of.
            weights: of these, `[n]`.
            distance: see the class.

        Raises:
            InputError: fewer than `FEWEST` faces.
        """
        from sklearn.linear_model import GammaRegressor  # slow to import, and needed in training alone

        if len(scores) < FEWEST:
            raise InputError(f"no spread of scores from {len(scores)} faces", hint=f"give {FEWEST} or more")
        distances = distance(torch.from_numpy(features)).numpy()
        most = float(np.quantile(distances, _FAR))
        squares = np.maximum(np.square(scores.astype(np.float64)), _LEAST)
        places = np.minimum(distances.astype(np.float64), most)[:, None]
        model = GammaRegressor(alpha=0.0, max_iter=1000).fit(places, squares, sample_weight=weights)
        level, growth = float(model.intercept_) / 2, float(model.coef_[0]) / 2
        if growth < 0:  # far faces spread less: nothing to be careful about
            level, growth = float(np.log(np.average(squares, weights=weights))) / 2, 0.0
        return ScoreSpread(distance=distance, level=level, growth=growth, most=most)

    def __call__(self, features: Float[Tensor, "b d"]) -> Float[Tensor, " b"]:
        """The standard deviation of the scores of faces by their features."""
        return torch.exp(self.level + self.growth * self.distance(features).clamp(max=self.most))

    def to(self, device: torch.device) -> ScoreSpread:
        """The same on a device."""
        return replace(self, distance=self.distance.to(device))

    def to_dict(self) -> dict[str, float]:
        """As `detector.json` has it: all but the distance."""
        return {"level": self.level, "growth": self.growth, "most": self.most}
