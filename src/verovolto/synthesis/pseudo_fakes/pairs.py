"""Pairs of a real face and a forgery of it, as many as are wanted, each a function of its number alone.

A forgery and its own untouched source both pass one compression pipeline: were only forgeries resampled and compressed
once more, a detector would learn that, and nothing of forging. Real faces are corrupted besides, by what recording and
storing do to any picture: a detector that never sees this takes a small or strongly compressed picture for a fake.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, UInt8
from numpy.random import Generator
from torch import Tensor

from verovolto.core.errors import InputError
from verovolto.synthesis.pseudo_fakes.face_pool import FacePool
from verovolto.synthesis.pseudo_fakes.imaging import (
    REFERENCE_SIDE,
    Filter,
    bernoulli,
    gaussian_blur,
    jpeg,
    log_uniform,
    normals,
    resize,
    uniform,
    unit,
)
from verovolto.synthesis.pseudo_fakes.methods import PSEUDO_FAKE_METHODS, make_pseudo_fake

_FILTERS: tuple[Filter, Filter] = ("bilinear", "bicubic")

LAST_QUALITY = 75
"""JPEG quality of the crops in the end, that of the collection this was made for."""

MIN_SIDE = 64
"""Side in pixels that a face of the reference crop is brought to at least."""

_ORDER = 1  # keeps the generators that order faces apart from those of the pairs themselves


@dataclass(frozen=True, kw_only=True)
class CompressionParameters:
    """One draw of the compression pipeline.

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
    """Draw the parameters for a crop of `side` pixels that had `native` pixels in its picture."""
    mild = bernoulli(rng, 0.35)
    recorded = int(np.clip(native * uniform(rng, 0.75, 1.05), 80 * unit(side), side))
    quality = int(rng.integers(45, 95))
    down, up = (_FILTERS[int(rng.integers(2))] for _ in range(2))
    return CompressionParameters(mild=mild, recorded=recorded, quality=quality, down=down, up=up)


def compress(image: Tensor, parameters: CompressionParameters) -> UInt8[Tensor, "3 s s"]:
    """Bring a crop through the pipeline, uint8 `[3, S, S]`: a function of its grey levels and the parameters alone.

    `image` is `[3, S, S]`, uint8 or float; floats are rounded to grey levels 0 to 255 first.
    """
    x = image.float().clamp(0, 255).round()
    if not parameters.mild:
        side = x.shape[-1]
        x = jpeg(resize(x, parameters.recorded, parameters.down), parameters.quality)
        x = resize(x, side, parameters.up)
    return jpeg(x, parameters.last_quality).byte()


def corrupt_benignly(image: Float[Tensor, "3 s s"], rng: Generator) -> UInt8[Tensor, "3 s s"]:
    """Corrupt a crop as recording might have: smaller, blurred, noisy, in other light, compressed, each at random.

    Args:
        image: grey levels 0 to 255.
        rng: all that is random comes out of it.

    Returns:
        The crop at its old size, stored as the pipeline of forgeries stores it.
    """
    side = int(image.shape[-1])
    x = image
    if bernoulli(rng, 0.7):
        x = resize(x, int(log_uniform(rng, MIN_SIDE * unit(side), side + 1)), "bilinear")
    if bernoulli(rng, 0.3):
        x = gaussian_blur(x, uniform(rng, 0.3, 1.5))
    if bernoulli(rng, 0.3):
        x = (x + normals(rng, uniform(rng, 1, 8), *x.shape)).clamp(0, 255)
    if bernoulli(rng, 0.5):
        x = relight(x, gamma=uniform(rng, 0.7, 1.4), gain=uniform(rng, 0.8, 1.15))
    if bernoulli(rng, 0.8):
        x = jpeg(x, int(rng.integers(30, 95)))
    return jpeg(resize(x, side, "bilinear"), LAST_QUALITY).to(torch.uint8)


def relight(image: Float[Tensor, "3 h w"], *, gamma: float, gain: float) -> Float[Tensor, "3 h w"]:
    """Change the light: `255 * gain * (x / 255) ** gamma`, cut off at 0 and 255."""
    return (255 * gain * (image.clamp(0, 255) / 255) ** gamma).clamp(0, 255)


@dataclass(frozen=True, kw_only=True, eq=False)
class PseudoPair:
    """A forgery and its own untouched source, after one and the same compression pipeline.

    Attributes:
        index: of the face in the face pool.
        method: of the forgery, one of `PSEUDO_FAKE_METHODS`.
        real: uint8 `[3, S, S]`.
        fake: uint8 `[3, S, S]`.
        mask: float32 `[S, S]`, 0 to 1: how much of the forgery is new at each place, before compression.
    """

    index: int
    method: str
    real: UInt8[Tensor, "3 s s"]
    fake: UInt8[Tensor, "3 s s"]
    mask: Float[Tensor, "s s"]


def pairs(
    face_pool: FacePool,
    count: int,
    *,
    seed: int,
    methods: Sequence[str] = PSEUDO_FAKE_METHODS,
    start: int = 0,
) -> Iterator[PseudoPair]:
    """Make the pairs `start` to `start + count - 1` of a seed.

    The number n and the seed alone decide pair n, so that processes can share the work, and a stopped one go on.
    Methods come in turn. Faces come in a random order that holds each once before any comes again.

    Args:
        face_pool: real faces.
        count: pairs to make, >= 0.
        seed: of all draws, >= 0.
        methods: of forgery, in turn.
        start: number of the first pair, >= 0.

    Raises:
        InputError: unknown methods, none, or numbers below 0.
    """
    _check(methods, seed=seed, start=start, count=count)
    return (pair(face_pool, n, seed=seed, methods=methods) for n in range(start, start + count))


def pair(
    face_pool: FacePool, number: int, *, seed: int, methods: Sequence[str] = PSEUDO_FAKE_METHODS
) -> PseudoPair:
    """Make one pair of those of a seed.

    Args:
        face_pool: real faces.
        number: of the pair, >= 0.
        seed: as for `pairs`.
        methods: as for `pairs`.
    """
    _check(methods, seed=seed, number=number)
    index, method = drawn_face(face_pool, number, seed=seed), methods[number % len(methods)]
    rng = np.random.default_rng([seed, number])
    parameters = draw_compression(rng, int(face_pool.native[index]), side=face_pool.side)
    fake, mask = make_pseudo_fake(face_pool, index, method, rng)
    return PseudoPair(
        index=index,
        method=method,
        real=compress(face_pool.pixels(index), parameters),
        fake=compress(fake, parameters),
        mask=mask,
    )


def drawn_face(face_pool: FacePool, number: int, *, seed: int) -> int:
    """The face of the pair `number`: its place in the random order of the round it belongs to."""
    turn, place = divmod(number, len(face_pool.targets))
    order = np.random.default_rng([seed, turn, _ORDER]).permutation(len(face_pool.targets))
    return int(face_pool.targets[order[place]])


def _check(methods: Sequence[str], **numbers: int) -> None:
    unknown = [method for method in methods if method not in PSEUDO_FAKE_METHODS]
    if unknown or not methods:
        raise InputError(
            f"there is no kind of forgery {unknown[0]!r}" if unknown else "no kind of forgery is named",
            hint=f"there are: {', '.join(PSEUDO_FAKE_METHODS)}",
        )
    for name, number in numbers.items():
        if number < 0:
            raise InputError(f"the {name} of pairs is {number}", hint="give 0 or more")
