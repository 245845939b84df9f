"""Warps, filters and colours of float images: what must hold for any image."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from verovolto.synthesis.geometry import invert
from verovolto.synthesis.pseudo_fakes.imaging import (
    IDENTITY,
    gaussian_blur,
    jpeg,
    match_colours,
    random_flow,
    resize,
    sharpen,
    through_low_resolution,
    unit,
    warp,
)

SIDE = 48


def waves(side: int = SIDE, phase: float = 0.0) -> Tensor:
    """A smooth picture, so that bilinear sampling is nearly exact."""
    y, x = torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")
    planes = [torch.sin(x / 7 + k + phase) * torch.cos(y / 9 - k) for k in range(3)]
    return 127 + 90 * torch.stack(planes)


def noise(seed: int = 0, side: int = SIDE) -> Tensor:
    return 255 * torch.rand(3, side, side, generator=torch.Generator().manual_seed(seed))


def test_the_identity_changes_nothing() -> None:
    image = noise()
    assert torch.allclose(warp(image, IDENTITY, SIDE), image, atol=1e-2)
    assert torch.allclose(warp(image, IDENTITY, SIDE, torch.zeros(SIDE, SIDE, 2)), image, atol=1e-2)


@given(st.floats(-0.4, 0.4), st.floats(0.85, 1.2), st.floats(-3, 3), st.floats(-3, 3))
def test_a_warp_and_its_inverse_undo_each_other(angle: float, scale: float, x: float, y: float) -> None:
    c, s = scale * math.cos(angle), scale * math.sin(angle)
    middle = torch.tensor([[SIDE / 2.0], [SIDE / 2.0]], dtype=torch.float64)
    linear = torch.tensor([[c, -s], [s, c]], dtype=torch.float64)
    shift = middle - linear @ middle + torch.tensor([[x], [y]], dtype=torch.float64)
    matrix = torch.cat((linear, shift), 1)
    back = warp(warp(waves(), matrix, SIDE), invert(matrix), SIDE)
    inner = slice(16, 32)  # what the first warp shows of the picture, whatever the angle
    assert (back - waves())[:, inner, inner].abs().max() < 6


def test_a_shift_moves_pixels_and_a_flow_does_likewise() -> None:
    image = noise()
    matrix = torch.tensor([[1.0, 0.0, 5.0], [0.0, 1.0, 0.0]])
    moved = warp(image, matrix, SIDE)
    assert torch.allclose(moved[:, :, :-5], image[:, :, 5:], atol=1e-2)
    assert torch.allclose(moved[:, :, -5:], image[:, :, -1:].expand(-1, -1, 5), atol=1e-2)
    flow = torch.tensor([5.0, 0.0]).expand(SIDE, SIDE, 2)
    assert torch.allclose(warp(image, IDENTITY, SIDE, flow), moved, atol=1e-2)


def test_flow_is_smooth_and_as_large_as_asked() -> None:
    flows = torch.stack([random_flow(np.random.default_rng(n), 3.0, SIDE, 5) for n in range(40)])
    assert flows.shape == (40, SIDE, SIDE, 2)
    assert 2 < flows.std() < 3.3  # 3 at the knots, less between them
    assert (flows[:, 1:] - flows[:, :-1]).abs().max() < 2


def test_resizing_keeps_means_and_range() -> None:
    image = waves()
    assert resize(image, SIDE, "bicubic") is image
    for how in ("bilinear", "bicubic"):
        small = resize(image, 20, how)
        assert small.shape == (3, 20, 20) and small.min() >= 0 and small.max() <= 255
        assert torch.allclose(small.mean((1, 2)), image.mean((1, 2)), atol=2)
    extreme = torch.where(noise() > 127, 255.0, 0.0)
    enlarged = resize(extreme, 96, "bicubic")  # which overshoots at edges
    assert enlarged.min() >= 0 and enlarged.max() <= 255


def test_low_resolution_loses_detail_the_more_the_lower() -> None:
    left = [through_low_resolution(noise(), n).std() for n in (40, 24, 12)]
    assert noise().std() > left[0] > left[1] > left[2]


@given(st.floats(0, 255), st.floats(0, 10))
def test_blur_and_sharpening_leave_a_plain_colour(level: float, sigma: float) -> None:
    plain = torch.full((3, 20, 20), level)
    assert torch.allclose(gaussian_blur(plain, sigma), plain, atol=1e-2)
    assert torch.allclose(sharpen(plain, 2.0, sigma), plain, atol=5e-2)


def test_blur_is_the_gaussian() -> None:
    point = torch.zeros(1, 41, 41)
    point[0, 20, 20] = 1
    x = torch.arange(-20, 21).float()
    bell = torch.exp(-x.square() / 8) / math.sqrt(2 * math.pi * 4)
    assert torch.allclose(gaussian_blur(point, 2.0)[0], bell[:, None] * bell, atol=1e-3)
    assert gaussian_blur(point, 0.1) is point


def test_channels_are_blurred_apart() -> None:
    image = noise()
    apart = torch.cat([gaussian_blur(image[c : c + 1], 1.5) for c in range(3)])
    assert torch.allclose(gaussian_blur(image, 1.5), apart, atol=1e-3)


def test_colours_are_matched_under_the_weight_and_within_limits() -> None:
    image, weight = 100 + 0.2 * noise(), torch.zeros(SIDE, SIDE)
    weight[10:30, 10:30] = 1
    assert torch.allclose(match_colours(image, image, weight), image, atol=0.1)
    reference = 130 + 0.25 * noise(1) * torch.tensor([1.0, 0.9, 1.1]).view(3, 1, 1)
    matched = match_colours(image, reference, weight)[:, 10:30, 10:30]
    inner = reference[:, 10:30, 10:30]
    assert torch.allclose(matched.mean((1, 2)), inner.mean((1, 2)), atol=0.1)
    flat = match_colours(image, torch.full_like(image, 50.0), weight)[:, 10:30, 10:30]
    # A plain reference takes half of the contrast at most.
    assert torch.allclose(
        flat - 50, 0.5 * (image[:, 10:30, 10:30] - image[:, 10:30, 10:30].mean((1, 2), True)), atol=0.1
    )


def test_jpeg_rounds_first_and_gives_whole_grey_levels() -> None:
    image = noise()
    assert torch.equal(jpeg(image, 80), jpeg(image.round(), 80))
    assert torch.equal(jpeg(image, 80), jpeg(image, 80).round())
    assert torch.equal(jpeg(image + 1000, 80), jpeg(torch.full_like(image, 255), 80))
    errors = [float((jpeg(waves(), q) - waves()).abs().mean()) for q in (95, 75, 30)]
    assert errors == sorted(errors) and errors[-1] < 10


@pytest.mark.parametrize("side", [56, 224, 448])
def test_units_grow_with_the_crop(side: int) -> None:
    assert unit(side) == side / 224
