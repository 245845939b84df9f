"""Masks lie on the face they are given, whatever its place, size and turn."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from verovolto.synthesis.pseudo_fakes.imaging import (
    IDENTITY,
    face_mask,
    inner_distance,
    lower_face_mask,
    mean_landmarks,
    mouth_flow,
    parts_mask,
    template,
    warp,
)

SIDE = 112


def middle(points: Tensor) -> Tensor:
    return (points[0] + points[1] + points[3] + points[4]) / 4


def at(mask: Tensor, point: Tensor) -> float:
    return float(mask[round(float(point[1])), round(float(point[0]))])


def test_average_landmarks_are_a_face_in_the_middle_of_the_crop() -> None:
    for side in (56, 224):
        for points in (mean_landmarks(side), template(side)):
            left, right, nose, mouth_left, mouth_right = (points / side).tolist()
            assert 0.2 < left[0] < nose[0] < right[0] < 0.8 and mouth_left[0] < nose[0] < mouth_right[0]
            assert left[1] < nose[1] < mouth_left[1] < 0.8
        assert torch.allclose(mean_landmarks(side) / side, mean_landmarks(224) / 224)
    # The common frame shows the face smaller, so that it holds a margin.
    ratio = (template(SIDE)[1] - template(SIDE)[0]).norm() / (
        mean_landmarks(SIDE)[1] - mean_landmarks(SIDE)[0]
    ).norm()
    assert float(ratio) == pytest.approx(0.82)


def test_the_middle_is_nearest_and_the_outline_lies_round_the_landmarks() -> None:
    points = mean_landmarks(SIDE)
    distance = inner_distance(points, SIDE)
    assert at(distance, middle(points)) < 0.1
    assert all(0.2 < at(distance, point) < 1 for point in points[[0, 1, 3, 4]])
    assert min(float(distance[0, 0]), float(distance[0, -1]), float(distance[-1, 0])) > 1
    assert torch.allclose(inner_distance(points, SIDE, grow=2), distance / 2, atol=1e-4)


@given(st.integers(-10, 10), st.integers(-10, 10))
def test_it_moves_with_the_face(x: int, y: int) -> None:
    points = mean_landmarks(SIDE)
    moved = inner_distance(points + torch.tensor([x, y]), SIDE).roll((-y, -x), (0, 1))
    inner = slice(12, -12)
    assert torch.allclose(moved[inner, inner], inner_distance(points, SIDE)[inner, inner], atol=1e-3)


@given(st.floats(-math.pi, math.pi))
def test_it_turns_with_the_face(angle: float) -> None:
    points, centre = mean_landmarks(SIDE), middle(mean_landmarks(SIDE))
    turn = torch.tensor([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    turned = inner_distance((points - centre) @ turn.T + centre, SIDE)
    for point in points:
        there = (point - centre) @ turn.T + centre
        assert at(turned, there) == pytest.approx(at(inner_distance(points, SIDE), point), abs=0.05)


def test_a_profile_still_has_a_width() -> None:
    points = mean_landmarks(SIDE)
    points[:, 0] = points[:, 0].mean()
    assert 0.05 < float((inner_distance(points, SIDE) < 1).float().mean()) < 0.6
    collapsed = torch.full((5, 2), SIDE / 2.0)
    assert inner_distance(collapsed, SIDE).isfinite().all()


@pytest.mark.parametrize("seed", range(20))
def test_a_face_mask_holds_the_face_and_not_the_corners(seed: int) -> None:
    points = mean_landmarks(SIDE)
    mask = face_mask(points, SIDE, np.random.default_rng(seed))
    assert mask.shape == (SIDE, SIDE) and float(mask.min()) == 0 and float(mask.max()) == 1
    assert at(mask, middle(points)) == 1 and mask[0, 0] == mask[0, -1] == 0
    assert 0.15 < float(mask.mean()) < 0.75
    assert torch.equal(mask, face_mask(points, SIDE, np.random.default_rng(seed)))


def test_outlines_differ_and_wobble_alike_at_any_size() -> None:
    areas = {
        round(float(face_mask(mean_landmarks(SIDE), SIDE, np.random.default_rng(n)).mean()), 6)
        for n in range(10)
    }
    assert len(areas) == 10
    roughness = []
    for side in (56, 112, 224):
        masks = [face_mask(mean_landmarks(side), side, np.random.default_rng(n)) for n in range(30)]
        roughness.append(float(torch.tensor([mask.mean() for mask in masks]).mean()))
    assert max(roughness) - min(roughness) < 0.03


@pytest.mark.parametrize("seed", range(20))
def test_parts_are_small_and_lie_on_landmarks(seed: int) -> None:
    points = mean_landmarks(SIDE)
    mask = parts_mask(points, SIDE, np.random.default_rng(seed))
    assert float(mask.min()) == 0 and 0.9 < float(mask.max()) <= 1
    assert 0.01 < float(mask.mean()) < 0.6
    mouth = (points[3] + points[4]) / 2
    eyes, nose = min(at(mask, points[0]), at(mask, points[1])), at(mask, points[2])
    assert max(eyes, nose, at(mask, mouth)) > 0.9


@given(st.integers(0, 1000))
def test_the_lower_face_holds_the_mouth_and_no_eye(seed: int) -> None:
    points = mean_landmarks(SIDE)
    mask = lower_face_mask(points, SIDE, np.random.default_rng(seed))
    assert mask.shape == (SIDE, SIDE) and mask.min() >= 0 and mask.max() <= 1
    assert at(mask, (points[3] + points[4]) / 2) > 0.6
    assert max(at(mask, points[0]), at(mask, points[1])) < 0.1


def test_a_mouth_opens_and_widens_in_place() -> None:
    """A bar drawn over the mouth gets thicker and longer, and the eyes stay where they are."""
    points = mean_landmarks(SIDE)
    x, y = ((points[3] + points[4]) / 2).round().int().tolist()
    image = torch.zeros(3, SIDE, SIDE)
    image[:, y - 4 : y + 5, x - 12 : x + 13] = 255

    def size(open_by: float, widen_by: float) -> tuple[float, float]:
        moved = warp(image, IDENTITY, SIDE, mouth_flow(points, SIDE, open_by=open_by, widen_by=widen_by))[0]
        return float(moved[:, x].sum()) / 255, float(moved[y].sum()) / 255

    (high, wide), (open_high, open_wide), (flat_high, _) = size(0, 0), size(0.5, 0), size(-0.4, 0)
    assert (high, wide) == pytest.approx((9, 25), abs=0.1)
    assert flat_high < 0.8 * high < high < 1.3 * high < open_high and open_wide == pytest.approx(
        wide, abs=0.5
    )
    assert size(0, 0.2)[1] > wide + 2
    far = mouth_flow(points, SIDE, open_by=0.5, widen_by=0.2).norm(dim=-1)
    assert max(at(far, points[0]), at(far, points[1])) < 0.01 * SIDE
