"""A network against its control, which differs from it in one thing: paired differences beside seed variance.

An interval over people says how a difference would change with other faces. It says nothing of another training: the
same network trained from another seed ranks a little differently too, and a difference that does not exceed this seed
variance is not credited to what was changed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from verovolto.core.errors import DataError
from verovolto.data.score_table import ScoreTable
from verovolto.evaluation.bootstrap import Statistics
from verovolto.evaluation.groups import Sample, find_pairs
from verovolto.evaluation.metrics import divide, ranking_statistics
from verovolto.evaluation.paired import verdict
from verovolto.thesis.ablation import paired

AUROC, PAIRS, ERROR = "auroc", "pairs_ordered", "error_real"
METRICS = {AUROC: "AUROC", PAIRS: "pairs ordered", ERROR: "error of the reals"}
"""What is compared, and how it is called: the ranking, the share of fakes above their own source, and the mean score of
the reals, which of an error is how badly they are reconstructed."""

NO_INTERVAL = "no interval"
_BETTER_IS_LESS = (ERROR,)


def statistics_of(table: ScoreTable, score: str, fake: np.ndarray) -> Statistics:
    """The figures of `METRICS` of scored faces, labels `fake` `[n]`, as functions of weights `[R, n]`."""
    values = table.values(score)
    ranking, pairs = ranking_statistics(values, fake), find_pairs(table, values, fake)

    def figures(weights: np.ndarray) -> dict[str, np.ndarray]:
        reals = weights[:, ~fake]
        measured = {AUROC: ranking(weights)[AUROC], ERROR: divide(reals @ values[~fake], reals.sum(axis=1))}
        return measured | (pairs.pairwise_accuracy(weights) if len(pairs.rows) else {})

    return figures


def difference(
    one: ScoreTable, partner: ScoreTable, score: str, **bootstrap: int
) -> dict[str, dict[str, Any]]:
    """`one` minus `partner` in each of `METRICS` that the faces allow, on the same resamples of the same clusters.

    Each is `{"value", "low", "high", "verdict"}`; the verdict is better or worse only where the interval leaves out 0.
    `bootstrap`: number and seed of the resamples, as `Sample.of` takes them.

    Raises:
        DataError: for tables of different faces, and where a class is missing.
    """
    if one.strings("face").tolist() != partner.strings("face").tolist():
        raise DataError("a network and its control were scored on different faces")
    both = np.flatnonzero(np.isfinite(one.values(score)) & np.isfinite(partner.values(score)))
    sample = Sample.of(one.take(both), score, **bootstrap)
    first = statistics_of(sample.scores, score, sample.fake)
    second = statistics_of(partner.take(both), score, sample.fake)
    allowed = first(np.ones((1, len(sample.fake))))
    figures = paired(first, second, sample.resamples, tuple(name for name in METRICS if name in allowed))
    return {name: _with_verdict(name, figure["difference"]) for name, figure in figures.items()}


def _with_verdict(metric: str, figure: Mapping[str, float | None]) -> dict[str, Any]:
    low, high = figure["low"], figure["high"]
    if low is None or high is None:
        return {**figure, "verdict": NO_INTERVAL}
    return {**figure, "verdict": verdict(low, high, less_is_better=metric in _BETTER_IS_LESS)}


def exceeds_seed_variance(figure: Mapping[str, Any], of_seeds: Sequence[Mapping[str, Any]]) -> bool:
    """Whether a difference is shown and larger than what other seeds alone make.

    `of_seeds` are differences in the same metric between trainings that differ in their seed and in nothing else.
    """
    if figure["verdict"] not in ("better", "worse"):
        return False
    return all(abs(figure["value"]) > abs(one["value"]) for one in of_seeds if one["value"] is not None)
