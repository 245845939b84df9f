"""Whether a face is good enough to be judged, and if not, why not. Pure functions.

A face that fails is counted with its reasons and never scored: a score of too few pixels says more of the
camera than of the face.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import UInt8
from torch import Tensor

from verovolto.core.errors import InputError
from verovolto.data.transforms import laplacian_variance, luma, resize
from verovolto.faces.detection.base import CONFIDENT, Face

TOO_SMALL = "too small"
TOO_BLURRED = "too blurred"
UNCERTAIN = "uncertain detection"
REASONS = (TOO_SMALL, TOO_BLURRED, UNCERTAIN)
"""Everything that `judge_face` may say, in the order in which it says it."""

WORKING_SIDE = 112
"""Side in pixels to which a crop is brought before its sharpness is measured, so that figures compare."""


@dataclass(frozen=True, kw_only=True)
class FaceLimits:
    """The least that a face must have. A limit of 0 lets every face pass.

    Attributes:
        side: larger side of the detector's box, pixels of the original picture, >= 0. Enlarging a smaller face
            adds pixels and no evidence.
        sharpness: as `sharpness` measures it, in squared grey levels, >= 0. Forgeries tend to be smoother than
            photographs, so a high limit would hide them: of 400 reals and 400 fakes of the DFDC training set,
            less than 1 % of either lie below the default.
        confidence: the detector's, in [0, 1].
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


def judge_face(face: Face, crop: UInt8[Tensor, "3 h w"], limits: FaceLimits | None = None) -> tuple[str, ...]:
    """Why a face should not be judged; empty when nothing speaks against it.

    Args:
        face: in pixels of the original picture.
        crop: uint8 `[3, h, w]`, cut by any crop rule; its size does not tell the face's, since it may have been
            resized.
        limits: the defaults of `FaceLimits` when left out.

    Returns:
        Some of `REASONS`, in that order.

    Raises:
        InputError: the crop is not uint8 `[3, h, w]`, or has no pixels.
    """
    limits = limits or FaceLimits()
    # Written so that a value that is not a number fails its limit.
    passed = {
        TOO_SMALL: max(face.width, face.height) >= limits.side,
        TOO_BLURRED: sharpness(crop) >= limits.sharpness,
        UNCERTAIN: face.score >= limits.confidence,
    }
    return tuple(reason for reason in REASONS if not passed[reason])


def sharpness(crop: UInt8[Tensor, "3 h w"]) -> float:
    """Variance of the Laplacian of the luma, in squared grey levels, once the crop is `WORKING_SIDE` pixels square.

    At a fixed size a blur counts in shares of the face and not in pixels, and a small crop that was enlarged is
    as blurred as it looks.

    Raises:
        InputError: the crop is not uint8 `[3, h, w]`, or has no pixels.
    """
    if crop.dtype != torch.uint8 or crop.ndim != 3 or crop.shape[0] != 3 or crop.numel() == 0:
        raise InputError(
            f"sharpness is measured on uint8 [3, h, w], not {crop.dtype} {list(crop.shape)}",
            hint="crop the face out of the decoded picture first",
        )
    return float(laplacian_variance(luma(resize(crop, WORKING_SIDE))))
