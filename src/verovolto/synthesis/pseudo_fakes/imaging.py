"""Random draws, and warping, resizing and filtering of float images: what pseudo-fakes are made with.

Images are float32 `[3, S, S]` with grey levels from 0 to 255. Lengths in pixels are stated for crops of
`REFERENCE_SIDE` pixels and grow with the crop (`unit`).
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Literal

import torch
from jaxtyping import Float
from numpy.random import Generator
from torch import Tensor
from torch.nn.functional import conv2d, interpolate, pad

from verovolto.data.corruptions import jpeg as jpeg_file
from verovolto.synthesis.colour import match_statistics
from verovolto.synthesis.geometry import pixel_centres, sample, transform

Filter = Literal["bilinear", "bicubic"]

REFERENCE_SIDE = 224
"""Side of the crops, in pixels, that lengths are stated for."""

IDENTITY = torch.eye(2, 3)
"""The affine map that leaves every point where it is."""

SHARPEST_BLUR = 0.15
"""A Gaussian of a smaller standard deviation (pixels) changes nothing that could be seen, and is left out."""

GAINS = (0.5, 1.6)
"""Limits of the factor by which contrast is matched: beyond them noise is stretched or a face goes flat."""

# ITU-T T.871 (JFIF): luma and the two colour differences, without offsets.
_TO_YCC = torch.tensor(
    [[0.299, 0.587, 0.114], [-0.1687, -0.3313, 0.5], [0.5, -0.4187, -0.0813]],
)
_FROM_YCC = torch.linalg.inv(_TO_YCC)


def uniform(rng: Generator, low: float, high: float) -> float:
    """Draw a number evenly from `[low, high)`."""
    return float(rng.uniform(low, high))


def log_uniform(rng: Generator, low: float, high: float) -> float:
    """Draw a number in `[low, high)` whose logarithm is even; 0 < low <= high."""
    return math.exp(rng.uniform(math.log(low), math.log(high)))


def bernoulli(rng: Generator, probability: float) -> bool:
    """Draw True with a probability in [0, 1]."""
    return bool(rng.random() < probability)


def normals(rng: Generator, deviation: float, *shape: int) -> Tensor:
    """Draw normal numbers of mean 0 and a standard deviation, float32 of a shape."""
    return torch.from_numpy(rng.normal(0, deviation, shape)).float()


def unit(side: int) -> float:
    """Pixels of a crop of this side to one pixel of the reference crop."""
    return side / REFERENCE_SIDE


@lru_cache(maxsize=8)
def grid(side: int) -> Float[Tensor, "s s 2"]:
    """Pixel centres `(x, y)`, float32 `[S, S, 2]`. Shared: never changed in place."""
    return pixel_centres(side, side).float()


def warp(
    image: Float[Tensor, "3 h w"],
    to_input: Float[Tensor, "2 3"],
    side: int,
    flow: Float[Tensor, "s s 2"] | None = None,
) -> Float[Tensor, "3 s s"]:
    """Warp an image by an affine map, `[3, S, S]`; bilinear, beyond the border its nearest pixel.

    Args:
        image: float32 `[3, H, W]`.
        to_input: `[2, 3]`, carries pixels of the result to pixels of the image.
        side: S, of the result.
        flow: `[S, S, 2]`, shifts in pixels of the result that are added before the map.
    """
    points = grid(side) if flow is None else grid(side) + flow
    return sample(image, transform(to_input.float(), points))


def random_flow(rng: Generator, amplitude: float, side: int, knots: int) -> Float[Tensor, "s s 2"]:
    """Draw a smooth field of shifts `[S, S, 2]`: normal at `knots` x `knots` places, bicubic between them.

    Args:
        rng: of the draw.
        amplitude: standard deviation of the shifts, pixels.
        side: S.
        knots: places along each axis.
    """
    shifts = normals(rng, amplitude, 1, 2, knots, knots)
    field = interpolate(shifts, size=(side, side), mode="bicubic", align_corners=True)
    return field[0].permute(1, 2, 0)


def resize(image: Float[Tensor, "3 s s"], side: int, how: Filter) -> Float[Tensor, "3 n n"]:
    """Resize a square image, antialiased where it shrinks; values stay in [0, 255].

    An image that has the side already is returned as it is, values beyond the range included.
    """
    if side == image.shape[-1]:
        return image
    smaller = side < image.shape[-1]
    out = interpolate(image[None], size=(side, side), mode=how, antialias=smaller, align_corners=False)
    return out[0].clamp(0, 255)


def through_low_resolution(
    image: Float[Tensor, "3 s s"], side: int, up: Filter = "bicubic"
) -> Float[Tensor, "3 s s"]:
    """Shrink to `side` pixels (bilinear) and enlarge again."""
    return resize(resize(image, side, "bilinear"), image.shape[-1], up)


def gaussian_blur(image: Float[Tensor, "c h w"], sigma: float) -> Float[Tensor, "c h w"]:
    """Gaussian blur of a standard deviation in pixels, cut at three of them; the border goes on as it is."""
    if sigma < SHARPEST_BLUR:
        return image
    radius = max(1, int(3 * sigma + 0.5))
    x = torch.arange(-radius, radius + 1).float()
    bell = torch.exp(-x.square() / (2 * sigma**2))
    bell = bell / bell.sum()
    # Channels as a batch of one-channel images: no grouped convolution is needed.
    y = pad(image[:, None], (radius, radius, radius, radius), mode="replicate")
    return conv2d(conv2d(y, bell.view(1, 1, 1, -1)), bell.view(1, 1, -1, 1))[:, 0]


def sharpen(image: Float[Tensor, "3 s s"], amount: float, sigma: float) -> Float[Tensor, "3 s s"]:
    """Unsharp mask: what a Gaussian blur takes away is added `amount` times."""
    return image + amount * (image - gaussian_blur(image, sigma))


def match_colours(
    image: Float[Tensor, "3 s s"], reference: Float[Tensor, "3 s s"], weight: Float[Tensor, "s s"]
) -> Float[Tensor, "3 s s"]:
    """Give an image the means and, within `GAINS`, the contrasts of luma and colour differences of another.

    Both are taken under the same weight `[S, S]` (>= 0, not all 0); see `synthesis.colour.match_statistics`.
    """
    matched = match_statistics(_mix(_TO_YCC, image), _mix(_TO_YCC, reference), weight, gains=GAINS)
    return _mix(_FROM_YCC, matched)


def jpeg(image: Float[Tensor, "3 s s"], quality: int) -> Float[Tensor, "3 s s"]:
    """Through a JPEG file (4:2:0) of a quality, 1 to 100, and back; values are rounded to bytes first."""
    return jpeg_file(image.clamp(0, 255).round().byte(), quality).image.float()


def _mix(matrix: Tensor, image: Tensor) -> Tensor:
    return (matrix @ image.flatten(1)).view_as(image)
