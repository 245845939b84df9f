"""Luma and sharpness of a picture, measured in one way everywhere."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from torch import Tensor

LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601, as JPEG uses it
_LAPLACIAN = ((0.0, 1.0, 0.0), (1.0, -4.0, 1.0), (0.0, 1.0, 0.0))


def luma(image: UInt8[Tensor, "3 h w"]) -> Float[Tensor, "h w"]:
    """Luma of an RGB image by ITU-R BT.601, float32 in [0, 255]."""
    weights = torch.tensor(LUMA).view(3, 1, 1)
    return (image.float() * weights).sum(0)


def laplacian_variance(luma: Float[Tensor, "h w"]) -> Float[Tensor, ""]:
    """Variance of the 3x3 Laplacian over the inner pixels, the usual measure of focus (Pech-Pacheco et al. 2000).

    Needs 3x3 pixels at least. Its unit is the square of `luma`'s.
    """
    kernel = torch.tensor(_LAPLACIAN).view(1, 1, 3, 3)
    return F.conv2d(luma[None, None], kernel).var(correction=0)
