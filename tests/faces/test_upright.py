"""Faces that do not stand upright are found, and turned before they are cropped."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import pytest
import torch
from torch import Tensor

from verovolto.data.crop_rule import FFPP, TIGHT, CropRule
from verovolto.faces.crop import TURNED, FaceFilter, crop, crop_box, quarter_turned
from verovolto.faces.detection.base import Face
from verovolto.faces.upright import HOLD_S, LEVEL, UprightFaces, roll

UPRIGHT = torch.tensor([[30.0, 40.0], [70.0, 40.0], [50.0, 60.0], [35.0, 80.0], [65.0, 80.0]])
FOREHEAD, SKIN = 250, 150


def landmarks(degrees: float = 0.0, points: Tensor = UPRIGHT) -> Tensor:
    """Those of a face that leans clockwise."""
    angle = math.radians(degrees)
    turn = torch.tensor([[math.cos(angle), math.sin(angle)], [-math.sin(angle), math.cos(angle)]])
    return (points - points.mean(0)) @ turn + points.mean(0)


def face(degrees: float = 0.0, **given: object) -> Face:
    return Face(**{"box": (20.0, 20.0, 80.0, 90.0), "score": 0.99, "landmarks": landmarks(degrees), **given})


def scene(turn: int = 0) -> Tensor:
    """A picture of 120 x 160 pixels with one face, its forehead bright, turned clockwise by quarters."""
    image = torch.randint(0, 60, (3, 120, 160), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    image[:, 30:80, 40:90] = SKIN
    image[:, 30:45, 40:90] = FOREHEAD
    return quarter_turned(image, turn)


@dataclass
class Cascade:
    """Behaves as MTCNN does: every face that it finds has the landmarks of an upright one."""

    name: str = "mtcnn"
    confidence: float = 0.9
    scores: dict[int, float] = field(default_factory=lambda: {0: 0.999, 2: 0.95})
    calls: int = 0
    turn_landmarks: bool = False
    smallest: list[float] = field(default_factory=list)

    def at_working_size(self, image: Tensor) -> tuple[Tensor, float]:
        return image, 1.0

    def detect(self, image: Tensor, *, smallest: float = 0.0) -> list[Face]:
        self.calls += 1
        self.smallest.append(smallest)
        rows, columns = (image[0] >= SKIN).nonzero().T
        bright_rows, bright_columns = (image[0] == FOREHEAD).nonzero().T
        if not len(rows):
            return []
        down = rows.double().mean() - bright_rows.double().mean()
        right = columns.double().mean() - bright_columns.double().mean()
        turn = {(0, 1): 0, (-1, 0): 1, (0, -1): 2, (1, 0): 3}[int(right.sign()), int(down.sign())]
        if turn not in self.scores:
            return []
        x0, y0 = float(columns.min()), float(rows.min())
        box = (x0, y0, x0 + 50.0, y0 + 50.0)
        points = landmarks(90.0 * turn if self.turn_landmarks else 0.0) * 0.5 + torch.tensor([x0, y0])
        return [Face(box=box, score=self.scores[turn], landmarks=points)]


@pytest.mark.parametrize("degrees", [-179, -90, -31, 0, 12, 30, 90, 135, 180])
def test_roll_is_measured_clockwise(degrees: float) -> None:
    assert roll(face(degrees)) == pytest.approx(degrees, abs=1e-4)
    assert roll(face(degrees, turn=1)) == pytest.approx(180 - (180 - degrees - 90) % 360, abs=1e-3)


@pytest.mark.parametrize("turn", range(4))
@pytest.mark.parametrize("rule", [TIGHT, FFPP, CropRule(scale=2.0, dy=0.2, dx=-0.1, border="reflect")])
def test_the_crop_of_a_turned_face_is_that_of_the_picture_turned(turn: int, rule: CropRule) -> None:
    """Pixel by pixel, at the border too: quarters move pixels and change none."""
    image, upright = scene(), face(box=(3.0, 20.5, 83.2, 90.1))
    lying, size = quarter_turned(image, turn), (160, 120) if turn % 2 else (120, 160)
    back = Face(**{**vars(upright.turned(turn, (120, 160))), "turn": -turn % 4})
    assert torch.equal(crop(lying, back, rule), crop(image, upright, rule))
    x0, y0, x1, y1 = crop_box(upright, (120, 160), rule)
    shown = Face(box=(x0, y0, x1, y1), score=1.0, landmarks=UPRIGHT).turned(turn, (120, 160))
    assert crop_box(back, size, rule) == shown.box


@pytest.mark.parametrize("turn", range(4))
def test_a_face_is_turned_the_way_in_which_the_detector_is_surest_of_it(turn: int) -> None:
    detector = Cascade(scores={0: 0.99999, 1: 0.91, 2: 0.95})
    [found] = UprightFaces(detector).detect(scene(turn))
    assert (found.turn, found.score) == (-turn % 4, 0.99999)
    assert torch.equal(crop(scene(turn), found, TIGHT), crop(scene(), Cascade().detect(scene())[0], TIGHT))
    assert FaceFilter(side=0, sharpness=0).reasons(found) == ()


def test_landmarks_that_lie_with_the_face_decide() -> None:
    """CenterFace is as sure of faces that lie; its landmarks tell how they do."""
    detector = Cascade("centerface", 0.5, scores={0: 0.7, 1: 0.75, 2: 0.78, 3: 0.72}, turn_landmarks=True)
    for turn in range(4):
        [found] = UprightFaces(detector).detect(scene(turn))
        assert (found.turn, found.score) == (-turn % 4, 0.7)


def test_in_doubt_the_turns_are_looked_at_for_faces_that_are_not_much_smaller() -> None:
    """Half of the box of 50 pixels; for whatever there is where no face is sure, and where a turn is known."""
    doubtful, lying = Cascade(), Cascade(scores={0: 0.996})
    UprightFaces(doubtful).detect(scene())
    assert doubtful.smallest == [0.0, 25.0, 25.0, 25.0]
    upright = UprightFaces(lying)
    for at in range(2):
        upright.detect(scene(1), float(at))
    assert lying.smallest == [0.0] * 6


class Halving(Cascade):
    """Looks at a picture of more than 120 x 160 pixels at half its size."""

    def at_working_size(self, image: Tensor) -> tuple[Tensor, float]:
        return (image[:, ::2, ::2], 0.5) if max(image.shape) > 160 else (image, 1.0)


@pytest.mark.parametrize("turn", range(4))
def test_faces_have_the_pixels_of_the_picture_and_not_of_the_size_it_is_looked_at(turn: int) -> None:
    [small] = UprightFaces(Cascade(scores={0: 0.99999})).detect(scene(turn))
    large = scene(turn).repeat_interleave(2, 1).repeat_interleave(2, 2)
    [found] = UprightFaces(Halving(scores={0: 0.99999})).detect(large)
    assert (found.box, found.turn) == (tuple(2 * edge for edge in small.box), small.turn)
    assert torch.equal(found.landmarks, 2 * small.landmarks)


def test_a_face_that_might_stand_either_way_is_not_judged() -> None:
    [found] = UprightFaces(Cascade(scores={0: 0.99, 2: 0.985})).detect(scene())
    assert found.turn is None and FaceFilter(side=0, sharpness=0).reasons(found) == (TURNED,)


@pytest.mark.parametrize(("degrees", "turn"), [(0, 0), (LEVEL - 1, 0), (LEVEL + 1, None), (45, None)])
@pytest.mark.parametrize("name", ["mtcnn", "another"])
def test_a_face_that_leans_is_judged_as_it_is_or_not_at_all(
    degrees: float, turn: int | None, name: str
) -> None:
    class Leaning(Cascade):
        def detect(self, image: Tensor, *, smallest: float = 0.0) -> list[Face]:
            self.calls += 1
            return [face(degrees, score=0.99999)] if self.calls == 1 else []

    detector = Leaning(name)
    [found] = UprightFaces(detector).detect(scene())
    assert found.turn == turn and torch.equal(found.landmarks, landmarks(degrees))
    assert turn is None or detector.calls == 1, "beyond doubt: nothing else is looked at"


def test_a_video_is_looked_at_from_all_sides_every_few_seconds() -> None:
    detector = Cascade()
    upright = UprightFaces(detector)
    times = [at / 4 for at in range(4 * 11)]
    assert {upright.detect(scene(), at)[0].turn for at in times} == {0}
    looks = math.ceil(11 / HOLD_S)
    assert detector.calls == len(times) + 3 * looks
    detector.calls = 0
    upside_down = UprightFaces(detector)
    assert {upside_down.detect(scene(2), at)[0].turn for at in times} == {2}
    assert detector.calls <= 2 * len(times) + 2 * looks, "the turn known is looked at in every frame"


def test_a_turned_face_is_followed_while_it_moves() -> None:
    """Once found for sure, a lower score is enough, wherever it has come to meanwhile."""
    detector = Cascade(scores={0: 0.996})
    upright = UprightFaces(detector)
    for at in range(9):
        [found] = upright.detect(scene(1).roll(6 * at, 1), at / 2)
        assert found.turn == 3
        detector.scores = {0: 0.92}


def test_without_a_face_the_other_sides_are_looked_at_now_and_then() -> None:
    detector = Cascade(scores={})
    upright = UprightFaces(detector)
    assert not any(upright.detect(scene(), at / 4) for at in range(20))
    assert detector.calls == 20 + 3


@pytest.mark.parametrize(("score", "found"), [(0.9951, 1), (0.994, 0)])
def test_what_is_seen_in_a_turn_alone_must_be_a_face_for_sure(score: float, found: int) -> None:
    assert len(UprightFaces(Cascade(scores={0: score})).detect(scene(1))) == found


def test_faces_beyond_doubt_are_left_as_they_are() -> None:
    detector = Cascade(scores={0: 0.99999, 2: 0.999999})
    [found] = UprightFaces(detector).detect(scene())
    [plain] = detector.detect(scene())
    assert detector.calls == 2 and (found.box, found.score, found.turn) == (plain.box, plain.score, 0)
