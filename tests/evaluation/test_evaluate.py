"""The evaluation of a table of scores, against the thesis's published numbers and against scikit-learn."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import spearmanr
from sklearn.metrics import roc_auc_score

from verovolto.calibration.thresholds import Calibration, one_class_thresholds
from verovolto.core.errors import InputError
from verovolto.data.score_table import ScoreTable, read_scores
from verovolto.evaluation.evaluate import correlations, evaluate_scores, spearman

THESIS = Path(__file__).parent / "thesis_scores.csv"


@pytest.mark.parametrize("strict", [False, True])
def test_the_thesis_s_numbers(strict: bool) -> None:
    scores = read_scores(THESIS, score="rmse")
    result = evaluate_scores(scores, protocol="thesis", positive="real", strict=strict, resamples=200)
    (pooled,) = result["thresholds"]
    assert pooled["value"] == pytest.approx(0.354, abs=5e-4) and pooled["kind"] == "thesis"
    assert {name: pooled[name] for name in ("tp", "fp", "tn", "fn")} == {
        "tp": 207,
        "fp": 193,
        "tn": 57,
        "fn": 43,
    }
    assert pooled["positive"] == "real"
    assert pooled["recall"]["value"] == pytest.approx(0.828)
    assert pooled["accuracy"]["value"] == pytest.approx(0.528)
    assert result["ap_real"]["value"] == pytest.approx(0.6045, abs=5e-5)
    assert result["auroc"]["value"] == pytest.approx(0.5925, abs=5e-5)
    assert result["interval"]["cluster"] == "face" and result["interval"]["clusters"] == 500
    for name in ("auroc", "ap_real", "eer"):
        assert result[name]["low"] < result[name]["value"] < result[name]["high"]


def calibrated(table: ScoreTable) -> tuple[Calibration, list[Any]]:
    real = table.values("rmse")[table.strings("label") == "real"]
    held_out = Calibration.of(real, score="rmse", clusters=15, cluster="identity")
    return held_out, one_class_thresholds(held_out, (0.1, 0.05), chosen_on="val")


def test_a_full_evaluation(make_table: Callable[..., ScoreTable]) -> None:
    held_out, thresholds = calibrated(make_table(seed=1))
    table = make_table()
    result = evaluate_scores(
        table, thresholds=thresholds, calibration={"rmse": held_out}, resamples=200, seed=7
    )
    json.dumps(result, allow_nan=False)
    fake, rmse = table.strings("label") == "fake", table.values("rmse")
    assert result["auroc"]["value"] == pytest.approx(roc_auc_score(fake, rmse))
    assert result["interval"] == {
        "level": 0.95,
        "method": "percentile bootstrap over clusters",
        "cluster": "identity",
        "clusters": 15,
        "resamples": 200,
        "redrawn": 0,
        "seed": 7,
    }
    assert [one["name"] for one in result["thresholds"]] == ["far_0.1", "far_0.05", "p80_reals"]
    at = result["thresholds"][0]
    assert at["fp"] == int((rmse[~fake] > at["value"]).sum()) and at["tp"] == int(
        (rmse[fake] > at["value"]).sum()
    )
    assert at["false_alarm_rate"]["value"] == pytest.approx(at["fp"] / 60)
    assert at["false_alarm_rate"]["low"] <= at["false_alarm_rate"]["value"] <= at["false_alarm_rate"]["high"]
    assert result["pairs"] == 60 and result["pairs_ordered"]["value"] > 0.5
    assert result["other_scores"]["mse"]["auroc"] == result["auroc"], "a monotone score ranks alike"
    assert set(result["baselines"]) == {"bytes"} and result["baselines"]["bytes"]["auroc"]["high"] is not None
    curve = {point["nominal"]: point["realised"]["value"] for point in result["calibration"]["curve"]}
    assert curve[0.1] == pytest.approx(at["false_alarm_rate"]["value"])
    assert 0.01 not in curve and result["calibration"]["refused"] == [
        {"false_alarm": 0.01, "needed": 99, "real_faces": 60}
    ]
    assert result["levels"]["video"] is None and "not known" in result["levels"]["note"]
    assert result["by_method"] == {}


def test_the_seed_decides_the_interval_alone(make_table: Callable[..., ScoreTable]) -> None:
    first, again, other = (evaluate_scores(make_table(), resamples=50, seed=seed) for seed in (1, 1, 2))
    assert first == again
    assert first["auroc"]["value"] == other["auroc"]["value"] and first["auroc"] != other["auroc"]


def test_groups_and_video_level(make_table: Callable[..., ScoreTable]) -> None:
    n = 40
    table = make_table(
        n,
        method=["original"] * n + ["swap"] * (n // 2) + ["reenact"] * (n // 2),
        source_video=[f"v{i // 4}" for i in range(2 * n)],
        compression=(["c23", "c40"] * n),
    )
    result = evaluate_scores(table, resamples=100)
    assert set(result["by_method"]) == {"swap", "reenact"}
    assert result["by_method"]["swap"]["faces"] == {"real": 40, "fake": 20}
    assert set(result["by_compression"]) == {"c23", "c40"}
    assert result["by_compression"]["c23"]["faces"] == {"real": 20, "fake": 20}
    assert result["by_dataset"] == {}
    assert result["levels"]["video"]["faces"] == {"real": 20, "fake": 20}
    assert result["levels"]["video"]["auroc"]["value"] > 0.5
    alone = evaluate_scores(make_table(source_video=[f"v{i}" for i in range(120)]), resamples=20)
    assert alone["levels"]["video"] is None and "coincide" in alone["levels"]["note"]


def test_faces_without_a_score_are_counted_not_scored(make_table: Callable[..., ScoreTable]) -> None:
    statuses = ["ok"] * 120
    statuses[3] = "unreadable"
    result = evaluate_scores(make_table(status=statuses), resamples=20)
    assert result["coverage"]["unreadable"] == 1 and result["faces"] == {"real": 59, "fake": 60}


def test_clusters_of_partly_known_identity_are_named(make_table: Callable[..., ScoreTable]) -> None:
    identities = [None if i % 10 == 0 else f"id{i % 12}" for i in range(120)]
    result = evaluate_scores(make_table(target_identity=identities), resamples=20)
    assert result["interval"]["cluster"] == "identity (face where unknown)"


def test_unknown_scores_are_refused(make_table: Callable[..., ScoreTable]) -> None:
    with pytest.raises(InputError, match="rmse, mse, bytes"):
        evaluate_scores(make_table(), score="elbo")


RNG = np.random.default_rng(0)


@pytest.mark.parametrize("values", [RNG.normal(size=50), RNG.integers(0, 4, 50).astype(float)])
def test_spearman_equals_scipy_s(values: np.ndarray) -> None:
    other = values + RNG.normal(size=50)
    assert spearman(values, other) == pytest.approx(spearmanr(values, other).statistic)
    assert spearman(np.ones(5), np.arange(5.0)) is None
    assert spearman(np.arange(2.0), np.arange(2.0)) is None, "two ranks always agree or disagree"


def test_statistics_that_faces_lack_have_no_correlation(make_table: Callable[..., ScoreTable]) -> None:
    table = make_table()
    assert set(correlations(table, "rmse")) == {"bytes"}
    lost = table.table.set_column(table.table.column_names.index("bytes"), "bytes", [[None, *range(119)]])
    assert correlations(replace(table, table=lost), "rmse") == {}


@pytest.mark.parametrize("protocol", ["sound", "thesis"])
def test_the_pooled_percentile_is_a_matter_of_protocol(
    make_table: Callable[..., ScoreTable], protocol: Any
) -> None:
    result = evaluate_scores(make_table(), protocol=protocol, resamples=20)
    every = [result, *result["other_scores"].values(), *result["baselines"].values()]
    names = [[threshold["name"] for threshold in figures["thresholds"]] for figures in every]
    assert names == [["p80_pooled"] if protocol == "thesis" else []] * 3
