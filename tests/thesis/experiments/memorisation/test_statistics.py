"""The four pairings on drawn scores whose answer is known."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score, roc_curve

from verovolto.thesis.experiments.memorisation.statistics import (
    Scored,
    balanced_accuracy,
    best_threshold,
    evaluate,
    sentence,
)


def training(
    number: int, *, memory: float, detection: float = 0.0, people: int = 40, each: int = 3
) -> Scored:
    """Scores of a network whose errors are smaller by `memory` on known reals, larger by `detection` on fakes."""
    rng = np.random.default_rng(number)
    ids = np.repeat([f"p{person}" for person in range(people)], 2 * each)
    fake = np.tile(np.repeat([False, True], each), people)
    seen = np.repeat(rng.permutation(people) < people // 2, 2 * each)
    values = rng.normal(size=len(ids)) - memory * (seen & ~fake) + detection * fake
    return Scored(values=values, fake=fake, seen=seen, people=ids)


def test_memory_alone_looks_like_detection_for_known_reals_only() -> None:
    found = evaluate([training(n, memory=1.5) for n in range(6)], resamples=200, seed=0)
    auroc = {name: of["auroc"] for name, of in found["pairings"].items()}
    for name in ("unseen-unseen", "unseen-seen"):
        assert auroc[name]["low"] < 0.5 < auroc[name]["high"]
    for name in ("seen-unseen", "seen-seen"):
        assert auroc[name]["low"] > 0.75
    assert found["memorised"]["low"] < 1.5 < found["memorised"]["high"] and found["memorised"]["low"] > 1
    assert found["adds"]["low"] > 0.1 and found["moves"]["low"] > 0.1
    share = found["pairings"]["seen-unseen"]
    assert share["share"]["value"] == pytest.approx((share["accuracy"]["value"] - 0.5) / 0.4)
    assert found["trainings"] == 6 and found["people"] == 40
    assert found["faces"] == dict.fromkeys(("real-seen", "real-unseen", "fake-seen", "fake-unseen"), 60)
    assert "reals of videos trained on have a mean error smaller by 1.4" in sentence("net", found)


def test_without_memory_all_pairings_are_alike() -> None:
    found = evaluate([training(n, memory=0.0, detection=1.0) for n in range(4)], resamples=100, seed=1)
    for of in found["pairings"].values():
        assert of["auroc"]["low"] < 0.76 < of["auroc"]["high"]
    for name in ("adds", "moves"):
        assert found[name]["low"] < 0 < found[name]["high"]


def test_values_are_means_over_the_trainings_and_intervals_widen_with_their_spread() -> None:
    alike = [training(0, memory=1.0)] * 4
    found = evaluate(alike, resamples=100, seed=0)
    one = alike[0]
    rows = (~one.fake & one.seen) | (one.fake & ~one.seen)
    expected = roc_auc_score(one.fake[rows], one.values[rows])
    assert found["pairings"]["seen-unseen"]["auroc"]["value"] == pytest.approx(expected)
    mixed = evaluate([training(0, memory=memory) for memory in (0.0, 0.0, 2.0, 2.0)], resamples=100, seed=0)

    def width(of: dict[str, float]) -> float:
        return of["high"] - of["low"]

    assert width(mixed["memorised"]) > 2 * width(found["memorised"])


def test_one_resample_less_than_needed_gives_no_interval() -> None:
    found = evaluate([training(0, memory=1.0)], resamples=0, seed=0)
    assert found["memorised"]["low"] is None and found["memorised"]["value"] > 0


@given(st.lists(st.integers(0, 6), min_size=4, max_size=30), st.integers(0, 2**16))
@settings(max_examples=60, deadline=None)
def test_the_best_accuracy_is_that_of_the_roc_curve(values: list[int], seed: int) -> None:
    fake = np.random.default_rng(seed).random(len(values)) < 0.5
    fake[:2] = [False, True]
    false, true, _ = roc_curve(fake, values, drop_intermediate=False)
    scores = np.array(values, dtype=float)
    found = balanced_accuracy(scores, fake, best_threshold(scores, fake), np.ones((1, len(values))))
    assert found[0] == pytest.approx(max((true + 1 - false).max() / 2, 0.5))


def test_an_interval_holds_its_value() -> None:
    found = evaluate([training(n, memory=0.5) for n in range(4)], resamples=200, seed=0)
    for of in found["pairings"].values():
        for one in of.values():
            assert one["low"] <= one["value"] <= one["high"]
