from __future__ import annotations

import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from verovolto.media.container import UPRIGHT, Orientation, orientation_of

eighths = st.builds(Orientation, transpose=st.booleans(), flip_x=st.booleans(), flip_y=st.booleans())


def matrix(a: int, b: int, c: int, d: int) -> bytes:
    return struct.pack("=9i", a << 16, b << 16, 0, c << 16, d << 16, 0, 0, 0, 1 << 30)


@given(eighths)
def test_rotation_and_mirror_say_what_is_done(orientation: Orientation) -> None:
    pixels = np.arange(24, dtype=np.uint8).reshape(2, 4, 3)
    mirrored = pixels[:, ::-1] if orientation.mirrored else pixels
    expected = np.rot90(mirrored, -orientation.rotation // 90)
    np.testing.assert_array_equal(orientation.apply(pixels), expected)
    assert orientation.size(4, 2) == (expected.shape[1], expected.shape[0])


@given(
    st.sampled_from([(1, 0, 0, 1), (0, 1, -1, 0), (-1, 0, 0, -1), (0, -1, 1, 0), (-1, 0, 0, 1), (0, 1, 1, 0)])
)
def test_each_pixel_goes_where_the_matrix_sends_it(entries: tuple[int, int, int, int]) -> None:
    a, b, c, d = entries
    pixels = np.arange(15, dtype=np.uint8).reshape(3, 5, 1)
    shown = orientation_of(matrix(a, b, c, d)).apply(pixels)
    y, x = np.mgrid[:3, :5]
    to_x, to_y = a * x + c * y, b * x + d * y
    to_x, to_y = to_x - to_x.min(), to_y - to_y.min()
    np.testing.assert_array_equal(shown[to_y, to_x], pixels)


@pytest.mark.parametrize("odd", [None, b"", b"\0" * 36, b"\1" * 35])
def test_no_usable_matrix_is_upright(odd: bytes | None) -> None:
    assert orientation_of(odd) == UPRIGHT


@given(st.binary(min_size=36, max_size=36))
def test_any_matrix_is_one_of_the_eight(odd: bytes) -> None:
    assert orientation_of(odd).rotation in (0, 90, 180, 270)
