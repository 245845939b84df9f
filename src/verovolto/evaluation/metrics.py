"""Metrics of a ranking and of a threshold, for many weightings of the same faces at once.

A bootstrap resample is a weight on every face, so a metric with an interval is one metric under a thousand
weightings. The faces are sorted once, fakes and reals apart; each weighting then costs a running sum of either.
Equal scores are flagged together, whatever their order. Positive is fake, and higher scores mean more likely fake.

Undefined figures (a class without weight) are NaN.

>>> ranking = Ranking.of([0.1, 0.4, 0.35, 0.8], [False, False, True, True])
>>> curve = curves(ranking, np.ones((1, 4)))  # one weighting: every face counts once
>>> auroc(curve), average_precision(curve).round(3), equal_error_rate(curve)
(array([0.75]), array([0.833]), array([0.5]))
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

Positive = Literal["fake", "real"]
TPR = 0.95
# Sums of whole-number weights are exact; fractions of them are compared within this.
_SLACK = 1e-12
_LEAST = np.finfo(np.float64).tiny


@dataclass(frozen=True, kw_only=True)
class Order:
    """The faces of one class in order of falling score, and where they stand in both classes, `[m]` each.

    Attributes:
        faces: their positions; a slice where they lie so, which is faster.
        own: how many of their own class score at least as high; None where no two score alike: 1 to m.
        own_above: how many of their own class score higher; None likewise: 0 to m - 1.
        other: how many of the other class score at least as high.
        other_above: how many of the other class score higher; None where no two of both score alike: as `other`.
    """

    faces: np.ndarray | slice
    own: np.ndarray | None
    own_above: np.ndarray | None
    other: np.ndarray
    other_above: np.ndarray | None

    @staticmethod
    def of(scores: np.ndarray, member: np.ndarray, other: np.ndarray) -> Order:
        """Order the faces with `scores` `[n]` that are `member` `[n]` among the scores `[m']` of the other class."""
        faces = np.flatnonzero(member)
        faces = faces[np.argsort(-scores[faces], kind="stable")]
        own, other = -scores[faces], np.sort(-other)
        own_here, own_above = (np.searchsorted(own, own, side) for side in ("right", "left"))
        here, above = (np.searchsorted(other, own, side) for side in ("right", "left"))
        alike, tied = bool((own_here - own_above > 1).any()), bool((here > above).any())
        first = int(faces[0]) if len(faces) else 0
        straight = np.array_equal(faces, np.arange(first, first + len(faces)))
        return Order(
            faces=slice(first, first + len(faces)) if straight else faces,
            own=own_here if alike else None,
            own_above=own_above if alike else None,
            other=here,
            other_above=above if tied else None,
        )


@dataclass(frozen=True, kw_only=True)
class Ranking:
    """Fakes and reals in order of falling score, ready for weightings.

    Attributes:
        fakes: the order of the fakes.
        reals: that of the reals.
        steps: `[2, g + 1]`, how many fakes and how many reals are flagged, first above all of the g distinct scores,
            then at each.
    """

    fakes: Order
    reals: Order
    steps: np.ndarray

    @staticmethod
    def of(scores: ArrayLike, fake: ArrayLike) -> Ranking:
        """Sort `scores` `[n]` (finite or infinite, never NaN) with their labels `fake` `[n]` boolean."""
        scores, fake = np.asarray(scores, dtype=np.float64), np.asarray(fake, dtype=bool)
        classes = scores[fake], scores[~fake]
        distinct = np.unique(-scores)
        steps = [np.append(0, np.searchsorted(np.sort(-of), distinct, "right")) for of in classes]
        return Ranking(
            fakes=Order.of(scores, fake, classes[1]),
            reals=Order.of(scores, ~fake, classes[0]),
            steps=np.stack(steps),
        )


@dataclass(frozen=True, kw_only=True)
class Side:
    """One class along the curve: under R weightings, what is flagged at the score of each of its m faces.

    Attributes:
        order: the faces.
        weights: float64 `[R, m]`, theirs.
        sums: `[R, m + 1]`, summed weight of the first 0 to m of them.
        others: `[R, m' + 1]`, likewise of the other class.
    """

    order: Order
    weights: np.ndarray
    sums: np.ndarray
    others: np.ndarray

    @cached_property
    def own(self) -> np.ndarray:
        """Summed weight of the own class that scores at least as high, `[R, m]`."""
        return self.sums[:, 1:] if self.order.own is None else self.sums.take(self.order.own, axis=1)

    @cached_property
    def own_above(self) -> np.ndarray:
        """Summed weight of the own class that scores higher, `[R, m]`."""
        at = self.order.own_above
        return self.sums[:, :-1] if at is None else self.sums.take(at, axis=1)

    @cached_property
    def other(self) -> np.ndarray:
        """Summed weight of the other class that scores at least as high, `[R, m]`."""
        return self.others.take(self.order.other, axis=1)

    @cached_property
    def other_above(self) -> np.ndarray:
        """Summed weight of the other class that scores higher, `[R, m]`."""
        at = self.order.other_above
        return self.other if at is None else self.others.take(at, axis=1)


@dataclass(frozen=True, kw_only=True)
class Curves:
    """The ROC curves of R weightings: flag iff score >= threshold.

    Attributes:
        fakes: what is flagged at the score of each fake.
        reals: what is flagged at the score of each real face.
        steps: as in `Ranking`.
    """

    fakes: Side
    reals: Side
    steps: np.ndarray

    @property
    def positives(self) -> np.ndarray:
        """Summed weight of all fakes, `[R]`."""
        return np.asarray(self.fakes.sums[:, -1])

    @property
    def negatives(self) -> np.ndarray:
        """Summed weight of all reals, `[R]`."""
        return np.asarray(self.reals.sums[:, -1])

    def rates(self, at: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Shares `[R]` of the fakes and of the reals flagged, at a place `[R]` of `steps` for each weighting."""
        row = np.arange(len(at))
        tp, fp = (
            side.sums[row, step[at]] for side, step in zip((self.fakes, self.reals), self.steps, strict=True)
        )
        return divide(tp, self.positives), divide(fp, self.negatives)

    def first(self, reached: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> np.ndarray:
        """The first place `[R]` of `steps` from which on `reached(tpr, fpr)` holds; the last where it never does."""
        low = np.zeros(len(self.positives), dtype=np.int64)
        high = np.full_like(low, self.steps.shape[1] - 1)
        for _ in range(int(self.steps.shape[1] - 1).bit_length()):
            middle = (low + high) // 2
            yes = reached(*self.rates(middle))
            low, high = np.where(yes, low, np.minimum(middle + 1, high)), np.where(yes, middle, high)
        return high


def curves(ranking: Ranking, weights: np.ndarray) -> Curves:
    """What is flagged under each row of `weights` `[R, n]` (not negative)."""
    of_fakes, of_reals = (weights[:, order.faces] for order in (ranking.fakes, ranking.reals))
    fakes, reals = _running(of_fakes), _running(of_reals)
    return Curves(
        fakes=Side(order=ranking.fakes, weights=of_fakes, sums=fakes, others=reals),
        reals=Side(order=ranking.reals, weights=of_reals, sums=reals, others=fakes),
        steps=ranking.steps,
    )


def _running(weights: np.ndarray) -> np.ndarray:
    """Running sums of weights `[R, m]` from 0 on, `[R, m + 1]`."""
    sums = np.zeros((len(weights), weights.shape[1] + 1))
    np.cumsum(weights, axis=1, out=sums[:, 1:])
    return sums


def auroc(curve: Curves) -> np.ndarray:
    r"""Area under the ROC curve `[R]`, in [0, 1].

    .. math:: P(s_{fake} > s_{real}) + \tfrac{1}{2} P(s_{fake} = s_{real})

    Always in the declared direction: below 0.5 the reals score higher. The Mann-Whitney statistic (Hanley & McNeil,
    Radiology 143, 1982).
    """
    side = curve.fakes
    lost = np.einsum("rm,rm->r", side.weights, side.other)
    if side.order.other_above is not None:
        lost = (lost + np.einsum("rm,rm->r", side.weights, side.other_above)) / 2
    whole = curve.positives * curve.negatives
    return divide(whole - lost, whole)


def average_precision(curve: Curves) -> np.ndarray:
    r"""Average precision `[R]` of the fakes.

    .. math:: \sum_t P_t (R_t - R_{t-1})

    with precision P and recall R at each distinct score t, from the highest down: the mean over the fakes of the
    precision at their scores. No interpolation (as scikit-learn's `average_precision_score`). Its floor is the share
    of positives.
    """
    side = curve.fakes
    return _mean_precision(side, side.own, side.other)


def average_precision_of_reals(curve: Curves) -> np.ndarray:
    """Average precision `[R]` of the reals under the negated score."""
    side = curve.reals
    below = (side.sums[:, -1:] - side.own_above, side.others[:, -1:] - side.other_above)
    return _mean_precision(side, *below)


def _mean_precision(side: Side, right: np.ndarray, wrong: np.ndarray) -> np.ndarray:
    """The weighted mean over the faces of one class of `right / (right + wrong)`, `[R, m]` each."""
    flagged = right + wrong
    np.maximum(flagged, _LEAST, out=flagged)
    np.divide(right, flagged, out=flagged)
    return divide(np.einsum("rm,rm->r", side.weights, flagged), side.sums[:, -1])


def equal_error_rate(curve: Curves) -> np.ndarray:
    """Rate `[R]` where the ROC curve, its points joined by lines, meets false-alarm rate = share missed."""
    at = curve.first(lambda tpr, fpr: fpr + tpr - 1 >= -_SLACK)
    (tpr, fpr), (tpr_before, fpr_before) = curve.rates(at), curve.rates(np.maximum(at - 1, 0))
    low, high = fpr_before + tpr_before - 1, fpr + tpr - 1  # rises from -1 to 1
    share = np.clip(np.nan_to_num(divide(-low, high - low)), 0.0, 1.0)
    return np.asarray(fpr_before + share * (fpr - fpr_before))


def fpr_at_tpr(curve: Curves, tpr: float = TPR) -> np.ndarray:
    """Lowest false-alarm rate `[R]` at which at least the share `tpr` of fakes is flagged."""
    found, fpr = curve.rates(curve.first(lambda reached, _: reached >= tpr - _SLACK))
    return np.where(np.isnan(found), np.nan, fpr)


def kolmogorov_smirnov(curve: Curves) -> np.ndarray:
    r"""Largest distance `[R]` between the cumulative distributions of the classes; it has no direction.

    .. math:: \sup_t |F_{fake}(t) - F_{real}(t)|

    Where fakes lead most the last score is one of a fake, and where reals do, one of a real face.
    """
    leads = [
        (side.own * side.others[:, -1:] - side.other * side.sums[:, -1:]).max(axis=1, initial=0.0)
        for side in (curve.fakes, curve.reals)
    ]
    return divide(np.maximum(*leads), curve.positives * curve.negatives)


RANKING_METRICS: dict[str, Callable[[Curves], np.ndarray]] = {
    "auroc": auroc,
    "ap_fake": average_precision,
    "ap_real": average_precision_of_reals,
    "eer": equal_error_rate,
    "fpr_at_95_tpr": fpr_at_tpr,
    "ks": kolmogorov_smirnov,
}
"""Metrics of a ranking."""


def ranking_statistics(scores: np.ndarray, fake: np.ndarray) -> Callable[[np.ndarray], dict[str, np.ndarray]]:
    """All metrics of a ranking, of scores `[n]` and labels `[n]`, as a function of weights `[R, n]`.

    Each metric is `[R]`. `ap_real` is the average precision of the real faces under the negated score. Fakes that come
    first and then the reals, both of falling score, cost less.
    """
    ranking = Ranking.of(scores, fake)

    def statistics(weights: np.ndarray) -> dict[str, np.ndarray]:
        curve = curves(ranking, weights)
        return {name: metric(curve) for name, metric in RANKING_METRICS.items()}

    return statistics


def divide(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Divide a by b, without warnings; NaN where b is 0."""
    with np.errstate(invalid="ignore"):
        return np.asarray(a / np.where(b == 0, np.nan, b))


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
