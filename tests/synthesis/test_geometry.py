"""Alignment, sampling, hulls: what must hold for any points."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import assume, example, given
from hypothesis import strategies as st
from torch import Tensor

from verovolto.core.errors import InputError
from verovolto.synthesis.geometry import (
    convex_hull,
    depth_in_image,
    depth_inside,
    invert,
    pixel_centres,
    sample,
    similarity_scale,
    soft_step,
    transform,
    umeyama,
)

coordinate = st.floats(-100, 100)
clouds = st.lists(st.tuples(coordinate, coordinate), min_size=3, max_size=8).map(
    lambda points: torch.tensor(points, dtype=torch.float64)
)


def spread(points: Tensor) -> float:
    return float((points - points.mean(0)).norm())


def similarity(angle: float, scale: float, x: float, y: float) -> Tensor:
    c, s = scale * math.cos(angle), scale * math.sin(angle)
    return torch.tensor([[c, -s, x], [s, c, y]], dtype=torch.float64)


similarities = st.builds(similarity, st.floats(-3, 3), st.floats(0.2, 5), coordinate, coordinate)


@given(clouds, similarities)
def test_a_similarity_is_recovered_exactly(points: Tensor, truth: Tensor) -> None:
    assume(spread(points) > 1)
    found = umeyama(points, transform(truth, points))
    assert torch.allclose(found, truth, atol=1e-6)


@given(clouds, clouds, similarities)
def test_no_other_similarity_fits_better(points: Tensor, targets: Tensor, other: Tensor) -> None:
    n = min(len(points), len(targets))
    points, targets = points[:n], targets[:n]
    assume(spread(points) > 1)
    best = (transform(umeyama(points, targets), points) - targets).square().sum()
    assert best <= (transform(other, points) - targets).square().sum() + 1e-6


@given(clouds, clouds)
def test_a_face_is_never_mirrored(points: Tensor, targets: Tensor) -> None:
    n = min(len(points), len(targets))
    assume(spread(points[:n]) > 1)
    assert torch.det(umeyama(points[:n], targets[:n])[:, :2]) >= -1e-9


@given(similarities, clouds)
def test_inverse_and_scale(matrix: Tensor, points: Tensor) -> None:
    assert torch.allclose(transform(invert(matrix), transform(matrix, points)), points, atol=1e-8)
    assert similarity_scale(invert(matrix)) == pytest.approx(1 / similarity_scale(matrix))


@pytest.mark.parametrize(
    ("source", "target", "message"),
    [
        (torch.zeros(5, 2), torch.rand(5, 2), "one place"),
        (torch.full((5, 2), 1e6), torch.rand(5, 2), "one place"),
        (torch.rand(5, 2), torch.full((5, 2), float("nan")), "not finite"),
        (torch.rand(5, 2), torch.rand(4, 2), r"\[5, 2\] points on \[4, 2\]"),
    ],
)
def test_points_that_cannot_be_aligned_are_refused(source: Tensor, target: Tensor, message: str) -> None:
    with pytest.raises(InputError, match=message):
        umeyama(source, target)


def test_a_map_that_collapses_is_refused() -> None:
    with pytest.raises(InputError, match="shrink to a point"):
        invert(umeyama(torch.rand(5, 2), torch.ones(5, 2)))


def test_sampling_at_pixel_centres_gives_the_image() -> None:
    image = torch.rand(3, 7, 9, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(sample(image, pixel_centres(7, 9)), image, atol=1e-12)
    half = sample(image, pixel_centres(7, 8) + torch.tensor([0.5, 0.0]))
    assert torch.allclose(half, (image[..., :-1] + image[..., 1:]) / 2, atol=1e-12)
    outside = sample(image, torch.tensor([[[-5.0, 3.0]]], dtype=torch.float64))
    assert torch.allclose(outside[:, 0, 0], image[:, 3, 0])


@given(clouds)
@example(torch.tensor([[0.0, 0.0], [0.0, 1.5], [5.6e-163, 1.5], [-1.0, 0.0]], dtype=torch.float64))
def test_a_hull_is_convex_and_holds_all_points(points: Tensor) -> None:
    assume(abs(float(torch.linalg.det((points - points.mean(0)).T @ (points - points.mean(0))))) > 1)
    hull = convex_hull(points)
    edge = hull.roll(-1, 0) - hull
    following = edge.roll(-1, 0)
    assert bool((edge[:, 0] * following[:, 1] - edge[:, 1] * following[:, 0] >= -1e-6).all())
    assert float(depth_inside(hull, points).min()) >= -1e-6
    assert float(depth_inside(hull, points.mean(0))) > 0


def test_points_on_a_line_have_no_hull() -> None:
    with pytest.raises(InputError, match="on one line"):
        convex_hull(torch.tensor([[0.0, 0.0], [1.0, 1.0], [2.0, 2.0]]))


def test_depths_and_steps() -> None:
    square = convex_hull(torch.tensor([[0.0, 0.0], [10.0, 0.0], [10.0, 10.0], [0.0, 10.0]]))
    points = torch.tensor([[5.0, 5.0], [1.0, 5.0], [-2.0, 5.0]], dtype=torch.float64)
    assert depth_inside(square, points).tolist() == pytest.approx([5, 1, -2])
    assert depth_in_image(4, 6, torch.tensor([[0.0, 2.0], [-1.0, 0.0]])).tolist() == [0.5, -0.5]
    steps = soft_step(torch.tensor([-1.0, 0.0, 1.0, 2.0, 9.0]), 2.0)
    assert steps.tolist() == [0.0, 0.0, 0.5, 1.0, 1.0]
