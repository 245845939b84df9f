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
from verovolto.synthesis.pseudo_fakes.face_pool import Crowd
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
from verovolto.synthesis.pseudo_fakes.random_draws import chance, log_uniform, normals, uniform

_FLOOR = 1e-6  # added to weights, so that a mask outside the crop still has statistics to match
_WHOLE_KNOTS = 4


class Forgery(NamedTuple):
    """A forged crop, float32 `[3, S, S]` in [0, 255], and its mask `[S, S]`: 0 where the real one is untouched."""

    image: Tensor
    mask: Tensor


Kind = Callable[[Crowd, int, Generator], Forgery]


def composite(crowd: Crowd, index: int, rng: Generator, *, source: str, coarse: bool) -> Forgery:
    """A new inner face, in the target's colours or nearly so, blended in; `coarse` as out of a small decoder."""
    image = crowd.image(index)
    new = SOURCES[source](crowd, index, rng, image)
    mask = face_mask(crowd.landmarks[index], crowd.side, rng)
    weight = mask + _FLOOR
    if source != "self" and chance(rng, 0.9):
        new = match_colours(new, image, weight)
    if coarse:
        new = decode_coarsely(new, rng)
    if chance(rng, 0.6):
        new = tint(new, rng, weight)
    if chance(rng, 0.4):
        mask = mask * uniform(rng, 0.6, 1)
    return _blend(image, new, mask)


def whole(crowd: Crowd, index: int, rng: Generator) -> Forgery:
    """The whole crop made anew: slightly distorted and soft, now and then sharpened or tinted."""
    scale = unit(crowd.side)
    amplitude = uniform(rng, 0, 2) * scale
    flow = random_flow(rng, amplitude, crowd.side, _WHOLE_KNOTS)
    new = warp(crowd.image(index), IDENTITY, crowd.side, flow)
    new = through_low_resolution(new, int(log_uniform(rng, 56, 150) * scale))
    if chance(rng, 0.5):
        new = sharpen(new, uniform(rng, 0.3, 1.2), log_uniform(rng, 1, 3) * scale)
    if chance(rng, 0.5):
        new = tint(new, rng)
    return Forgery(new.clamp(0, 255), torch.ones(crowd.side, crowd.side))


def sharp(crowd: Crowd, index: int, rng: Generator) -> Forgery:
    """A new inner face whose lost detail is replaced by too much sharpening, now and then by grain."""
    scale = unit(crowd.side)
    image = crowd.image(index)
    source = str(rng.choice(["swap", "pcamix", "self"]))
    new = SOURCES[source](crowd, index, rng, image)
    mask = face_mask(crowd.landmarks[index], crowd.side, rng)
    new = match_colours(new, image, mask + _FLOOR)
    new = through_low_resolution(new, int(log_uniform(rng, 50, 160) * scale))
    new = sharpen(new, uniform(rng, 0.8, 3), log_uniform(rng, 0.8, 2.5) * scale)
    if chance(rng, 0.4):
        grain = gaussian_blur(normals(rng, 1, 1, crowd.side, crowd.side), 0.8 * scale)
        new = new + grain * uniform(rng, 2, 12)
    return _blend(image, new, mask)


def parts(crowd: Crowd, index: int, rng: Generator) -> Forgery:
    """Eyes, nose or mouth alone replaced or smeared."""
    image, landmarks = crowd.image(index), crowd.landmarks[index]
    source = str(rng.choice(["self", "swap", "mean", "pca"]))
    new = SOURCES[source](crowd, index, rng, image)
    new = match_colours(new, image, face_mask(landmarks, crowd.side, rng) + _FLOOR)
    new = decode_coarsely(gaussian_blur(new, log_uniform(rng, 0.6, 3) * unit(crowd.side)), rng)
    return _blend(image, new, parts_mask(landmarks, crowd.side, rng))


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


def forge_with_mask(crowd: Crowd, index: int, kind: str, rng: Generator) -> Forgery:
    """A forgery of the face `index` and where it lies; all that is random comes out of `rng`.

    Raises `InputError` for an unknown kind, `IndexError` for a face that is not there, and `UnreadableImage`.
    """
    if kind not in _KINDS:
        raise InputError(f"there is no kind of forgery {kind!r}", hint=f"there are: {', '.join(KINDS)}")
    if not 0 <= index < len(crowd):
        raise IndexError(f"face {index} of a crowd of {len(crowd)}")
    return _KINDS[kind](crowd, index, rng)


def forge(crowd: Crowd, index: int, kind: str, rng: Generator) -> Float[Tensor, "3 s s"]:
    """A forgery of the face `index`, float32 `[3, S, S]` in [0, 255]; see `forge_with_mask`."""
    return forge_with_mask(crowd, index, kind, rng).image


def _blend(image: Tensor, new: Tensor, mask: Tensor) -> Forgery:
    return Forgery((image * (1 - mask) + new * mask).clamp(0, 255), mask)
