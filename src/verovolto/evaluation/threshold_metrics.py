"""What a threshold does: counts of the four outcomes and the rates made of them, under many weightings."""

from __future__ import annotations

from typing import Literal

import numpy as np

from verovolto.evaluation.ranking_metrics import divide

Positive = Literal["fake", "real"]


def outcome_weights(flags: np.ndarray, fake: np.ndarray, weights: np.ndarray) -> dict[str, np.ndarray]:
    """Summed weights `[R]` of the four outcomes, positive = fake: `tp` is a fake that was flagged.

    `flags`, `fake`: boolean `[n]`; `weights`: `[R, n]`.
    """
    return {
        "tp": weights @ (flags & fake).astype(np.float64),
        "fp": weights @ (flags & ~fake).astype(np.float64),
        "tn": weights @ (~flags & ~fake).astype(np.float64),
        "fn": weights @ (~flags & fake).astype(np.float64),
    }


def decision_rates(flags: np.ndarray, fake: np.ndarray, weights: np.ndarray) -> dict[str, np.ndarray]:
    """Rates `[R]` of a decision; NaN where undefined (for example precision when nothing is flagged).

    `false_alarm_rate`: share of reals flagged; `missed_fakes`: share of fakes not flagged; precision, recall
    and F1 of each class; `balanced_accuracy`: mean of the two recalls; `accuracy`.
    """
    o = outcome_weights(flags, fake, weights)
    tp, fp, tn, fn = o["tp"], o["fp"], o["tn"], o["fn"]
    recall_fake, recall_real = divide(tp, tp + fn), divide(tn, tn + fp)
    return {
        "false_alarm_rate": divide(fp, tn + fp),
        "missed_fakes": divide(fn, tp + fn),
        "precision_fake": divide(tp, tp + fp),
        "recall_fake": recall_fake,
        "f1_fake": divide(2 * tp, 2 * tp + fp + fn),
        "precision_real": divide(tn, tn + fn),
        "recall_real": recall_real,
        "f1_real": divide(2 * tn, 2 * tn + fp + fn),
        "balanced_accuracy": (recall_fake + recall_real) / 2,
        "accuracy": divide(tp + tn, tp + fp + tn + fn),
    }


def counts(flags: np.ndarray, fake: np.ndarray, positive: Positive = "fake") -> dict[str, int]:
    """The four outcomes as counts. With `positive="real"` (as the thesis), `tp` is a real face let pass."""
    o = {name: round(float(value[0])) for name, value in outcome_weights(flags, fake, _ones(fake)).items()}
    if positive == "fake":
        return o
    return {"tp": o["tn"], "fp": o["fn"], "tn": o["tp"], "fn": o["fp"]}


def _ones(fake: np.ndarray) -> np.ndarray:
    return np.ones((1, len(fake)))
