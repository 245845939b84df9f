"""What a file may cost before it is refused: bytes, pixels, seconds. Checked before anything is decoded."""

from __future__ import annotations

import math
from dataclasses import dataclass

from verovolto.core.errors import InputError
from verovolto.data.decode import MAX_PIXELS


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Bounds on one file. The defaults pass everything that cameras and phones make.

    Attributes:
        photo_bytes: largest encoded photo, which is read into memory whole.
        photo_pixels: largest photo, width x height; at most `data.decode.MAX_PIXELS`.
        video_bytes: largest video file; None for any. A video is never read into memory whole.
        frame_pixels: largest frame of a video; 8K UHD passes. A decoder keeps up to 17 frames in memory.
        seconds: a video is decoded up to here, and the outcome says so; None for all of it.
    """

    photo_bytes: int = 1 << 28
    photo_pixels: int = MAX_PIXELS
    video_bytes: int | None = None
    frame_pixels: int = 1 << 25
    seconds: float | None = None

    def __post_init__(self) -> None:
        for name, value in (
            ("photo_bytes", self.photo_bytes),
            ("photo_pixels", self.photo_pixels),
            ("video_bytes", self.video_bytes),
            ("frame_pixels", self.frame_pixels),
            ("seconds", self.seconds),
        ):
            if value is not None and not (math.isfinite(value) and value > 0):
                raise InputError(f"the limit {name} must be above 0, not {value}")
        if self.photo_pixels > MAX_PIXELS:
            raise InputError(
                f"the limit photo_pixels is {self.photo_pixels:,}, above what the decoder takes",
                hint=f"choose at most {MAX_PIXELS:,}",
            )
