"""Statistics of feature maps over regions of a face crop: what a linear head is put on. Pure functions.

A forged face is a face in a frame that is not its own: it shows often in how one region differs from another in the
same picture, not in what either looks like.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d, avg_pool2d, interpolate

from verovolto.core.errors import InputError

REGIONS = ("whole", "inner", "ring", "outer", "eyes", "mouth")
"""The whole crop; the inner face, an ellipse from the brows to the chin; the ring in which forgeries are blended; what
lies outside; both eyes; the mouth."""

STATISTICS = ("mean", "std")

_GRID = 112
_INNER, _RING = 0.85, 1.2


def region_masks(
    landmarks: Float[Tensor, "5 2"], side: int, regions: Sequence[str] = REGIONS
) -> Float[Tensor, "r 112 112"]:
    """Masks of regions of a crop, 1 inside, 0 outside.

    Args:
        landmarks: `[5, 2]`, `(x, y)` in pixels of the crop, in the order of `faces.detection.base`.
        side: of the crop, pixels.
        regions: names out of `REGIONS`.

    Raises:
        InputError: a name that is none of `REGIONS`, or none at all.
    """
    if not regions or not set(regions) <= set(REGIONS):
        raise InputError(f"the regions {list(regions)} are not some of {', '.join(REGIONS)}")
    points = landmarks.float() * (_GRID / side)
    eyes, mouth = points[:2].mean(0), points[3:].mean(0)
    down = mouth - eyes
    length = down.norm().clamp(min=_GRID / 9)
    depth = _elliptic_distance(eyes, mouth, down, points)
    spot = 0.3 * length
    near_eyes = torch.maximum(_disc(points[0], spot), _disc(points[1], spot))
    near_mouth = torch.maximum(
        torch.maximum(_disc(points[3], spot), _disc(points[4], spot)), _disc(mouth, spot)
    )
    inner, outer = (depth < _INNER).float(), (depth >= _RING).float()
    masks = (torch.ones_like(inner), inner, 1 - inner - outer, outer, near_eyes, near_mouth)
    return torch.stack([masks[REGIONS.index(region)] for region in regions])


def pooled(maps: Sequence[Float[Tensor, "b _ _ _"]], masks: Float[Tensor, "r g g"]) -> Float[Tensor, "b d"]:
    """Mean and standard deviation of every channel over every region, float32.

    Columns run over maps, then regions, then statistics, then channels (see `columns`).
    """
    statistics = []
    for features in maps:
        values = features.float().flatten(2)
        weights = _weights(masks, int(features.shape[-1]))
        mean, spread = _moments(values, weights)
        statistics.append(torch.stack((mean, spread), dim=2).flatten(1))
    return torch.cat(statistics, dim=1)


def contributions(
    maps: Sequence[Float[Tensor, "b _ _ _"]],
    masks: Float[Tensor, "r g g"],
    slope: Float[Tensor, " d"],
    origin: Float[Tensor, " d"],
    *,
    side: int,
) -> Float[Tensor, "b side side"]:
    """Attribute a linear score `sum(slope * (pooled - origin))` to places: a map whose sum over places is that score.

    A mean is a sum over places; a standard deviation is one too, of `(x - mean)^2 / std`. So each place has its share,
    and nothing is approximated.

    Args:
        maps: feature maps `[B, C, h, h]`.
        masks: of regions, see `region_masks`.
        slope: `[D]`, D as of `pooled`.
        origin: `[D]`.
        side: of the result, pixels.

    Returns:
        `[B, side, side]`.
    """
    total, at = torch.zeros(()), 0
    for features in maps:
        values = features.float().flatten(2)
        channels, edge = int(values.shape[1]), int(features.shape[-1])
        weights = _weights(masks, edge)
        mean, spread = _moments(values, weights)
        size = len(weights) * 2 * channels
        a, o = (part[at : at + size].view(len(weights), 2, channels) for part in (slope, origin))
        at += size
        share = torch.zeros(values.shape[0], values.shape[2])
        for region, weight in enumerate(weights):
            deviation = values - mean[:, region, :, None]
            variance = deviation.square() / spread[:, region, :, None].clamp(min=1e-6)
            linear = torch.einsum("c,bcn->bn", a[region, 0], values - o[region, 0][:, None])
            spreading = torch.einsum("c,bcn->bn", a[region, 1], variance - o[region, 1][:, None])
            share = share + weight * (linear + spreading)
        total = total + _spread(share.view(-1, 1, edge, edge), side)
    return total[:, 0]


def columns(channels: Sequence[int], regions: Sequence[str] = REGIONS) -> list[tuple[int, str, str]]:
    """(number of the map, region, statistic) of each column that `pooled` gives for maps of so many channels."""
    return [
        (number, region, statistic)
        for number, count in enumerate(channels)
        for region in regions
        for statistic in STATISTICS
        for _ in range(count)
    ]


def _moments(values: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    """Weighted mean and standard deviation `[B, R, C]` of values `[B, C, N]` under weights `[R, N]`."""
    mean = torch.einsum("rn,bcn->brc", weights, values)
    square = torch.einsum("rn,bcn->brc", weights, values.square())
    return mean, (square - mean.square()).clamp(min=0).sqrt()


def _weights(masks: Tensor, edge: int) -> Tensor:
    """Masks at the resolution of a map, `[R, edge * edge]`, each of sum 1."""
    small = adaptive_avg_pool2d(masks, edge).flatten(1) + 1e-6
    return small / small.sum(1, keepdim=True)


def _spread(share: Tensor, side: int) -> Tensor:
    """A map `[B, 1, h, h]` at another size, its sum kept."""
    edge = int(share.shape[-1])
    fine = math.lcm(edge, side)
    # To a multiple of its size first: bilinear interpolation then gives every place of the map the same weight.
    resized: Tensor = interpolate(share, size=(fine, fine), mode="bilinear", align_corners=False)
    return avg_pool2d(resized, fine // side) * (edge / side) ** 2


def _elliptic_distance(eyes: Tensor, mouth: Tensor, down: Tensor, points: Tensor) -> Tensor:
    """Distance of every place from the middle of the face, 1 on an ellipse through brows, cheeks and chin."""
    length = down.norm().clamp(min=_GRID / 9)
    width = (points[1] - points[0]).norm().clamp(min=_GRID / 9)
    upright = down / down.norm().clamp(min=1e-6)
    across = torch.stack((upright[1], -upright[0]))
    offset = _places() - ((eyes + mouth) / 2 + 0.02 * down)
    tall, wide = length, 0.98 * torch.maximum(0.95 * width, 0.62 * length)
    distance: Tensor = ((offset @ upright / tall).square() + (offset @ across / wide).square()).sqrt()
    return distance


def _disc(centre: Tensor, radius: Tensor) -> Tensor:
    inside: Tensor = (_places() - centre).norm(dim=-1) < radius
    return inside.float()


def _places() -> Tensor:
    """Centres (x, y) of the grid's cells, `[112, 112, 2]`."""
    line = torch.arange(_GRID) + 0.5
    ys, xs = torch.meshgrid(line, line, indexing="ij")
    return torch.stack((xs, ys), dim=-1)
