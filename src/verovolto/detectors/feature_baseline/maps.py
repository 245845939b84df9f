"""What the models share: feature maps of several sizes made one, maps of distances made pictures. Pure functions."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d, conv2d, interpolate, pad

from verovolto.networks.backbones.efficientnet_lite import variant

BACKBONE = "lite0"
"""The network whose features all of them stand on; see `networks.backbones.efficientnet_lite`."""

CHANNELS = variant(BACKBONE).channels
"""Its channels after each block."""

ANOMALY_MAP_SIDE = 56
"""Places a side of a heat map, of whatever model."""

_SIGMA = 1.0  # places of a heat map: 4 of 224 pixels, as in Roth et al. 2022
_REACH = 4


def aligned(maps: Sequence[Float[Tensor, "b _ _ _"]], edge: int) -> Float[Tensor, "b c {edge} {edge}"]:
    """Maps of several sizes as one of all their channels, float32: larger ones are averaged, smaller ones enlarged
    bilinearly."""
    return torch.cat([_resized(features.float(), edge) for features in maps], dim=1)


def smoothed(
    distances: Float[Tensor, "b h w"], side: int = ANOMALY_MAP_SIDE
) -> Float[Tensor, "b {side} {side}"]:
    """A map enlarged bilinearly and blurred (Gaussian, its border repeated): single places count for less."""
    offsets = torch.arange(-_REACH, _REACH + 1, dtype=torch.float32, device=distances.device)
    kernel = torch.exp(-offsets.square() / (2 * _SIGMA**2))
    kernel = kernel / kernel.sum()
    wide = pad(_resized(distances[:, None], side), (_REACH,) * 4, mode="replicate")
    blurred: Tensor = conv2d(conv2d(wide, kernel.view(1, 1, 1, -1)), kernel.view(1, 1, -1, 1))
    return blurred[:, 0]


def above_median(anomaly_map: Float[Tensor, "b h w"]) -> Float[Tensor, "b h w"]:
    """By how much each place exceeds the median place of its own face, 0 where it does not.

    Distances of real faces lie far from zero everywhere; only where they are larger than elsewhere is worth showing.
    """
    middle = anomaly_map.flatten(1).median(1).values
    return (anomaly_map - middle[:, None, None]).clamp(min=0)


def _resized(features: Tensor, edge: int) -> Tensor:
    if features.shape[-1] >= edge:
        return adaptive_avg_pool2d(features, edge)
    resized: Tensor = interpolate(features, size=(edge, edge), mode="bilinear", align_corners=False)
    return resized
