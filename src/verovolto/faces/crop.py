"""How a face is cut out of an image by a rule (`data.crop_rule`), and which crops are good enough to be judged.

Pure functions, and the words for why the others are not. A face that fails is counted with its reason and never scored:
a score of too few pixels says more of the camera than of the face.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from jaxtyping import UInt8
from torch import Tensor
from torch.nn.functional import grid_sample

from verovolto.core.errors import InputError
from verovolto.data.crop_rule import FFPP, CropRule
from verovolto.data.face_batch import laplacian_variance, luma, resize
from verovolto.faces.detection.base import CONFIDENT, Face, check_image


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


TOO_SMALL = "too small"
TOO_BLURRED = "too blurred"
TURNED = "the face is turned"
UNCERTAIN = "uncertain detection"
REASONS = (TOO_SMALL, TOO_BLURRED, TURNED, UNCERTAIN)
"""All that a `FaceFilter` may object to, the most severe last: an uncertain detection may be no face at all."""

# Why a face, or a whole frame, is not scored although no filter objects.
OUTSIDE_FRAME = "crop outside the frame"
NO_FACE = "no face found"
TOO_BRIEF = "seen too briefly"
DAMAGED_PHOTO = "the picture is damaged"
NO_SCORE = "score that is no finite number"

WORKING_SIDE = 112
"""Side in pixels to which a crop is brought before its sharpness is measured, so that figures compare."""


@dataclass(frozen=True, kw_only=True)
class FaceFilter:
    """The least that a face must have. A limit of 0 lets every face pass.

    Attributes:
        side: larger side of the detector's box, pixels of the original picture, >= 0. Enlarging a smaller face
            adds pixels and no evidence.
        sharpness: as `sharpness` measures it, in squared grey levels, >= 0. Forgeries tend to be smoother than
            photographs, so a high limit would hide them: of 400 reals and 400 fakes of the DFDC training set,
            less than 1 % of either lie below the default.
        confidence: the face detector's, in [0, 1]; each detector has a scale of its own
            (`detection.base.FaceDetector.confidence`), the default is MTCNN's.
    """

    side: float = 64.0
    sharpness: float = 5.0
    confidence: float = CONFIDENT

    def __post_init__(self) -> None:
        for name, value in (("side", self.side), ("sharpness", self.sharpness)):
            if not (math.isfinite(value) and value >= 0):
                raise InputError(f"the smallest {name} of a face must be 0 or more, not {value}")
        if not 0 <= self.confidence <= 1:
            raise InputError(f"the least confidence of a face must be in [0, 1], not {self.confidence}")

    def reasons(self, face: Face, crop: UInt8[Tensor, "3 h w"] | None = None) -> tuple[str, ...]:
        """Why a face does not pass, some of `REASONS` in that order; empty when it does.

        Args:
            face: in pixels of the original picture.
            crop: uint8 `[3, h, w]`, cut by any crop rule; its size does not tell the face's, since it may have been
                resized. Without it the sharpness is not looked at.

        Raises:
            InputError: the crop is not uint8 `[3, h, w]`, or has no pixels.
        """
        # Written so that a value that is not a number fails its limit.
        passed = {
            TOO_SMALL: max(face.width, face.height) >= self.side,
            TOO_BLURRED: crop is None or sharpness(crop) >= self.sharpness,
            TURNED: face.turn is not None,
            UNCERTAIN: face.score >= self.confidence,
        }
        return tuple(reason for reason in REASONS if not passed[reason])


def sharpness(crop: UInt8[Tensor, "3 h w"]) -> float:
    """Variance of the Laplacian of the luma, in squared grey levels, once the crop is `WORKING_SIDE` pixels square.

    At a fixed size a blur counts in shares of the face and not in pixels, and a small crop that was enlarged is
    as blurred as it looks.

    Raises:
        InputError: the crop is not uint8 `[3, h, w]`, or has no pixels.
    """
    check_image(crop, "sharpness")
    return float(laplacian_variance(luma(resize(crop, WORKING_SIDE))))
