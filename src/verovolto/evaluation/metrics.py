"""Metrics of a ranking and of a threshold, for many weightings of the same faces at once.

A bootstrap resample is a weight on every face, so a metric with an interval is one metric under a thousand
weightings. The faces are sorted once; each weighting then costs one cumulative sum. Equal scores form one
step of the curve, whatever their order. Positive is fake, and higher scores mean more likely fake.

Undefined figures (a class without weight) are NaN.

>>> ranking = Ranking.of([0.1, 0.4, 0.35, 0.8], [False, False, True, True])
>>> curve = curves(ranking, np.ones((1, 4)))  # one weighting: every face counts once
>>> auroc(curve), average_precision(curve).round(3), equal_error_rate(curve)
(array([0.75]), array([0.833]), array([0.5]))
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

Positive = Literal["fake", "real"]
TPR = 0.95
# Cumulative sums of whole-number weights are exact; fractions of them are compared within this.
_SLACK = 1e-12


@dataclass(frozen=True, kw_only=True)
class Ranking:
    """Faces in order of falling score, ready for weightings.

    Attributes:
        order: `[n]`, sorts the faces.
        ends: `[g]`, last place (in that order) of each of the g distinct scores.
        thresholds: `[g]`, those scores.
        fake: Boolean `[n]`, in the given order of faces.
    """

    order: np.ndarray
    ends: np.ndarray
    thresholds: np.ndarray
    fake: np.ndarray

    @staticmethod
    def of(scores: ArrayLike, fake: ArrayLike) -> Ranking:
        """Sort `scores` `[n]` (finite or infinite, never NaN) with their labels `fake` `[n]` boolean."""
        scores = np.asarray(scores, dtype=np.float64)
        fake = np.asarray(fake, dtype=bool)
        order = np.argsort(-scores, kind="stable")
        ranked = scores[order]
        ends = np.flatnonzero(np.append(ranked[1:] != ranked[:-1], True)) if len(ranked) else order
        return Ranking(order=order, ends=ends, thresholds=ranked[ends], fake=fake)


@dataclass(frozen=True, kw_only=True)
class Curves:
    """True and false positives of R weightings at each of g distinct scores: flag iff score >= threshold.

    Attributes:
        tp: float64 `[R, g]`, summed weight of the fakes flagged.
        fp: float64 `[R, g]`, summed weight of the reals flagged.
    """

    tp: np.ndarray
    fp: np.ndarray

    @property
    def positives(self) -> np.ndarray:
        """Summed weight of the fakes `[R, 1]`."""
        return self.tp[:, -1:]

    @property
    def negatives(self) -> np.ndarray:
        """Summed weight of the reals `[R, 1]`."""
        return self.fp[:, -1:]

    @property
    def tpr(self) -> np.ndarray:
        """Share of fakes flagged `[R, g]`."""
        return divide(self.tp, self.positives)

    @property
    def fpr(self) -> np.ndarray:
        """Share of reals flagged `[R, g]`."""
        return divide(self.fp, self.negatives)


def curves(ranking: Ranking, weights: np.ndarray) -> Curves:
    """ROC counts under each row of `weights` `[R, n]` (not negative)."""
    ranked = weights[:, ranking.order]
    fake = ranking.fake[ranking.order]
    tp = np.cumsum(ranked * fake, axis=1)[:, ranking.ends]
    fp = np.cumsum(ranked * ~fake, axis=1)[:, ranking.ends]
    return Curves(tp=tp, fp=fp)


def auroc(curve: Curves) -> np.ndarray:
    r"""Area under the ROC curve `[R]`, in [0, 1].

    .. math:: P(s_{fake} > s_{real}) + \tfrac{1}{2} P(s_{fake} = s_{real})

    Always in the declared direction: below 0.5 the reals score higher. Trapezoids over the distinct scores,
    which is the Mann-Whitney statistic (Hanley & McNeil, Radiology 143, 1982).
    """
    tp = _from_zero(curve.tp)
    area = (np.diff(_from_zero(curve.fp)) * (tp[:, 1:] + tp[:, :-1]) / 2).sum(axis=1)
    return divide(area, (curve.positives * curve.negatives)[:, 0])


def average_precision(curve: Curves) -> np.ndarray:
    """Average precision `[R]` of the positive class: sum of precision times the step in recall.

    No interpolation (as scikit-learn's `average_precision_score`). Its floor is the share of positives.
    """
    precision = np.nan_to_num(divide(curve.tp, curve.tp + curve.fp))
    gained = np.diff(_from_zero(curve.tp))
    return divide((gained * precision).sum(axis=1), curve.positives[:, 0])


def equal_error_rate(curve: Curves) -> np.ndarray:
    """Rate `[R]` where the ROC curve, its points joined by lines, meets false-alarm rate = share missed."""
    fpr, tpr = _from_zero(curve.fpr), _from_zero(curve.tpr)
    gap = fpr + tpr - 1  # rises from -1 to 1
    after = np.argmax(gap >= -_SLACK, axis=1)[:, None]
    before = np.maximum(after - 1, 0)
    low, high = np.take_along_axis(gap, before, 1), np.take_along_axis(gap, after, 1)
    share = np.clip(np.nan_to_num(divide(-low, high - low)), 0.0, 1.0)
    start, stop = np.take_along_axis(fpr, before, 1), np.take_along_axis(fpr, after, 1)
    return np.asarray((start + share * (stop - start))[:, 0] + 0.0 * gap[:, -1])


def fpr_at_tpr(curve: Curves, tpr: float = TPR) -> np.ndarray:
    """Lowest false-alarm rate `[R]` at which at least the share `tpr` of fakes is flagged."""
    reached = np.argmax(curve.tp >= (tpr - _SLACK) * curve.positives, axis=1)[:, None]
    return np.asarray(np.take_along_axis(curve.fpr, reached, 1)[:, 0] + 0.0 * curve.tpr[:, -1])


def kolmogorov_smirnov(curve: Curves) -> np.ndarray:
    """Largest distance `[R]` between the cumulative distributions of the classes; it has no direction."""
    return np.asarray(np.abs(curve.tpr - curve.fpr).max(axis=1))


def ranking_statistics(scores: np.ndarray, fake: np.ndarray) -> Callable[[np.ndarray], dict[str, np.ndarray]]:
    """All metrics of a ranking, of scores `[n]` and labels `[n]`, as a function of weights `[R, n]`.

    Each metric is `[R]`. `ap_real` is the average precision of the real faces under the negated score.
    """
    forward, backward = Ranking.of(scores, fake), Ranking.of(-scores, ~fake)

    def statistics(weights: np.ndarray) -> dict[str, np.ndarray]:
        curve = curves(forward, weights)
        return {
            "auroc": auroc(curve),
            "ap_fake": average_precision(curve),
            "ap_real": average_precision(curves(backward, weights)),
            "eer": equal_error_rate(curve),
            "fpr_at_95_tpr": fpr_at_tpr(curve),
            "ks": kolmogorov_smirnov(curve),
        }

    return statistics


def _from_zero(steps: np.ndarray) -> np.ndarray:
    return np.concatenate([np.zeros_like(steps[:, :1]), steps], axis=1)


def divide(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Divide a by b, without warnings; NaN where b is 0."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.where(b == 0, np.nan, a / np.where(b == 0, 1.0, b)))


def outcome_weights(flags: np.ndarray, fake: np.ndarray, weights: np.ndarray) -> dict[str, np.ndarray]:
    """Summed weights `[R]` of the four outcomes of flags `[n]`, from labels `[n]` and weights `[R, n]`; `tp`: fake."""
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
    """The four outcomes as counts. With `positive="real"` (as the thesis), `tp` is a real face that passes.

    >>> flags, fake = np.array([True, False, True]), np.array([True, True, False])
    >>> counts(flags, fake)
    {'tp': 1, 'fp': 1, 'tn': 0, 'fn': 1}
    """
    outcomes = outcome_weights(flags, fake, np.ones((1, len(fake))))
    o = {name: round(float(value[0])) for name, value in outcomes.items()}
    if positive == "fake":
        return o
    return {"tp": o["tn"], "fp": o["fn"], "tn": o["tp"], "fn": o["fp"]}
