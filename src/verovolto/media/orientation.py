"""How a camera's picture is turned upright: the display matrix of MP4, MOV and Matroska."""

from __future__ import annotations

import struct
from dataclasses import dataclass

import numpy as np
from jaxtyping import UInt8


@dataclass(frozen=True, kw_only=True)
class Orientation:
    """One of the eight ways to lay a picture on a grid: an optional transposition, then optional flips.

    Attributes:
        transpose: rows become columns.
        flip_x: then left and right change places.
        flip_y: then top and bottom change places.
    """

    transpose: bool = False
    flip_x: bool = False
    flip_y: bool = False

    @property
    def mirrored(self) -> bool:
        """Whether the picture is mirrored, as front cameras do, and not turned alone."""
        return (self.transpose + self.flip_x + self.flip_y) % 2 == 1

    @property
    def rotation(self) -> int:
        """Clockwise turn in degrees, 0, 90, 180 or 270; of a mirrored picture the turn after mirroring it."""
        quarter = 90 if self.transpose else 0
        return (quarter + (180 if self.flip_y else 0)) % 360 if not self.mirrored else self._mirrored_turn()

    def _mirrored_turn(self) -> int:
        if self.transpose:
            return 90 if self.flip_x else 270
        return 180 if self.flip_y else 0

    def size(self, width: int, height: int) -> tuple[int, int]:
        """(width, height) of the upright picture."""
        return (height, width) if self.transpose else (width, height)

    def apply(self, pixels: UInt8[np.ndarray, "h w *c"]) -> UInt8[np.ndarray, "h2 w2 *c"]:
        """The upright picture, as a view; `[H, W, ...]`, or `[W, H, ...]` when transposed."""
        if self.transpose:
            pixels = pixels.swapaxes(0, 1)
        return pixels[:: -1 if self.flip_y else 1, :: -1 if self.flip_x else 1]


UPRIGHT = Orientation()
"""Nothing to do."""


def orientation_of(matrix: bytes | None) -> Orientation:
    """Read the orientation that a display matrix asks for.

    A pixel at (x, y), y downwards, is shown at (a x + c y, b x + d y). Angles between the quarter turns, which
    no camera writes, are taken to the nearest axis.

    Args:
        matrix: nine int32 of this machine's byte order, `a b u c d v x y w`, as FFmpeg hands them on
            (ISO/IEC 14496-12, 8.3.2); None or of another length: upright.
    """
    if matrix is None or len(matrix) != 36:
        return UPRIGHT
    a, b, _, c, d, *_ = struct.unpack("=9i", matrix)
    if abs(b) + abs(c) > abs(a) + abs(d):
        return Orientation(transpose=True, flip_x=c < 0, flip_y=b < 0)
    return Orientation(flip_x=a < 0, flip_y=d < 0)
