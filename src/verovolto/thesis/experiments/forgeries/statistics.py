"""A score against each kind of forgery by itself: who is found, who is missed. Pure functions of tables of scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from verovolto.calibration.thresholds import Threshold, flagged
from verovolto.data.score_table import ScoreTable
from verovolto.evaluation.bootstrap import with_intervals
from verovolto.evaluation.groups import Sample, find_pairs
from verovolto.evaluation.metrics import Ranking, auroc, curves, decision_rates

NOT_RECORDED = "not recorded"
"""The name of the forgeries whose method nobody wrote down."""


@dataclass(frozen=True, kw_only=True)
class Forgery:
    """Fakes of one kind and the reals that they are evaluated against: `rows` `[m]` are positions in a table."""

    name: str
    rows: np.ndarray


def joined(tables: Sequence[ScoreTable]) -> ScoreTable:
    """Tables of one detector, one below the other."""
    first = tables[0]
    return ScoreTable(
        table=pa.concat_tables([one.table.replace_schema_metadata(None) for one in tables]),
        scores=first.scores, baselines=first.baselines, metadata=first.metadata,
    )  # fmt: skip


def by_method(scores: ScoreTable) -> list[Forgery]:
    """The fakes of each method, in the order of their names, against the reals of the data sets they come from.

    Where these have no real, against all reals; fakes without a method are `NOT_RECORDED`, and come last.
    """
    label, dataset, method = (scores.strings(name) for name in ("label", "dataset", "method"))
    fake, real = label == "fake", label == "real"
    names = sorted({str(name) for name in method[fake] if name is not None})
    members = {name: fake & (method == name) for name in names}
    unnamed = fake & np.array([name is None for name in method], dtype=bool)
    if unnamed.any():
        members[NOT_RECORDED] = unnamed
    forgeries = []
    for name, member in members.items():
        theirs = real & np.isin(_texts(dataset), _texts(dataset[member]))
        rows = np.flatnonzero(member | (theirs if theirs.any() else real))
        forgeries.append(Forgery(name=name, rows=rows))
    return forgeries


def by_pair(scores: ScoreTable, names: Sequence[str]) -> list[Forgery]:
    """Forgeries that were made, of each of the kinds `names`, against their own untouched sources.

    Those carry the same kind as `method`.
    """
    method = scores.strings("method")
    return [Forgery(name=name, rows=np.flatnonzero(method == name)) for name in names]


def evaluate_forgery(
    scores: ScoreTable, forgery: Forgery, threshold: Threshold, *, strict: bool, **bootstrap: int
) -> dict[str, Any]:
    """What the score of a threshold does to one kind of forgery.

    Args:
        scores: a detector's.
        forgery: the fakes and the reals beside them.
        threshold: stays as it is in all resamples.
        strict: whether a face that scores the threshold itself is flagged.
        bootstrap: number and seed of the resamples, as `Sample.of` takes them.

    Returns:
        Counts of faces and pairs, then figures with 95 % intervals over clusters: `auroc`, `pairs_ordered` (empty
        without pairs), `missed_fakes` and `false_alarm_rate`.

    Raises:
        DataError: where a class is missing.
    """
    sample = Sample.of(scores.take(forgery.rows), threshold.score, **bootstrap)
    values = sample.scores.values(threshold.score)
    pairs = find_pairs(sample.scores, values, sample.fake)
    flags = flagged(values, threshold.value, strict=strict)
    ranking = Ranking.of(values, sample.fake)

    def statistics(weights: np.ndarray) -> dict[str, np.ndarray]:
        rates = decision_rates(flags, sample.fake, weights)
        return {
            "auroc": auroc(curves(ranking, weights)),
            **(
                {"pairs_ordered": pairs.pairwise_accuracy(weights)["pairs_ordered"]}
                if len(pairs.rows)
                else {}
            ),
            **{name: rates[name] for name in ("missed_fakes", "false_alarm_rate")},
        }

    estimates = with_intervals(statistics, sample.resamples)
    return {
        "forgery": forgery.name, **sample.class_counts(),
        "pairs": len(pairs.rows), "clusters": sample.resamples.clusters, "cluster": sample.resamples.kind,
        **{name: estimate.to_dict() for name, estimate in estimates.items()},
    }  # fmt: skip


def matrix(
    by_contestant: Mapping[str, tuple[ScoreTable, Threshold, bool]],
    forgeries: Sequence[Forgery],
    **bootstrap: int,
) -> dict[str, list[dict[str, Any]]]:
    """`evaluate_forgery` of every contestant on every kind of forgery, on the same resamples.

    A contestant is a table, a threshold and whether that is strict; all tables hold the same faces in the same order.
    """
    return {
        name: [
            evaluate_forgery(table, forgery, threshold, strict=strict, **bootstrap) for forgery in forgeries
        ]
        for name, (table, threshold, strict) in by_contestant.items()
    }


def _texts(values: np.ndarray) -> np.ndarray:
    return np.array(["" if value is None else str(value) for value in values], dtype=np.str_)
