"""Colour: sRGB to CIE L*a*b* and back, and the transfer of one region's colour statistics to another."""

from __future__ import annotations

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

# IEC 61966-2-1 (sRGB), white point D65.
_RGB_TO_XYZ = torch.tensor(
    [
        [0.4124564, 0.3575761, 0.1804375],
        [0.2126729, 0.7151522, 0.0721750],
        [0.0193339, 0.1191920, 0.9503041],
    ],
    dtype=torch.float64,
)
_XYZ_TO_RGB = torch.linalg.inv(_RGB_TO_XYZ)
_WHITE = _RGB_TO_XYZ.sum(1)  # the white of this very matrix, so that a grey has a* = b* = 0
_DELTA = 6 / 29

MAX_GAIN = 2.0
"""A flat donor is not stretched beyond this factor: its noise would be, too."""


def rgb_to_lab(rgb: Float[Tensor, "3 ..."]) -> Float[Tensor, "3 ..."]:
    """Convert sRGB in [0, 1] to CIE 1976 L*a*b* (L* in [0, 100]); float64 in and out."""
    linear = torch.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055).clamp(min=0) ** 2.4)
    xyz = torch.einsum("ij,j...->i...", _RGB_TO_XYZ, linear)
    t = xyz / _WHITE.view(3, *[1] * (xyz.ndim - 1))
    f = torch.where(t > _DELTA**3, t.clamp(min=0) ** (1 / 3), t / (3 * _DELTA**2) + 4 / 29)
    return torch.stack((116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])))


def lab_to_rgb(lab: Float[Tensor, "3 ..."]) -> Float[Tensor, "3 ..."]:
    """Convert L*a*b* to sRGB, clamped to [0, 1]; float64. Inverse of `rgb_to_lab` inside the gamut."""
    y = (lab[0] + 16) / 116
    f = torch.stack((y + lab[1] / 500, y, y - lab[2] / 200))
    t = torch.where(f > _DELTA, f**3, 3 * _DELTA**2 * (f - 4 / 29))
    xyz = t * _WHITE.view(3, *[1] * (lab.ndim - 1))
    linear = torch.einsum("ij,j...->i...", _XYZ_TO_RGB, xyz).clamp(0, 1)
    return torch.where(linear <= 0.0031308, linear * 12.92, 1.055 * linear ** (1 / 2.4) - 0.055)


def match_statistics(
    values: Float[Tensor, "c h w"],
    reference: Float[Tensor, "c h w"],
    weight: Float[Tensor, "h w"],
    *,
    gains: tuple[float, float] = (0.0, MAX_GAIN),
) -> Float[Tensor, "c h w"]:
    """Give `values` the mean and standard deviation that `reference` has under `weight`, channel by channel.

    Reinhard et al., "Color transfer between images", IEEE CG&A 21(5), 2001. A channel without any spread is only
    shifted.

    Args:
        values: float `[C, H, W]`.
        reference: float `[C, H, W]`.
        weight: float `[H, W]`, >= 0, with a positive sum.
        gains: the least and the greatest factor that a channel's spread is multiplied by.
    """
    mean_v, std_v = moments(values, weight)
    mean_r, std_r = moments(reference, weight)
    flat = std_v < 1e-9
    gain = torch.where(flat, 1.0, std_r / torch.where(flat, 1.0, std_v)).clamp(*gains)
    return (values - mean_v) * gain + mean_r


def moments(
    values: Float[Tensor, "c h w"], weight: Float[Tensor, "h w"]
) -> tuple[Float[Tensor, "c 1 1"], Float[Tensor, "c 1 1"]]:
    """Mean and standard deviation a channel under a weight, >= 0 with a positive sum; each `[C, 1, 1]`."""
    share = weight / weight.sum()
    mean = (values * share).sum((1, 2), keepdim=True)
    return mean, ((values - mean).square() * share).sum((1, 2), keepdim=True).sqrt()


def is_grey(image: UInt8[Tensor, "3 h w"]) -> bool:
    """Whether the three channels are equal everywhere."""
    return bool(((image[0] == image[1]) & (image[1] == image[2])).all())
