from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import balanced_accuracy_score, f1_score, precision_score, recall_score

from verovolto.evaluation.threshold_metrics import counts, decision_rates

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
