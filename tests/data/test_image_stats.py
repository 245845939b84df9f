"""Luma and the Laplacian's variance against hand-made pictures."""

from __future__ import annotations

import pytest
import torch

from verovolto.data.image_stats import laplacian_variance, luma


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
