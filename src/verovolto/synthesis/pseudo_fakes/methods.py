"""Methods of pseudo-forgery: how a new inner face is made, treated and blended into the real one.

The inner face is the face itself, another, an average, or rebuilt of principal components (`INNER_FACES`): a function
of the face pool, the face's index, the generator and the face's own image, which returns an image float32 `[3, S, S]`
whose face lies where the target's does. It may be unlike the target in colour.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from numpy.random import Generator
from numpy.typing import NDArray
from torch import Tensor

from verovolto.core.errors import InputError
from verovolto.synthesis.colour import moments
from verovolto.synthesis.pseudo_fakes.face_pool import FacePool
from verovolto.synthesis.pseudo_fakes.imaging import (
    IDENTITY,
    bernoulli,
    face_mask,
    gaussian_blur,
    inner_distance,
    log_uniform,
    lower_face_mask,
    match_colours,
    mouth_flow,
    normals,
    parts_mask,
    random_flow,
    resize,
    sharpen,
    through_low_resolution,
    uniform,
    unit,
    warp,
)

InnerFace = Callable[[FacePool, int, Generator, Tensor], Tensor]

FLOW_KNOTS = 5
_DONORS_OF_AVERAGE = 60  # drawn for each part of an average, which so is less alike than a swap

_FLOOR = 1e-6  # added to weights, so that a mask outside the crop still has statistics to match
_WHOLE_KNOTS = 4


def _own_face(face_pool: FacePool, index: int, rng: Generator, image: Tensor) -> Tensor:
    """The face itself, a little scaled, shifted and distorted: nothing but the blending gives it away.

    Shiohara & Yamasaki, "Detecting Deepfakes with Self-Blended Images", CVPR 2022.
    """
    scale = uniform(rng, 0.96, 1.04)
    shift = normals(rng, 2 * unit(face_pool.side), 2)
    centre = face_pool.side / 2 * (1 - scale)
    matrix = torch.tensor([[scale, 0.0, centre], [0.0, scale, centre]])
    matrix[:, 2] += shift
    amplitude = uniform(rng, 0, 3) * unit(face_pool.side)
    return warp(image, matrix, face_pool.side, random_flow(rng, amplitude, face_pool.side, FLOW_KNOTS))


def _other_face(face_pool: FacePool, index: int, rng: Generator, image: Tensor) -> Tensor:
    """Another face of like pose and brightness, aligned by its landmarks.

    Li et al., "Face X-ray for More General Face Forgery Detection", CVPR 2020, forge so for the same purpose.
    """
    return face_pool.aligned(face_pool.donor(index, rng), index)


def _average_face(face_pool: FacePool, index: int, rng: Generator, image: Tensor) -> Tensor:
    """A random mean of two to five others in the target's colours, and a part of the face itself."""
    donors = int(rng.integers(2, 6))
    others = [face_pool.donor(index, rng, drawn=_DONORS_OF_AVERAGE) for _ in range(donors)]
    shares = rng.dirichlet(np.full(donors, 2.0))
    own = uniform(rng, 0, 0.4)
    inside = (inner_distance(face_pool.landmarks[index], face_pool.side) < 1).float()
    mean = own * image
    for other, share in zip(others, shares, strict=True):
        mean = mean + (1 - own) * float(share) * match_colours(face_pool.aligned(other, index), image, inside)
    return mean


def _rebuilt_face(face_pool: FacePool, index: int, rng: Generator, image: Tensor) -> Tensor:
    """The face out of 25 to 400 of its principal components: what a narrow code remembers of it."""
    return _rebuild(face_pool, index, face_pool.coordinates[index][: int(log_uniform(rng, 25, 400))])


