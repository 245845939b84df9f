"""Which way up faces stand. Those that lie on a side or upside down are turned before they are cropped.

Face detectors are made for upright faces, and are mistaken about others in ways of their own. Of 150 photographs of
one upright face each, MTCNN finds a face surely in 143; shown upside down in 34, with the landmarks of an upright
face on every one; on a side in 10 and 12. CenterFace finds 147; upside down 77, on a side 92 and 85, and its
landmarks tell how these lie but for 7 in 100. So landmarks alone tell nothing: in doubt the picture is turned by whole
quarters as well, and the way up is the one in which the detector is surest of the face.

They bring a picture to one working size, too: of a screenshot of 1080 x 12000 pixels they would see 58 x 640, and no
face in it. Very long pictures are therefore looked at piece by piece.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import UInt8
from torch import Tensor
from torchvision.ops import nms

from verovolto.faces.crop import quarter_turned
from verovolto.faces.detection.base import Face, FaceDetector, best_first

ASPECT = 2.5
"""Long over short side above which a picture is looked at in tiles: screens and films stay below."""

_LONG_SIDE = 1000
"""Pixels: what is not longer is seen well enough at once."""

_LEAST, _MOST = 320, 64
"""Least step from tile to tile, pixels, and the most tiles of a picture."""

OVERLAP = 0.3
"""Intersection over union above which two boxes show the same face."""

_SLACK = 0.1
"""Of a step: so far a face's centre may lie outside the part that is its tile's alone, since boxes tremble."""

LEVEL = 30.0
"""Degrees up to which a face that leans to a side counts as upright: nothing is changed about it. Of 143 upright
photographs none leans further."""

HOLD_S = 5.0
"""Seconds for which a face that was found to stand one way up is believed to stand so, where it stays in its place."""

_RIVAL = 0.5
"""Of a doubtful face's side: no smaller face is looked for in the turns. A rival for its place is about as large, and
most of a face detector's pyramid is for smaller ones."""

_SAME_PLACE = 1 / 3
"""Of a box's larger side: detections whose centres are nearer than this are of the same face."""


