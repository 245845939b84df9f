"""Landmark-based face swaps between photographs: who is swapped with whom, then align, match colours and blend.

Made to give real forgeries to test with where no collection of deepfakes can be shipped. It imitates no particular
method and is not fitted to any detector.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, UInt8
from torch import Tensor
from torch.nn.functional import interpolate

from verovolto.core.errors import InputError
from verovolto.synthesis.colour import is_grey, lab_to_rgb, match_statistics, rgb_to_lab
from verovolto.synthesis.geometry import (
    convex_hull,
    depth_in_image,
    depth_inside,
    invert,
    pixel_centres,
    sample,
    similarity_scale,
    soft_step,
    transform,
    umeyama,
)

METHOD = "landmark-swap"
"""Name of this forgery in a face set's `method` column."""

FEATHER = 0.3
"""Width of the blended rim, in distances between the eyes' line and the mouth."""

# Corners of the inner face: a landmark (0 left eye, 1 right eye, 3 and 4 mouth corners), then a shift along
# the eyes' line (in eye distances) and down the face (in distances from the eyes' line to the mouth).
_OUTLINE = (
    (0, -0.15, -0.60),
    (1, +0.15, -0.60),
    (0, -0.50, -0.30),
    (1, +0.50, -0.30),
    (0, -0.60, +0.25),
    (1, +0.60, +0.25),
    (3, -0.45, +0.10),
    (4, +0.45, +0.10),
    (3, +0.00, +0.55),
    (4, +0.00, +0.55),
)


@dataclass(frozen=True, kw_only=True, order=True)
class Swap:
    """One forgery to make: the face of photograph `donor` goes into photograph `target`."""

    target: str
    donor: str
    target_identity: str
    donor_identity: str


def shuffled(names: Sequence[str], seed: int) -> list[str]:
    """Order names by their set and `seed` alone, alike in every Python version."""
    rng = random.Random(seed)  # .random() is promised to be reproducible, .shuffle() is not
    return [name for _, name in sorted((rng.random(), name) for name in sorted(names))]


def all_others(people: Sequence[str]) -> dict[str, list[str]]:
    """Every person's donors: all other people."""
    return {person: [other for other in people if other != person] for person in people}


def partners(people: Sequence[str]) -> dict[str, list[str]]:
    """Every person's donor: the neighbour in the list; of an odd number the last three swap in a ring.

    A fake belongs to two people, so swaps between all of a group would tie all of it together; couples can
    still be divided, for instance into faces to choose a model on and faces to calibrate it on.

    Raises:
        InputError: fewer than two people.
    """
    if len(people) < 2:
        raise InputError(f"a swap needs two people, not {len(people)}")
    couples = [list(people[i : i + 2]) for i in range(0, len(people) - len(people) % 2, 2)]
    if len(people) % 2:
        couples[-1].append(people[-1])
    return {person: [ring[(i + 1) % len(ring)]] for ring in couples for i, person in enumerate(ring)}


def plan_swaps(
    photos: Mapping[str, Sequence[str]], donors: Mapping[str, Sequence[str]], *, seed: int
) -> list[Swap]:
    """Plan one swap for every photograph: a donor and one of their photographs, drawn by `seed`.

    Args:
        photos: person -> names of their photographs.
        donors: person -> the people whose face they may get, never themselves.
        seed: of the draw; the plan depends on nothing else.

    Returns:
        Swaps in the order of `photos`.

    Raises:
        InputError: a person has no donor with a photograph, or would be their own.
    """
    rng = random.Random(seed)
    swaps = []
    for person, own in photos.items():
        candidates = [other for other in donors.get(person, []) if photos.get(other)]
        if not candidates or person in candidates:
            raise InputError(f"nobody else can lend {person} a face", hint="give photographs of more people")
        for target in own:
            other = candidates[int(rng.random() * len(candidates))]
            donor = photos[other][int(rng.random() * len(photos[other]))]
            swaps.append(Swap(target=target, donor=donor, target_identity=person, donor_identity=other))
    return swaps


