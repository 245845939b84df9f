"""A Gaussian on the pooled features of each level: Mahalanobis distance.

Rippel, Mertens & Merhof, "Modeling the Distribution of Normal Data in Pre-Trained Deep Features for Anomaly
Detection", ICPR 2020 (arXiv 2005.14140): globally averaged features of every level of a frozen EfficientNet, a Gaussian
a level, its covariance shrunken by Ledoit & Wolf's rule, and the plain sum of the levels' distances for a score. The
paper's network is B4.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import avg_pool2d, interpolate
from typing_extensions import override

from verovolto.detectors.feature_baseline import (
    ANOMALY_MAP_SIDE,
    CHANNELS,
    FeatureBaselineDetector,
    FeatureModel,
    Recipe,
    fit_gaussian,
    numbers_of_gaussian,
)
from verovolto.detectors.fitting import Run
from verovolto.detectors.mahalanobis import MahalanobisConfig
from verovolto.detectors.registry import TrainConfig, register
from verovolto.networks import MAHALANOBIS
from verovolto.networks.backbones.efficientnet_lite import STEM

LAYERS = (STEM, 0, 2, 4, 7, 10, 14, 15)
"""The stem and the last block of each stage of EfficientNet-Lite0."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Mahalanobis(FeatureModel):
    """`means[l]` `[C_l]`, `whitenings[l]` `[C_l, C_l]` of each level; see `fit_gaussian`."""

    scores: ClassVar[tuple[str, ...]] = ("mahalanobis",)

    means: tuple[Tensor, ...]
    whitenings: tuple[Tensor, ...]

    @staticmethod
    def fit(rows: Float[Tensor, "n d"], layers: tuple[int, ...]) -> Mahalanobis:
        """Fit to pooled features (see `pooled_levels`) of real faces. Raises `DataError` where nothing varies."""
        levels = torch.split(rows, [CHANNELS[layer] for layer in layers], dim=1)
        fitted = [fit_gaussian(level) for level in levels]
        means, whitenings = (tuple(part.float() for part in parts) for parts in zip(*fitted, strict=True))
        return Mahalanobis(layers=layers, means=means, whitenings=whitenings)

    def score_maps(
        self, maps: Sequence[Float[Tensor, "b _ _ _"]], *, anomaly_map: bool = False
    ) -> tuple[dict[str, Float[Tensor, " b"]], Float[Tensor, "b h w"] | None]:
        """Score feature maps: the sum of the levels' distances.

        The anomaly map holds each place's share in it, where it speaks for a fake.
        """
        total = torch.zeros(maps[0].shape[0], device=maps[0].device)
        shares = torch.zeros(maps[0].shape[0], ANOMALY_MAP_SIDE, ANOMALY_MAP_SIDE, device=maps[0].device)
        for features, mean, whitening in zip(maps, self.means, self.whitenings, strict=True):
            pooled = features.float().mean((2, 3))
            distance = torch.linalg.vector_norm((pooled - mean) @ whitening, dim=1)
            total = total + distance
            if anomaly_map:
                shares = shares + shares_of(features.float(), pooled, mean, whitening, distance)
        return {"mahalanobis": total}, shares.clamp(min=0) if anomaly_map else None

    @override
    def tensors(self) -> dict[str, Tensor]:
        means = {f"mean.{n}": mean for n, mean in enumerate(self.means)}
        return means | {f"whitening.{n}": whitening for n, whitening in enumerate(self.whitenings)}

    @classmethod
    @override
    def from_tensors(cls, layers: tuple[int, ...], tensors: Mapping[str, Tensor]) -> Mahalanobis:
        means, whitenings = (
            tuple(tensors[f"{what}.{n}"] for n in range(len(layers))) for what in ("mean", "whitening")
        )
        return cls(layers=layers, means=means, whitenings=whitenings)


def pooled_levels(maps: Sequence[Float[Tensor, "b _ _ _"]]) -> Float[Tensor, "b d"]:
    """The mean of every channel of every map over all places, float32."""
    return torch.cat([features.float().mean((2, 3)) for features in maps], dim=1)


def shares_of(features: Tensor, pooled: Tensor, mean: Tensor, whitening: Tensor, distance: Tensor) -> Tensor:
    """A map `[B, ANOMALY_MAP_SIDE, ANOMALY_MAP_SIDE]` whose sum over places is the distance.

    Since the pooled features are a mean over N places, `d = (m - mu)^T P (m - mu) / d` is the sum of
    `g^T (x - mu) / N` with `g = P (m - mu) / d`.

    Args:
        features: of a level `[B, C, h, w]`.
        pooled: their mean over places `[B, C]`.
        mean: mu `[C]`.
        whitening: W `[C, C]`, with P = W W^T.
        distance: d `[B]`.
    """
    pull = (pooled - mean) @ whitening @ whitening.T / distance.clamp(min=1e-6)[:, None]
    share = torch.einsum("bc,bchw->bhw", pull, features - mean[:, None, None])[:, None]
    edge = int(features.shape[-1])
    share = share / edge**2
    if edge > ANOMALY_MAP_SIDE:
        return avg_pool2d(share, edge // ANOMALY_MAP_SIDE)[:, 0] * (edge // ANOMALY_MAP_SIDE) ** 2
    resized: Tensor = interpolate(
        share, size=(ANOMALY_MAP_SIDE, ANOMALY_MAP_SIDE), mode="bilinear", align_corners=False
    )
    return resized[:, 0] * (edge / ANOMALY_MAP_SIDE) ** 2


class _Recipe(Recipe):
    layers = LAYERS
    fitted = "the mean and covariance of their features"
    numbers = sum(numbers_of_gaussian(CHANNELS[layer]) for layer in LAYERS)

    def kept(self, maps: list[Tensor], rows: list[int], faces: int) -> Tensor:
        return pooled_levels(maps)

    def fit(self, kept: NDArray[np.float16], run: Run) -> Mahalanobis:
        return Mahalanobis.fit(torch.from_numpy(kept.astype(np.float32)), self.layers)


@register(MAHALANOBIS, config=MahalanobisConfig, source="Rippel et al., ICPR 2020; frozen features")
class MahalanobisDetector(FeatureBaselineDetector):
    """Mahalanobis distance of the pooled features, as a detector."""

    model_class = Mahalanobis

    @classmethod
    @override
    def recipe(cls, config: TrainConfig) -> Recipe:
        return _Recipe()
