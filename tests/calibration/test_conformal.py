"""p-values without steps, and rules that combine them: what must hold of any scores."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import combine_pvalues, kstest, norm

from verovolto.calibration.conformal import RULES, SmoothP, combined
from verovolto.calibration.thresholds import Calibration
from verovolto.core.errors import CalibrationError

VALUES = st.floats(-1e3, 1e3).map(lambda value: round(value, 3))
REFERENCES = st.lists(VALUES, min_size=1, max_size=60)
LOGS = st.floats(math.log(1e-12), math.log(0.999))


def both(p: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return np.log(p), np.log1p(-p)


@given(REFERENCES, arrays(np.float64, 20, elements=VALUES))
def test_it_is_as_careful_as_the_conformal_one_up_to_the_largest(
    reference: list[float], scores: np.ndarray
) -> None:
    """Ties are counted all; the factor is that of leaving room below 1."""
    n = len(reference)
    conformal = Calibration.of(reference, score="s", clusters=1, cluster="face").p_values(scores)
    smooth = np.exp(SmoothP.of(reference).logs(scores)[0])
    known = scores <= max(reference)
    assert (smooth[known] >= conformal[known] * (n + 1) / (n + 2) - 1e-12).all()


@given(REFERENCES, st.lists(VALUES, min_size=2, max_size=20, unique=True))
def test_p_falls_strictly_wherever_scores_rise(reference: list[float], scores: list[float]) -> None:
    low, high = min(reference), max(reference)
    width = max(high - low, 1.0)
    near = np.sort([s for s in scores if low - 5 * width < s < high + 5 * width])
    log_p, log_q = SmoothP.of(reference).logs(near)
    assert (np.diff(log_p - log_q) < 0).all()
    np.testing.assert_allclose(np.exp(log_p) + np.exp(log_q), 1.0, atol=1e-12)


def test_beyond_every_reference_scores_keep_their_order() -> None:
    scale = SmoothP.of(np.random.default_rng(0).normal(size=250))
    far = np.array([4.0, 4.001, 5, 10, 100, 1000])
    log_p, log_q = scale.logs(far)
    assert (np.diff(log_p) < 0).all() and np.isfinite(log_q).all()
    log_p, log_q = scale.logs(-far)
    assert (np.diff(log_q) < 0).all() and np.isfinite(log_p).all()
    assert np.isnan(scale.logs([np.nan])[0]).all()


def test_the_tail_of_an_exponential_goes_on_as_it_is() -> None:
    scale = SmoothP.of(np.random.default_rng(1).exponential(3.0, 20_000))
    assert scale.above == pytest.approx(3.0, rel=0.1)
    beyond = scale.knots[-1] + 6.0
    assert float(scale.logs(beyond)[0]) == pytest.approx(-beyond / 3, rel=0.2)


def test_p_values_of_new_reals_are_uniform() -> None:
    random = np.random.default_rng(0)
    found = [np.exp(SmoothP.of(random.normal(size=200)).logs(random.normal(size=5))[0]) for _ in range(400)]
    assert kstest(np.concatenate(found), "uniform").pvalue > 0.01


@pytest.mark.parametrize("reference", [[], [1.0, math.nan], [math.inf]])
def test_a_reference_that_is_none(reference: list[float]) -> None:
    with pytest.raises(CalibrationError, match="p-values need scores of real faces"):
        SmoothP.of(reference)


def test_a_reference_of_one_value_still_orders() -> None:
    log_p, _ = SmoothP.of([2.0, 2.0, 2.0]).logs([1.0, 2.0, 3.0, 4.0])
    assert (np.diff(log_p) < 0).all()


@pytest.mark.parametrize("rule", RULES)
class TestRules:
    @given(p=arrays(np.float64, (4, 3), elements=st.floats(1e-9, 1 - 1e-9)), by=st.floats(0.05, 0.95))
    @settings(max_examples=40)
    def test_a_smaller_p_never_speaks_less(self, rule: str, p: np.ndarray, by: float) -> None:
        before, _ = combined(rule, *both(p))  # type: ignore[index]
        p[:, 1] *= by
        after, _ = combined(rule, *both(p))  # type: ignore[index]
        assert (after >= before - 1e-12).all()
        if rule != "min":
            assert (after > before).all()

    @given(scores=st.lists(VALUES, min_size=3, max_size=20, unique=True), reference=REFERENCES)
    @settings(max_examples=40)
    def test_a_detector_with_itself_ranks_as_itself(
        self, rule: str, scores: list[float], reference: list[float]
    ) -> None:
        width, smooth = max(max(reference) - min(reference), 1.0), SmoothP.of(reference)
        # Some 700 scales below all reals log p, the probability of what lies above, is 0 to all digits.
        least = min(reference) - min(width, 600 * smooth.below)
        near = np.array([s for s in scores if least < s < max(reference) + 20 * width])
        log_p, log_q = smooth.logs(near)
        found, _ = combined(rule, np.stack([log_p] * 2, -1), np.stack([log_q] * 2, -1))  # type: ignore[index]
        assert (np.argsort(found) == np.argsort(near)).all()
        assert len(np.unique(found)) == len(near)

    def test_what_lies_far_from_all_real_faces_is_still_told_apart(self, rule: str) -> None:
        log_p, log_q = SmoothP.of([0.0] * 5 + [1.0, -7.0]).logs(np.array([0.0, 150.0, 151.0]))
        found, _ = combined(rule, np.stack([log_p] * 2, -1), np.stack([log_q] * 2, -1))  # type: ignore[index]
        assert (np.diff(found) > 0).all()

    def test_the_order_of_the_parts_does_not_matter(self, rule: str) -> None:
        p = np.random.default_rng(0).uniform(size=(30, 4))
        one, terms = combined(rule, *both(p))  # type: ignore[index]
        other, reversed_terms = combined(rule, *both(p[:, ::-1]))  # type: ignore[index]
        np.testing.assert_allclose(one, other, rtol=1e-10, atol=1e-12)
        np.testing.assert_allclose(terms, reversed_terms[:, ::-1], rtol=1e-10, atol=1e-12)

    def test_far_out_nothing_overflows(self, rule: str) -> None:
        log_p = np.array([[-1e4, -1e-300], [-1e-300, -1e4], [-1e4, -1e4], [-1e-300, -1e-300]])
        log_q = np.array([[-1e-300, -1e4], [-1e4, -1e-300], [-1e-300, -1e-300], [-1e4, -1e4]])
        with np.errstate(all="raise", under="ignore"):
            found, terms = combined(rule, log_p, log_q)  # type: ignore[index]
        assert np.isfinite(found).all() and np.isfinite(terms).all()
        assert found[2] >= found[0] >= found[3]


def test_rules_are_those_of_the_books() -> None:
    p = np.random.default_rng(0).uniform(size=(20, 3))
    for row, fisher, stouffer, least, cauchy in zip(
        p, *(combined(rule, *both(p))[0] for rule in ("fisher", "stouffer", "min", "cauchy")), strict=True
    ):
        assert fisher == pytest.approx(combine_pvalues(row, method="fisher").statistic)
        assert stouffer == pytest.approx(norm.isf(row).sum() / math.sqrt(3))
        assert least == pytest.approx(-math.log(row.min()))
        assert cauchy == pytest.approx(math.asinh(np.tan((0.5 - row) * math.pi).mean()))


def test_with_the_smallest_alone_the_most_suspicious_part_speaks() -> None:
    _, terms = combined("min", *both(np.array([[0.2, 0.01, 0.9]])))
    assert terms[0, 0] == terms[0, 2] == 0 < terms[0, 1]
