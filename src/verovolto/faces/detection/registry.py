"""The face detectors that there are, by name, and how the boxes of one relate to those of another.

Detectors learn from boxes that people drew by different customs. A crop rule names the detector whose boxes it refers
to; restated, it cuts nearly the same square around the boxes of another.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from difflib import get_close_matches

from verovolto.core.errors import InputError
from verovolto.data.crop_rule import CropRule
from verovolto.faces.detection import centerface, mtcnn
from verovolto.faces.detection.base import FaceDetector


def _centerface() -> FaceDetector:
    centerface.model_bytes()  # missing weights are an error here, not once for each video
    return centerface.CenterFaceDetector()


DETECTORS: dict[str, Callable[[], FaceDetector]] = {
    "mtcnn": lambda: mtcnn.MTCNNDetector(),
    "centerface": _centerface,
}
"""How each is made; networks are loaded at the first detection."""


def open_detector(name: str) -> FaceDetector:
    """The detector of that name.

    Raises:
        InputError: an unknown name (the nearest is given), or a detector whose weights are not installed.
    """
    if name not in DETECTORS:
        near = get_close_matches(name, DETECTORS, n=1)
        hint = f"did you mean {near[0]}?" if near else f"known: {', '.join(DETECTORS)}"
        raise InputError(f"unknown face detector {name!r}", hint=hint)
    return DETECTORS[name]()


@dataclass(frozen=True, kw_only=True)
class BoxRelation:
    """What a second detector's box is, seen from the first's box of the same face.

    Attributes:
        scale: its larger side over the first's, > 0.
        dx: shift of its centre to the right, in larger sides of the first's box.
        dy: shift downwards, likewise.
    """

    scale: float
    dx: float = 0.0
    dy: float = 0.0

    @property
    def inverse(self) -> BoxRelation:
        """The first detector's box, seen from the second's."""
        return BoxRelation(scale=1 / self.scale, dx=-self.dx / self.scale, dy=-self.dy / self.scale)


RELATIONS = {("mtcnn", "centerface"): BoxRelation(scale=1.0, dy=0.005)}
"""Rounded from what `benchmarks/face_detectors.py` finds, medians of larger side and shift down: frames of
FaceForensics++ 1.01 to 1.06 by working size, +0.01; ORL photographs 0.97, 0.00. Sideways there is none, since mirrored
faces are as frequent. Tight crops pasted into scenes give 0.88: a face that is cut off biases the box, so that they do
not count."""


def relation(first: str, second: str) -> BoxRelation:
    """Boxes of the detector `second`, seen from those of `first`.

    Raises:
        InputError: the relation of the two was never measured.
    """
    if first == second:
        return BoxRelation(scale=1.0)
    if (first, second) in RELATIONS:
        return RELATIONS[first, second]
    if (second, first) in RELATIONS:
        return RELATIONS[second, first].inverse
    measured = ", ".join(f"{a} and {b}" for a, b in RELATIONS)
    raise InputError(
        f"it is not known how boxes of {second} relate to those of {first}",
        hint=f"give a crop rule for boxes of {second}; known: {measured}",
    )


def for_detector(rule: CropRule, name: str) -> CropRule:
    """The rule that cuts around boxes of the detector `name` what `rule` cuts around those of its own detector.

    The same square for a face at which the detectors' boxes relate as they commonly do; single faces differ by some
    percent.

    Raises:
        InputError: the relation of the two detectors was never measured.
    """
    if rule.detector == name:
        return rule
    to = relation(rule.detector, name)
    return replace(
        rule,
        detector=name,
        scale=rule.scale / to.scale,
        dx=(rule.dx - to.dx) / to.scale,
        dy=(rule.dy - to.dy) / to.scale,
    )
