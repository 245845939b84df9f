"""Who is drawn to be degraded, and the figures of what became of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from verovolto.calibration.thresholds import Threshold
from verovolto.core.errors import DataError
from verovolto.data.corruptions import CORRUPTIONS
from verovolto.data.score_table import ScoreTable
from verovolto.evaluation.corrupted_scores import CorruptedScores, draw_faces, versions_of
from verovolto.evaluation.robustness import evaluate_robustness


def rows(reals: int, fakes: int, paired: bool = True) -> pa.Table:
    """Fakes each of a real in turn, as several methods make of one face."""
    label = ["real"] * reals + ["fake"] * fakes
    pair = [f"p{i}" for i in range(reals)] + [f"p{i % max(reals, 1)}" for i in range(fakes)]
    return pa.table(
        {
            "face": [f"f{i:03d}" for i in range(reals + fakes)],
            "label": label,
            "pair": pa.array(pair if paired else [None] * len(pair), pa.string()),
        }
    )


@given(st.integers(1, 40), st.integers(1, 40), st.integers(2, 90), st.booleans(), st.integers(0, 99))
def test_as_many_as_asked_for_are_drawn_half_of_them_real(
    reals: int, fakes: int, count: int, paired: bool, seed: int
) -> None:
    drawn = draw_faces(rows(reals, fakes, paired), count, seed=seed)
    assert len(drawn) == len(set(drawn)) == min(count, reals + fakes)
    real = int((drawn < reals).sum())
    assert real >= min(reals, count // 2) and len(drawn) - real >= min(fakes, count // 2)
    assert (np.diff(drawn) > 0).all()


def test_pairs_come_together() -> None:
    drawn = draw_faces(rows(200, 200), 100, seed=1)
    assert set(drawn[drawn < 200]) == set(drawn[drawn >= 200] - 200)
    many = draw_faces(rows(200, 800), 100, seed=1)
    assert {int(i - 200) % 200 for i in many[many >= 200]} <= set(many[many < 200].tolist())


def test_the_draw_follows_seed_and_faces_not_their_order() -> None:
    table = rows(60, 60)
    faces = np.array(table["face"].to_pylist())
    first = set(faces[draw_faces(table, 40, seed=1)])
    assert first != set(faces[draw_faces(table, 40, seed=2)])
    order = np.random.default_rng(0).permutation(120)
    shuffled = table.take(order)
    assert first == set(faces[order][draw_faces(shuffled, 40, seed=1)])


def test_rows_without_a_label_are_not_drawn() -> None:
    table = rows(5, 5)
    unlabelled = table.set_column(1, "label", pa.array([None] * 2 + table["label"].to_pylist()[2:]))
    assert draw_faces(unlabelled, 10, seed=0).tolist() == list(range(2, 10))


def corrupted(
    table: ScoreTable, change: Callable[[np.ndarray, int], np.ndarray], at: np.ndarray
) -> CorruptedScores:
    """Scores that `change` makes of the undegraded ones at the positions `at`, for each version's number."""
    versions = versions_of(CORRUPTIONS)
    columns = {
        name: np.stack([change(table.values(name)[at], place) for place in range(len(versions))])
        for name in ("rmse", "mse", "bytes")
    }
    return CorruptedScores(rows=at, versions=versions, columns=columns)


def judged(
    table: ScoreTable, found: CorruptedScores, cut: float | None = 1.0, **options: Any
) -> dict[str, Any]:
    threshold = None
    if cut is not None:
        threshold = Threshold(
            name="far_0.1", score="rmse", value=cut, kind="one-class", chosen_on="val", false_alarm=0.1
        )
    return evaluate_robustness(table, found, score="rmse", threshold=threshold, resamples=60, **options)


ALL = np.arange(120)


def test_scores_that_stay_give_the_figures_of_the_undegraded(make_table: Callable[..., ScoreTable]) -> None:
    table = make_table()
    found = judged(table, corrupted(table, lambda values, _: values, ALL))
    none = found["none"]
    assert none["auroc"]["value"] == pytest.approx(roc_auc_score(np.repeat([0, 1], 60), table.values("rmse")))
    assert found["faces"] == {"real": 60, "fake": 60} and found["interval"]["clusters"] == 15
    assert [one["name"] for one in found["degradations"]] == [one.name for one in CORRUPTIONS]
    for one, ladder in zip(found["degradations"], CORRUPTIONS, strict=True):
        assert [level["level"] for level in one["levels"]] == list(ladder.levels)
        for level in one["levels"]:
            assert level["auroc_change"] == {"value": 0.0, "low": 0.0, "high": 0.0}
            assert {name: level[name] for name in none} == none


def test_a_shift_breaks_the_threshold_and_not_the_ranking(make_table: Callable[..., ScoreTable]) -> None:
    table = make_table()
    found = judged(table, corrupted(table, lambda values, place: values + place, ALL))
    levels = [level for one in found["degradations"] for level in one["levels"]]
    alarms = [level["false_alarm_rate"]["value"] for level in levels]
    assert alarms == sorted(alarms) and alarms[0] == found["none"]["false_alarm_rate"]["value"]
    assert alarms[-1] == 1 and levels[-1]["missed_fakes"]["value"] == 0
    real = table.values("rmse")[:60]
    assert alarms[1] == pytest.approx(float((real + 1 > 1).mean()))
    assert {level["auroc"]["value"] for level in levels} == {found["none"]["auroc"]["value"]}


def test_a_reversed_ranking_is_a_change_with_a_paired_interval(make_table: Callable[..., ScoreTable]) -> None:
    table = make_table()
    found = judged(table, corrupted(table, lambda values, place: -values if place else values, ALL))
    worst = found["degradations"][-1]["levels"][-1]
    before = found["none"]["auroc"]["value"]
    assert worst["auroc"]["value"] == pytest.approx(1 - before)
    assert worst["auroc_change"]["value"] == pytest.approx(1 - 2 * before)
    assert worst["auroc_change"]["low"] < worst["auroc_change"]["value"] < worst["auroc_change"]["high"] < 0
    assert worst["pairs_ordered"]["value"] == pytest.approx(1 - found["none"]["pairs_ordered"]["value"])
    assert worst["baselines"]["bytes"]["value"] == pytest.approx(
        1 - found["none"]["baselines"]["bytes"]["value"]
    )


def test_missing_scores_are_left_out_and_counted(make_table: Callable[..., ScoreTable]) -> None:
    table = make_table()

    def lose(values: np.ndarray, place: int) -> np.ndarray:
        return np.where(np.arange(len(values)) < 5, np.nan, values) if place == 1 else values

    found = judged(table, corrupted(table, lose, ALL))
    first, second = found["degradations"][0]["levels"][:2]
    assert first["faces"] == {"real": 60, "fake": 60} and second["faces"] == {"real": 55, "fake": 60}
    assert second["auroc_change"]["value"] == 0, "against the same faces undegraded"
    nothing = judged(table, corrupted(table, lambda values, place: values * np.nan, ALL))
    assert nothing["degradations"][0]["levels"][0]["auroc"]["value"] is None


def test_without_a_threshold_nothing_is_said_of_flags(make_table: Callable[..., ScoreTable]) -> None:
    table = make_table()
    found = judged(table, corrupted(table, lambda values, _: values, ALL), None)
    assert found["threshold"] is None and "false_alarm_rate" not in found["none"]


def test_both_classes_must_be_among_the_faces_tried(make_table: Callable[..., ScoreTable]) -> None:
    table = make_table()
    with pytest.raises(DataError, match="no scored fake"):
        judged(table, corrupted(table, lambda values, _: values, ALL[:60]))
