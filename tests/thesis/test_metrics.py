"""The thesis's thresholds and tables, against its own published scores and against counting by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow.csv as pacsv
import pytest
from hypothesis import given
from hypothesis import strategies as st

from verovolto.calibration.thresholds import Threshold
from verovolto.core.errors import DataError
from verovolto.evaluation.bootstrap import Resamples, draw_resamples
from verovolto.thesis.ablation import of_rankings, of_thresholds, orientation
from verovolto.thesis.metrics import (
    PUBLISHED,
    area_under_pr,
    chosen_on_reals,
    chosen_on_test,
    evaluate_threshold,
    largest_f1,
    pooled,
)


@pytest.fixture(scope="module")
def published() -> tuple[np.ndarray, np.ndarray]:
    """RMSE and labels of the 500 published scores."""
    table = pacsv.read_csv(Path(__file__).parents[1] / "evaluation" / "thesis_scores.csv")
    fake = np.array(table["label"].to_pylist()) == "fake"
    return np.sqrt(table["mse"].to_numpy()), fake


def sample(fake: np.ndarray, *, resamples: int = 200) -> Resamples:
    clusters = np.array([f"c{i // 5}" for i in range(len(fake))])
    return draw_resamples(clusters, fake, kind="identity", resamples=resamples, seed=0)


def test_the_published_scores_give_the_published_counts(published: tuple[np.ndarray, np.ndarray]) -> None:
    values, fake = published
    threshold = pooled(values, score="rmse")
    row = evaluate_threshold(values, fake, threshold, sample(fake), strict=True)
    assert threshold.value == pytest.approx(0.354, abs=5e-4) and threshold.kind == "thesis"
    assert row["counts"] == {"tp": 207, "fp": 193, "tn": 57, "fn": 43}
    theirs = next(one for one in PUBLISHED if one.model == "resnet-ocvae1")
    assert row["recall"]["value"] == pytest.approx(theirs.recall, abs=5e-4)
    assert row["accuracy"]["value"] == pytest.approx(theirs.accuracy, abs=5e-4)
    # 207 / 400; the thesis prints 207 / 399.
    assert row["precision"]["value"] == pytest.approx(0.5175)
    assert area_under_pr(values, fake) == pytest.approx(0.6045, abs=5e-5)


@pytest.mark.parametrize(
    ("model", "real", "called_real"), [("resnet-ocvae1", 207, 400), ("resnet-ocvae2", 241, 400)]
)
def test_published_precisions_are_off_by_one(model: str, real: int, called_real: int) -> None:
    """Recall and accuracy of 250 + 250 frames give the counts; the precision beside them is of one frame less."""
    theirs = next(one for one in PUBLISHED if one.model == model and one.table == "1")
    assert theirs.recall is not None and theirs.accuracy is not None and theirs.precision is not None
    assert round(theirs.recall * 250) == real
    accepted = 2 * real + 250 - round(theirs.accuracy * 500)
    assert accepted == called_real
    assert theirs.precision == pytest.approx(real / (accepted - 1), abs=5e-4)
    assert theirs.precision != pytest.approx(real / accepted, abs=5e-4)


def test_pooling_alone_bounds_the_accuracy(published: tuple[np.ndarray, np.ndarray]) -> None:
    _, fake = published
    perfect = fake + np.linspace(0, 0.5, len(fake))
    row = evaluate_threshold(perfect, fake, pooled(perfect, score="rmse"), sample(fake), strict=True)
    assert row["accuracy"]["value"] == pytest.approx(0.70)


@given(
    values=st.lists(st.integers(0, 12), min_size=4, max_size=40),
    labels=st.lists(st.booleans(), min_size=40, max_size=40),
)
def test_no_threshold_has_a_larger_f1(values: list[int], labels: list[bool]) -> None:
    scores, fake = np.array(values, dtype=float), np.array(labels[: len(values)])
    if fake.all() or not fake.any():
        with pytest.raises(DataError):
            largest_f1(scores, fake, score="rmse", chosen_on="val")
        return

    def f1(s: float) -> float:
        hits = float((~fake & (scores < s)).sum())
        return 2 * hits / (hits + (fake & (scores < s)).sum() + (~fake).sum())

    chosen = largest_f1(scores, fake, score="rmse", chosen_on="val")
    assert chosen.kind == "supervised" and chosen.value in scores
    assert f1(chosen.value) == max(f1(s) for s in scores)
    assert chosen.value == min(s for s in scores if f1(s) == f1(chosen.value))


def test_epochs_are_chosen_by_what_each_protocol_looks_at() -> None:
    assert chosen_on_test({10: 0.5, 20: 0.7, 30: 0.7}) == 20
    assert chosen_on_reals({10: 4.0, 20: 3.0, 30: 3.0, 40: float("nan")}) == 20
    with pytest.raises(DataError, match="no checkpoint"):
        chosen_on_test({})


def test_a_shortcut_that_changes_nothing_differs_by_nothing(
    published: tuple[np.ndarray, np.ndarray],
) -> None:
    values, fake = published
    found = of_rankings(values, values, fake, sample(fake))
    assert found["auroc"]["difference"] == {"value": 0.0, "low": 0.0, "high": 0.0}
    assert found["auroc"]["published"]["value"] == pytest.approx(0.5925, abs=5e-5)


def test_differences_are_published_minus_honest_and_paired(published: tuple[np.ndarray, np.ndarray]) -> None:
    values, fake = published
    better = values + 0.05 * fake
    found = of_rankings(better, values, fake, sample(fake))["auroc"]
    assert found["difference"]["value"] == pytest.approx(
        found["published"]["value"] - found["honest"]["value"]
    )
    assert found["difference"]["low"] > 0
    # Paired: the difference is known better than either figure.
    assert found["difference"]["high"] - found["difference"]["low"] < (
        found["honest"]["high"] - found["honest"]["low"]
    )
    cut = Threshold(name="x", score="rmse", value=0.2, kind="one-class", chosen_on="reals")
    decided = of_thresholds(values, fake, (pooled(values, score="rmse"), True), (cut, False), sample(fake))
    assert decided["recall_real"]["published"]["value"] == pytest.approx(0.828)
    assert decided["recall_real"]["honest"]["value"] == pytest.approx((values[~fake] <= 0.2).mean())


def test_precision_of_an_alarm_falls_with_the_share_of_fakes(
    published: tuple[np.ndarray, np.ndarray],
) -> None:
    values, fake = published
    told = orientation(
        evaluate_threshold(values, fake, pooled(values, score="rmse"), sample(fake), strict=True)
    )
    assert told["all_called_real"]["f1_real"] == pytest.approx(2 / 3)
    at = told["precision_of_an_alarm"]
    assert at["0.5"] == pytest.approx(57 / (57 + 43))
    assert at["0.01"] == pytest.approx(0.01 * 57 / (0.01 * 57 + 0.99 * 43))
