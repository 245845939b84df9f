"""A face swap between two photographs: align, cut out the inner face, match its colours, blend.

This is the classic landmark-based swap, made to give real forgeries to test with where no collection of
deepfakes can be shipped. It imitates no particular method and is not fitted to any detector.
"""

from __future__ import annotations

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
    """Weight of the inner face (brows to chin) at each pixel, float64 `[H, W]` in [0, 1].

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
