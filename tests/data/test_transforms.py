"""Luma and the Laplacian's variance against hand-made pictures; the order of an epoch for any set."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from verovolto.core.errors import InputError
from verovolto.data.face_batch import epoch_order, laplacian_variance, luma


def test_luma_weighs_the_colours_as_jpeg_does() -> None:
    image = torch.zeros(3, 2, 3, dtype=torch.uint8)
    image[:, 0, 0], image[0, 0, 1], image[1, 0, 2], image[2, 1, 0] = 255, 100, 100, 100
    want = torch.tensor([[255.0, 29.9, 58.7], [11.4, 0.0, 0.0]])
    assert torch.allclose(luma(image), want, atol=1e-4)


def test_laplacian_variance_of_a_checkerboard() -> None:
    board = (torch.arange(6)[:, None] + torch.arange(6)[None]).remainder(2).float()
    # The Laplacian is +4 on the dark and -4 on the light fields.
    assert laplacian_variance(board).item() == pytest.approx(16)


def test_a_slope_is_not_sharp() -> None:
    slope = torch.arange(8.0)[:, None] * 3 + torch.arange(9.0)[None]
    assert laplacian_variance(slope).item() == pytest.approx(0, abs=1e-8)


@given(
    n=st.integers(0, 500),
    group=st.integers(1, 70),
    window=st.integers(1, 600),
    seed=st.integers(0, 2**40),
    epoch=st.integers(0, 1000),
)
def test_an_order_is_a_permutation_and_a_function_of_its_arguments(
    n: int, group: int, window: int, seed: int, epoch: int
) -> None:
    blocks = np.arange(n) // group
    order = epoch_order(blocks, seed=seed, epoch=epoch, window=window)
    assert order.dtype == np.int64
    np.testing.assert_array_equal(np.sort(order), np.arange(n))
    np.testing.assert_array_equal(order, epoch_order(blocks, seed=seed, epoch=epoch, window=window))


def test_the_order_is_the_same_on_every_machine() -> None:
    blocks = np.arange(12) // 4
    assert epoch_order(blocks, seed=1, epoch=2, window=4).tolist() == [4, 5, 7, 6, 0, 1, 2, 3, 11, 9, 10, 8]


def test_epochs_and_seeds_differ() -> None:
    blocks = np.arange(1000) // 64
    orders = [epoch_order(blocks, seed=s, epoch=e).tolist() for s in (0, 1) for e in (0, 1)]
    assert len({tuple(order) for order in orders}) == 4


def test_a_window_touches_few_groups() -> None:
    blocks = np.arange(64 * 100) // 64
    order = epoch_order(blocks, seed=0, epoch=0, window=640)
    for start in range(0, len(order), 640):
        assert len(np.unique(blocks[order[start : start + 640]])) == 10
    assert np.any(np.diff(blocks[order[:640]]) < 0), "rows of different groups are mixed within a window"


def test_a_full_window_shuffles_uniformly() -> None:
    first = np.array([epoch_order(np.zeros(8, np.int64), seed=s, epoch=0)[0] for s in range(2000)])
    counts = np.bincount(first, minlength=8)
    assert np.all(np.abs(counts - 250) < 5 * np.sqrt(250)), "each row comes first about equally often"


@pytest.mark.parametrize("bad", [{"seed": -1}, {"epoch": -1}, {"window": 0}])
def test_arguments_out_of_range_are_refused(bad: dict[str, int]) -> None:
    with pytest.raises(InputError):
        epoch_order(np.zeros(3, np.int64), **{"seed": 0, "epoch": 0, "window": 2} | bad)
