"""A network against its control: what a paired difference is, and what it may be credited to."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from verovolto.core.errors import DataError
from verovolto.data.score_table import ScoreTable
from verovolto.evaluation.groups import Sample
from verovolto.evaluation.metrics import ranking_statistics
from verovolto.evaluation.paired import NO_DIFFERENCE
from verovolto.thesis.experiments.controls.statistics import NO_INTERVAL, difference, exceeds_seed_variance

PEOPLE = 30


def scored(values: np.ndarray) -> ScoreTable:
    """Scores `[4 x PEOPLE]` of two reals and two fakes of each person, each fake tied to a real."""
    people = np.repeat(np.arange(PEOPLE), 4)
    places = np.arange(len(people))
    columns: dict[str, Any] = {
        "face": [f"f{place}" for place in places],
        "label": np.tile(["real", "real", "fake", "fake"], PEOPLE),
        "target_identity": [f"p{one}" for one in people],
        "pair": [f"p{place // 4}-{place % 2}" for place in places],
        "status": np.full(len(places), "ok"),
    }
    empty = pa.nulls(len(places), pa.string())
    for name in ("method", "dataset", "compression", "source_video", "donor_identity", "split"):
        columns[name] = empty
    columns["rmse"] = pa.array(values.astype(np.float32), mask=np.isnan(values))
    return ScoreTable(table=pa.table(columns), scores=("rmse",), baselines=(), metadata={})


def noise(seed: int, spread: float = 1.0) -> np.ndarray:
    return np.random.default_rng(seed).normal(5.0, spread, 4 * PEOPLE)


FAKE = np.tile([0.0, 0.0, 1.0, 1.0], PEOPLE)
REAL = 1 - FAKE
DRAWN = {"resamples": 200, "seed": 0}


@given(seed=st.integers(0, 1000))
def test_a_difference_is_that_of_the_figures_and_turns_round(seed: int) -> None:
    one, other = scored(noise(seed)), scored(noise(seed + 1) + 0.3 * FAKE)
    there, back = difference(one, other, "rmse", **DRAWN), difference(other, one, "rmse", **DRAWN)
    sample = Sample.of(one, "rmse", **DRAWN)
    ones = np.ones((1, len(FAKE)))
    areas = [ranking_statistics(t.values("rmse"), sample.fake)(ones)["auroc"][0] for t in (one, other)]
    assert there["auroc"]["value"] == pytest.approx(areas[0] - areas[1])
    errors = [t.values("rmse")[~sample.fake].mean() for t in (one, other)]
    assert there["error_real"]["value"] == pytest.approx(errors[0] - errors[1], abs=1e-6)
    turned = {"better": "worse", "worse": "better"}
    assert set(there) == {"auroc", "pairs_ordered", "error_real"}
    for metric, figure in there.items():
        assert figure["value"] == pytest.approx(-back[metric]["value"])
        assert figure["low"] == pytest.approx(-back[metric]["high"])
        assert back[metric]["verdict"] == turned.get(figure["verdict"], figure["verdict"])
        assert (figure["verdict"] == NO_DIFFERENCE) == (figure["low"] <= 0 <= figure["high"])


def test_what_finds_more_fakes_is_better_and_a_larger_error_of_reals_worse() -> None:
    plain, finds, errs = noise(0), noise(0) + 2 * FAKE, noise(0) + 2 * REAL
    found = difference(scored(finds), scored(plain), "rmse", **DRAWN)
    assert found["auroc"]["verdict"] == found["pairs_ordered"]["verdict"] == "better"
    assert found["error_real"]["value"] == 0 and found["error_real"]["verdict"] == NO_DIFFERENCE
    found = difference(scored(errs), scored(plain), "rmse", **DRAWN)
    assert found["auroc"]["verdict"] == found["error_real"]["verdict"] == "worse"
    assert found["error_real"]["value"] == pytest.approx(2, abs=1e-5)


def test_faces_that_one_of_them_could_not_score_are_left_out() -> None:
    whole, holes = noise(0), noise(1)
    holes[[0, 7, 50]] = np.nan
    kept = np.isfinite(holes)
    found = difference(scored(whole), scored(holes), "rmse", **DRAWN)
    real = kept & (FAKE == 0)
    assert found["error_real"]["value"] == pytest.approx(whole[real].mean() - holes[real].mean(), abs=1e-6)


def test_without_resamples_nothing_is_called_better() -> None:
    found = difference(scored(noise(0) + 5 * FAKE), scored(noise(0)), "rmse", resamples=0, seed=0)
    assert {figure["verdict"] for figure in found.values()} == {NO_INTERVAL}


def test_other_faces_are_refused() -> None:
    one = scored(noise(0))
    with pytest.raises(DataError, match="different faces"):
        difference(one, one.take(np.arange(4 * PEOPLE)[::-1]), "rmse", **DRAWN)


def test_what_another_seed_makes_is_credited_to_nothing() -> None:
    luck = [{"value": 0.02}, {"value": -0.03}, {"value": None}]
    assert exceeds_seed_variance({"value": 0.031, "verdict": "better"}, luck)
    assert exceeds_seed_variance({"value": -0.031, "verdict": "worse"}, luck)
    assert not exceeds_seed_variance({"value": 0.03, "verdict": "better"}, luck)
    assert not exceeds_seed_variance({"value": 0.5, "verdict": NO_DIFFERENCE}, luck)
    assert not exceeds_seed_variance({"value": 0.5, "verdict": NO_INTERVAL}, [])
    assert exceeds_seed_variance({"value": 0.001, "verdict": "better"}, [])
