"""How far a face lies from all real faces seen, whatever sets forgeries apart: a drawing, a cat, a face upside down.

The Mahalanobis distance in the leading principal components, and what lies outside of these (Lee et al., NeurIPS 2018,
for features of a network; Jackson & Mudholkar, Technometrics 21, 1979, for the residual). Pure functions.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from verovolto.core.errors import InputError

COMPONENTS = 128


@dataclass(frozen=True, kw_only=True, eq=False)
class FeatureDistance:
    """`distance(x)^2 = mean_i((d_i (x - origin) / scale)^2) + (|residual| / typical)^2`.

    Attributes:
        origin: mean of the features of real faces.
        scale: their standard deviations.
        directions: rows, each of which brings a principal component to variance 1.
        typical: root mean square of the residuals of real faces, as a tensor of one number.
    """

    origin: Float[Tensor, " d"]
    scale: Float[Tensor, " d"]
    directions: Float[Tensor, "k d"]
    typical: Float[Tensor, " 1"]

    @staticmethod
    def fit(
        features: NDArray[np.float32],
        weights: NDArray[np.float32],
        *,
        corruptions: NDArray[np.float32] | None = None,
        components: int = COMPONENTS,
    ) -> FeatureDistance:
        """Fit to features of real faces.

        Args:
            features: `[n, D]`.
            weights: of the faces, `[n]`, of mean 1.
            corruptions: features of benignly corrupted real faces minus those of the same untouched `[m, D]`: a face
                that differs from others no more than it would if it were corrupted is not far from them.
            components: k, at most a third of the faces.

        Raises:
            InputError: fewer than six faces.
        """
        if len(features) < 6:
            raise InputError(f"no distance from {len(features)} faces", hint="give six or more")
        shares = weights / weights.sum()
        origin = shares @ features
        rows = (features - origin) * np.sqrt(shares)[:, None]
        if corruptions is not None and len(corruptions):
            rows = np.concatenate([rows, corruptions / np.sqrt(len(corruptions))])
        scale = np.sqrt((rows**2).sum(0)) + 1e-3
        rows = rows / scale
        _, singular, axes = np.linalg.svd(rows.astype(np.float64), full_matrices=False)
        k = min(components, len(features) // 3, features.shape[1])
        directions = axes[:k] / np.maximum(singular[:k, None], 1e-9)
        left = (singular[k:] ** 2).sum()
        typical = np.sqrt(left) if left > 1e-9 else np.inf  # nothing lies outside of all components
        as_tensor = (
            torch.from_numpy(np.asarray(part, dtype=np.float32))
            for part in (origin, scale, directions, np.array([typical]))
        )
        return FeatureDistance(
            **dict(zip(("origin", "scale", "directions", "typical"), as_tensor, strict=True))
        )

    def __call__(self, features: Float[Tensor, "b d"]) -> Float[Tensor, " b"]:
        """The distance of each face; about 1.4 for the faces fitted on."""
        standard = (features - self.origin) / self.scale
        inside = standard @ self.directions.T
        # Directions are orthogonal: what they explain is their projection, brought back to its own variance.
        lengths = self.directions.square().sum(1)
        explained = (inside.square() / lengths).sum(1)
        residual = (standard.square().sum(1) - explained).clamp(min=0) / self.typical.square()
        return (inside.square().mean(1) + residual).sqrt()

    def to(self, device: torch.device) -> FeatureDistance:
        """The same on a device."""
        return FeatureDistance(**{name: value.to(device) for name, value in vars(self).items()})
