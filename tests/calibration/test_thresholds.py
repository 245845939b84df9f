"""Calibration: thresholds and p-values keep what they promise."""

from __future__ import annotations

import logging
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn.metrics import f1_score

from verovolto.calibration.thresholds import (
    Calibration,
    Threshold,
    flagged,
    needed,
    one_class_thresholds,
    pooled_percentile,
    refused_rates,
    supervised_thresholds,
)
from verovolto.core.errors import CalibrationError

# Few distinct values, so that ties are common.
tied = hnp.arrays(np.float64, st.integers(1, 40), elements=st.integers(-5, 5).map(float))
rates = st.floats(0.005, 0.995)


def calibration(values: object) -> Calibration:
    return Calibration.of(values, score="rmse", clusters=1, cluster="face")  # type: ignore[arg-type]


@given(pool=hnp.arrays(np.float64, st.integers(2, 40), elements=st.integers(-9, 9).map(float)), rate=rates)
def test_the_false_alarm_rate_holds_exactly_over_every_choice_of_the_new_face(
    pool: np.ndarray, rate: float
) -> None:
    """Leave each of n+1 exchangeable faces out in turn: the share flagged is the probability itself."""
    try:
        alarms = [
            bool(flagged(pool[i], calibration(np.delete(pool, i)).threshold(rate))) for i in range(len(pool))
        ]
    except CalibrationError:
        assert len(pool) - 1 < needed(rate)
        return
    assert np.mean(alarms) <= rate + 1e-9


@given(pool=hnp.arrays(np.float64, st.integers(2, 40), elements=st.integers(-9, 9).map(float)), rate=rates)
def test_p_values_are_super_uniform(pool: np.ndarray, rate: float) -> None:
    p = [calibration(np.delete(pool, i)).p_values(pool[i]) for i in range(len(pool))]
    assert np.mean(np.array(p) <= rate) <= rate + 1e-9


@given(values=tied, scores=tied, rate=rates)
def test_flagging_at_a_rate_is_the_same_as_a_small_p_value(
    values: np.ndarray, scores: np.ndarray, rate: float
) -> None:
    held_out = calibration(values)
    if len(held_out) < needed(rate):
        with pytest.raises(CalibrationError, match=str(needed(rate))):
            held_out.threshold(rate)
        return
    same = held_out.p_values(scores) <= rate + 1e-9 / (len(held_out) + 1)
    np.testing.assert_array_equal(flagged(scores, held_out.threshold(rate)), same)


@given(values=tied, scores=tied)
def test_p_values_fall_as_scores_rise(values: np.ndarray, scores: np.ndarray) -> None:
    p = calibration(values).p_values(np.sort(scores))
    assert (np.diff(p) <= 0).all()
    assert (p > 0).all() and (p <= 1).all()


@given(values=tied, rate=rates, other=rates)
def test_a_lower_rate_never_has_a_lower_threshold(values: np.ndarray, rate: float, other: float) -> None:
    low, high = sorted((rate, other))
    held_out = calibration(values)
    if len(held_out) >= needed(low):
        assert held_out.threshold(low) >= held_out.threshold(high)


def test_the_tenth_largest_of_ninety_nine() -> None:
    held_out = calibration(np.arange(99.0))
    assert held_out.threshold(0.1) == 89.0
    assert held_out.threshold(0.01) == 98.0
    assert calibration(np.arange(99.0)).threshold(0.29) == 99.0 - 29, "0.29 * 100 must not round down to 28"
    with pytest.raises(CalibrationError, match="at least 999"):
        held_out.threshold(0.001)


def test_nan_has_no_p_value() -> None:
    assert np.isnan(calibration([1.0, 2.0]).p_values([np.nan, 1.5])).tolist() == [True, False]


@pytest.mark.parametrize("rate", [0.0, 1.0, -0.1, 10.0])
def test_impossible_rates_are_refused(rate: float) -> None:
    with pytest.raises(CalibrationError, match="between 0 and 1"):
        calibration([1.0]).threshold(rate)


@pytest.mark.parametrize("values", [[], [1.0, math.nan], [2.0, 1.0], [[1.0]]])
def test_bad_calibration_values_are_refused(values: list[float]) -> None:
    with pytest.raises(CalibrationError):
        Calibration(score="rmse", values=np.array(values), clusters=1, cluster="face")


def test_the_smallest_rate_that_there_is_is_refused_in_words() -> None:
    calibration = Calibration.of([1.0, 2.0], score="s", clusters=2, cluster="face")
    with pytest.raises(CalibrationError, match="cannot support"):
        calibration.threshold(5e-324)


