"""Looks: a narrower crop of a face, cut out of a wider one, so that one stored crop serves several rules.

What the narrower rule would have cut out of the whole image lies in the wider crop at a place that follows from the
two rules alone, as long as the wider crop was never moved: its border must be `reflect` (`crop_rule.WIDE`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from jaxtyping import UInt8
from torch import Tensor

from verovolto.core.errors import InputError
from verovolto.data.crop_rule import CropRule

_SLACK = 1e-9


@dataclass(frozen=True, kw_only=True)
class Look:
    """A square in a crop, in sides of the crop: `left`, `top` >= 0, `left + side`, `top + side` <= 1.

    >>> Look(left=0.25, top=0.25, side=0.5).box(100)
    (25, 25, 75, 75)
    """

    left: float
    top: float
    side: float

    @staticmethod
    def within(outer: CropRule, inner: CropRule) -> Look:
        """Where the crop of the rule `inner` lies in that of `outer`, both of one face.

        Raises:
            InputError: it does not lie inside, or its place does not follow from the rules: other boxes, turned crops,
                or a wider crop that was moved at the image's border.
        """
        if problem := _problem(outer, inner):
            raise InputError(
                f"faces cropped by {outer.to_dict()} do not show what {inner.to_dict()} asks for: {problem}",
                hint="crop them with verovolto prepare --crop wide, or by that very rule",
            )
        side = inner.scale / outer.scale
        left, top = (
            0.5 + (getattr(inner, name) - getattr(outer, name)) / outer.scale - side / 2
            for name in ("dx", "dy")
        )
        return Look(left=max(left, 0.0), top=max(top, 0.0), side=side)

    def box(self, pixels: int) -> tuple[int, int, int, int]:
        """The square `(x0, y0, x1, y1)` in a crop of so many pixels, `x1`, `y1` exclusive; at least one pixel."""
        side = max(1, round(self.side * pixels))
        x0, y0 = (min(round(edge * pixels), pixels - side) for edge in (self.left, self.top))
        return x0, y0, x0 + side, y0 + side

    def in_box(self, box: Sequence[float]) -> list[float]:
        """Left, top, right, bottom of the look, of a crop with such edges."""
        left, top, right, _ = box
        x0, y0 = left + self.left * (right - left), top + self.top * (right - left)
        side = self.side * (right - left)
        return [x0, y0, x0 + side, y0 + side]

    def cut(self, crop: UInt8[Tensor, "3 s s"]) -> UInt8[Tensor, "3 t t"]:
        """The pixels of the look, as they are; a crop that is not square is an InputError."""
        height, width = (int(edge) for edge in crop.shape[-2:])
        if height != width:
            raise InputError(
                f"a crop of {width}x{height} pixels is not square, so no look can be cut from it",
                hint="make the crops with verovolto prepare",
            )
        x0, y0, x1, y1 = self.box(width)
        return crop[:, y0:y1, x0:x1]


def look_at(outer: Mapping[str, Any] | None, inner: Mapping[str, Any] | None) -> Look | None:
    """How crops of the rule `outer` are seen by `inner`; None where they are seen as they are.

    That is where the two are one rule, or one of them is unknown. Raises InputError as `Look.within`.
    """
    if outer is None or inner is None or outer == inner:
        return None
    return Look.within(CropRule.from_dict(dict(outer)), CropRule.from_dict(dict(inner)))


def shows(outer: CropRule, inner: CropRule) -> bool:
    """Whether crops of the rule `outer` hold what `inner` would cut."""
    return outer == inner or not _problem(outer, inner)


def _problem(outer: CropRule, inner: CropRule) -> str | None:
    if outer.detector != inner.detector:
        return f"boxes of {outer.detector} are not those of {inner.detector}"
    if outer.align or inner.align:
        return "crops that are turned have no place in one another"
    if outer.border != "reflect":
        return "at the image's border the wider crop was moved"
    reach = [abs(getattr(inner, name) - getattr(outer, name)) + inner.scale / 2 for name in ("dx", "dy")]
    if max(reach) > outer.scale / 2 + _SLACK:
        return "it reaches beyond them"
    return None
