"""Metrics of a ranking and of a threshold, for many weightings of the same faces at once.

A bootstrap resample is a weight on every face, so a metric with an interval is one metric under a thousand
weightings. The faces are sorted once; each weighting then costs two cumulative sums. Equal scores form one
step of the curve, whatever their order. Positive is fake, and higher scores mean more likely fake.

Undefined figures (a class without weight) are NaN.

>>> ranking = Ranking.of([0.1, 0.4, 0.35, 0.8], [False, False, True, True])
>>> curve = curves(ranking, np.ones((1, 4)))  # one weighting: every face counts once
>>> auroc(curve), average_precision(curve).round(3), equal_error_rate(curve)
(array([0.75]), array([0.833]), array([0.5]))
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

Positive = Literal["fake", "real"]
TPR = 0.95
# Cumulative sums of whole-number weights are exact; fractions of them are compared within this.
_SLACK = 1e-12
_LEAST = np.finfo(np.float64).tiny
STRETCH = 1 << 16
"""Weights that are worked on at a time: half a megabyte, of which a core's cache holds several."""


@dataclass(frozen=True, kw_only=True)
class Ranking:
    """Faces in order of falling score, ready for weightings.

    Attributes:
        order: `[n]`, sorts the faces; None where they are sorted.
        edges: `[g + 1]`, first place (in that order) of each of the g distinct scores, and n.
        thresholds: `[g]`, those scores.
        fakes: float64 `[n]` in that order, 1 for a fake and 0 for a real face.
        reals: float64 `[n]`, the opposite.
    """

    order: np.ndarray | None
    edges: np.ndarray
    thresholds: np.ndarray
    fakes: np.ndarray
    reals: np.ndarray

    @staticmethod
    def of(scores: ArrayLike, fake: ArrayLike) -> Ranking:
        """Sort `scores` `[n]` (finite or infinite, never NaN) with their labels `fake` `[n]` boolean."""
        scores = np.asarray(scores, dtype=np.float64)
        order = np.argsort(-scores, kind="stable")
        ranked, fakes = scores[order], np.asarray(fake, dtype=bool)[order]
        starts = np.flatnonzero(np.append(True, ranked[1:] != ranked[:-1])) if len(ranked) else order
        return Ranking(
            order=None if np.array_equal(order, np.arange(len(order))) else order,
            edges=np.append(starts, len(ranked)),
            thresholds=ranked[starts],
            fakes=fakes.astype(np.float64),
            reals=(~fakes).astype(np.float64),
        )

    def cut(self, size: int) -> Iterator[tuple[slice, np.ndarray | None]]:
        """Pieces of about `size` faces, equal scores together.

        Each is the places of its faces, and the edges of its scores among them, None where all scores differ.
        """
        distinct = len(self.thresholds)
        inner = np.unique(np.searchsorted(self.edges, np.arange(size, self.edges[-1], size)))
        for first, last in pairwise([0, *inner[inner < distinct], distinct]):
            places = slice(self.edges[first], self.edges[last])
            tied = places.stop - places.start > last - first
            yield places, self.edges[first : last + 1] - places.start if tied else None


@dataclass(frozen=True, kw_only=True)
class Curves:
    """True and false positives of R weightings along g distinct scores: flag iff score >= threshold.

    Attributes:
        tp: float64 `[R, g + 1]`, summed weight of the fakes flagged: first above all of these scores, then at each.
        fp: float64 `[R, g + 1]`, likewise of the reals.
        positives: `[R, 1]`, summed weight of all fakes.
        negatives: `[R, 1]`, summed weight of all reals.
    """

    tp: np.ndarray
    fp: np.ndarray
    positives: np.ndarray
    negatives: np.ndarray

    @property
    def tpr(self) -> np.ndarray:
        """Share of fakes flagged `[R, g + 1]`."""
        return divide(self.tp, self.positives)

    @property
    def fpr(self) -> np.ndarray:
        """Share of reals flagged `[R, g + 1]`."""
        return divide(self.fp, self.negatives)

    def of_reals(self) -> Curves:
        """The same with real as positive, flagged by low scores: from the other end, what this one leaves over."""
        return Curves(
            tp=(self.negatives - self.fp)[:, ::-1],
            fp=(self.positives - self.tp)[:, ::-1],
            positives=self.negatives,
            negatives=self.positives,
        )

    def at(self, place: np.ndarray) -> Curves:
        """A single point of each weighting, at `place` `[R, 1]`."""
        tp, fp = (np.take_along_axis(of, place, axis=1) for of in (self.tp, self.fp))
        return replace(self, tp=tp, fp=fp)


def curves(ranking: Ranking, weights: np.ndarray) -> Curves:
    """ROC counts under each row of `weights` `[R, n]` (not negative), from nothing flagged to everything."""
    (whole,) = stretches(ranking, weights, size=weights.size + 1)
    return whole


