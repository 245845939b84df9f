"""What a face detector is, what it finds, and what each does to an image first."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Float, UInt8
from torch import Tensor
from torch.nn.functional import interpolate
from torchvision.ops import box_iou

from verovolto.core.errors import InputError

LANDMARKS = ("left_eye", "right_eye", "nose", "mouth_left", "mouth_right")
"""Order of the rows of `Face.landmarks`. Left and right are those of the image, not of the person."""

CONFIDENT = 0.9
"""Score of MTCNN from which on a detection counts as a face."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Face:
    """One face found in an image.

    Attributes:
        box: `(x0, y0, x1, y1)` in pixels of the image, `x0 < x1`, `y0 < y1`; it may reach past the border.
        score: the detector's confidence, in [0, 1].
        landmarks: float32 `[5, 2]`, `(x, y)` in pixels, in the order of `LANDMARKS`.
        turn: quarter turns clockwise, 0 to 3, after which the image shows the face upright, as `faces.upright` found
            it; the order of the landmarks is that of the turned image. None where no turn makes it upright.
    """

    box: tuple[float, float, float, float]
    score: float
    landmarks: Float[Tensor, "5 2"]
    turn: int | None = 0

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

    def turned(self, turn: int, size: tuple[int, int]) -> Face:
        """The face in the pixels of its image turned clockwise.

        Args:
            turn: quarter turns.
            size: `(height, width)` of the image as it is, pixels.
        """
        (x0, y0, x1, y1), points, (height, width) = self.box, self.landmarks, size
        for _ in range(turn % 4):
            x0, y0, x1, y1 = height - y1, x0, height - y0, x1
            points = torch.stack((height - points[:, 1], points[:, 0]), dim=1)
            height, width = width, height
        return replace(self, box=(x0, y0, x1, y1), landmarks=points)

    def before_resizing(self, scale: float) -> Face:
        """The face in the pixels of the image that was resized by `scale`."""
        x0, y0, x1, y1 = self.box
        return replace(
            self, box=(x0 / scale, y0 / scale, x1 / scale, y1 / scale), landmarks=self.landmarks / scale
        )

    def to_dict(self) -> dict[str, Any]:
        """The face as JSON values (`box`, `score`, `landmarks`); `from_dict` gives it back, standing upright."""
        points = [[float(x), float(y)] for x, y in self.landmarks.tolist()]
        return {"box": list(self.box), "score": self.score, "landmarks": points}

    @staticmethod
    def from_dict(value: dict[str, Any]) -> Face:
        """Read what `to_dict` wrote.

        Raises:
            InputError: a part is missing or malformed.
        """
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

    @property
    def confidence(self) -> float:
        """Score, in [0, 1], from which on a detection counts as a face: each detector has a scale of its own."""
        ...

    def detect(self, image: UInt8[Tensor, "3 h w"], *, smallest: float = 0.0) -> list[Face]:
        """All faces of an RGB image, in the order of `best_first`; an empty list when there is none.

        Those whose side is below `smallest` pixels need not be found, where that is cheaper.
        """
        ...

    def at_working_size(self, image: UInt8[Tensor, "3 h w"]) -> tuple[UInt8[Tensor, "3 H W"], float]:
        """The image at the size at which faces are looked for in it, and the factor by which it was resized."""
        ...


def best_first(faces: Iterable[Face], *, confidence: float = CONFIDENT) -> list[Face]:
    """Order faces: those of at least `confidence` by area, largest first, then the rest by score, highest first.

    Size alone would put a large doubtful box before the true face; score alone would put a small bystander
    before the person filmed.
    """

    def key(face: Face) -> tuple[bool, float, tuple[float, ...]]:
        confident = face.score >= confidence
        rank = face.width * face.height if confident else face.score
        return not confident, -rank, face.box  # the box makes the order total, hence repeatable

    return sorted(faces, key=key)


def main_face(faces: Sequence[Face]) -> Face | None:
    """The face an image is about: the first in the detector's order, or `None` when there is none."""
    return faces[0] if faces else None


def iou(a: Sequence[float], b: Sequence[float]) -> float:
    """Intersection over union of two boxes `(x0, y0, x1, y1)`, in [0, 1]."""
    boxes = torch.tensor([a, b], dtype=torch.float64)
    return float(box_iou(boxes[:1], boxes[1:]))


def check_image(image: Tensor, purpose: str = "face detection") -> None:
    """Raise `InputError` unless the image is uint8 `[3, H, W]` and has pixels."""
    if image.dtype != torch.uint8 or image.ndim != 3 or image.shape[0] != 3 or image.numel() == 0:
        raise InputError(
            f"{purpose} takes uint8 [3, H, W], not {image.dtype} {list(image.shape)}",
            hint="decode the image to RGB bytes first",
        )


def check_sides(name: str, *, short: int, long: int, smallest: int) -> None:
    """Raise `InputError` unless `smallest <= short <= long`, the sides that a detector `name` scales images to.

    Args:
        name: of the detector, for the message.
        short: least short side of a scaled image, pixels.
        long: largest long side, pixels.
        smallest: least side that the detector's network takes, pixels.
    """
    if not smallest <= short <= long:
        raise InputError(
            f"{name} cannot scale images to a short side of {short} and a long side of {long}",
            hint=f"choose {smallest} <= short side <= long side",
        )


def working_scale(height: int, width: int, *, long: int, short: int) -> float:
    """Factor by which an image is resized before detection: 1 unless it is too large or too small.

    Args:
        height: of the image, pixels.
        width: of the image, pixels.
        long: largest long side, pixels; it has the last word.
        short: what a smaller short side is raised to, pixels.
    """
    return min(max(1.0, short / min(height, width)), long / max(height, width))


def resized(image: UInt8[Tensor, "3 h w"], scale: float) -> UInt8[Tensor, "3 H W"]:
    """Resize by `scale`, bilinear with antialiasing; the same image when `scale` is 1.

    Sides are rounded to whole pixels, so that the exact ratio differs from `scale` by less than a pixel.
    """
    if scale == 1.0:
        return image
    size = [max(1, round(side * scale)) for side in image.shape[1:]]
    larger = interpolate(image[None].float(), size=size, mode="bilinear", antialias=True)
    return larger[0].round().clamp(0, 255).to(torch.uint8)


@contextmanager
def one_thread() -> Iterator[None]:
    """Let torch compute on one thread: two are many times slower on a busy machine."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
