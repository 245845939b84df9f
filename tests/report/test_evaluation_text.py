"""The words follow the figures, whatever they are."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from verovolto.report.evaluation_text import side, verdict
from verovolto.report.html import estimate, percent

Judge = Callable[..., dict[str, Any]]


@pytest.mark.parametrize(
    ("shift", "words", "tone"),
    [
        (3.0, "very well", "good"),
        (1.4, " well", "good"),
        (1.05, "moderately", "fair"),
        (0.55, "weakly", "fair"),
        (0.0, "cannot be told from chance", "poor"),
        (-0.8, "worse than chance", "poor"),
    ],
)
def test_the_headline_follows_the_auroc(judge: Judge, shift: float, words: str, tone: str) -> None:
    metrics = judge(shift)
    said = verdict(metrics)
    assert words in said.headline and estimate(metrics["auroc"]) in said.headline
    assert said.tone == tone


def test_smooth_fakes_explain_a_score_below_chance(judge: Judge) -> None:
    metrics = judge(-0.8, smoother=1.0) | {"correlations": {"sharpness": 0.7}}
    text = " ".join(verdict(metrics).sentences)
    assert "fakes here are smoother" in text
    assert "follows sharpness" in text and "wrong side" in text
    assert "wrong side" not in " ".join(verdict(judge(2.0)).sentences)


def test_the_false_alarm_promise_is_checked(judge: Judge) -> None:
    metrics = judge(1.0)
    (kept,) = [one for one in verdict(metrics).sentences if "false alarms" in one]
    assert "val reals" in kept
    broken = {**metrics["thresholds"][0], "false_alarm_rate": {"value": 0.3, "low": 0.25, "high": 0.36}}
    text = " ".join(verdict(metrics | {"thresholds": [broken]}).sentences)
    assert "more false alarms than promised" in text
    held = {**broken, "false_alarm_rate": {"value": 0.11, "low": 0.07, "high": 0.15}}
    assert "lies within the interval" in " ".join(verdict(metrics | {"thresholds": [held]}).sentences)
    assert not any("promised" in one for one in verdict(metrics | {"thresholds": []}).sentences)


def test_a_score_below_its_baseline_does_not_clear_it(judge: Judge) -> None:
    assert "clears all of them" in " ".join(verdict(judge(3.0)).sentences)
    assert "does not clearly beat sharpness" in " ".join(verdict(judge(0.8, smoother=-3.0)).sentences)


def test_nobody_is_called_real(judge: Judge) -> None:
    for shift in (-1.0, 0.0, 3.0):
        assert "not shown to be real" in verdict(judge(shift)).sentences[-1]


def test_figures_in_words() -> None:
    assert estimate({"value": 0.5, "low": 0.4, "high": 0.6}) == "0.500 [0.400, 0.600]"
    assert estimate({"value": 0.5, "low": None, "high": None}) == "0.500"
    assert estimate(None) == estimate({"value": None, "low": None, "high": None}) == percent(None) == "–"
    assert percent({"value": 0.125, "low": 0.1, "high": 0.15}) == "12.5 % [10.0, 15.0]"
    assert side({"value": 0.6, "low": None, "high": None}) == "unknown"
