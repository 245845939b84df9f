"""Crop rules as data: how a face crop follows from a face detector's box; `faces.crop` applies them.

To a detector of forgeries every face that was cropped by another rule is an anomaly, so the rule travels with the
face set and with the detector. A narrower crop can be cut out of a wider one, so that one stored crop serves several
rules: a `Look`. What the narrower rule would have cut out of the whole image lies in the wider crop at a place that
follows from the two rules alone, as long as the wider crop was never moved: its border must be `reflect` (`WIDE`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal, get_args

from jaxtyping import UInt8
from torch import Tensor

from verovolto.core.errors import InputError
from verovolto.core.files import read_json_object

Border = Literal["clip", "reflect"]


@dataclass(frozen=True, kw_only=True)
class CropRule:
    """A square crop relative to the box of a named face detector.

    Attributes:
        detector: whose boxes the figures refer to.
        scale: side of the crop over the larger side of the box, > 0.
        dx: shift of the crop's centre to the right, in larger sides of the box.
        dy: shift downwards, likewise.
        align: turn the crop about its centre so that the eyes lie level.
        border: what happens at the image's border. `clip`: the corner is moved inside and the side shortened,
            so the crop stays square and holds only real pixels; `reflect`: the crop keeps its size and place,
            and the image is continued by reflection.
    """

    detector: str = "mtcnn"
    scale: float = 1.3
    dx: float = 0.0
    dy: float = 0.0
    align: bool = False
    border: Border = "clip"

    def __post_init__(self) -> None:
        if not (math.isfinite(self.scale) and self.scale > 0):
            raise InputError(f"a crop rule's scale must be above 0, not {self.scale}")
        if not (math.isfinite(self.dx) and math.isfinite(self.dy)):
            raise InputError(f"a crop rule's offsets must be finite, not dx={self.dx}, dy={self.dy}")
        if self.border not in get_args(Border):
            raise InputError(f"unknown border {self.border!r} in a crop rule", hint="use clip or reflect")

    def to_dict(self) -> dict[str, Any]:
        """The rule as JSON values."""
        return asdict(self)

    @staticmethod
    def from_dict(value: dict[str, Any]) -> CropRule:
        """Read a rule; missing keys take their defaults.

        Raises `InputError` for unknown keys, naming the nearest there is, and for values of the wrong type or range.
        """
        types = {key: type(default) for key, default in CropRule().to_dict().items()}
        for key, given in value.items():
            if key not in types:
                near = get_close_matches(key, types, n=1)
                hint = f"did you mean {near[0]}?" if near else f"known: {', '.join(types)}"
                raise InputError(f"unknown key {key!r} in a crop rule", hint=hint)
            number = types[key] is float and isinstance(given, int) and not isinstance(given, bool)
            if not number and not isinstance(given, types[key]):
                raise InputError(f"{key} in a crop rule must be a {types[key].__name__}, not {given!r}")
        return CropRule(**{key: types[key](given) for key, given in value.items()})


FFPP = CropRule(scale=1.3)
"""FaceForensics++ (Rössler et al., ICCV 2019): square, 1.3 x the larger side, centred, clipped."""

TIGHT = CropRule(scale=0.86)
"""Inner face only, in the middle of the box."""

DFDC = CropRule(scale=0.86, dy=0.05)
"""Published crops of the DFDC training set, as measured on them by `benchmarks/face_detectors.py`: their centres lie
0.04 to 0.07 below those of MTCNN's boxes, whatever is put around them."""

WIDE = CropRule(scale=1.3, border="reflect")
"""The face with its surroundings. Never moved at the image's border, so that narrower looks can be cut from it
(`data.crop_rule`)."""

RULES = {"ffpp": FFPP, "tight": TIGHT, "dfdc": DFDC, "wide": WIDE}
"""Rules by name."""


def read_rule(given: str, *, flag: str = "--crop") -> CropRule:
    """A crop rule by its name, or out of a JSON file (the rule itself, or a set's `faceset.json`).

    Raises `InputError`, which names `flag`, for what is neither.

    >>> read_rule("tight")
    CropRule(detector='mtcnn', scale=0.86, dx=0.0, dy=0.0, align=False, border='clip')
    """
    if given in RULES:
        return RULES[given]
    if not Path(given).is_file():
        raise InputError(
            f"{flag} {given} is neither a rule nor a file", hint=f"give {', '.join(RULES)} or a JSON file"
        )
    value = read_json_object(Path(given))
    return CropRule.from_dict(value.get("crop_rule", value))


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
