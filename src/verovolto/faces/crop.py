"""How a face is cut out of an image by a rule (`data.crop_rule`). Pure functions."""

from __future__ import annotations

import math
from dataclasses import replace

import torch
from jaxtyping import UInt8
from torch import Tensor
from torch.nn.functional import grid_sample

from verovolto.core.errors import InputError
from verovolto.data.crop_rule import FFPP, CropRule
from verovolto.faces.detection.base import Face


def crop_box(face: Face, image_size: tuple[int, int], rule: CropRule = FFPP) -> tuple[int, int, int, int]:
    """The square `(x0, y0, x1, y1)` in whole pixels that `rule` cuts for `face`; `x1`, `y1` are exclusive.

    Of a face that does not stand upright (`Face.turn`) it is the square that the rule gives in the image turned.

    Args:
        face: a face found by `rule.detector`.
        image_size: `(height, width)` of the image, pixels.
        rule: with border `clip` the square lies inside the image: its corner is moved to the border, then its
            side is cut to what is left, as FaceForensics++ does. With `reflect` it may reach outside.

    Raises:
        InputError: nothing of the crop lies inside the image.
    """
    if face.turn:
        shown = image_size if face.turn == 2 else image_size[::-1]
        upright = replace(face.turned(face.turn, image_size), turn=0)
        square = replace(face, box=crop_box(upright, shown, rule)).turned(-face.turn, shown).box
        return int(square[0]), int(square[1]), int(square[2]), int(square[3])
    height, width = image_size
    larger = max(face.width, face.height)
    side = max(1, round(rule.scale * larger))
    centre_x, centre_y = face.centre
    x0 = math.floor(centre_x + rule.dx * larger - side / 2 + 0.5)
    y0 = math.floor(centre_y + rule.dy * larger - side / 2 + 0.5)
    if x0 >= width or y0 >= height or x0 + side <= 0 or y0 + side <= 0:
        raise InputError(
            f"the crop at ({x0}, {y0}) of side {side} lies outside the image of {width}x{height} pixels",
            hint="are the boxes in pixels of this very image?",
        )
    if rule.border == "clip":
        x0, y0 = max(x0, 0), max(y0, 0)
        side = min(side, width - x0, height - y0)
    return x0, y0, x0 + side, y0 + side


def crop(image: UInt8[Tensor, "3 h w"], face: Face, rule: CropRule = FFPP) -> UInt8[Tensor, "3 s s"]:
    """Cut the face out of an image by a rule, at the image's own resolution.

    Without alignment, and inside the image, the pixels are copied as they are; a face that does not stand upright
    (`Face.turn`) is turned by whole quarters, which changes none. With `align` they are resampled once (bilinear),
    and what the turned square needs from outside the image is reflected.

    Args:
        image: uint8 `[3, H, W]`.
        face: in pixels of `image`.
        rule: see `CropRule`.

    Returns:
        uint8 `[3, S, S]`, S the side given by `crop_box`.

    Raises:
        InputError: nothing of the crop lies inside the image.
    """
    box = crop_box(face, (int(image.shape[1]), int(image.shape[2])), rule)
    if rule.align:
        return _turned(image, box, eye_angle(face))
    cut = _copied(image, box)
    return quarter_turned(cut, face.turn) if face.turn else cut


def quarter_turned(image: Tensor, turn: int) -> Tensor:
    """The image `[C, H, W]` turned clockwise by so many quarters, contiguous."""
    return torch.rot90(image, -turn, (1, 2)).contiguous()


def eye_angle(face: Face) -> float:
    """Angle of the line through the eyes against the image's rows, radians, positive clockwise on screen."""
    left, right = face.landmarks[0], face.landmarks[1]
    return math.atan2(float(right[1] - left[1]), float(right[0] - left[0]))


def _copied(image: Tensor, box: tuple[int, int, int, int]) -> Tensor:
    x0, y0, x1, y1 = box
    rows = _reflect(torch.arange(y0, y1), int(image.shape[1]))
    columns = _reflect(torch.arange(x0, x1), int(image.shape[2]))
    return image[:, rows][:, :, columns]


def _reflect(index: Tensor, size: int) -> Tensor:
    """Indices of any value folded into [0, size), the border pixel being repeated (…1 0 | 0 1 2…)."""
    folded = index.remainder(2 * size)
    return torch.where(folded < size, folded, 2 * size - 1 - folded)


def _turned(image: Tensor, box: tuple[int, int, int, int], angle: float) -> Tensor:
    x0, y0, x1, y1 = box
    side = x1 - x0
    offset = torch.arange(side, dtype=torch.float64) - (side - 1) / 2
    dy, dx = torch.meshgrid(offset, offset, indexing="ij")
    cosine, sine = math.cos(angle), math.sin(angle)
    # Pixel-centre coordinates of the source, as pixel edges (+ 0.5) for grid_sample's [-1, 1] range.
    x = (x0 + x1) / 2 + cosine * dx - sine * dy
    y = (y0 + y1) / 2 + sine * dx + cosine * dy
    height, width = image.shape[1:]
    grid = torch.stack((2 * x / width - 1, 2 * y / height - 1), dim=-1)[None]
    warped = grid_sample(
        image[None].double(), grid, mode="bilinear", padding_mode="reflection", align_corners=False
    )
    return warped[0].round().clamp(0, 255).to(torch.uint8)
