from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from verovolto.calibration.thresholds import Threshold
from verovolto.data.score_table import ScoreTable
from verovolto.evaluation.evaluate import evaluate_scores
from verovolto.thesis.experiments.forgeries.statistics import (
    NOT_RECORDED,
    by_method,
    by_pair,
    evaluate_forgery,
    joined,
    matrix,
)

Make = Callable[..., ScoreTable]
CUT = Threshold(name="far_0.1", score="rmse", value=0.5, kind="one-class", chosen_on="elsewhere")


def methods(n: int = 60) -> list[str | None]:
    return [None] * n + ["A" if i % 2 else "B" for i in range(n)]


def test_each_method_has_the_figures_of_the_report(make_table: Make) -> None:
    table = make_table(method=methods())
    report = evaluate_scores(table, resamples=60)
    for forgery in by_method(table):
        row = evaluate_forgery(table, forgery, CUT, strict=False, resamples=60, seed=0)
        assert row["auroc"] == report["by_method"][forgery.name]["auroc"]
        assert (row["fake"], row["real"], row["pairs"]) == (30, 60, 30)
    names = [forgery.name for forgery in by_method(table)]
    assert names == ["A", "B"]


def test_rates_are_those_of_the_threshold(make_table: Make) -> None:
    table = make_table(method=methods())
    values, method = table.values("rmse"), table.strings("method")
    row = evaluate_forgery(table, by_method(table)[0], CUT, strict=False, resamples=60, seed=0)
    assert row["missed_fakes"]["value"] == pytest.approx(float((values[method == "A"] <= 0.5).mean()))
    assert row["false_alarm_rate"]["value"] == pytest.approx(float((values[:60] > 0.5).mean()))
    assert row["missed_fakes"]["low"] <= row["missed_fakes"]["value"] <= row["missed_fakes"]["high"]


def test_fakes_without_a_method_are_one_kind(make_table: Make) -> None:
    table = make_table(method=[None] * 90 + ["A"] * 30)
    assert [(one.name, len(one.rows)) for one in by_method(table)] == [("A", 90), (NOT_RECORDED, 90)]
    assert [one.name for one in by_method(make_table())] == [NOT_RECORDED]


def test_fakes_meet_the_reals_of_their_own_collection(make_table: Make) -> None:
    dataset = ["X"] * 40 + ["Y"] * 20 + ["X" if i % 2 else "Z" for i in range(60)]
    table = make_table(method=methods(), dataset=dataset)
    found = {
        one.name: evaluate_forgery(table, one, CUT, strict=False, resamples=0, seed=0)
        for one in by_method(table)
    }
    assert found["A"]["real"] == 40
    assert found["B"]["real"] == 60, "no real is of Z"


def test_forgeries_that_were_made_meet_their_sources(make_table: Make) -> None:
    kinds = ["swap" if i % 3 else "parts" for i in range(60)] * 2
    table = make_table(method=kinds)
    first, second = by_pair(table, ["swap", "parts"])
    row = evaluate_forgery(table, first, CUT, strict=False, resamples=30, seed=0)
    assert row["fake"] == row["real"] == row["pairs"] == 40 and len(second.rows) == 40


def test_all_contestants_meet_all_forgeries_on_tables_put_together(make_table: Make) -> None:
    table = make_table(method=methods())
    halves = joined([table.take(np.arange(70)), table.take(np.arange(70, 120))])
    assert halves.table.equals(table.table)
    trivial = Threshold(name="p", score="bytes", value=0.0, kind="one-class", chosen_on="elsewhere")
    rows = matrix(
        {"a": (table, CUT, False), "bytes": (table, trivial, True)}, by_method(table), resamples=30, seed=0
    )
    assert {name: [row["forgery"] for row in found] for name, found in rows.items()} == {
        "a": ["A", "B"], "bytes": ["A", "B"],
    }  # fmt: skip
    assert rows["bytes"][0]["auroc"]["value"] != rows["a"][0]["auroc"]["value"]