def _mixed_face(face_pool: FacePool, index: int, rng: Generator, image: Tensor) -> Tensor:
    """The face's leading components (pose, light), and the finer ones of two others.

    Swaps by auto-encoder do so: they decode one person's code as another.
    """
    kept = int(log_uniform(rng, 60, 400))
    own = int(log_uniform(rng, 6, 40))
    others = [face_pool.donor(index, rng) for _ in range(2)]
    shares = (uniform(rng, 0.4, 1), uniform(rng, 0, 0.5))
    mixed = face_pool.coordinates[index][:kept].copy()
    mixed[own:] = sum(s * face_pool.coordinates[o][own:kept] for o, s in zip(others, shares, strict=True))
    return _rebuild(face_pool, index, mixed)


INNER_FACES: dict[str, InnerFace] = {
    "self": _own_face,
    "swap": _other_face,
    "mean": _average_face,
    "pca": _rebuilt_face,
    "pcamix": _mixed_face,
}
"""Makers of inner faces by name."""


def _rebuild(face_pool: FacePool, index: int, coordinates: NDArray[np.float32]) -> Tensor:
    """A face out of principal components, brought from the common frame to the crop's."""
    face = resize(face_pool.basis.rebuild(coordinates), face_pool.side, "bicubic")
    return warp(face, face_pool.to_template[index], face_pool.side)


class PseudoFake(NamedTuple):
    """A forged crop, float32 `[3, S, S]` in [0, 255], and its mask `[S, S]`: 0 where the real one is untouched."""

    image: Tensor
    mask: Tensor


Method = Callable[[FacePool, int, Generator], PseudoFake]


def decode_coarsely(image: Float[Tensor, "3 s s"], rng: Generator) -> Float[Tensor, "3 s s"]:
    """Imitate a decoder of 40 to 200 pixels: low resolution, then blur, sharpening and noise, each at random."""
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
    """Correct colours a little wrongly: other contrast, brightness and colour cast.

    Contrast is changed about the mean under `weight` (>= 0, not all 0), that of the whole image if it is None.
    """
    mean = moments(image, torch.ones(image.shape[1:]) if weight is None else weight)[0]
    contrast = uniform(rng, 0.75, 1.15)
    cast = normals(rng, 5, 3, 1, 1)
    return (image - mean) * contrast + mean + cast + uniform(rng, -8, 8)


def composite(face_pool: FacePool, index: int, rng: Generator, *, source: str, coarse: bool) -> PseudoFake:
    """Blend in a new inner face, in the target's colours or nearly so.

    Args:
        face_pool: real faces.
        index: the face to forge.
        rng: all that is random comes out of it.
        source: where the new face comes from, one of `INNER_FACES`.
        coarse: whether it looks as out of a small decoder.
    """
    image = face_pool.image(index)
    new = INNER_FACES[source](face_pool, index, rng, image)
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


def whole(face_pool: FacePool, index: int, rng: Generator) -> PseudoFake:
    """Make the whole crop anew: slightly distorted and soft, at random sharpened or tinted."""
    scale = unit(face_pool.side)
    amplitude = uniform(rng, 0, 2) * scale
    flow = random_flow(rng, amplitude, face_pool.side, _WHOLE_KNOTS)
    new = warp(face_pool.image(index), IDENTITY, face_pool.side, flow)
    new = through_low_resolution(new, int(log_uniform(rng, 56, 150) * scale))
    if bernoulli(rng, 0.5):
        new = sharpen(new, uniform(rng, 0.3, 1.2), log_uniform(rng, 1, 3) * scale)
    if bernoulli(rng, 0.5):
        new = tint(new, rng)
    return PseudoFake(new.clamp(0, 255), torch.ones(face_pool.side, face_pool.side))


def sharp(face_pool: FacePool, index: int, rng: Generator) -> PseudoFake:
    """Blend in a new inner face whose lost detail is replaced by too much sharpening, at random by grain."""
    scale = unit(face_pool.side)
    image = face_pool.image(index)
    source = str(rng.choice(["swap", "pcamix", "self"]))
    new = INNER_FACES[source](face_pool, index, rng, image)
    mask = face_mask(face_pool.landmarks[index], face_pool.side, rng)
    new = match_colours(new, image, mask + _FLOOR)
    new = through_low_resolution(new, int(log_uniform(rng, 50, 160) * scale))
    new = sharpen(new, uniform(rng, 0.8, 3), log_uniform(rng, 0.8, 2.5) * scale)
    if bernoulli(rng, 0.4):
        grain = gaussian_blur(normals(rng, 1, 1, face_pool.side, face_pool.side), 0.8 * scale)
        new = new + grain * uniform(rng, 2, 12)
    return _blend(image, new, mask)