def swap_faces(
    target: UInt8[Tensor, "3 h w"],
    target_landmarks: Float[Tensor, "5 2"],
    donor: UInt8[Tensor, "3 y x"],
    donor_landmarks: Float[Tensor, "5 2"],
) -> UInt8[Tensor, "3 h w"]:
    """Put the donor's inner face into the target photograph.

    The donor is carried onto the target by the similarity that fits the five landmarks best, given the
    target's mean and spread of L*, a*, b* inside the mask, and blended through a feathered mask. Pixels
    outside the mask are the target's own, bit for bit. A grey target gives a grey result.

    Args:
        target: uint8 `[3, H, W]`, the photograph that gets another face.
        target_landmarks: `[5, 2]`, `(x, y)` in pixels, in the order of `faces.detection.base.LANDMARKS`.
        donor: uint8 `[3, Y, X]`, the photograph the face is taken from; its size is free.
        donor_landmarks: likewise `[5, 2]`, in pixels of the donor.

    Returns:
        uint8 `[3, H, W]`.

    Raises:
        InputError: an image is not uint8 `[3, H, W]`, landmarks are not `[5, 2]`, coincide, lie on a line, or
            put the face outside the photograph.
    """
    _check(target, target_landmarks, "target")
    _check(donor, donor_landmarks, "donor")
    to_target = umeyama(donor_landmarks, target_landmarks)
    pixels, to_target = _shrunk(donor.double() / 255, to_target)
    height, width = int(target.shape[1]), int(target.shape[2])
    source = transform(invert(to_target), pixel_centres(height, width))
    warped = sample(pixels, source)
    feather = FEATHER * _face_axes(target_landmarks)[1].norm().item()
    # Where the donor's photograph ends inside the mask, the target's own face is left.
    room = depth_in_image(pixels.shape[1], pixels.shape[2], source) * similarity_scale(to_target)
    mask = inner_face_mask(target_landmarks, height, width) * soft_step(room, feather)
    if not bool((mask > 0).any()):
        raise InputError("the face to be swapped lies outside its photograph", hint="check the landmarks")
    forged = _blend(target, warped, mask)
    return forged[:1].expand(3, -1, -1).contiguous() if is_grey(target) else forged


def inner_face_mask(landmarks: Float[Tensor, "5 2"], height: int, width: int) -> Float[Tensor, "h w"]:
    """Compute the weight of the inner face (brows to chin) at each pixel, float64 `[H, W]` in [0, 1].

    1 inside, falling smoothly to 0 at the outline, which is the convex hull of points placed relative to the
    landmarks; 0 outside it.
    """
    points = landmarks.double()
    across, down = _face_axes(points)
    outline = torch.stack([points[i] + a * across + d * down for i, a, d in _OUTLINE])
    depth = depth_inside(convex_hull(outline), pixel_centres(height, width))
    return soft_step(depth, FEATHER * down.norm().item())


def _face_axes(landmarks: Tensor) -> tuple[Tensor, Tensor]:
    """From eye to eye, and from the eyes' middle to the mouth's, in pixels, float64 `[2]` each."""
    points = landmarks.double()
    return points[1] - points[0], (points[3] + points[4]) / 2 - (points[0] + points[1]) / 2


def _shrunk(donor: Tensor, to_target: Tensor) -> tuple[Tensor, Tensor]:
    """A donor larger than needed is shrunk with antialiasing first: bilinear sampling alone would alias."""
    scale = similarity_scale(to_target)
    height, width = donor.shape[1:]
    size = [max(1, round(height * scale)), max(1, round(width * scale))]
    if scale >= 1:
        return donor, to_target
    small = interpolate(donor[None], size=size, mode="bilinear", antialias=True)[0]
    # Pixel centres: u = (x + 1/2) * ratio - 1/2, hence the way back x = (u + 1/2) / ratio - 1/2.
    inverse = torch.tensor([width / size[1], height / size[0]], dtype=torch.float64)
    linear = to_target[:, :2] * inverse
    shift = to_target[:, 2] + to_target[:, :2] @ (0.5 * inverse - 0.5)
    return small, torch.cat((linear, shift[:, None]), dim=1)


def _blend(target: Tensor, warped: Tensor, mask: Tensor) -> Tensor:
    """Colour-match the warped donor under the mask and lay it over the target, uint8 `[3, H, W]`."""
    own = target.double() / 255
    matched = lab_to_rgb(match_statistics(rgb_to_lab(warped), rgb_to_lab(own), mask))
    mixed = mask * matched + (1 - mask) * own
    return torch.where(mask > 0, (mixed * 255).round().clamp(0, 255), target.double()).to(torch.uint8)


def _check(image: Tensor, landmarks: Tensor, role: str) -> None:
    if image.dtype != torch.uint8 or image.ndim != 3 or image.shape[0] != 3 or image.numel() == 0:
        raise InputError(f"the {role} must be uint8 [3, H, W], not {image.dtype} {list(image.shape)}")
    if tuple(landmarks.shape) != (5, 2) or not bool(torch.isfinite(landmarks).all()):
        raise InputError(f"the {role} needs 5 finite landmarks [5, 2], not {list(landmarks.shape)}")
