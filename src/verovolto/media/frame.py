"""One picture with its place in time."""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import UInt8
from torch import Tensor


@dataclass(frozen=True, kw_only=True, eq=False)
class Frame:
    """One frame of a video, or a photo.

    Attributes:
        index: its number among the decoded frames, from 0, in order of time.
        time_s: seconds from the start of the video, >= 0.
        image: uint8 `[3, H, W]`, RGB, upright, contiguous.
    """

    index: int
    time_s: float
    image: UInt8[Tensor, "3 h w"]
