"""What the report says and draws of degraded faces follows the figures."""

from __future__ import annotations

import copy
import io
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from PIL import Image

from verovolto.data.corruptions import CORRUPTIONS
from verovolto.report.evaluation_text import verdict
from verovolto.report.html import change
from verovolto.report.robustness import auroc_against_level, flagged_against_level, robustness_sentences


def figure(value: float | None, width: float = 0.02) -> dict[str, float | None]:
    if value is None:
        return {"value": None, "low": None, "high": None}
    return {"value": value, "low": value - width, "high": value + width}


def level(auroc: float, alarms: float, missed: float, change: float = 0.0) -> dict[str, Any]:
    return {
        "auroc": figure(auroc),
        "auroc_change": figure(change),
        "false_alarm_rate": figure(alarms),
        "missed_fakes": figure(missed),
        "baselines": {"bytes": figure(None), "sharpness": figure(0.4)},
    }


@pytest.fixture
def metrics() -> dict[str, Any]:
    """A detector that no degradation harms: AUROC 0.8, 9 % false alarms at 10 % promised, 60 % missed."""
    ladders = [
        {**one.describe(), "levels": [{"level": at, **level(0.8, 0.09, 0.6)} for at in one.levels]}
        for one in CORRUPTIONS
    ]
    return {
        "robustness": {
            "faces": {"real": 10, "fake": 10},
            "interval": {"cluster": "identity", "clusters": 5},
            "score": "rmse",
            "threshold": {"value": 1.0, "false_alarm": 0.1},
            "none": level(0.8, 0.09, 0.6),
            "degradations": ladders,
        }
    }


def harm(metrics: dict[str, Any], name: str, place: int, **what: dict[str, float | None]) -> None:
    (ladder,) = [one for one in metrics["robustness"]["degradations"] if one["name"] == name]
    ladder["levels"][place] |= what


def test_nothing_is_said_where_nothing_was_tried() -> None:
    assert robustness_sentences({}) == []


def test_a_detector_that_holds(metrics: dict[str, Any]) -> None:
    alarms, ranking = robustness_sentences(metrics)
    assert alarms.startswith(
        "No degradation tried makes the threshold for 10 % false alarms flag more than twice"
    )
    assert "No degradation tried shows a loss of ranking" in ranking and "0.800" in ranking


def test_the_degradation_that_breaks_the_calibration_is_named(metrics: dict[str, Any]) -> None:
    harm(metrics, "noise", 1, false_alarm_rate=figure(0.21))
    harm(metrics, "noise", 2, false_alarm_rate=figure(0.9))
    harm(metrics, "jpeg", 3, false_alarm_rate=figure(0.35))
    harm(metrics, "blur", 2, false_alarm_rate=figure(0.2))  # twice is not more than twice
    said = robustness_sentences(metrics)[0]
    assert "Degradation breaks the calibration" in said
    assert "noise (from sd 10 grey levels on: 21.0 % [19.0, 23.0] of the reals flagged)" in said
    assert "JPEG compression (at quality 30: 35.0 %" in said and "blur" not in said
    assert "undegraded, 9.0 %" in said


def test_a_threshold_that_never_held_is_not_blamed_on_degradation(metrics: dict[str, Any]) -> None:
    metrics["robustness"]["none"] |= {"false_alarm_rate": figure(0.3)}
    assert "even undegraded (30.0 %" in robustness_sentences(metrics)[0]


def test_fakes_that_slip_through_are_told(metrics: dict[str, Any]) -> None:
    harm(metrics, "darkening", 0, missed_fakes=figure(0.81))
    harm(metrics, "darkening", 2, missed_fakes=figure(1.0))
    harm(metrics, "contrast", 2, missed_fakes=figure(0.79))
    (said,) = [one for one in robustness_sentences(metrics) if "half as many fakes" in one]
    assert "low light (at brightness × 0.75: 81.0 %" in said, "no 'from … on': it does not hold in between"
    assert "contrast" not in said


def test_only_an_established_loss_of_ranking_is_told(metrics: dict[str, Any]) -> None:
    harm(metrics, "blur", 1, auroc=figure(0.7), auroc_change=figure(-0.1, 0.2))
    harm(metrics, "downscale", 1, auroc=figure(0.7), auroc_change=figure(-0.1, 0.05))
    harm(metrics, "downscale", 2, auroc=figure(0.6), auroc_change=figure(-0.2, 0.05))
    said = robustness_sentences(metrics)[-1]
    assert "low resolution (from sides × 0.5 on: AUROC 0.600 [0.580, 0.620] at 0.25)" in said
    assert "blur" not in said


def test_a_score_that_ranks_nothing_has_nothing_to_lose(metrics: dict[str, Any]) -> None:
    metrics["robustness"]["none"] |= {"auroc": figure(0.4)}
    assert "no ranking that degradation could cost" in robustness_sentences(metrics)[-1]


def test_without_a_threshold_flags_are_neither_told_nor_drawn(metrics: dict[str, Any]) -> None:
    metrics["robustness"]["threshold"] = None
    assert len(robustness_sentences(metrics)) == 1
    assert flagged_against_level(metrics["robustness"]) is None


def test_the_verdict_says_it_before_its_caution(judge: Callable[..., Any], metrics: dict[str, Any]) -> None:
    said = verdict(judge(1.0), also=robustness_sentences(metrics)).sentences
    assert said[-3].startswith("No degradation") and "not shown to be real" in said[-1]


def test_changes_carry_their_sign() -> None:
    assert change(figure(-0.1, 0.2)) == "-0.100 [-0.300, +0.100]"
    assert change({"value": -0.0001, "low": None, "high": None}) == "+0.000"
    assert change(figure(None)) == "–"


def pixels(png: bytes | None) -> np.ndarray:
    assert png is not None
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB"))


def test_figures_follow_the_figures(metrics: dict[str, Any]) -> None:
    other = copy.deepcopy(metrics)
    harm(other, "noise", 2, false_alarm_rate=figure(0.15), auroc=figure(0.7))
    for draw in (auroc_against_level, flagged_against_level):
        first, again, changed = (draw(one["robustness"]) for one in (metrics, metrics, other))
        assert first == again and pixels(first).shape == pixels(changed).shape
        assert (pixels(first) != pixels(changed)).any()


def test_gaps_and_odd_numbers_of_panels_are_drawn(metrics: dict[str, Any]) -> None:
    harm(metrics, "noise", 1, auroc=figure(None), false_alarm_rate=figure(None), missed_fakes=figure(None))
    metrics["robustness"]["degradations"] = metrics["robustness"]["degradations"][:4]
    bare = {"value": 0.8, "low": None, "high": None}
    metrics["robustness"]["none"] |= {"auroc": bare}
    assert pixels(auroc_against_level(metrics["robustness"])).std() > 0
    assert pixels(flagged_against_level(metrics["robustness"])).std() > 0
