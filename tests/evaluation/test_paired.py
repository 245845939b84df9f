from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pytest

from verovolto.calibration.thresholds import Threshold
from verovolto.core.errors import InputError
from verovolto.data.score_table import ScoreTable
from verovolto.evaluation.evaluate import evaluate_scores
from verovolto.evaluation.metrics import decision_rates
from verovolto.evaluation.paired import Candidate, compare_all, compare_scores

Make = Callable[..., ScoreTable]


def replaced(table: ScoreTable, name: str, values: object) -> ScoreTable:
    columns = table.table.drop_columns([name]).append_column(name, pa.array(values))
    return ScoreTable(table=columns, scores=table.scores, baselines=table.baselines, metadata=table.metadata)


def test_an_equal_detector_differs_by_nothing(make_table: Make) -> None:
    result = compare_scores([("a", make_table(), "rmse"), ("b", make_table(), "mse")], resamples=100)
    auroc = result["results"][1]["differences"]["auroc"]
    assert (auroc["value"], auroc["low"], auroc["high"]) == (0, 0, 0)
    assert auroc["verdict"] == "no difference shown"
    assert result["results"][0]["figures"]["auroc"] == evaluate_scores(make_table(), resamples=100)["auroc"]


def test_pairing_shows_what_separate_intervals_hide(make_table: Make) -> None:
    weak = make_table(shift=0.6)
    values = weak.values("rmse")
    better = replaced(weak, "rmse", values + 0.35 * (weak.strings("label") == "fake"))
    result = compare_scores([("weak", weak, "rmse"), ("better", better, "rmse")], resamples=300)
    first, second = (one["figures"]["auroc"] for one in result["results"])
    assert second["low"] < first["high"], "the intervals overlap"
    differences = result["results"][1]["differences"]
    assert differences["auroc"]["verdict"] == "better" and differences["auroc"]["low"] > 0
    assert differences["eer"]["value"] < 0 and differences["eer"]["verdict"] != "worse"
    turned = compare_scores([("better", better, "rmse"), ("weak", weak, "rmse")], resamples=300)
    assert turned["results"][1]["differences"]["auroc"]["verdict"] == "worse"


def test_faces_are_matched_by_name_not_by_row(make_table: Make) -> None:
    table = make_table()
    shuffled = table.take(np.random.default_rng(0).permutation(len(table))[:100])
    result = compare_scores([("a", table, "rmse"), ("b", shuffled, "rmse")], resamples=50)
    assert result["faces"]["real"] + result["faces"]["fake"] == 100
    assert result["results"][0]["faces_scored"] == 120 and result["results"][1]["faces_scored"] == 100
    assert result["results"][1]["differences"]["auroc"]["value"] == 0


def test_what_cannot_be_compared_is_refused(make_table: Make) -> None:
    table = make_table()
    others = replaced(table, "face", [f"x{i}" for i in range(120)])
    twice = replaced(table, "face", ["same"] * 120)
    relabelled = replaced(table, "label", ["fake", "real"] * 60)
    numbered = ScoreTable(table=table.table, scores=("rmse",), metadata={"faces_numbered": True})
    with pytest.raises(InputError, match="share no face"):
        compare_scores([("a", table, "rmse"), ("b", others, "rmse")])
    with pytest.raises(InputError, match="more than one row"):
        compare_scores([("a", table, "rmse"), ("b", twice, "rmse")])
    with pytest.raises(InputError, match="label 60 shared"):
        compare_scores([("a", table, "rmse"), ("b", relabelled, "rmse")])
    with pytest.raises(InputError, match="row number"):
        compare_scores([("a", numbered, "rmse"), ("b", table.take(np.arange(100)), "rmse")])
    with pytest.raises(InputError, match="same name"):
        compare_scores([("a", table, "rmse"), ("a", table, "rmse")])
    with pytest.raises(InputError, match="at least two"):
        compare_scores([("a", table, "rmse")])


def candidates(make_table: Make, *, value: float = 0.5) -> list[Candidate]:
    tables = {"weak": make_table(shift=0.2), "strong": make_table(shift=2.0)}
    threshold = Threshold(name="t", score="rmse", value=value, kind="one-class", chosen_on="elsewhere")
    made = [
        Candidate(name=name, table=table, score="rmse", threshold=threshold) for name, table in tables.items()
    ]
    trivial = Threshold(name="t", score="bytes", value=0.0, kind="one-class", chosen_on="elsewhere")
    return [*made, Candidate(name="bytes", table=tables["weak"], score="bytes", threshold=trivial)]


def test_every_pair_has_the_numbers_of_a_comparison_with_that_reference(make_table: Make) -> None:
    them = candidates(make_table)
    found = compare_all(them, resamples=80, seed=3)
    assert [(one["name"], one["against"]) for one in found["pairs"]] == [
        ("weak", "strong"), ("weak", "bytes"), ("strong", "bytes"),
    ]  # fmt: skip
    by_name = {one.name: (one.name, one.table, one.score) for one in them}
    for pair in found["pairs"]:
        order = [by_name[pair["against"]], *(v for name, v in by_name.items() if name != pair["against"])]
        other = compare_scores(order, resamples=80, seed=3)
        theirs = next(one for one in other["results"] if one["name"] == pair["name"])
        assert theirs["differences"].items() <= pair["differences"].items()
        assert other["interval"] == found["interval"] and other["faces"] == found["faces"]
        ours = next(one for one in found["results"] if one["name"] == pair["name"])
        assert theirs["figures"].items() <= ours["figures"].items()


def test_decisions_are_compared_where_all_have_a_threshold(make_table: Make) -> None:
    them = candidates(make_table)
    found = compare_all(them, resamples=80)
    strong = them[1]
    fake = strong.table.strings("label") == "fake"
    direct = decision_rates(strong.table.values("rmse") > 0.5, fake, np.ones((1, len(fake))))
    assert found["results"][1]["figures"]["accuracy"]["value"] == pytest.approx(direct["accuracy"][0])
    assert found["pairs"][0]["differences"]["accuracy"]["verdict"] == "worse"
    without = [*them[:2], Candidate(name="bytes", table=them[2].table, score="bytes")]
    assert "accuracy" not in compare_all(without, resamples=20)["pairs"][0]["differences"]


def test_a_threshold_is_strict_where_it_says_so(make_table: Make) -> None:
    table = make_table()
    ties = replaced(table, "rmse", (table.strings("label") == "fake").astype(float))
    one = Threshold(name="t", score="rmse", value=1.0, kind="thesis", chosen_on="the test")
    pair = [
        Candidate(name=str(strict), table=ties, score="rmse", threshold=one, strict=strict)
        for strict in (False, True)
    ]
    accuracies = [one["figures"]["accuracy"]["value"] for one in compare_all(pair, resamples=0)["results"]]
    assert accuracies == [0.5, 1.0]
