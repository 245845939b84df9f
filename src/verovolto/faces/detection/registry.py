"""The face detectors that there are, by name."""

from __future__ import annotations

from collections.abc import Callable
from difflib import get_close_matches

from verovolto.core.errors import InputError
from verovolto.faces.detection import centerface, centerface_weights, mtcnn
from verovolto.faces.detection.base import CONFIDENT, FaceDetector


def _centerface() -> FaceDetector:
    centerface_weights.model_bytes()  # what is not installed is said here, not once for each video
    return centerface.CenterFaceDetector()


DETECTORS: dict[str, Callable[[], FaceDetector]] = {
    "mtcnn": lambda: mtcnn.MTCNNDetector(),
    "centerface": _centerface,
}
"""How each is made; networks are loaded at the first detection."""

CONFIDENCE = {"mtcnn": CONFIDENT, "centerface": centerface.CONFIDENT}
"""Score from which on what a detector finds is held to be a face: each has a scale of its own."""


def open_detector(name: str) -> FaceDetector:
    """The detector of that name.

    Raises `InputError` for an unknown one, naming the nearest, and for one whose weights are not installed.
    """
    if name not in DETECTORS:
        near = get_close_matches(name, DETECTORS, n=1)
        hint = f"did you mean {near[0]}?" if near else f"known: {', '.join(DETECTORS)}"
        raise InputError(f"unknown face detector {name!r}", hint=hint)
    return DETECTORS[name]()
