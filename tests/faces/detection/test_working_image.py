"""What is done to an image before faces are looked for in it."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from verovolto.faces.detection.working_image import one_thread, resized, working_scale

SIDE = st.integers(1, 5000)


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
