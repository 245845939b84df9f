"""Levels of forged training faces against none and a sham: paired, oriented, nothing said that is not shown."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from verovolto.core.errors import CalibrationError, DataError
from verovolto.data.score_table import ScoreTable
from verovolto.evaluation.paired import compare_scores
from verovolto.thesis.experiments.contamination.statistics import Level, evaluate_levels

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


def judged(none: Level, *others: Level) -> list[dict[str, Any]]:
    """The sham is the first of `others`."""
    found = evaluate_levels(none, others[0], others[1:], "rmse", false_alarm=0.1, resamples=100, seed=0)
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    return list(found["levels"])


def test_a_network_that_learned_the_fakes_is_called_worse() -> None:
    none, sham, some = judged(level(0, 1.5), level(0, 1.5), level(0.1, 0.2))
    figures = some["figures"]
    assert figures["auroc"]["verdict"] == "worse" and figures["auroc"]["to_none"]["high"] < 0
    assert figures["missed_fakes"]["verdict"] == "worse" and figures["missed_fakes"]["to_none"]["low"] > 0
    assert figures["error_fake"]["verdict"] == "lower" and figures["error_gap"]["verdict"] == "worse"
    assert figures["error_fake"]["to_none"]["value"] == pytest.approx(-1.3)
    assert figures["error_real"]["verdict"] == figures["false_alarm_rate"]["verdict"] == "no difference shown"
    assert all(one["verdict"] is one["to_none"] is one["to_sham"] is None for one in none["figures"].values())
    assert all(one["to_sham"] is None and one["to_none"] for one in sham["figures"].values())
    for name, one in figures.items():
        for other, key in ((none, "to_none"), (sham, "to_sham")):
            difference = one["value"]["value"] - other["figures"][name]["value"]["value"]
            assert one[key]["value"] == pytest.approx(difference)


def test_the_other_way_round_it_is_called_better() -> None:
    *_, some = judged(level(0, 0.2), level(0, 0.2), level(0.1, 1.5))
    verdicts = {name: one["verdict"] for name, one in some["figures"].items()}
    assert verdicts["auroc"] == verdicts["missed_fakes"] == verdicts["error_gap"] == "better"
    assert verdicts["error_fake"] == "higher"


def test_what_a_training_without_fakes_does_as_well_is_no_work_of_the_fakes() -> None:
    _, sham, some = judged(level(0, 1.5), level(0, 0.2), level(0.1, 0.2))
    assert sham["figures"]["auroc"]["verdict"] == "worse" and some["figures"]["auroc"]["to_none"]["high"] < 0
    assert some["figures"]["auroc"]["verdict"] == "no difference shown"


def test_a_level_between_the_two_is_called_neither() -> None:
    *_, some = judged(level(0, 1.5), level(0, 0.2), level(0.1, 0.8))
    assert some["figures"]["auroc"]["to_none"]["high"] < 0 < some["figures"]["auroc"]["to_sham"]["low"]
    assert some["figures"]["auroc"]["verdict"] == "no difference shown"


def test_the_same_network_shows_no_difference_even_in_another_order() -> None:
    turned = level(0.1, 0.5, order=np.random.default_rng(1).permutation(N))
    *_, same = judged(level(0, 0.5), level(0, 0.5), turned)
    assert {one["verdict"] for one in same["figures"].values()} == {"no difference shown"}
    assert all(one["to_none"]["value"] == pytest.approx(0) for one in same["figures"].values())


def test_noise_alone_is_not_called_a_difference() -> None:
    *_, other = judged(level(0, 0.5), level(0, 0.5, seed=1), level(0.1, 0.5, seed=3))
    assert other["figures"]["auroc"]["verdict"] == "no difference shown"


def test_the_differences_are_those_of_a_comparison() -> None:
    none, some = level(0, 1.0), level(0.1, 0.4, seed=5)
    found = judged(none, none, some)[2]["figures"]
    known = compare_scores([("0", none.test, "rmse"), ("1", some.test, "rmse")], resamples=100, seed=0)
    theirs = {key: known["results"][1]["differences"]["auroc"][key] for key in ("value", "low", "high")}
    assert found["auroc"]["to_none"] == pytest.approx(theirs)


def test_what_cannot_be_judged_is_refused() -> None:
    one, other = level(0, 1), level(0.1, 1)
    with pytest.raises(CalibrationError):
        evaluate_levels(one, one, [other], "rmse", false_alarm=0.001, resamples=9, seed=0)
    strange = Level(share=0.1, faces=1, epoch=1, test=table(np.arange(float(N)), name="g"), reals=other.reals)
    with pytest.raises(DataError, match="no face in common"):
        evaluate_levels(one, one, [strange], "rmse", false_alarm=0.1, resamples=9, seed=0)
