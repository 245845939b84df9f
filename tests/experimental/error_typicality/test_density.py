"""Conditional densities: against scipy's Gaussians, against Bayes' rule, and what must hold of any of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from scipy.stats import multivariate_normal

from verovolto.core.errors import InputError
from verovolto.experimental.error_typicality.density import ConditionalMixture, fit_conditional

SEEDS = st.integers(0, 2**31)
SIZES = st.integers(0, 3), st.integers(1, 3)


def drawn(n: int, c: int, v: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Controls of two kinds of picture, and values that follow them."""
    random = np.random.default_rng(seed)
    controls = random.normal(0, 1, (n, c)) + 3 * random.integers(0, 2, (n, 1))
    values = controls @ random.normal(0, 1, (c, v)) + random.normal(0, 0.2 + random.random(v), (n, v))
    return torch.from_numpy(controls), torch.from_numpy(values)


@given(*SIZES, st.integers(1, 3), SEEDS)
@settings(max_examples=30)
def test_it_is_the_joint_over_the_marginal(c: int, v: int, components: int, seed: int) -> None:
    controls, values = drawn(60, c, v, seed)
    fitted = fit_conditional(controls, values, components=components)
    rows = (torch.cat([controls, values], 1) - fitted.shift) / fitted.scale
    joint, marginal = np.zeros(60), np.zeros(60)
    for weight, mean, factor in zip(fitted.weights, fitted.means, fitted.factors, strict=True):
        covariance = (factor @ factor.T).numpy()
        joint += float(weight) * multivariate_normal(mean.numpy(), covariance).pdf(rows.numpy())
        part = (
            multivariate_normal(mean[:c].numpy(), covariance[:c, :c]).pdf(rows[:, :c].numpy()) if c else 1.0
        )
        marginal += float(weight) * part
    np.testing.assert_allclose(fitted.surprise(controls, values), -np.log(joint / marginal), atol=1e-8)


@given(SEEDS, st.integers(1, 2), st.floats(0.01, 100), st.floats(-50, 50))
@settings(max_examples=20)
def test_units_do_not_matter(seed: int, components: int, unit: float, zero: float) -> None:
    controls, values = drawn(80, 2, 2, seed)
    one = fit_conditional(controls, values, components=components).surprise(controls, values)
    other = fit_conditional(controls * unit + zero, values * unit - zero, components=components)
    torch.testing.assert_close(
        other.surprise(controls * unit + zero, values * unit - zero), one, rtol=1e-4, atol=1e-4
    )


def test_what_is_unlike_its_controls_surprises_on_either_side() -> None:
    controls, values = drawn(400, 1, 1)
    fitted = fit_conditional(controls, values)
    expected = values[:1]
    at = [float(fitted.surprise(controls[:1], expected + step)) for step in (-20.0, -10.0, 0.0, 10.0, 20.0)]
    assert at[0] > at[1] > at[2] < at[3] < at[4]


def test_a_rare_kind_of_picture_is_no_surprise_itself() -> None:
    controls, values = drawn(400, 1, 1)
    slope = float(torch.linalg.lstsq(controls - controls.mean(), values - values.mean()).solution)
    fitted = fit_conditional(controls, values)
    far = torch.tensor([[30.0]], dtype=torch.float64)
    as_foretold = values.mean() + slope * (far - controls.mean())
    usual = fitted.surprise(controls, values)
    assert float(fitted.surprise(far, as_foretold)) < float(usual.median())


def test_a_mixture_learns_two_kinds_of_faces_that_a_gaussian_cannot() -> None:
    random = np.random.default_rng(3)
    kind = random.integers(0, 2, 600)
    controls = torch.from_numpy(random.normal(np.where(kind, 4.0, -4.0), 1.0)[:, None])
    # The slope differs between the kinds, so no line foretells both.
    values = torch.from_numpy(np.where(kind, 1.0, -1.0)[:, None]) * controls + 0.1 * torch.randn(600, 1)
    new = slice(300, 600)
    mean = [
        float(
            fit_conditional(controls[:300], values[:300], components=count)
            .surprise(controls[new], values[new])
            .mean()
        )
        for count in (1, 2)
    ]
    assert mean[1] < mean[0] - 1


@given(SEEDS)
@settings(max_examples=10)
def test_each_row_by_itself(seed: int) -> None:
    controls, values = drawn(50, 2, 2, seed)
    fitted = fit_conditional(controls, values, components=2)
    alone = [fitted.surprise(controls[i : i + 1], values[i : i + 1]) for i in range(50)]
    torch.testing.assert_close(torch.cat(alone), fitted.surprise(controls, values), rtol=1e-10, atol=1e-10)


def test_the_same_numbers_give_the_same_fit_and_files_keep_it(tmp_path: Path) -> None:
    controls, values = drawn(80, 2, 3)
    one, other = (fit_conditional(controls, values, components=3) for _ in range(2))
    for name, tensor in one.tensors().items():
        assert torch.equal(tensor, other.tensors()[name])
    save_file({k: v.contiguous() for k, v in one.tensors().items()}, tmp_path / "fit.safetensors")
    again = ConditionalMixture.from_tensors(load_file(tmp_path / "fit.safetensors"), controls=2)
    assert torch.equal(again.surprise(controls, values), one.surprise(controls, values))


def test_more_components_than_kinds_do_no_harm() -> None:
    controls, values = drawn(40, 1, 1)
    fitted = fit_conditional(controls, values, components=6)
    assert fitted.surprise(controls, values).isfinite().all()
    assert float(fitted.weights.sum()) == pytest.approx(1.0)


def test_what_cannot_be_learned_from_is_named() -> None:
    controls, values = drawn(40, 1, 2)
    with pytest.raises(InputError, match=r"4 real faces are too few .* 3 numbers from \(give at least 5\)"):
        fit_conditional(controls[:4], values[:4])
    with pytest.raises(InputError, match="loudness is the same in all 40 real faces"):
        fit_conditional(torch.ones(40, 1), values, names=("loudness", "a", "b"))
    with pytest.raises(InputError, match="b is not finite"):
        values[3, 1] = float("nan")
        fit_conditional(controls, values, names=("loudness", "a", "b"))