def stretches(ranking: Ranking, weights: np.ndarray, *, size: int = STRETCH) -> Iterator[Curves]:
    """The curves in stretches of about `size` weights, each of which begins where the one before ends.

    So what is computed along them stays in the processor's cache, however many faces there are.
    """
    ranked = weights if ranking.order is None else weights[:, ranking.order]
    classes = (ranking.fakes, ranking.reals)
    positives, negatives = ((ranked @ of)[:, None] for of in classes)
    ends = [np.zeros_like(positives)] * 2
    for places, edges in ranking.cut(max(1, size // max(1, len(weights)))):
        tp, fp = (_running(ranked[:, places] * of[places], at) for of, at in zip(classes, ends, strict=True))
        ends = [tp[:, -1:], fp[:, -1:]]
        if edges is not None:
            tp, fp = tp[:, edges], fp[:, edges]
        yield Curves(tp=tp, fp=fp, positives=positives, negatives=negatives)


def _running(steps: np.ndarray, start: np.ndarray) -> np.ndarray:
    """`start` `[R, 1]`, and the running sums of `steps` `[R, m]` from there on."""
    sums = np.concatenate([start, steps], axis=1)
    return np.cumsum(sums, axis=1, out=sums)


def auroc(curve: Curves) -> np.ndarray:
    r"""Area under the ROC curve `[R]`, in [0, 1]; of a stretch, its part.

    .. math:: P(s_{fake} > s_{real}) + \tfrac{1}{2} P(s_{fake} = s_{real})

    Always in the declared direction: below 0.5 the reals score higher. Trapezoids over the distinct scores,
    which is the Mann-Whitney statistic (Hanley & McNeil, Radiology 143, 1982).
    """
    twice = np.einsum("rg,rg->r", np.diff(curve.fp), curve.tp[:, 1:] + curve.tp[:, :-1])
    return divide(twice / 2, (curve.positives * curve.negatives)[:, 0])


def average_precision(curve: Curves) -> np.ndarray:
    r"""Average precision `[R]` of the positive class; of a stretch, its part.

    .. math:: \sum_t P_t (R_t - R_{t-1})

    with precision P and recall R at each distinct score t, from the highest down.
    No interpolation (as scikit-learn's `average_precision_score`). Its floor is the share of positives.
    """
    flagged = np.maximum(curve.tp[:, 1:] + curve.fp[:, 1:], _LEAST)
    gained = np.diff(curve.tp) * (curve.tp[:, 1:] / flagged)
    return divide(gained.sum(axis=1), curve.positives[:, 0])


def equal_error_rate(curve: Curves) -> np.ndarray:
    """Rate `[R]` where the ROC curve, its points joined by lines, meets false-alarm rate = share missed.

    NaN for a stretch that it does not lie in.
    """
    before, after = _crossing(curve, lambda at: at.fpr + at.tpr - 1 >= -_SLACK)
    low, high = (at.fpr + at.tpr - 1 for at in (before, after))  # rises from -1 to 1
    share = np.clip(np.nan_to_num(divide(-low, high - low)), 0.0, 1.0)
    return np.asarray((before.fpr + share * (after.fpr - before.fpr))[:, 0])


def fpr_at_tpr(curve: Curves, tpr: float = TPR) -> np.ndarray:
    """Lowest false-alarm rate `[R]` at which at least the share `tpr` of fakes is flagged.

    NaN for a stretch that it does not lie in.
    """
    _, after = _crossing(curve, lambda at: at.tp >= (tpr - _SLACK) * at.positives)
    return after.fpr[:, 0]


def _crossing(curve: Curves, reached: Callable[[Curves], np.ndarray]) -> tuple[Curves, Curves]:
    """The neighbours `[R, 1]` between which a condition begins to hold for good; NaN where it does not."""
    first, last = (
        replace(curve, tp=curve.tp[:, at], fp=curve.fp[:, at]) for at in (slice(1), slice(-1, None))
    )
    inside = ~reached(first) & reached(last)
    if not inside.any():
        nowhere = replace(first, tp=np.full(inside.shape, np.nan), fp=np.full(inside.shape, np.nan))
        return nowhere, nowhere
    place = np.argmax(reached(curve), axis=1)[:, None]
    before, after = (
        replace(at, tp=np.where(inside, at.tp, np.nan), fp=np.where(inside, at.fp, np.nan))
        for at in (curve.at(np.maximum(place - 1, 0)), curve.at(place))
    )
    return before, after


def kolmogorov_smirnov(curve: Curves) -> np.ndarray:
    r"""Largest distance `[R]` between the cumulative distributions of the classes; it has no direction.

    .. math:: \sup_t |F_{fake}(t) - F_{real}(t)|
    """
    apart = curve.tp * curve.negatives - curve.fp * curve.positives
    return divide(
        np.maximum(apart.max(axis=1), -apart.min(axis=1)), (curve.positives * curve.negatives)[:, 0]
    )


RANKING_METRICS: dict[str, tuple[Callable[[Curves], np.ndarray], np.ufunc]] = {
    "auroc": (auroc, np.add),
    "ap_fake": (average_precision, np.add),
    "ap_real": (lambda curve: average_precision(curve.of_reals()), np.add),
    "eer": (equal_error_rate, np.fmax),
    "fpr_at_95_tpr": (fpr_at_tpr, np.fmax),
    "ks": (kolmogorov_smirnov, np.maximum),
}
"""Metrics of a ranking, and how those of stretches are put together."""


def ranking_statistics(scores: np.ndarray, fake: np.ndarray) -> Callable[[np.ndarray], dict[str, np.ndarray]]:
    """All metrics of a ranking, of scores `[n]` and labels `[n]`, as a function of weights `[R, n]`.

    Each metric is `[R]`. `ap_real` is the average precision of the real faces under the negated score. Scores that
    fall already cost less.
    """
    ranking = Ranking.of(scores, fake)

    def statistics(weights: np.ndarray) -> dict[str, np.ndarray]:
        figures: dict[str, np.ndarray] = {}
        for curve in stretches(ranking, weights):
            for name, (metric, together) in RANKING_METRICS.items():
                part = metric(curve)
                figures[name] = together(figures[name], part) if name in figures else part
        return figures

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
