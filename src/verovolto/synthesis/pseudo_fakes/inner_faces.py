"""Where a new inner face comes from: the face itself, another, an average, or principal components.

Each is a function of the face pool, the face's index, the generator and the face's own image; it returns an image
float32 `[3, S, S]` whose face lies where the target's does. It may be unlike the target in colour.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.random import Generator
from numpy.typing import NDArray
from torch import Tensor

from verovolto.synthesis.pseudo_fakes.face_pool import FacePool
from verovolto.synthesis.pseudo_fakes.imaging import (
    log_uniform,
    match_colours,
    normals,
    random_flow,
    resize,
    uniform,
    unit,
    warp,
)
from verovolto.synthesis.pseudo_fakes.masks import inner_distance

InnerFace = Callable[[FacePool, int, Generator, Tensor], Tensor]

FLOW_KNOTS = 5
_DONORS_OF_AVERAGE = 60  # drawn for each part of an average, which so is less alike than a swap


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