def parts(face_pool: FacePool, index: int, rng: Generator) -> PseudoFake:
    """Replace or smear eyes, nose or mouth alone."""
    image, landmarks = face_pool.image(index), face_pool.landmarks[index]
    source = str(rng.choice(["self", "swap", "mean", "pca"]))
    new = INNER_FACES[source](face_pool, index, rng, image)
    new = match_colours(new, image, face_mask(landmarks, face_pool.side, rng) + _FLOOR)
    new = decode_coarsely(gaussian_blur(new, log_uniform(rng, 0.6, 3) * unit(face_pool.side)), rng)
    return _blend(image, new, parts_mask(landmarks, face_pool.side, rng))


def mouth(face_pool: FacePool, index: int, rng: Generator) -> PseudoFake:
    """Make mouth and chin anew, moved: what lip-sync and re-enactment change of a face.

    The mouth is the face's own, opened or closed, or another's; soft, as out of a decoder of few pixels. Prajwal et
    al., "A Lip Sync Expert Is All You Need", ACM Multimedia 2020, paint 96 pixels over the lower half of a face.
    """
    image, landmarks = face_pool.image(index), face_pool.landmarks[index]
    source = str(rng.choice(["own", "own", "swap", "mean", "pca"]))
    new = image if source == "own" else INNER_FACES[source](face_pool, index, rng, image)
    flow = mouth_flow(
        landmarks, face_pool.side, open_by=uniform(rng, -0.4, 0.6), widen_by=uniform(rng, -0.15, 0.2)
    )
    new = warp(new, IDENTITY, face_pool.side, flow)
    mask = lower_face_mask(landmarks, face_pool.side, rng)
    if source != "own":
        new = match_colours(new, image, mask + _FLOOR)
    new = decode_coarsely(new, rng)
    if bernoulli(rng, 0.3):
        new = tint(new, rng, mask + _FLOOR)
    return _blend(image, new, mask)


_METHODS: dict[str, Method] = {
    "self": partial(composite, source="self", coarse=True),
    "swap": partial(composite, source="swap", coarse=True),
    "swaphi": partial(composite, source="swap", coarse=False),
    "mean": partial(composite, source="mean", coarse=True),
    "pca": partial(composite, source="pca", coarse=False),
    "pcamix": partial(composite, source="pcamix", coarse=False),
    "whole": whole,
    "sharp": sharp,
    "parts": parts,
    "mouth": mouth,
}

PSEUDO_FAKE_METHODS: tuple[str, ...] = tuple(_METHODS)
"""Names of all methods. `swaphi` is a swap in full resolution; components are soft without a coarse decoder."""


def make_pseudo_fake(face_pool: FacePool, index: int, method: str, rng: Generator) -> PseudoFake:
    """Forge the face `index` by a method.

    Args:
        face_pool: real faces.
        index: the face to forge.
        method: one of `PSEUDO_FAKE_METHODS`.
        rng: all that is random comes out of it.

    Raises:
        InputError: an unknown method.
        IndexError: a face that is not there.
        UnreadableImage: a crop that does not decode.
    """
    if method not in _METHODS:
        raise InputError(
            f"there is no kind of forgery {method!r}", hint=f"there are: {', '.join(PSEUDO_FAKE_METHODS)}"
        )
    if not 0 <= index < len(face_pool):
        raise IndexError(f"face {index} of a face pool of {len(face_pool)}")
    return _METHODS[method](face_pool, index, rng)


def _blend(image: Tensor, new: Tensor, mask: Tensor) -> PseudoFake:
    return PseudoFake((image * (1 - mask) + new * mask).clamp(0, 255), mask)
