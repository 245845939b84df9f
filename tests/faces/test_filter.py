"""Which faces are too small, too blurred or too doubtful to be judged."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageFilter
from torch import Tensor

from tests.conftest import draw_face
from verovolto.core.errors import InputError
from verovolto.faces.detection.base import Face
from verovolto.faces.filter import REASONS, FaceFilter, sharpness


def tensor(image: Image.Image) -> Tensor:
    return torch.from_numpy(np.array(image)).permute(2, 0, 1)


def face(width: float, height: float | None = None, score: float = 0.99, turn: int | None = 0) -> Face:
    box = (10.0, 20.0, 10.0 + width, 20.0 + (width if height is None else height))
    return Face(box=box, score=score, landmarks=torch.zeros(5, 2), turn=turn)


SHARP = tensor(draw_face(3, size=128))
BLURRED = tensor(draw_face(3, size=128).filter(ImageFilter.GaussianBlur(9)))


def test_a_good_face_has_nothing_against_it() -> None:
    assert FaceFilter().reasons(face(100), SHARP) == ()


@pytest.mark.parametrize(
    ("small", "blurred", "turned", "doubtful"), list(itertools.product([False, True], repeat=4))
)
def test_each_reason_is_given_for_itself_and_in_order(
    small: bool, blurred: bool, turned: bool, doubtful: bool
) -> None:
    one = face(30 if small else 100, score=0.7 if doubtful else 0.99, turn=None if turned else 2)
    want = tuple(itertools.compress(REASONS, (small, blurred, turned, doubtful)))
    assert FaceFilter().reasons(one, BLURRED if blurred else SHARP) == want


def test_a_face_at_the_limits_passes() -> None:
    limits = FaceFilter(side=80, sharpness=sharpness(SHARP), confidence=0.5)
    assert limits.reasons(face(20, 80, score=0.5), SHARP) == ()
    assert limits.reasons(face(79.5, 79.5, score=0.499), SHARP) == ("too small", "uncertain detection")


def test_the_size_is_the_boxs_and_not_the_crops() -> None:
    """A crop that was enlarged is still a small face."""
    assert "too small" in FaceFilter().reasons(
        face(20), SHARP.repeat_interleave(8, 1).repeat_interleave(8, 2)
    )


@given(seed=st.integers(0, 50), radius=st.floats(0.5, 3), more=st.floats(1, 6))
def test_sharpness_falls_with_blur(seed: int, radius: float, more: float) -> None:
    drawn = draw_face(seed, size=128)
    soft, softer = (drawn.filter(ImageFilter.GaussianBlur(r)) for r in (radius, radius + more))
    assert sharpness(tensor(drawn)) > sharpness(tensor(soft)) > sharpness(tensor(softer))


def test_sharpness_hardly_depends_on_the_crops_size() -> None:
    drawn = draw_face(5, size=512).filter(ImageFilter.GaussianBlur(8))
    small, large = (sharpness(tensor(drawn.resize((side, side)))) for side in (224, 448))
    assert small == pytest.approx(large, rel=0.1)


@pytest.mark.parametrize("size", [(1, 1), (2, 300), (112, 112)])
def test_a_crop_of_any_size_is_measured_and_a_plain_one_is_blurred(size: tuple[int, int]) -> None:
    plain = torch.full((3, *size), 90, dtype=torch.uint8)
    assert sharpness(plain) == pytest.approx(0, abs=1e-6)
    assert FaceFilter().reasons(face(100), plain) == ("too blurred",)


def test_limits_of_zero_let_all_pass() -> None:
    plain = torch.zeros(3, 4, 4, dtype=torch.uint8)
    assert FaceFilter(side=0, sharpness=0, confidence=0).reasons(face(1, score=0), plain) == ()


def test_a_confidence_that_is_no_number_is_uncertain() -> None:
    assert FaceFilter().reasons(face(100, score=float("nan")), SHARP) == ("uncertain detection",)


@pytest.mark.parametrize(
    "wrong", [{"side": -1.0}, {"side": float("nan")}, {"sharpness": float("inf")}, {"confidence": 1.5}]
)
def test_impossible_limits_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(InputError, match=next(iter(wrong))):
        FaceFilter(**wrong)


@pytest.mark.parametrize(
    "crop",
    [torch.zeros(3, 8, 8), torch.zeros(8, 8, dtype=torch.uint8), torch.zeros(3, 0, 8, dtype=torch.uint8)],
)
def test_what_is_no_crop_is_refused(crop: Tensor) -> None:
    with pytest.raises(InputError, match="uint8"):
        FaceFilter().reasons(face(100), crop)
