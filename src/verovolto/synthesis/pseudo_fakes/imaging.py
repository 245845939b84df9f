"""What pseudo-fakes are made with: random draws, warping, resizing and filtering of float images, and masks.

Images are float32 `[3, S, S]` with grey levels from 0 to 255. Lengths in pixels are stated for crops of
`REFERENCE_SIDE` pixels and grow with the crop (`unit`).
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Literal

import torch
from jaxtyping import Float
from numpy.random import Generator
from torch import Tensor
from torch.nn.functional import conv2d, interpolate, pad

from verovolto.data.corruptions import jpeg as jpeg_file
from verovolto.synthesis.colour import match_statistics
from verovolto.synthesis.geometry import pixel_centres, sample, soft_step, transform

Filter = Literal["bilinear", "bicubic"]

REFERENCE_SIDE = 224
"""Side of the crops, in pixels, that lengths are stated for."""

IDENTITY = torch.eye(2, 3)
"""The affine map that leaves every point where it is."""

SHARPEST_BLUR = 0.15
"""A Gaussian of a smaller standard deviation (pixels) changes nothing that could be seen, and is left out."""

GAINS = (0.5, 1.6)
"""Limits of the factor by which contrast is matched: beyond them noise is stretched or a face goes flat."""

# ITU-T T.871 (JFIF): luma and the two colour differences, without offsets.
_TO_YCC = torch.tensor(
    [[0.299, 0.587, 0.114], [-0.1687, -0.3313, 0.5], [0.5, -0.4187, -0.0813]],
)
_FROM_YCC = torch.linalg.inv(_TO_YCC)

_MEAN = torch.tensor([[71.0, 65.0], [161.0, 64.0], [115.0, 112.0], [77.0, 167.0], [153.0, 167.0]])

_WOBBLE_SIGMA = 18.0  # pixels of the reference crop: how fast a random outline changes
_SQUEEZE = 1.25  # parts are wider than high
_PARTS: dict[str, tuple[tuple[str, float], ...]] = {
    "eyes": (("left_eye", 0.45), ("right_eye", 0.45)),
    "mouth": (("mouth", 0.6),),
    "nose": (("nose", 0.5),),
}
"""Parts of a face: what they lie round, and their radii in distances from the eyes' line to the mouth's."""


def uniform(rng: Generator, low: float, high: float) -> float:
    """Draw a number evenly from `[low, high)`."""
    return float(rng.uniform(low, high))


def log_uniform(rng: Generator, low: float, high: float) -> float:
    """Draw a number in `[low, high)` whose logarithm is even; 0 < low <= high."""
    return math.exp(rng.uniform(math.log(low), math.log(high)))


def bernoulli(rng: Generator, probability: float) -> bool:
    """Draw True with a probability in [0, 1]."""
    return bool(rng.random() < probability)


def normals(rng: Generator, deviation: float, *shape: int) -> Tensor:
    """Draw normal numbers of mean 0 and a standard deviation, float32 of a shape."""
    return torch.from_numpy(rng.normal(0, deviation, shape)).float()


def unit(side: int) -> float:
    """Pixels of a crop of this side to one pixel of the reference crop."""
    return side / REFERENCE_SIDE


@lru_cache(maxsize=8)
def grid(side: int) -> Float[Tensor, "s s 2"]:
    """Pixel centres `(x, y)`, float32 `[S, S, 2]`. Shared: never changed in place."""
    return pixel_centres(side, side).float()


def warp(
    image: Float[Tensor, "3 h w"],
    to_input: Float[Tensor, "2 3"],
    side: int,
    flow: Float[Tensor, "s s 2"] | None = None,
) -> Float[Tensor, "3 s s"]:
    """Warp an image by an affine map, `[3, S, S]`; bilinear, beyond the border its nearest pixel.

    Args:
        image: float32 `[3, H, W]`.
        to_input: `[2, 3]`, carries pixels of the result to pixels of the image.
        side: S, of the result.
        flow: `[S, S, 2]`, shifts in pixels of the result that are added before the map.
    """
    points = grid(side) if flow is None else grid(side) + flow
    return sample(image, transform(to_input.float(), points))


def random_flow(rng: Generator, amplitude: float, side: int, knots: int) -> Float[Tensor, "s s 2"]:
    """Draw a smooth field of shifts `[S, S, 2]`: normal at `knots` x `knots` places, bicubic between them.

    Args:
        rng: of the draw.
        amplitude: standard deviation of the shifts, pixels.
        side: S.
        knots: places along each axis.
    """
    shifts = normals(rng, amplitude, 1, 2, knots, knots)
    field = interpolate(shifts, size=(side, side), mode="bicubic", align_corners=True)
    return field[0].permute(1, 2, 0)


def resize(image: Float[Tensor, "3 s s"], side: int, how: Filter) -> Float[Tensor, "3 n n"]:
    """Resize a square image, antialiased where it shrinks; values stay in [0, 255].

    An image that has the side already is returned as it is, values beyond the range included.
    """
    if side == image.shape[-1]:
        return image
    smaller = side < image.shape[-1]
    out = interpolate(image[None], size=(side, side), mode=how, antialias=smaller, align_corners=False)
    return out[0].clamp(0, 255)


def through_low_resolution(
    image: Float[Tensor, "3 s s"], side: int, up: Filter = "bicubic"
) -> Float[Tensor, "3 s s"]:
    """Shrink to `side` pixels (bilinear) and enlarge again."""
    return resize(resize(image, side, "bilinear"), image.shape[-1], up)


def gaussian_blur(image: Float[Tensor, "c h w"], sigma: float) -> Float[Tensor, "c h w"]:
    """Gaussian blur of a standard deviation in pixels, cut at three of them; the border goes on as it is."""
    if sigma < SHARPEST_BLUR:
        return image
    radius = max(1, int(3 * sigma + 0.5))
    x = torch.arange(-radius, radius + 1).float()
    bell = torch.exp(-x.square() / (2 * sigma**2))
    bell = bell / bell.sum()
    # Channels as a batch of one-channel images: no grouped convolution is needed.
    y = pad(image[:, None], (radius, radius, radius, radius), mode="replicate")
    return conv2d(conv2d(y, bell.view(1, 1, 1, -1)), bell.view(1, 1, -1, 1))[:, 0]


def sharpen(image: Float[Tensor, "3 s s"], amount: float, sigma: float) -> Float[Tensor, "3 s s"]:
    """Unsharp mask: what a Gaussian blur takes away is added `amount` times."""
    return image + amount * (image - gaussian_blur(image, sigma))


def match_colours(
    image: Float[Tensor, "3 s s"], reference: Float[Tensor, "3 s s"], weight: Float[Tensor, "s s"]
) -> Float[Tensor, "3 s s"]:
    """Give an image the means and, within `GAINS`, the contrasts of luma and colour differences of another.

    Both are taken under the same weight `[S, S]` (>= 0, not all 0); see `synthesis.colour.match_statistics`.
    """
    matched = match_statistics(_mix(_TO_YCC, image), _mix(_TO_YCC, reference), weight, gains=GAINS)
    return _mix(_FROM_YCC, matched)


def jpeg(image: Float[Tensor, "3 s s"], quality: int) -> Float[Tensor, "3 s s"]:
    """Through a JPEG file (4:2:0) of a quality, 1 to 100, and back; values are rounded to bytes first."""
    return jpeg_file(image.clamp(0, 255).round().byte(), quality).image.float()


def _mix(matrix: Tensor, image: Tensor) -> Tensor:
    return (matrix @ image.flatten(1)).view_as(image)


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


def lower_face_mask(landmarks: Float[Tensor, "5 2"], side: int, rng: Generator) -> Float[Tensor, "s s"]:
    """Draw the weight of the lower face, `[S, S]`: an ellipse of random size about mouth and chin, softly bounded."""
    centre, along, across, height = _mouth(landmarks, side)
    from_centre = grid(side) - (centre + along * height * uniform(rng, 0.0, 0.25))
    x = (from_centre @ across) / (height * uniform(rng, 0.6, 1.1))
    y = (from_centre @ along) / (height * uniform(rng, 0.5, 0.85))
    feather = log_uniform(rng, 0.1, 0.6)
    return soft_step(1 - torch.hypot(x, y) + feather / 2, feather)


def mouth_flow(
    landmarks: Float[Tensor, "5 2"], side: int, *, open_by: float, widen_by: float
) -> Float[Tensor, "s s 2"]:
    """The field of shifts that moves a mouth, `[S, S, 2]`, for `warp`; it fades out over the lower face.

    Args:
        landmarks: of the face, pixels.
        side: S.
        open_by: the mouth gets higher by about this share, below 0 flatter.
        widen_by: likewise wider.
    """
    centre, along, across, height = _mouth(landmarks, side)
    from_centre = grid(side) - centre
    x, y = from_centre @ across, from_centre @ along
    fading = torch.exp(-((x / (0.6 * height)) ** 2 + (y / (0.5 * height)) ** 2))
    back_x, back_y = (1 / (1 + share) - 1 for share in (widen_by, open_by))
    return (fading * x * back_x)[..., None] * across + (fading * y * back_y)[..., None] * along


def _mouth(landmarks: Float[Tensor, "5 2"], side: int) -> tuple[Tensor, Tensor, Tensor, float]:
    """The mouth's middle, the directions down and across the face, and the distance from eyes to mouth, pixels."""
    eyes, mouth = (landmarks[0] + landmarks[1]) / 2, (landmarks[3] + landmarks[4]) / 2
    down = mouth - eyes
    along = down / down.norm().clamp(min=unit(side))
    return mouth, along, torch.stack((along[1], -along[0])), float(down.norm().clamp(min=30 * unit(side)))