def test_unsupported_rates_are_reported(caplog: pytest.LogCaptureFixture) -> None:
    held_out = calibration(np.arange(20.0))
    with caplog.at_level(logging.WARNING):
        thresholds = one_class_thresholds(held_out, chosen_on="val")
    assert [t.name for t in thresholds] == ["far_0.1", "far_0.05", "p80_reals"]
    assert refused_rates(held_out) == {0.01: 99}
    assert "99" in caplog.text
    assert {t.kind for t in thresholds} == {"one-class"} and {t.chosen_on for t in thresholds} == {"val"}
    assert thresholds[0].false_alarm == 0.1 and thresholds[-1].false_alarm is None
    assert thresholds[-1].value == pytest.approx(np.percentile(np.arange(20.0), 80))
    assert held_out.at_rate(0.05).name == "far_0.05"


@given(real=tied, fake=tied, positive=st.sampled_from(["fake", "real"]))
def test_the_supervised_thresholds_are_the_best_there_are(
    real: np.ndarray, fake: np.ndarray, positive: str
) -> None:
    thresholds = supervised_thresholds(real, fake, score="s", chosen_on="val", positive=positive)  # type: ignore[arg-type]
    f1, youden, eer = (t.value for t in thresholds)
    scores, is_fake = np.concatenate([real, fake]), np.repeat([0, 1], [len(real), len(fake)])
    every = np.concatenate([scores - 0.5, [np.inf]])

    def f1_at(t: float) -> float:
        flags = flagged(scores, t).astype(int)
        if positive == "real":
            return float(f1_score(1 - is_fake, 1 - flags, zero_division=0))
        return float(f1_score(is_fake, flags, zero_division=0))

    def rates_at(t: float) -> tuple[float, float]:
        return float(flagged(real, t).mean()), float(flagged(fake, t).mean())

    assert f1_at(f1) == pytest.approx(max(map(f1_at, every)))
    gain = [hit - alarm for alarm, hit in map(rates_at, every)]
    assert rates_at(youden)[1] - rates_at(youden)[0] == pytest.approx(max(gain))
    gaps = [abs(alarm - (1 - hit)) for alarm, hit in map(rates_at, every)]
    assert abs(rates_at(eer)[0] - (1 - rates_at(eer)[1])) == pytest.approx(min(gaps))


def test_a_useless_score_accepts_all_when_real_is_positive() -> None:
    thresholds = supervised_thresholds([1.0, 1.0], [1.0], score="s", chosen_on="val", positive="real")
    assert thresholds[0].name == "max_f1_real" and thresholds[0].value == math.inf
    assert Threshold.from_dict(thresholds[0].to_dict()) == thresholds[0]


def test_supervised_thresholds_need_both_classes() -> None:
    with pytest.raises(CalibrationError, match="real and fake"):
        supervised_thresholds([1.0], [], score="s", chosen_on="val")


def test_pooled_percentile_is_labelled_as_the_thesis_s() -> None:
    threshold = pooled_percentile(np.arange(500.0), score="rmse")
    assert (threshold.kind, threshold.name) == ("thesis", "p80_pooled")
    assert flagged(np.arange(500.0), threshold.value).sum() == 100


def test_strict_lets_the_threshold_itself_fail() -> None:
    assert flagged([1.0, 2.0, 3.0], 2.0).tolist() == [False, False, True]
    assert flagged([1.0, 2.0, 3.0], 2.0, strict=True).tolist() == [False, True, True]


class TestSources:
    """Several collections of real faces: what is promised holds in each."""

    @given(st.integers(0, 999), st.sampled_from([0.05, 0.1, 0.2]))
    def test_no_source_is_flagged_more_often_than_promised(self, seed: int, rate: float) -> None:
        random = np.random.default_rng(seed)
        sources = {
            name: random.normal(place, 1, size)
            for name, place, size in (("a", 0.0, 60), ("b", 2.0, 25), ("c", -1.0, 90))
        }
        known = Calibration.of(
            np.concatenate([*sources.values()]), score="s", clusters=3, cluster="face", sources=sources
        )
        threshold = known.threshold(rate)
        for values in sources.values():
            assert (values > threshold).mean() <= rate
            alone = Calibration.of(values, score="s", clusters=1, cluster="face")
            assert alone.threshold(rate) <= threshold
        tried = random.normal(size=200) * 3
        assert ((known.p_values(tried) <= rate) == (tried > threshold)).all()

    def test_the_smallest_source_says_what_can_be_promised(self) -> None:
        known = Calibration.of(
            np.arange(120.0), score="s", clusters=2, cluster="face",
            sources={"a": np.arange(100.0), "b": np.arange(20.0)},
        )  # fmt: skip
        assert known.smallest == 20 and refused_rates(known) == {0.01: 99}
        with pytest.raises(CalibrationError, match="20 held-out real faces of a source cannot support"):
            known.threshold(0.01)
