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
_PARTS = 64  # of what is left of a curve, in a search along it
BLOCK = 1 << 19
"""Faces that are worked on at a time. Larger arrays go back to the system when they are freed, and to get them anew is
half of the time; of many small blocks the interpreter leaves little to a second thread."""


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
    def of(faces: np.ndarray, own: np.ndarray, other: np.ndarray) -> Order:
        """Faces at positions `[m]`, by their negated scores `[m]` and those of the other class; both rise."""
        own_here, own_above = (np.searchsorted(own, own, side) for side in ("right", "left"))
        here, above = (np.searchsorted(other, own, side) for side in ("right", "left"))
        alike, tied = bool((own_here - own_above > 1).any()), bool((here > above).any())
        return Order(
            faces=_straight(faces),
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
        falling = np.argsort(-scores, kind="stable")
        fakes, reals = falling[fake[falling]], falling[~fake[falling]]
        of_fakes, of_reals = -scores[fakes], -scores[reals]
        distinct = np.unique(-scores)
        steps = [np.append(0, np.searchsorted(of, distinct, "right")) for of in (of_fakes, of_reals)]
        return Ranking(
            fakes=Order.of(fakes, of_fakes, of_reals),
            reals=Order.of(reals, of_reals, of_fakes),
            steps=np.stack(steps),
        )


@dataclass(frozen=True, kw_only=True)
class Weighted:
    """The m faces of one class in order of falling score, under R weightings.

    Attributes:
        weights: float64 `[R, m]`.
        sums: `[R, m + 1]`, summed weight of the first 0 to m of them, and of those in the blocks before.
        whole: `[R]`, summed weight of the whole class.
    """

    weights: np.ndarray
    sums: np.ndarray
    whole: np.ndarray

    @staticmethod
    def of(weights: np.ndarray, start: np.ndarray | float, whole: np.ndarray | None) -> Weighted:
        """Sum up; `start` and `whole` as `curves` has them."""
        sums = np.empty((len(weights), weights.shape[1] + 1))
        sums[:, 0] = start
        sums[:, 1:] = weights
        np.cumsum(sums, axis=1, out=sums)
        return Weighted(weights=weights, sums=sums, whole=sums[:, -1] if whole is None else whole)


@dataclass(frozen=True, kw_only=True)
class Side:
    """One class along the curve: what is flagged at the score of each of its faces.

    Attributes:
        order: the faces.
        of: this class.
        against: the other one.
    """

    order: Order
    of: Weighted
    against: Weighted

    @cached_property
    def own(self) -> np.ndarray:
        """Summed weight of the own class that scores at least as high, `[R, m]`."""
        return self.of.sums[:, 1:] if self.order.own is None else self.of.sums.take(self.order.own, axis=1)

    @cached_property
    def own_above(self) -> np.ndarray:
        """Summed weight of the own class that scores higher, `[R, m]`."""
        at = self.order.own_above
        return self.of.sums[:, :-1] if at is None else self.of.sums.take(at, axis=1)

    @cached_property
    def other(self) -> np.ndarray:
        """Summed weight of the other class that scores at least as high, `[R, m]`."""
        return self.against.sums.take(self.order.other, axis=1)

    @cached_property
    def other_above(self) -> np.ndarray:
        """Summed weight of the other class that scores higher, `[R, m]`."""
        at = self.order.other_above
        return self.other if at is None else self.against.sums.take(at, axis=1)


@dataclass(frozen=True, kw_only=True)
class Curves:
    """The ROC curves of R weightings, or a block of them: flag iff score >= threshold.

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
        return self.fakes.of.whole

    @property
    def negatives(self) -> np.ndarray:
        """Summed weight of all reals, `[R]`."""
        return self.reals.of.whole

    def rates(self, at: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Shares `[R, k]` of the fakes and of the reals flagged, at k places `[R, k]` of `steps` for each weighting."""
        row = np.arange(len(at))[:, None]
        tp, fp = (
            side.of.sums[row, step[at]]
            for side, step in zip((self.fakes, self.reals), self.steps, strict=True)
        )
        return divide(tp, self.positives[:, None]), divide(fp, self.negatives[:, None])

    def first(self, reached: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        """The first place `[R, 1]` of `steps` from which on `reached(tpr, fpr)` holds, and whether there is one.

        There is none where it holds all along, either.
        """
        low = np.zeros((len(self.positives), 1), dtype=np.int64)
        high = np.full_like(low, self.steps.shape[1] - 1)
        inside = ~reached(*self.rates(low)) & reached(*self.rates(high))
        if not inside.any():
            return high, inside
        part = np.arange(_PARTS)
        while (high > low).any():  # the last places of so many parts say in which of them it is
            length = (high - low) // _PARTS + 1
            last = np.minimum(low + (part + 1) * length - 1, high)
            within = np.argmax(reached(*self.rates(last)) | (part == _PARTS - 1), axis=1)[:, None]
            low, high = np.minimum(low + within * length, high), np.take_along_axis(last, within, axis=1)
        return high, inside


def curves(
    ranking: Ranking,
    weights: np.ndarray,
    *,
    start: tuple[np.ndarray | float, np.ndarray | float] = (0.0, 0.0),
    whole: tuple[np.ndarray, np.ndarray] | None = None,
) -> Curves:
    """What is flagged under each row of `weights` `[R, n]` (not negative).

    Args:
        ranking: of the faces, or of a block of them.
        weights: theirs.
        start: summed weights `[R]` of the fakes and of the reals that score higher than the block.
        whole: those of all fakes and of all reals; None where the ranking is of all faces.
    """
    fakes, reals = (
        Weighted.of(weights[:, order.faces], first, total)
        for order, first, total in zip(
            (ranking.fakes, ranking.reals), start, whole or (None, None), strict=True
        )
    )
    return Curves(
        fakes=Side(order=ranking.fakes, of=fakes, against=reals),
        reals=Side(order=ranking.reals, of=reals, against=fakes),
        steps=ranking.steps,
    )


def auroc(curve: Curves) -> np.ndarray:
    r"""Area under the ROC curve `[R]`, in [0, 1]; of a block, its part.

    .. math:: P(s_{fake} > s_{real}) + \tfrac{1}{2} P(s_{fake} = s_{real})

    Always in the declared direction: below 0.5 the reals score higher. The Mann-Whitney statistic (Hanley & McNeil,
    Radiology 143, 1982).
    """
    side = curve.fakes
    lost = np.einsum("rm,rm->r", side.of.weights, side.other)
    if side.order.other_above is not None:
        lost = (lost + np.einsum("rm,rm->r", side.of.weights, side.other_above)) / 2
    fakes = side.of.sums[:, -1] - side.of.sums[:, 0]
    return divide(fakes * curve.negatives - lost, curve.positives * curve.negatives)


def average_precision(curve: Curves) -> np.ndarray:
    r"""Average precision `[R]` of the fakes; of a block, its part.

    .. math:: \sum_t P_t (R_t - R_{t-1})

    with precision P and recall R at each distinct score t, from the highest down: the mean over the fakes of the
    precision at their scores. No interpolation (as scikit-learn's `average_precision_score`). Its floor is the share
    of positives.
    """
    side = curve.fakes
    return _mean_precision(side, side.own, side.other)


def average_precision_of_reals(curve: Curves) -> np.ndarray:
    """Average precision `[R]` of the reals under the negated score; of a block, its part."""
    side = curve.reals
    below = (side.of.whole[:, None] - side.own_above, side.against.whole[:, None] - side.other_above)
    return _mean_precision(side, *below)


def _mean_precision(side: Side, right: np.ndarray, wrong: np.ndarray) -> np.ndarray:
    """The weighted mean over one class's faces of `right / (right + wrong)`, `[R, m]` each; of a block, its part."""
    flagged = right + wrong
    np.maximum(flagged, _LEAST, out=flagged)
    np.divide(right, flagged, out=flagged)
    return divide(np.einsum("rm,rm->r", side.of.weights, flagged), side.of.whole)


def equal_error_rate(curve: Curves) -> np.ndarray:
    """Rate `[R]` where the ROC curve, its points joined by lines, meets false-alarm rate = share missed.

    NaN for a block that it does not lie in.
    """
    at, inside = curve.first(lambda tpr, fpr: fpr + tpr - 1 >= -_SLACK)
    (tpr, fpr), (tpr_before, fpr_before) = curve.rates(at), curve.rates(np.maximum(at - 1, 0))
    low, high = fpr_before + tpr_before - 1, fpr + tpr - 1  # rises from -1 to 1
    share = np.clip(np.nan_to_num(divide(-low, high - low)), 0.0, 1.0)
    return np.where(inside, fpr_before + share * (fpr - fpr_before), np.nan)[:, 0]


def fpr_at_tpr(curve: Curves, tpr: float = TPR) -> np.ndarray:
    """Lowest false-alarm rate `[R]` at which at least the share `tpr` of fakes is flagged.

    NaN for a block that it does not lie in.
    """
    at, inside = curve.first(lambda reached, _: reached >= tpr - _SLACK)
    return np.where(inside, curve.rates(at)[1], np.nan)[:, 0]


def kolmogorov_smirnov(curve: Curves) -> np.ndarray:
    r"""Largest distance `[R]` between the cumulative distributions of the classes; it has no direction.

    .. math:: \sup_t |F_{fake}(t) - F_{real}(t)|

    Where fakes lead most the last score is one of a fake, and where reals do, one of a real face.
    """
    leads = [
        (side.own * side.against.whole[:, None] - side.other * side.of.whole[:, None]).max(
            axis=1, initial=0.0
        )
        for side in (curve.fakes, curve.reals)
    ]
    return divide(np.maximum(*leads), curve.positives * curve.negatives)


RANKING_METRICS: dict[str, tuple[Callable[[Curves], np.ndarray], np.ufunc]] = {
    "auroc": (auroc, np.add),
    "ap_fake": (average_precision, np.add),
    "ap_real": (average_precision_of_reals, np.add),
    "eer": (equal_error_rate, np.fmax),
    "fpr_at_95_tpr": (fpr_at_tpr, np.fmax),
    "ks": (kolmogorov_smirnov, np.maximum),
}
"""Metrics of a ranking, and how those of blocks are put together."""


def ranking_statistics(
    scores: np.ndarray, fake: np.ndarray, *, size: int = BLOCK
) -> Callable[[np.ndarray], dict[str, np.ndarray]]:
    """All metrics of a ranking, of scores `[n]` and labels `[n]`, as a function of weights `[R, n]`.

    Each metric is `[R]`. `ap_real` is the average precision of the real faces under the negated score. Faces that lie
    as `in_blocks` has them cost less.

    Args:
        scores: of the faces.
        fake: whether they are.
        size: faces in a block, about.
    """
    blocks = [
        (_straight(block), Ranking.of(scores[block], fake[block])) for block in in_blocks(scores, fake, size)
    ]
    classes = fake.astype(np.float64), (~fake).astype(np.float64)

    def statistics(weights: np.ndarray) -> dict[str, np.ndarray]:
        whole = None if len(blocks) == 1 else (weights @ classes[0], weights @ classes[1])
        start: tuple[np.ndarray | float, np.ndarray | float] = (0.0, 0.0)
        figures: dict[str, np.ndarray] = {}
        for faces, ranking in blocks:
            curve = curves(ranking, weights[:, faces], start=start, whole=whole)
            start = (curve.fakes.of.sums[:, -1], curve.reals.of.sums[:, -1])
            for name, (metric, together) in RANKING_METRICS.items():
                part = metric(curve)
                figures[name] = together(figures[name], part) if name in figures else part
        return figures

    return statistics


def in_blocks(scores: np.ndarray, fake: np.ndarray, size: int = BLOCK) -> list[np.ndarray]:
    """Positions of the faces in blocks of about `size`, the highest scores first and equal ones together.

    Within a block fakes come before reals, either in order of falling score.
    """
    order = np.argsort(-scores, kind="stable")
    falling = -scores[order]
    cuts = np.unique(np.searchsorted(falling, falling[size::size], "left"))  # where a score first occurs
    return [block[np.argsort(~fake[block], kind="stable")] for block in np.split(order, cuts[cuts > 0])]


def _straight(positions: np.ndarray) -> np.ndarray | slice:
    """Positions that follow each other as a slice, which is faster."""
    first = int(positions[0]) if len(positions) else 0
    last = first + len(positions)
    return slice(first, last) if np.array_equal(positions, np.arange(first, last)) else positions


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
