"""The kinds of pseudo-forgery: how a new inner face is made, treated and laid over the real one."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import torch
from jaxtyping import Float
from numpy.random import Generator
from torch import Tensor

from verovolto.core.errors import InputError
from verovolto.synthesis.pseudo_fakes.decoder_artifacts import decode_coarsely, tint
from verovolto.synthesis.pseudo_fakes.face_pool import FacePool
from verovolto.synthesis.pseudo_fakes.imaging import (
    IDENTITY,
    gaussian_blur,
    match_colours,
    random_flow,
    sharpen,
    through_low_resolution,
    unit,
    warp,
)
from verovolto.synthesis.pseudo_fakes.inner_faces import SOURCES
from verovolto.synthesis.pseudo_fakes.masks import face_mask, parts_mask
from verovolto.synthesis.pseudo_fakes.random_draws import bernoulli, log_uniform, normals, uniform

_FLOOR = 1e-6  # added to weights, so that a mask outside the crop still has statistics to match
_WHOLE_KNOTS = 4


class Forgery(NamedTuple):
    """A forged crop, float32 `[3, S, S]` in [0, 255], and its mask `[S, S]`: 0 where the real one is untouched."""

    image: Tensor
    mask: Tensor


Kind = Callable[[FacePool, int, Generator], Forgery]


def composite(face_pool: FacePool, index: int, rng: Generator, *, source: str, coarse: bool) -> Forgery:
    """A new inner face, in the target's colours or nearly so, blended in; `coarse` as out of a small decoder."""
    image = face_pool.image(index)
    new = SOURCES[source](face_pool, index, rng, image)
    mask = face_mask(face_pool.landmarks[index], face_pool.side, rng)
    weight = mask + _FLOOR
    if source != "self" and bernoulli(rng, 0.9):
        new = match_colours(new, image, weight)
    if coarse:
        new = decode_coarsely(new, rng)
    if bernoulli(rng, 0.6):
        new = tint(new, rng, weight)
    if bernoulli(rng, 0.4):
        mask = mask * uniform(rng, 0.6, 1)
    return _blend(image, new, mask)


def whole(face_pool: FacePool, index: int, rng: Generator) -> Forgery:
    """The whole crop made anew: slightly distorted and soft, now and then sharpened or tinted."""
    scale = unit(face_pool.side)
    amplitude = uniform(rng, 0, 2) * scale
    flow = random_flow(rng, amplitude, face_pool.side, _WHOLE_KNOTS)
    new = warp(face_pool.image(index), IDENTITY, face_pool.side, flow)
    new = through_low_resolution(new, int(log_uniform(rng, 56, 150) * scale))
    if bernoulli(rng, 0.5):
        new = sharpen(new, uniform(rng, 0.3, 1.2), log_uniform(rng, 1, 3) * scale)
    if bernoulli(rng, 0.5):
        new = tint(new, rng)
    return Forgery(new.clamp(0, 255), torch.ones(face_pool.side, face_pool.side))


def sharp(face_pool: FacePool, index: int, rng: Generator) -> Forgery:
    """A new inner face whose lost detail is replaced by too much sharpening, now and then by grain."""
    scale = unit(face_pool.side)
    image = face_pool.image(index)
    source = str(rng.choice(["swap", "pcamix", "self"]))
    new = SOURCES[source](face_pool, index, rng, image)
    mask = face_mask(face_pool.landmarks[index], face_pool.side, rng)
    new = match_colours(new, image, mask + _FLOOR)
    new = through_low_resolution(new, int(log_uniform(rng, 50, 160) * scale))
    new = sharpen(new, uniform(rng, 0.8, 3), log_uniform(rng, 0.8, 2.5) * scale)
    if bernoulli(rng, 0.4):
        grain = gaussian_blur(normals(rng, 1, 1, face_pool.side, face_pool.side), 0.8 * scale)
        new = new + grain * uniform(rng, 2, 12)
    return _blend(image, new, mask)


def parts(face_pool: FacePool, index: int, rng: Generator) -> Forgery:
    """Eyes, nose or mouth alone replaced or smeared."""
    image, landmarks = face_pool.image(index), face_pool.landmarks[index]
    source = str(rng.choice(["self", "swap", "mean", "pca"]))
    new = SOURCES[source](face_pool, index, rng, image)
    new = match_colours(new, image, face_mask(landmarks, face_pool.side, rng) + _FLOOR)
    new = decode_coarsely(gaussian_blur(new, log_uniform(rng, 0.6, 3) * unit(face_pool.side)), rng)
    return _blend(image, new, parts_mask(landmarks, face_pool.side, rng))


_KINDS: dict[str, Kind] = {
    "self": partial(composite, source="self", coarse=True),
    "swap": partial(composite, source="swap", coarse=True),
    "swaphi": partial(composite, source="swap", coarse=False),
    "mean": partial(composite, source="mean", coarse=True),
    "pca": partial(composite, source="pca", coarse=False),
    "pcamix": partial(composite, source="pcamix", coarse=False),
    "whole": whole,
    "sharp": sharp,
    "parts": parts,
}

KINDS: tuple[str, ...] = tuple(_KINDS)
"""Names of all kinds. `swaphi` is a swap in full resolution; components are soft without a coarse decoder."""


def forge_with_mask(face_pool: FacePool, index: int, kind: str, rng: Generator) -> Forgery:
    """A forgery of the face `index` and where it lies; all that is random comes out of `rng`.

    Raises `InputError` for an unknown kind, `IndexError` for a face that is not there, and `UnreadableImage`.
    """
    if kind not in _KINDS:
        raise InputError(f"there is no kind of forgery {kind!r}", hint=f"there are: {', '.join(KINDS)}")
    if not 0 <= index < len(face_pool):
        raise IndexError(f"face {index} of a crowd of {len(face_pool)}")
    return _KINDS[kind](face_pool, index, rng)


def forge(face_pool: FacePool, index: int, kind: str, rng: Generator) -> Float[Tensor, "3 s s"]:
    """A forgery of the face `index`, float32 `[3, S, S]` in [0, 255]; see `forge_with_mask`."""
    return forge_with_mask(face_pool, index, kind, rng).image


def _blend(image: Tensor, new: Tensor, mask: Tensor) -> Forgery:
    return Forgery((image * (1 - mask) + new * mask).clamp(0, 255), mask)
