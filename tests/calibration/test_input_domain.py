"""The conditions under which a detector knows faces, and what lies outside them."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.conftest import draw_face
from verovolto.calibration.input_domain import (
    CONDITIONS,
    FAR_ABOVE,
    MARGIN,
    Domain,
    conditions,
    outside_scores,
)
from verovolto.calibration.thresholds import Calibration
from verovolto.core.errors import DetectorError
from verovolto.data.face_batch import FaceBatch, to_batch

values = st.floats(-1e6, 1e6)
measured = st.dictionaries(
    st.sampled_from(CONDITIONS), st.lists(values, min_size=1, max_size=20).map(np.array), min_size=1
)


def batch(*images: torch.Tensor) -> FaceBatch:
    return FaceBatch(images=images, encoded_bytes=[None] * len(images))


def even(level: int, size: int = 112) -> torch.Tensor:
    return torch.full((3, size, size), level, dtype=torch.uint8)


def test_conditions_are_those_of_the_formulas() -> None:
    image = to_batch(draw_face(3, size=112)).images[0]
    found = conditions(batch(image))
    plane = (image.double() * torch.tensor([0.299, 0.587, 0.114]).view(3, 1, 1)).sum(0).numpy()
    inner = plane[1:-1, 1:-1]
    laplacian = plane[:-2, 1:-1] + plane[2:, 1:-1] + plane[1:-1, :-2] + plane[1:-1, 2:] - 4 * inner
    assert tuple(found) == CONDITIONS and all(column.shape == (1,) for column in found.values())
    assert found["sharpness"].item() == pytest.approx(math.log10(laplacian.var() + 1), rel=1e-4)
    assert found["brightness"].item() == pytest.approx(plane.mean(), rel=1e-5)
    assert found["contrast"].item() == pytest.approx(plane.std(), rel=1e-4)


@pytest.mark.parametrize("level", [0, 128, 255])
@pytest.mark.parametrize("size", [1, 3, 500])
def test_an_even_picture_has_neither_sharpness_nor_contrast(level: int, size: int) -> None:
    found = conditions(batch(even(level, size)))
    assert found["sharpness"].item() == pytest.approx(0, abs=1e-4)
    assert found["contrast"].item() == pytest.approx(0, abs=1e-2)
    assert found["brightness"].item() == pytest.approx(level, rel=1e-5)


def test_conditions_do_not_depend_on_neighbours_and_hardly_on_size() -> None:
    faces = to_batch([draw_face(i, size=40 + 30 * i) for i in range(4)]).images
    together = conditions(batch(*faces))
    for i, face in enumerate(faces):
        for name, column in conditions(batch(face)).items():
            assert torch.equal(column[0], together[name][i])
    large = to_batch(draw_face(5, size=448, smooth=True)).images[0]
    small = torch.nn.functional.avg_pool2d(large.float(), 2).round().to(torch.uint8)
    one, other = conditions(batch(large)), conditions(batch(small))
    for name in ("brightness", "contrast"):
        assert one[name].item() == pytest.approx(other[name].item(), rel=0.02)


@given(measured)
def test_what_was_measured_lies_inside(found: dict[str, np.ndarray]) -> None:
    domain = Domain.of(found)
    for at in range(max(map(len, found.values()))):
        one = {name: float(column[at % len(column)]) for name, column in found.items()}
        assert domain.outside(one) == ()


@given(measured)
def test_a_domain_comes_back_as_it_was(found: dict[str, np.ndarray]) -> None:
    domain = Domain.of(found)
    assert Domain.from_dict(domain.to_dict()) == domain


@given(st.tuples(values, values).map(sorted), st.floats(-3, 4), st.sampled_from(CONDITIONS))
def test_a_tenth_beyond_either_end_is_still_inside(ends: list[float], at: float, name: str) -> None:
    low, high = ends
    value = low + at * (high - low)
    near = 1e-6 * (1 + abs(low) + abs(high))
    said = Domain(ranges={name: (low, high)}).outside({name: value})
    if value < low - MARGIN * (high - low) - near:
        assert said == (f"{name} below that of the faces calibrated on",)
    elif value > high + MARGIN * (high - low) + near:
        assert said == (f"{name} above that of the faces calibrated on",)
    elif low - MARGIN * (high - low) + near < value < high + MARGIN * (high - low) - near:
        assert said == ()


def test_each_condition_outside_is_named() -> None:
    domain = Domain(ranges=dict.fromkeys(CONDITIONS, (0.0, 1.0)))
    said = domain.outside({"sharpness": -1.0, "brightness": 0.5, "contrast": 2.0})
    assert [each.split()[:2] for each in said] == [["sharpness", "below"], ["contrast", "above"]]


def test_where_nobody_measured_everything_is_inside() -> None:
    assert Domain().outside({"sharpness": 1e9, "brightness": -1e9}) == () and Domain().to_dict() == {}
    assert Domain.from_dict({}) == Domain()


@pytest.mark.parametrize(
    "written",
    [
        {"colour": [0, 1]},
        {"sharpness": [0]},
        {"sharpness": [0, 1, 2]},
        {"sharpness": 3},
        {"sharpness": None},
        {"sharpness": "01"},
    ],
)
def test_other_ranges_are_refused(written: dict[str, object]) -> None:
    with pytest.raises(DetectorError, match=next(iter(written))):
        Domain.from_dict(written)


def test_scores_far_from_those_known_say_nothing() -> None:
    known = Calibration.of([10.0, 12.0, 20.0], score="rmse", clusters=3, cluster="face")
    reach = 20.0 + FAR_ABOVE * 10.0
    assert "below that of every face" in outside_scores(8.9, known)[0]
    assert (
        outside_scores(9.1, known) == outside_scores(15.0, known) == outside_scores(reach - 0.1, known) == ()
    )
    assert "far above that of every face" in outside_scores(reach + 0.1, known)[0]
    assert outside_scores(math.inf, known) and outside_scores(-math.inf, known)


@given(st.lists(values, min_size=1, max_size=30))
def test_the_scores_calibrated_on_are_inside(scores: list[float]) -> None:
    known = Calibration.of(np.array(scores), score="rmse", clusters=1, cluster="face")
    assert all(outside_scores(score, known) == () for score in scores)
