"""What happens to pictures of real faces on their way: none of it is a sign of forgery.

A detector that is never shown this takes a small or strongly compressed picture for a fake.
"""

from __future__ import annotations

import torch
from jaxtyping import Float, UInt8
from numpy.random import Generator
from torch import Tensor

from verovolto.synthesis.pseudo_fakes.compression_pipeline import LAST_QUALITY
from verovolto.synthesis.pseudo_fakes.imaging import gaussian_blur, jpeg, resize, unit
from verovolto.synthesis.pseudo_fakes.random_draws import bernoulli, log_uniform, normals, uniform

SMALLEST = 64
"""Side in pixels that a face of the reference crop is brought to at least."""


def wear(image: Float[Tensor, "3 s s"], rng: Generator) -> UInt8[Tensor, "3 s s"]:
    """A crop as it might have come: smaller, blurred, noisy, in other light, compressed; each at random, none surely.

    Args:
        image: grey levels 0 to 255.
        rng: all that is random comes out of it.

    Returns:
        The crop at its old size, stored as the chain of forgeries stores it.
    """
    side = int(image.shape[-1])
    x = image
    if bernoulli(rng, 0.7):
        x = resize(x, int(log_uniform(rng, SMALLEST * unit(side), side + 1)), "bilinear")
    if bernoulli(rng, 0.3):
        x = gaussian_blur(x, uniform(rng, 0.3, 1.5))
    if bernoulli(rng, 0.3):
        x = (x + normals(rng, uniform(rng, 1, 8), *x.shape)).clamp(0, 255)
    if bernoulli(rng, 0.5):
        x = relit(x, gamma=uniform(rng, 0.7, 1.4), gain=uniform(rng, 0.8, 1.15))
    if bernoulli(rng, 0.8):
        x = jpeg(x, int(rng.integers(30, 95)))
    return jpeg(resize(x, side, "bilinear"), LAST_QUALITY).to(torch.uint8)


def relit(image: Float[Tensor, "3 h w"], *, gamma: float, gain: float) -> Float[Tensor, "3 h w"]:
    """In other light: `255 * gain * (x / 255) ** gamma`, cut off at 0 and 255."""
    return (255 * gain * (image.clamp(0, 255) / 255) ** gamma).clamp(0, 255)
