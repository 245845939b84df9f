"""What a face detector is, and what it finds: the only things the rest of the package knows of one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from verovolto.core.errors import InputError

LANDMARKS = ("left_eye", "right_eye", "nose", "mouth_left", "mouth_right")
"""Order of the rows of `Face.landmarks`. Left and right are those of the image, not of the person."""

CONFIDENT = 0.9
"""Faces at or above this score are ordered by size; those below come after them (see `best_first`)."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Face:
    """One face found in an image.

    Attributes:
        box: `(x0, y0, x1, y1)` in pixels of the image, `x0 < x1`, `y0 < y1`; it may reach past the border.
        score: the detector's confidence, in [0, 1].
        landmarks: float32 `[5, 2]`, `(x, y)` in pixels, in the order of `LANDMARKS`.
    """

    box: tuple[float, float, float, float]
    score: float
    landmarks: Float[Tensor, "5 2"]

    def __post_init__(self) -> None:
        x0, y0, x1, y1 = self.box
        if not (x0 < x1 and y0 < y1):
            raise InputError(f"the face box {self.box} is empty", hint="it is (x0, y0, x1, y1) in pixels")
        if tuple(self.landmarks.shape) != (5, 2):
            raise InputError(f"a face has 5 landmarks of 2 coordinates, not {tuple(self.landmarks.shape)}")

    @property
    def width(self) -> float:
        """Width of the box, pixels."""
        return self.box[2] - self.box[0]

    @property
    def height(self) -> float:
        """Height of the box, pixels."""
        return self.box[3] - self.box[1]

    @property
    def centre(self) -> tuple[float, float]:
        """Centre `(x, y)` of the box, pixels."""
        return (self.box[0] + self.box[2]) / 2, (self.box[1] + self.box[3]) / 2

    def to_dict(self) -> dict[str, Any]:
        """The face as JSON values (`box`, `score`, `landmarks`); `from_dict` gives it back."""
        points = [[float(x), float(y)] for x, y in self.landmarks.tolist()]
        return {"box": list(self.box), "score": self.score, "landmarks": points}

    @staticmethod
    def from_dict(value: dict[str, Any]) -> Face:
        """Read what `to_dict` wrote. Raises `InputError` when a part is missing or malformed."""
        try:
            x0, y0, x1, y1 = (float(v) for v in value["box"])
            landmarks = torch.tensor(value["landmarks"], dtype=torch.float32)
            return Face(box=(x0, y0, x1, y1), score=float(value["score"]), landmarks=landmarks)
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(
                f"not a face: {value!r} ({error})", hint="it needs box, score, landmarks"
            ) from error


@runtime_checkable
class FaceDetector(Protocol):
    """Finds faces. Implementations are deterministic and hold no state between images."""

    @property
    def name(self) -> str:
        """Name that crop rules refer to, for instance `mtcnn`."""
        ...

    def detect(self, image: UInt8[Tensor, "3 h w"]) -> list[Face]:
        """All faces of an RGB image, in the order of `best_first`; an empty list when there is none."""
        ...


def best_first(faces: Iterable[Face], *, confident: float = CONFIDENT) -> list[Face]:
    """Order faces: confident ones by area, largest first, then the rest by score, highest first.

    Size alone would put a large doubtful box before the true face; score alone would put a small bystander
    before the person filmed.
    """

    def key(face: Face) -> tuple[bool, float, tuple[float, ...]]:
        sure = face.score >= confident
        rank = face.width * face.height if sure else face.score
        return not sure, -rank, face.box  # the box makes the order total, hence repeatable

    return sorted(faces, key=key)


def main_face(faces: Sequence[Face]) -> Face | None:
    """The face an image is about: the first in the detector's order, or `None` when there is none."""
    return faces[0] if faces else None
