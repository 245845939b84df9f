"""Crop rules as data: how a face crop follows from a face detector's box; `faces.crop` applies them.

To a detector of forgeries every face that was cropped by another rule is an anomaly, so the rule travels with the
face set and with the detector.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal, get_args

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
(`data.look`)."""

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
