"""L*a*b* against published values, and the transfer of colour statistics."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from verovolto.synthesis.colour import MAX_GAIN, is_grey, lab_to_rgb, match_statistics, rgb_to_lab

unit = st.floats(0, 1)


def colour(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


@given(st.tuples(unit, unit, unit))
def test_lab_and_back(rgb: tuple[float, float, float]) -> None:
    assert lab_to_rgb(rgb_to_lab(colour(*rgb))).tolist() == pytest.approx(rgb, abs=1e-6)


@given(unit)
def test_grey_has_no_chroma(level: float) -> None:
    lab = rgb_to_lab(colour(level, level, level))
    assert 0 <= lab[0] <= 100 + 1e-9
    assert lab[1:].abs().max() < 1e-9


@pytest.mark.parametrize(
    ("rgb", "lab"),
    [  # CIE L*a*b* of the sRGB primaries under D65, as colorimetry tables list them
        ((1.0, 0.0, 0.0), (53.24, 80.09, 67.20)),
        ((0.0, 1.0, 0.0), (87.73, -86.18, 83.18)),
        ((0.0, 0.0, 1.0), (32.30, 79.19, -107.86)),
        ((1.0, 1.0, 1.0), (100.0, 0.0, 0.0)),
    ],
)
def test_lab_of_the_primaries(rgb: tuple[float, ...], lab: tuple[float, ...]) -> None:
    assert rgb_to_lab(colour(*rgb)).tolist() == pytest.approx(lab, abs=0.03)


def test_statistics_are_those_of_the_reference_under_the_weight() -> None:
    generator = torch.Generator().manual_seed(0)
    values = torch.rand(3, 20, 20, dtype=torch.float64, generator=generator)
    reference = 5 + 1.5 * torch.rand(3, 20, 20, dtype=torch.float64, generator=generator)
    weight = torch.zeros(20, 20, dtype=torch.float64)
    weight[4:16, 4:16] = 1
    matched = match_statistics(values, reference, weight)[:, 4:16, 4:16]
    inner = reference[:, 4:16, 4:16]
    assert torch.allclose(matched.mean((1, 2)), inner.mean((1, 2)))
    assert torch.allclose(matched.std((1, 2)), inner.std((1, 2)))


def test_the_gain_is_limited_and_flat_channels_are_shifted() -> None:
    reference = torch.linspace(0, 1, 16, dtype=torch.float64).view(1, 4, 4)
    weight = torch.ones(4, 4, dtype=torch.float64)
    faint = match_statistics(reference * 0.01, reference, weight)
    assert torch.allclose(faint.std(), MAX_GAIN * 0.01 * reference.std())
    flat = match_statistics(torch.full_like(reference, 7.0), reference, weight)
    assert torch.allclose(flat, reference.mean().expand(1, 4, 4))


def test_grey_images_are_told() -> None:
    grey = torch.arange(12, dtype=torch.uint8).view(1, 3, 4).expand(3, 3, 4)
    tinted = grey.clone()
    tinted[2, 1, 1] += 1
    assert is_grey(grey) and not is_grey(tinted)
