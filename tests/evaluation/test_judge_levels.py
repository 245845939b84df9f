"""Levels of forged training faces against none: paired, oriented, and nothing called different that is not shown."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from verovolto.errors import CalibrationError, DataError
from verovolto.evaluation.contamination import Level, judge_levels
from verovolto.evaluation.paired import compare_scores
from verovolto.scoring.table import ScoreTable

N = 200
FAKE = np.tile([False, True], N // 2)


def table(rmse: np.ndarray, *, fake: np.ndarray = FAKE, name: str = "f") -> ScoreTable:
    columns = {
        "face": [f"{name}{i}" for i in range(len(rmse))],
        "label": np.where(fake, "fake", "real"),
        "target_identity": [str(i // 5) for i in range(len(rmse))],
        "status": ["ok"] * len(rmse),
        "rmse": rmse,
    }
    return ScoreTable(table=pa.table(columns), scores=("rmse",))


def level(share: float, gap: float, *, seed: int = 0, order: np.ndarray | None = None) -> Level:
    """Fakes score `gap` more than reals; the noise of the faces is the same at each level."""
    values = np.random.default_rng(seed).normal(size=N) + gap * FAKE
    test = table(values)
    reals = table(np.random.default_rng(7).normal(size=60), fake=np.zeros(60, dtype=bool), name="r")
    return Level(
        share=share,
        faces=round(100 * share),
        epoch=1,
        test=test if order is None else test.take(order),
        reals=reals,
    )


def judged(*levels: Level) -> list[dict[str, Any]]:
    found = judge_levels(levels[0], levels[1:], "rmse", false_alarm=0.1, resamples=100, seed=0)
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    return list(found["levels"])


def test_a_network_that_learned_the_fakes_is_called_worse() -> None:
    none, some = judged(level(0, 1.5), level(0.1, 0.2))
    figures = some["figures"]
    assert figures["auroc"]["verdict"] == "worse" and figures["auroc"]["difference"]["high"] < 0
    assert figures["missed_fakes"]["verdict"] == "worse" and figures["missed_fakes"]["difference"]["low"] > 0
    assert figures["error_fake"]["verdict"] == "lower" and figures["error_gap"]["verdict"] == "worse"
    assert figures["error_fake"]["difference"]["value"] == pytest.approx(-1.3)
    assert figures["error_real"]["verdict"] == figures["false_alarm_rate"]["verdict"] == "no difference shown"
    assert all(one["difference"] is None and one["verdict"] is None for one in none["figures"].values())
    for name, one in figures.items():
        difference = one["value"]["value"] - none["figures"][name]["value"]["value"]
        assert one["difference"]["value"] == pytest.approx(difference)


def test_the_other_way_round_it_is_called_better() -> None:
    _, some = judged(level(0, 0.2), level(0.1, 1.5))
    verdicts = {name: one["verdict"] for name, one in some["figures"].items()}
    assert verdicts["auroc"] == verdicts["missed_fakes"] == verdicts["error_gap"] == "better"
    assert verdicts["error_fake"] == "higher"


def test_the_same_network_shows_no_difference_even_in_another_order() -> None:
    _, same = judged(level(0, 0.5), level(0.1, 0.5, order=np.random.default_rng(1).permutation(N)))
    assert {one["verdict"] for one in same["figures"].values()} == {"no difference shown"}
    assert all(one["difference"]["value"] == pytest.approx(0) for one in same["figures"].values())


def test_noise_alone_is_not_called_a_difference() -> None:
    _, other = judged(level(0, 0.5), level(0.1, 0.5, seed=3))
    assert other["figures"]["auroc"]["verdict"] == "no difference shown"


def test_the_differences_are_those_of_a_comparison() -> None:
    none, some = level(0, 1.0), level(0.1, 0.4, seed=5)
    found = judged(none, some)[1]["figures"]
    known = compare_scores([("0", none.test, "rmse"), ("1", some.test, "rmse")], resamples=100, seed=0)
    ours = {key: found["auroc"]["difference"][key] for key in ("value", "low", "high")}
    theirs = {key: known["results"][1]["differences"]["auroc"][key] for key in ("value", "low", "high")}
    assert ours == pytest.approx(theirs)


def test_what_cannot_be_judged_is_refused() -> None:
    with pytest.raises(CalibrationError):
        judge_levels(level(0, 1), [level(0.1, 1)], "rmse", false_alarm=0.001, resamples=9, seed=0)
    other = level(0.1, 1)
    strange = Level(share=0.1, faces=1, epoch=1, test=table(np.arange(float(N)), name="g"), reals=other.reals)
    with pytest.raises(DataError, match="no face in common"):
        judge_levels(level(0, 1), [strange], "rmse", false_alarm=0.1, resamples=9, seed=0)