def detect_faces(detector: FaceDetector, image: UInt8[Tensor, "3 h w"], smallest: float = 0.0) -> list[Face]:
    """All faces of an RGB image, best first; of a very long one those of its tiles, each once.

    Tiles are two short sides long and overlap by one, so that every face lies whole in one of them: the one in whose
    middle its centre lies. Faces whose side is below `smallest` pixels need not be found.
    """
    # Left out where it says nothing: of a detector without an entry in `CERTAINTIES` it is never asked.
    least = {"smallest": smallest} if smallest else {}
    if not _is_long(image):
        return detector.detect(image, **least)
    height, width = int(image.shape[1]), int(image.shape[2])
    long, short = max(height, width), min(height, width)
    step = max(short, _LEAST, -(-long // _MOST))
    faces: list[Face] = []
    starts = [*range(0, max(long - 2 * step, 0), step), max(long - 2 * step, 0)]
    for i, start in enumerate(starts):
        tile = image.narrow(1 if height > width else 2, start, min(2 * step, long - start)).contiguous()
        low = -1.0 if i == 0 else (starts[i - 1] + start) / 2 + step - _SLACK * step
        high = long + 1.0 if i + 1 == len(starts) else (start + starts[i + 1]) / 2 + step + _SLACK * step
        for face in detector.detect(tile, **least):
            x0, y0, x1, y1 = face.box
            dx, dy = (0, start) if height > width else (start, 0)
            moved = replace(
                face,
                box=(x0 + dx, y0 + dy, x1 + dx, y1 + dy),
                landmarks=face.landmarks + face.landmarks.new_tensor([dx, dy]),
            )
            if low <= moved.centre[1 if height > width else 0] <= high:
                faces.append(moved)
    return best_first(distinct(faces), confidence=detector.confidence)


def _is_long(image: Tensor) -> bool:
    """Whether a picture is looked at in tiles."""
    short, long = sorted(image.shape[1:])
    return long > _LONG_SIDE and long > ASPECT * short


def distinct(faces: Sequence[Face]) -> list[Face]:
    """The faces without those that another one of a higher score overlaps (non-maximum suppression)."""
    if not faces:
        return []
    boxes = torch.tensor([face.box for face in faces], dtype=torch.float64)
    keep = nms(boxes, torch.tensor([face.score for face in faces], dtype=torch.float64), OVERLAP)
    return [faces[i] for i in keep.tolist()]


@dataclass(frozen=True, kw_only=True)
class Certainty:
    """How far a face detector's scores tell which way up a face stands.

    Attributes:
        beyond_doubt: score, in [0, 1], that no face reaches which is not upright and has the landmarks of one that is.
        alone: score from which on a face counts that is found in a turn alone.
        margin: by how much the doubt, `-log10(1 - score)`, must be smaller one way up than any other.
    """

    beyond_doubt: float
    alone: float
    margin: float


CERTAINTIES = {
    "mtcnn": Certainty(beyond_doubt=0.9999, alone=0.995, margin=0.5),
    "centerface": Certainty(beyond_doubt=0.8, alone=0.8, margin=0.05),
}
"""Measured on the photographs above. Upside down MTCNN reaches 0.9996, and 3 in 4 upright faces 0.9999; CenterFace
reaches 0.79 where its landmarks are mistaken, and 3 in 4 upright faces 0.81. What MTCNN takes for a face in the
background of clips stays below 0.99. Of another detector the landmarks are believed."""


def roll(face: Face) -> float:
    """Angle by which the face leans clockwise in its image turned by `face.turn`, degrees in (-180, 180].

    That of the line from between the eyes to the middle of the mouth: in profile the eyes fall together, and the
    line through them tells nothing.
    """
    eyes, mouth = face.landmarks[:2].double().mean(0), face.landmarks[3:].double().mean(0)
    right, down = (mouth - eyes).tolist()
    leans = math.degrees(math.atan2(-right, down)) + 90.0 * (face.turn or 0)
    return 180.0 - (180.0 - leans) % 360.0


@dataclass(frozen=True, kw_only=True, eq=False)
class _Settled:
    """A face that was found to stand one way up."""

    time_s: float
    face: Face


class UprightFaces:
    """Finds the faces of one file, photo or video, each with the turn that makes it upright (`Face.turn`).

    One serves one file: of a video it remembers for `HOLD_S` seconds which way up a face stands, so that a face in
    doubt costs three more detections every few seconds and not at every frame.
    """

    def __init__(self, detector: FaceDetector) -> None:
        self._detector = detector
        self._certainty = CERTAINTIES.get(detector.name)
        self._settled: list[_Settled] = []
        self._searched_s = -math.inf

    def detect(self, image: Tensor, time_s: float | None = None) -> list[Face]:
        """All faces of an RGB image, best first, in its own pixels.

        Args:
            image: uint8 `[3, H, W]`, the next frame.
            time_s: of the frame in its video, seconds; None where there is none, and nothing is remembered then.
        """
        if self._certainty is None:
            return [replace(face, turn=_believed(face)) for face in detect_faces(self._detector, image)]
        # Resized once for all turns; of long pictures the tiles are resized, each by itself.
        small, scale = (image, 1.0) if _is_long(image) else self._detector.at_working_size(image)
        faces = self._detect(small, time_s)
        return [face.before_resizing(scale) for face in faces]

    def _detect(self, image: Tensor, time_s: float | None) -> list[Face]:
        faces = [replace(face, turn=_believed(face)) for face in detect_faces(self._detector, image)]
        now = math.inf if time_s is None else time_s
        self._settled = [each for each in self._settled if now - each.time_s <= HOLD_S]
        turns = self._turns(faces, now)
        if not turns:
            return faces
        smallest = _RIVAL * min(self._least_side(faces), *image.shape[1:])
        rivals = [face for turn in turns for face in self._detect_turned(image, turn, smallest)]
        found = self._resolved(faces, rivals)
        self._settled = [replace(each, face=self._moved(each.face, found)) for each in self._settled]
        if len(turns) == 3 and time_s is not None:
            self._searched_s = now
            new = [_Settled(time_s=now, face=face) for face in found if self._sure(face)]
            self._settled += [each for each in new if each.face.turn is not None]
        return found

    def _moved(self, before: Face, found: Sequence[Face]) -> Face:
        """Where a face that was seen `before` is now; where it was, if it is not found."""
        here = [f for f in found if f.turn == before.turn and self._sure(f) and _same_place(before, f)]
        return here[0] if here else before

    def _doubtful(self, faces: Sequence[Face]) -> list[Face]:
        """The faces that might stand another way up."""
        return [f for f in faces if self._sure(f) and not self._beyond_doubt(f) and not self._known(f)]

    def _turns(self, faces: Sequence[Face], now: float) -> tuple[int, ...]:
        """The turns in which the image has to be looked at besides the one that it has."""
        nobody = not any(map(self._sure, faces))
        if self._doubtful(faces) or (nobody and now - self._searched_s > HOLD_S):
            return (1, 2, 3)
        return tuple(sorted({each.face.turn for each in self._settled if each.face.turn}))

    def _least_side(self, faces: Sequence[Face]) -> float:
        """That of the smallest face that the turns are looked at for, pixels; 0 where it may be any."""
        doubtful = self._doubtful(faces)
        if not doubtful:
            return 0.0
        turned = [each.face for each in self._settled if each.face.turn]
        return min(min(face.width, face.height) for face in (*doubtful, *turned))

    def _known(self, face: Face) -> bool:
        return any(_same_place(face, each.face) for each in self._settled)

    def _detect_turned(self, image: Tensor, turn: int, smallest: float) -> list[Face]:
        shown = quarter_turned(image, turn)
        size = int(shown.shape[1]), int(shown.shape[2])
        seen = detect_faces(self._detector, shown, smallest)
        found = [replace(face.turned(-turn, size), turn=turn) for face in seen]
        return [face for face in found if abs(roll(face)) <= LEVEL]

    def _resolved(self, faces: Sequence[Face], rivals: Sequence[Face]) -> list[Face]:
        """The faces, each the way up that it stands, and those that were found in no other way up alone."""
        sure = [face for face in faces if self._sure(face)]
        decided = [
            face if self._stands(face) else self._decided(face, [r for r in rivals if _same_place(face, r)])
            for face in sure
        ]
        free = [r for r in rivals if self._expected(r) and not any(_same_place(r, face) for face in sure)]
        found = [*decided, *distinct(free)]
        rest = [
            face for face in faces if not self._sure(face) and not any(_same_place(face, f) for f in found)
        ]
        return best_first([*found, *rest], confidence=self._detector.confidence)

    def _decided(self, face: Face, rivals: Sequence[Face]) -> Face:
        """The face the way up in which the detector is surest of it; with no turn where none is surest by far."""
        assert self._certainty is not None
        candidates = sorted([*([] if face.turn is None else [face]), *rivals], key=lambda each: -each.score)
        if not candidates:
            return face
        second = _certainty(candidates[1].score) if len(candidates) > 1 else 0.0
        if _certainty(candidates[0].score) - second >= self._certainty.margin:
            return candidates[0]
        return replace(face, turn=None)

    def _stands(self, face: Face) -> bool:
        """Whether a face is upright as it is, beyond doubt or as it was a moment ago."""
        if self._beyond_doubt(face):
            return True
        known = [each.face.turn for each in self._settled if _same_place(face, each.face)]
        return bool(known) and not any(known) and face.turn is not None

    def _expected(self, face: Face) -> bool:
        """Whether a face that was found in a turn alone is one: by its score, or seen there before."""
        assert self._certainty is not None
        known = any(each.face.turn == face.turn and _same_place(face, each.face) for each in self._settled)
        return face.score >= self._certainty.alone or (known and self._sure(face))

    def _beyond_doubt(self, face: Face) -> bool:
        assert self._certainty is not None
        return face.turn is not None and face.score >= self._certainty.beyond_doubt

    def _sure(self, face: Face) -> bool:
        return face.score >= self._detector.confidence


def _believed(face: Face) -> int | None:
    """The turn of a face found in the image as it is, by its landmarks."""
    return 0 if abs(roll(face)) <= LEVEL else None


def _same_place(face: Face, other: Face) -> bool:
    larger = max(face.width, face.height)
    (x, y), (ox, oy) = face.centre, other.centre
    return math.hypot(x - ox, y - oy) < _SAME_PLACE * larger


def _certainty(score: float) -> float:
    """`-log10(1 - score)`: how many nines a score has."""
    return -math.log10(max(1.0 - score, 1e-8))
