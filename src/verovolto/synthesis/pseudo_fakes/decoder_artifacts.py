"""What a forger's decoder and colour correction leave behind on the new face."""

from __future__ import annotations

import torch
from jaxtyping import Float
from numpy.random import Generator
from torch import Tensor

from verovolto.synthesis.colour import moments
from verovolto.synthesis.pseudo_fakes.imaging import gaussian_blur, sharpen, through_low_resolution, unit
from verovolto.synthesis.pseudo_fakes.random_draws import bernoulli, log_uniform, normals, uniform


def decode_coarsely(image: Float[Tensor, "3 s s"], rng: Generator) -> Float[Tensor, "3 s s"]:
    """As out of a decoder of 40 to 200 pixels: low resolution, then blur, sharpening and noise, each now and then."""
    side = image.shape[-1]
    scale = unit(side)
    resolution = int(min(side, log_uniform(rng, 40, 200) * scale))
    if bernoulli(rng, 0.8):
        image = through_low_resolution(image, resolution, "bicubic" if bernoulli(rng, 0.5) else "bilinear")
    if bernoulli(rng, 0.3):
        image = gaussian_blur(image, log_uniform(rng, 0.5, 2) * scale)
    if bernoulli(rng, 0.3):
        image = sharpen(image, uniform(rng, 0.3, 1.5), log_uniform(rng, 0.8, 3) * scale)
    if bernoulli(rng, 0.15):
        deviation = uniform(rng, 1, 6)
        image = image + normals(rng, deviation, 1 if bernoulli(rng, 0.5) else 3, side, side)
    return image


def tint(
    image: Float[Tensor, "3 s s"], rng: Generator, weight: Float[Tensor, "s s"] | None = None
) -> Float[Tensor, "3 s s"]:
    """A colour correction that is a little off: other contrast, brightness and colour cast.

    Contrast is changed about the mean under `weight` (>= 0, not all 0), that of the whole image if it is None.
    """
    mean = moments(image, torch.ones(image.shape[1:]) if weight is None else weight)[0]
    contrast = uniform(rng, 0.75, 1.15)
    cast = normals(rng, 5, 3, 1, 1)
    return (image - mean) * contrast + mean + cast + uniform(rng, -8, 8)
