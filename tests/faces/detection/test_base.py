"""Faces, the order in which detectors give them, and what is done to an image before faces are looked for in it."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from verovolto.core.errors import InputError
from verovolto.faces.detection.base import Face, best_first, main_face, one_thread, resized, working_scale

SIDE = st.integers(1, 5000)


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


def test_the_working_size_has_limits() -> None:
    assert working_scale(112, 92, long=640, short=160) == pytest.approx(160 / 92)
    assert working_scale(480, 640, long=640, short=160) == 1
    assert working_scale(720, 1280, long=640, short=160) == 0.5
    assert working_scale(10, 6400, long=640, short=160) == 0.1  # the long side has the last word


@given(SIDE, SIDE, st.integers(32, 200), st.integers(200, 900))
def test_the_working_size_holds_for_every_image(height: int, width: int, short: int, long: int) -> None:
    scale = working_scale(height, width, long=long, short=short)
    assert scale == working_scale(width, height, long=long, short=short)
    assert scale * max(height, width) <= long + 1e-9
    large_enough = scale * min(height, width) >= short - 1e-9
    assert large_enough or scale * max(height, width) == pytest.approx(long) or scale == 1


@given(st.integers(1, 40), st.integers(1, 40), st.floats(0.05, 3), st.integers(0, 255))
def test_a_resized_image_keeps_its_colour(height: int, width: int, scale: float, level: int) -> None:
    image = torch.full((3, height, width), level, dtype=torch.uint8)
    made = resized(image, scale)
    assert made.dtype == torch.uint8 and bool((made == level).all())
    for before, after in zip((height, width), made.shape[1:], strict=True):
        assert after == max(1, round(before * scale))


def test_the_thread_count_comes_back_even_after_an_error() -> None:
    before = torch.get_num_threads()
    with pytest.raises(RuntimeError, match="stop"), one_thread():
        assert torch.get_num_threads() == 1
        raise RuntimeError("stop")
    assert torch.get_num_threads() == before
