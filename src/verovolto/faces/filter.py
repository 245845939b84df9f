"""Which faces are good enough to be judged or stored, and the words for why the others are not. Pure functions.

A face that fails is counted with its reason and never scored: a score of too few pixels says more of the camera than
of the face.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from jaxtyping import UInt8
from torch import Tensor

from verovolto.core.errors import InputError
from verovolto.data.face_batch import laplacian_variance, luma, resize
from verovolto.faces.detection.base import CONFIDENT, Face, check_image

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
