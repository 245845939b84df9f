"""A Gaussian at every place of the face: PaDiM.

Defard, Setkov, Loesch & Audigier, "PaDiM: a Patch Distribution Modeling Framework for Anomaly Detection and
Localization", ICPR workshops 2020 (arXiv 2011.08785): features of several levels brought to one grid, a random subset
of their channels, mean and covariance at each place, the Mahalanobis distance of each place, the largest of the
smoothed map as the face's score.

Two departures. The grid has 28 places a side, not the 56 of the shallowest map: a quarter of the memory. And the
covariance is shrunken by Ledoit & Wolf's rule instead of by adding 0.01 times the unit matrix (eq. 1), a number that is
meant for features of one scale.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from jaxtyping import Float, Int64
from numpy.typing import NDArray
from torch import Tensor
from typing_extensions import override

from verovolto.core.errors import InputError
from verovolto.detectors.feature_baseline import (
    CHANNELS,
    FeatureBaselineDetector,
    FeatureModel,
    Recipe,
    above_median,
    aligned,
    fit_gaussian,
    numbers_of_gaussian,
    smoothed,
)
from verovolto.detectors.fitting import Run
from verovolto.detectors.padim import PadimConfig
from verovolto.detectors.registry import TrainConfig, register
from verovolto.networks import PADIM

LAYERS = (2, 4, 10)
GRID = 28
"""Places a side."""
DEPTH = sum(CHANNELS[layer] for layer in LAYERS)
"""Channels of all levels together, of which some are drawn."""


@dataclass(frozen=True, kw_only=True, eq=False)
class PaDiM(FeatureModel):
    """`channels` `[k]` say which were drawn; `mean` `[P, k]` and `whitening` `[P, k, k]` of the P = 28 * 28 places."""

    scores: ClassVar[tuple[str, ...]] = ("padim", "padim_mean")

    channels: Int64[Tensor, " k"]
    mean: Float[Tensor, "p k"]
    whitening: Float[Tensor, "p k k"]

    @staticmethod
    def fit(
        faces: Float[np.ndarray, "n k h w"],
        layers: tuple[int, ...],
        channels: Int64[Tensor, " k"],
        on_progress: Callable[[int], None] = lambda done: None,
    ) -> PaDiM:
        """Fit a Gaussian at each place.

        Args:
            faces: features of n real faces, see `embedded`.
            layers: they were taken after.
            channels: that were drawn.
            on_progress: called with how many more places are done.

        Raises:
            DataError: a place never varies.
        """
        means, whitenings = [], []
        for y in range(faces.shape[2]):
            # A line at a time: single places lie far apart in memory.
            line = np.ascontiguousarray(faces[:, :, y].transpose(2, 0, 1))
            for rows in line:
                mean, whitening = fit_gaussian(torch.from_numpy(rows))
                means.append(mean.float())
                whitenings.append(whitening.float())
            on_progress(len(line))
        return PaDiM(
            layers=layers, channels=channels, mean=torch.stack(means), whitening=torch.stack(whitenings)
        )

    def score_maps(
        self, maps: Sequence[Float[Tensor, "b _ _ _"]], *, anomaly_map: bool = False
    ) -> tuple[dict[str, Float[Tensor, " b"]], Float[Tensor, "b h w"] | None]:
        """Score feature maps.

        `padim` is the largest value of the smoothed map, `padim_mean` the mean distance over places, for what is spread
        over the whole face. The anomaly map shows where a face is further off than at its median place.
        """
        rows = embedded(maps, self.channels).flatten(2).permute(2, 0, 1)
        white = torch.bmm(rows - self.mean[:, None], self.whitening)
        distance = torch.linalg.vector_norm(white, dim=2).T.reshape(-1, GRID, GRID)
        smooth = smoothed(distance)
        columns = {"padim": smooth.amax((1, 2)), "padim_mean": distance.mean((1, 2))}
        return columns, above_median(smooth) if anomaly_map else None


def drawn_channels(count: int, seed: int) -> Int64[Tensor, " k"]:
    """`count` of the `DEPTH` channels, drawn without replacement, ascending."""
    return torch.from_numpy(np.sort(np.random.default_rng(seed).choice(DEPTH, count, replace=False)))


def embedded(
    maps: Sequence[Float[Tensor, "b _ _ _"]], channels: Int64[Tensor, " k"]
) -> Float[Tensor, "b k h w"]:
    """The drawn channels of all levels on one grid, float32."""
    return aligned(maps, GRID)[:, channels]


@dataclass(frozen=True)
class _Recipe(Recipe):
    count: int
    seed: int
    layers = LAYERS
    fitted = "the mean and covariance of their features at each place"

    @property
    def numbers(self) -> int:  # type: ignore[override]
        return GRID**2 * numbers_of_gaussian(self.count)

    def kept(self, maps: list[Tensor], rows: list[int], faces: int) -> Tensor:
        return embedded(maps, drawn_channels(self.count, self.seed))

    def fit(self, kept: NDArray[np.float16], run: Run) -> PaDiM:
        on_progress = run.task("a Gaussian at each place", GRID**2)
        return PaDiM.fit(kept, self.layers, drawn_channels(self.count, self.seed), on_progress)


@register(PADIM, config=PadimConfig, source="Defard et al., 2020; frozen features")
class PadimDetector(FeatureBaselineDetector):
    """PaDiM as a detector."""

    model_class = PaDiM

    @classmethod
    @override
    def recipe(cls, config: TrainConfig) -> Recipe:
        assert isinstance(config.method, PadimConfig)
        count = config.method.channels
        if count > DEPTH:
            raise InputError(f"--channels {count}: {PADIM} has {DEPTH} to draw from", hint="give fewer")
        return _Recipe(count, config.seed)
