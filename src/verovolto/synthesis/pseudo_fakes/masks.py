"""Where a forgery lies: the inner face, or a part of it, as weights in [0, 1] at each pixel of a crop."""

from __future__ import annotations

import torch
from jaxtyping import Float
from numpy.random import Generator
from torch import Tensor

from verovolto.synthesis.geometry import soft_step
from verovolto.synthesis.pseudo_fakes.imaging import (
    REFERENCE_SIDE,
    gaussian_blur,
    grid,
    log_uniform,
    normals,
    uniform,
    unit,
)

_MEAN = torch.tensor([[71.0, 65.0], [161.0, 64.0], [115.0, 112.0], [77.0, 167.0], [153.0, 167.0]])

_WOBBLE_SIGMA = 18.0  # pixels of the reference crop: how fast a random outline changes
_SQUEEZE = 1.25  # parts are wider than high
_PARTS: dict[str, tuple[tuple[str, float], ...]] = {
    "eyes": (("left_eye", 0.45), ("right_eye", 0.45)),
    "mouth": (("mouth", 0.6),),
    "nose": (("nose", 0.5),),
}
"""Parts of a face: what they lie round, and their radii in distances from the eyes' line to the mouth's."""


def mean_landmarks(side: int) -> Float[Tensor, "5 2"]:
    """Where the landmarks of a tight crop of this side lie on average, float32 `[5, 2]`, pixels.

    Measured on crops whose side is 0.86 times the larger side of MTCNN's box. They stand in where no landmarks were
    found.
    """
    return _MEAN * unit(side)


def template(side: int) -> Float[Tensor, "5 2"]:
    """Landmarks of the frame in which faces are compared and rebuilt: the whole inner face with a margin."""
    half = REFERENCE_SIDE / 2
    return ((_MEAN - half) * 0.82 + half) * unit(side)


def inner_distance(landmarks: Float[Tensor, "5 2"], side: int, *, grow: float = 1.0) -> Float[Tensor, "s s"]:
    """Elliptic distance of every pixel from the middle of the inner face, `[S, S]`: 0 there, 1 at its outline.

    The ellipse is upright in the face: its half axes are the distance from the eyes to the mouth and nearly that
    between the eyes, times `grow`. In a profile the eyes are close together, and the width follows the height.
    """
    least = 25 * unit(side)  # landmarks that nearly coincide must not leave a face without area
    eyes, mouth = (landmarks[0] + landmarks[1]) / 2, (landmarks[3] + landmarks[4]) / 2
    down = mouth - eyes
    height = float(down.norm().clamp(min=least))
    width = float((landmarks[1] - landmarks[0]).norm().clamp(min=least))
    along = down / down.norm().clamp(min=unit(side))
    across = torch.stack((along[1], -along[0]))
    from_centre = grid(side) - ((eyes + mouth) / 2 + 0.02 * down)
    x = (from_centre @ across) / (0.98 * grow * max(0.95 * width, 0.62 * height))
    y = (from_centre @ along) / (grow * height)
    return torch.hypot(x, y)


def face_mask(landmarks: Float[Tensor, "5 2"], side: int, rng: Generator) -> Float[Tensor, "s s"]:
    """Draw the weight of the inner face, `[S, S]`: an ellipse of random size, outline and feather."""
    distance = inner_distance(landmarks, side, grow=uniform(rng, 0.8, 1.12))
    # A blur of sigma pixels divides the noise's deviation by sigma: `unit` keeps the wobble alike at any side.
    noise = gaussian_blur(normals(rng, unit(side), 1, side, side), _WOBBLE_SIGMA * unit(side))[0]
    distance = distance + noise * uniform(rng, 0, 2.5)
    feather = log_uniform(rng, 0.06, 0.5)
    return soft_step(1 - distance + feather / 2, feather)


def parts_mask(landmarks: Float[Tensor, "5 2"], side: int, rng: Generator) -> Float[Tensor, "s s"]:
    """Draw the weight of one or two parts out of eyes, nose and mouth, `[S, S]`; soft ellipses of random size."""
    eyes, mouth = (landmarks[0] + landmarks[1]) / 2, (landmarks[3] + landmarks[4]) / 2
    places = {"left_eye": landmarks[0], "right_eye": landmarks[1], "nose": landmarks[2], "mouth": mouth}
    height = float((mouth - eyes).norm().clamp(min=30 * unit(side)))
    mask = torch.zeros(side, side)
    for part in rng.choice(list(_PARTS), int(rng.integers(1, 3)), replace=False):
        for place, radius in _PARTS[str(part)]:
            offset = (grid(side) - places[place]) * torch.tensor([1.0, _SQUEEZE])
            distance = offset.norm(dim=-1) / (radius * height * uniform(rng, 0.8, 1.4))
            feather = uniform(rng, 0.2, 0.7)
            mask = torch.maximum(mask, ((1 - distance) / feather + 0.5).clamp(0, 1))
    return mask
