"""The chain that a forgery and its own untouched source both pass: recorded, resized, compressed.

Were only forgeries resampled and compressed once more, a detector would learn that, and nothing of forging.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import UInt8
from numpy.random import Generator
from torch import Tensor

from verovolto.synthesis.pseudo_fakes.imaging import REFERENCE_SIDE, Filter, jpeg, resize, unit
from verovolto.synthesis.pseudo_fakes.random_draws import bernoulli, uniform

_FILTERS: tuple[Filter, Filter] = ("bilinear", "bicubic")

LAST_QUALITY = 75
"""JPEG quality of the crops in the end, that of the collection this was made for."""


@dataclass(frozen=True, kw_only=True)
class CompressionParameters:
    """What happens to a crop.

    Attributes:
        mild: whether it is only stored.
        recorded: side in pixels at which it is compressed before, unless mild.
        quality: JPEG quality then, 1 to 100.
        down: filter by which it is brought to that side.
        up: filter by which it is brought back.
        last_quality: JPEG quality in which it is stored.
    """

    mild: bool
    recorded: int
    quality: int
    down: Filter
    up: Filter
    last_quality: int = LAST_QUALITY


def draw_compression(rng: Generator, native: int, *, side: int = REFERENCE_SIDE) -> CompressionParameters:
    """Draw a chain for a crop of `side` pixels that had `native` pixels in its picture."""
    mild = bernoulli(rng, 0.35)
    recorded = int(np.clip(native * uniform(rng, 0.75, 1.05), 80 * unit(side), side))
    quality = int(rng.integers(45, 95))
    down, up = (_FILTERS[int(rng.integers(2))] for _ in range(2))
    return CompressionParameters(mild=mild, recorded=recorded, quality=quality, down=down, up=up)


def compress(image: Tensor, parameters: CompressionParameters) -> UInt8[Tensor, "3 s s"]:
    """The crop at the end of the chain, uint8 `[3, S, S]`, a function of its grey levels and the parameters alone.

    `image` is `[3, S, S]`, uint8 or float; floats are rounded to grey levels 0 to 255 first.
    """
    x = image.float().clamp(0, 255).round()
    if not parameters.mild:
        side = x.shape[-1]
        x = jpeg(resize(x, parameters.recorded, parameters.down), parameters.quality)
        x = resize(x, side, parameters.up)
    return jpeg(x, parameters.last_quality).byte()
