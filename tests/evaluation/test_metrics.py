"""Weighted ranking metrics equal scikit-learn's, ties and all."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import (
    average_precision_score,
    balanced_accuracy_score,
    f1_score,
    precision_score,
    recall_score,
    roc_auc_score,
    roc_curve,
)  # fmt: skip

from verovolto.evaluation.metrics import (
    Ranking,
    counts,
    decision_rates,
    in_blocks,
    ranking_statistics,
)


@st.composite
def weighted_samples(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Scores with ties, labels with both classes, three weightings; zero weights happen."""
    n = draw(st.integers(4, 40))
    scores = np.array(draw(st.lists(st.integers(-6, 6), min_size=n, max_size=n)), dtype=np.float64)
    fake = np.array([*draw(st.lists(st.booleans(), min_size=n - 2, max_size=n - 2)), True, False])
    weights = np.array(draw(st.lists(st.integers(0, 4), min_size=3 * n, max_size=3 * n)), dtype=np.float64)
    weights = weights.reshape(3, n)
    weights[:, -2:] += 1  # each class keeps some weight
    return scores, fake, weights


@given(weighted_samples())
def test_equal_to_scikit_learn(sample: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    scores, fake, weights = sample
    ours = ranking_statistics(scores, fake)(weights)
    for i, weight in enumerate(weights):
        assert ours["auroc"][i] == pytest.approx(roc_auc_score(fake, scores, sample_weight=weight))
        assert ours["ap_fake"][i] == pytest.approx(
            average_precision_score(fake, scores, sample_weight=weight)
        )
        assert ours["ap_real"][i] == pytest.approx(
            average_precision_score(~fake, -scores, sample_weight=weight)
        )
        kept = weight > 0
        fpr, tpr, _ = roc_curve(fake[kept], scores[kept], sample_weight=weight[kept], drop_intermediate=False)
        assert ours["fpr_at_95_tpr"][i] == pytest.approx(fpr[np.argmax(tpr >= 0.95 - 1e-12)])
        assert ours["ks"][i] == pytest.approx(np.abs(tpr - fpr).max())


@given(weighted_samples())
def test_whole_weights_are_repetitions(sample: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    scores, fake, weights = sample
    times = weights[0].astype(int)
    weighted = ranking_statistics(scores, fake)(weights[:1])
    repeated = ranking_statistics(np.repeat(scores, times), np.repeat(fake, times))(np.ones((1, times.sum())))
    for name, value in weighted.items():
        assert value[0] == pytest.approx(repeated[name][0]), name


@given(weighted_samples())
def test_the_direction_is_declared_never_chosen(sample: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    scores, fake, weights = sample
    forward, backward = ranking_statistics(scores, fake)(weights), ranking_statistics(-scores, fake)(weights)
    np.testing.assert_allclose(forward["auroc"] + backward["auroc"], 1)
    raised = ranking_statistics(2 * scores + 1, fake)(weights)
    for name, value in forward.items():
        np.testing.assert_allclose(value, raised[name])


@given(weighted_samples(), st.integers(1, 60))
def test_blocks_and_faces_in_their_order_give_what_the_whole_gives(
    sample: tuple[np.ndarray, np.ndarray, np.ndarray], size: int
) -> None:
    scores, fake, weights = sample
    blocks = in_blocks(scores, fake, size)
    assert all(max(scores[after]) < min(scores[before]) for before, after in pairwise(blocks))
    order = np.concatenate(blocks)
    assert sorted(order) == [*range(len(scores))]
    whole = ranking_statistics(scores, fake)(weights)
    in_parts = ranking_statistics(scores, fake, size=size)(weights)
    in_order = ranking_statistics(scores[order], fake[order], size=size)(weights[:, order])
    for name, value in whole.items():
        np.testing.assert_allclose(in_parts[name], value, atol=1e-12, err_msg=name)
        np.testing.assert_array_equal(in_order[name], in_parts[name], err_msg=name)


def test_faces_in_order_are_slices() -> None:
    scores, fake = np.array([0.1, 0.4, 0.35, 0.8]), np.array([False, False, True, True])
    (order,) = in_blocks(scores, fake)
    ranking = Ranking.of(scores[order], fake[order])
    assert (ranking.fakes.faces, ranking.reals.faces) == (slice(0, 2), slice(2, 4))


@given(weighted_samples())
def test_the_equal_error_rate_lies_on_the_curve(sample: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    scores, fake, weights = sample
    for weight, found in zip(weights, ranking_statistics(scores, fake)(weights)["eer"], strict=True):
        kept = weight > 0
        fpr, tpr, _ = roc_curve(fake[kept], scores[kept], sample_weight=weight[kept], drop_intermediate=False)
        gap = fpr + tpr - 1  # rises from -1 to 1, and the curve's points are joined by lines
        at = int(np.argmax(gap >= -1e-12))
        share = -gap[at - 1] / (gap[at] - gap[at - 1])
        assert found == pytest.approx(fpr[at - 1] + share * (fpr[at] - fpr[at - 1]))


def test_a_perfect_score_and_its_opposite() -> None:
    scores, fake = np.arange(10.0), np.arange(10) >= 5
    perfect = {name: value[0] for name, value in ranking_statistics(scores, fake)(np.ones((1, 10))).items()}
    assert perfect == {"auroc": 1, "ap_fake": 1, "ap_real": 1, "eer": 0, "fpr_at_95_tpr": 0, "ks": 1}
    opposite = {name: value[0] for name, value in ranking_statistics(-scores, fake)(np.ones((1, 10))).items()}
    assert (opposite["auroc"], opposite["eer"], opposite["fpr_at_95_tpr"]) == (0, 1, 1)


def test_a_class_without_weight_leaves_the_figures_undefined() -> None:
    undefined = ranking_statistics(np.arange(4.0), np.array([True, True, False, False]))(
        np.array([[1.0, 1, 0, 0]])
    )
    assert {name for name, value in undefined.items() if np.isnan(value[0])} >= {
        "auroc",
        "ap_real",
        "eer",
        "fpr_at_95_tpr",
    }


decisions = st.lists(st.tuples(st.booleans(), st.booleans(), st.integers(1, 4)), min_size=2, max_size=30)


@given(decisions)
def test_rates_equal_scikit_learn(rows: list[tuple[bool, bool, int]]) -> None:
    flags, fake, weight = (
        np.array(column) for column in zip(*rows, (True, True, 1), (False, False, 1), strict=True)
    )
    flags, fake = flags.astype(bool), fake.astype(bool)
    ours = {
        name: float(value[0])
        for name, value in decision_rates(flags, fake, weight[None].astype(float)).items()
    }
    w = {"sample_weight": weight}
    assert ours["precision_fake"] == pytest.approx(precision_score(fake, flags, **w))
    assert ours["precision_real"] == pytest.approx(precision_score(~fake, ~flags, **w))
    assert ours["recall_fake"] == pytest.approx(recall_score(fake, flags, **w))
    assert ours["recall_real"] == pytest.approx(recall_score(~fake, ~flags, **w))
    assert ours["f1_fake"] == pytest.approx(f1_score(fake, flags, **w))
    assert ours["f1_real"] == pytest.approx(f1_score(~fake, ~flags, **w))
    assert ours["balanced_accuracy"] == pytest.approx(balanced_accuracy_score(fake, flags, **w))
    assert ours["false_alarm_rate"] == pytest.approx(1 - ours["recall_real"])
    assert ours["missed_fakes"] == pytest.approx(1 - ours["recall_fake"])


def test_counts_follow_the_positive_class() -> None:
    flags = np.array([True, True, True, False, False, False])
    fake = np.array([True, True, False, False, True, False])
    assert counts(flags, fake) == {"tp": 2, "fp": 1, "tn": 2, "fn": 1}
    flags = np.append(flags, True)
    fake = np.append(fake, False)
    assert counts(flags, fake, "real") == {"tp": 2, "fp": 1, "tn": 2, "fn": 2}


def test_precision_is_undefined_when_nothing_is_flagged() -> None:
    rates = decision_rates(np.array([False, False]), np.array([True, False]), np.ones((1, 2)))
    assert np.isnan(rates["precision_fake"][0]) and rates["f1_fake"][0] == 0
