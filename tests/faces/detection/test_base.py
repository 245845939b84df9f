"""Faces and the order in which detectors give them."""

from __future__ import annotations

import pytest
import torch

from verovolto.core.errors import InputError
from verovolto.faces.detection.base import Face, best_first, main_face


def face(side: float, score: float) -> Face:
    return Face(box=(0.0, 0.0, side, side), score=score, landmarks=torch.zeros(5, 2))


def test_confident_faces_come_by_size_the_others_after_them_by_score() -> None:
    false_but_large, person, bystander, doubtful = (
        face(90, 0.74),
        face(50, 0.95),
        face(20, 0.99),
        face(30, 0.8),
    )
    ordered = best_first([false_but_large, bystander, doubtful, person])
    assert ordered == [person, bystander, doubtful, false_but_large]
    assert main_face(ordered) is person


def test_no_face_is_none() -> None:
    assert main_face(best_first([])) is None


def test_a_face_survives_being_written_down() -> None:
    one = Face(box=(1.5, 2.0, 30.25, 41.0), score=0.97, landmarks=torch.arange(10.0).view(5, 2))
    back = Face.from_dict(one.to_dict())
    assert (back.box, back.score, back.width, back.height) == (one.box, one.score, 28.75, 39.0)
    assert torch.equal(back.landmarks, one.landmarks)


@pytest.mark.parametrize(
    "value",
    [
        {},
        {"box": [0, 0, 1], "score": 1, "landmarks": []},
        {"box": [5, 0, 1, 1], "score": 1, "landmarks": [[0, 0]] * 5},
    ],
)
def test_what_is_no_face_is_refused(value: dict[str, object]) -> None:
    with pytest.raises(InputError, match="face"):
        Face.from_dict(value)


def test_landmarks_of_another_shape_are_refused() -> None:
    with pytest.raises(InputError, match="5 landmarks"):
        Face(box=(0.0, 0.0, 1.0, 1.0), score=1.0, landmarks=torch.zeros(3, 2))
