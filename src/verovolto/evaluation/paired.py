"""Several detectors on the faces they share: paired differences on the same resamples.

Two intervals that overlap say little about a difference, since both detectors find the same faces hard. Here
each resample judges all of them, and the difference has an interval of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np

from verovolto.calibration.thresholds import Threshold, flagged
from verovolto.core.errors import InputError
from verovolto.data.score_table import ScoreTable
from verovolto.evaluation.bootstrap import Statistics, interval
from verovolto.evaluation.groups import Sample, find_pairs, scored_rows
from verovolto.evaluation.metrics import decision_rates, ranking_statistics

SCHEMA_VERSION = 1
HIGHER_IS_BETTER = ("auroc", "ap_fake", "ap_real", "pairs_ordered")
LOWER_IS_BETTER = ("eer", "fpr_at_95_tpr")
NO_DIFFERENCE = "no difference shown"
DECIDED = ("accuracy", "balanced_accuracy")
"""What is compared besides where each contestant has a threshold."""


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A result that is compared: a score of a table, and the threshold it is used at, if there is one; `strict` flags
    a face that scores the threshold itself."""

    name: str
    table: ScoreTable
    score: str
    threshold: Threshold | None = None
    strict: bool = False


def compare_scores(
    tables: Sequence[tuple[str, ScoreTable, str]], *, resamples: int = 1000, seed: int = 0
) -> dict[str, Any]:
    """Compare named tables of scores `(name, table, score)`; the first is the one the others are set against.

    Joined on `face`, over the faces that all of them scored. Returns what `comparison.json` holds: each
    result's figures on the shared faces and its difference to the first, with 95 % intervals on the same
    resamples of the same clusters; `verdict` is "better" or "worse" only where the interval of the difference
    excludes 0. Raises InputError for fewer than two tables, repeated names or faces, tables that share too
    little to judge, and labels that differ.
    """
    together = _Together.of(
        [Candidate(name=name, table=table, score=score) for name, table, score in tables],
        resamples=resamples,
        seed=seed,
    )
    results = together.results()
    for i, result in enumerate(results):
        result["differences"] = {} if i == 0 else together.differences(i, 0)
    return {
        "schema_version": SCHEMA_VERSION,
        "reference": tables[0][0],
        "faces": together.faces(),
        "interval": together.sample.resamples.metadata(),
        "results": results,
    }


def compare_all(candidates: Sequence[Candidate], *, resamples: int = 1000, seed: int = 0) -> dict[str, Any]:
    """Every contestant against every later one, on the faces that all of them scored.

    The figures and differences of `compare_scores`, which gives the same numbers for the same tables, resamples and
    seed; where all contestants have a threshold, `DECIDED` at it as well. Thresholds stay as they are in all resamples.
    `pairs` holds the differences, each of `name` minus `against`; `verdict` is "better" or "worse" only where
    the interval of the difference excludes 0. Raises as `compare_scores` does.
    """
    together = _Together.of(candidates, resamples=resamples, seed=seed)
    return {
        "faces": together.faces(),
        "interval": together.sample.resamples.metadata(),
        "results": together.results(),
        "pairs": [
            {
                "name": candidates[i].name,
                "against": candidates[j].name,
                "differences": together.differences(i, j),
            }
            for i, j in combinations(range(len(candidates)), 2)
        ],
    }


@dataclass(frozen=True, kw_only=True)
class _Together:
    """Contestants judged on the faces they share: their values and resampled values by figure."""

    candidates: Sequence[Candidate]
    sample: Sample
    values: Sequence[dict[str, float]]
    drawn: Sequence[dict[str, np.ndarray]]

    @staticmethod
    def of(candidates: Sequence[Candidate], *, resamples: int, seed: int) -> _Together:
        if len(candidates) < 2:
            raise InputError(
                "a comparison needs at least two results", hint="give two or more evaluate folders"
            )
        shared = _share([(one.name, one.table, one.score) for one in candidates])
        sample = Sample.of(shared[0], candidates[0].score, resamples=resamples, seed=seed)
        statistics = [
            _statistics(table, one, sample.fake) for table, one in zip(shared, candidates, strict=True)
        ]
        values, drawn = _run(statistics, sample)
        return _Together(candidates=candidates, sample=sample, values=values, drawn=drawn)

    def faces(self) -> dict[str, int]:
        return {"real": int((~self.sample.fake).sum()), "fake": int(self.sample.fake.sum())}

    def results(self) -> list[dict[str, Any]]:
        return [
            {
                "name": one.name,
                "score": one.score,
                "faces_scored": len(scored_rows(one.table, one.score)),
                "figures": {key: interval(values[key], drawn[key]).to_dict() for key in values},
            }
            for one, values, drawn in zip(self.candidates, self.values, self.drawn, strict=True)
        ]

    def differences(self, i: int, j: int) -> dict[str, Any]:
        """Contestant i minus contestant j."""
        return {
            key: _difference(
                key, self.values[i][key] - self.values[j][key], self.drawn[i][key] - self.drawn[j][key]
            )
            for key in self.values[i]
        }


def verdict(low: float | None, high: float | None, *, less_is_better: bool = False) -> str:
    """Better or worse only where the interval of a difference leaves out 0."""
    if low is None or high is None or low <= 0 <= high:
        return NO_DIFFERENCE
    return "better" if (low > 0) != less_is_better else "worse"


def _difference(key: str, value: float, drawn: np.ndarray) -> dict[str, Any]:
    figure = interval(value, drawn)
    said = verdict(figure.low, figure.high, less_is_better=key in LOWER_IS_BETTER)
    return {**figure.to_dict(), "verdict": said}


def _share(tables: Sequence[tuple[str, ScoreTable, str]]) -> list[ScoreTable]:
    """The rows of each table that all of them scored, in the same order of faces."""
    names = [name for name, _, _ in tables]
    repeated = {name for name in names if names.count(name) > 1}
    if repeated:
        raise InputError(f"two results have the same name: {', '.join(sorted(repeated))}")
    _check_numbered(tables)
    scored = [_by_face(name, table, scored_rows(table, score)) for name, table, score in tables]
    common = set.intersection(*(set(rows) for rows in scored))
    if not common:
        raise InputError("these results share no face, so they cannot be compared", hint=_examples(scored))
    order = sorted(common)
    shared = [
        table.take(np.array([rows[face] for face in order]))
        for rows, (_, table, _) in zip(scored, tables, strict=True)
    ]
    labels = shared[0].strings("label")
    for (name, _, _), other in zip(tables[1:], shared[1:], strict=True):
        differ = np.flatnonzero(other.strings("label") != labels)
        if differ.size:
            raise InputError(
                f"{names[0]} and {name} label {differ.size} shared face(s) differently, the first is "
                f"{order[int(differ[0])]}",
                hint="were they made from the same face set?",
            )
    return shared


def _check_numbered(tables: Sequence[tuple[str, ScoreTable, str]]) -> None:
    """Rows without a `face` column are known by number alone: only equal lengths can be the same set."""
    if not any(table.metadata.get("faces_numbered") for _, table, _ in tables):
        return
    if len({len(table) for _, table, _ in tables}) > 1:
        raise InputError(
            "a result names its faces by row number only, and the others have another number of rows",
            hint="add a column 'face' to the table of scores",
        )


def _by_face(name: str, table: ScoreTable, rows: np.ndarray) -> dict[str, int]:
    faces = table.strings("face")[rows]
    found = {str(face): int(row) for face, row in zip(faces, rows, strict=True)}
    if len(found) != len(rows):
        raise InputError(f"{name}: the same face stands in more than one row, so its rows cannot be matched")
    return found


def _examples(scored: list[dict[str, int]]) -> str:
    return "for example " + " and ".join(repr(next(iter(rows))) for rows in scored[:2])


def _statistics(table: ScoreTable, one: Candidate, fake: np.ndarray) -> Statistics:
    values = table.values(one.score)
    ranking, pairs = ranking_statistics(values, fake), find_pairs(table, values, fake)
    flags = None if one.threshold is None else flagged(values, one.threshold.value, strict=one.strict)

    def all_of(weights: np.ndarray) -> dict[str, np.ndarray]:
        figures = ranking(weights) | (pairs.share(weights) if len(pairs.rows) else {})
        if flags is not None:
            figures |= decision_rates(flags, fake, weights)
        return {
            key: figures[key] for key in (*HIGHER_IS_BETTER, *LOWER_IS_BETTER, *DECIDED) if key in figures
        }

    return all_of


def _run(
    statistics: list[Statistics], sample: Sample
) -> tuple[list[dict[str, float]], list[dict[str, np.ndarray]]]:
    """Values and resampled values of each table; every chunk of weights is shown to all of them."""
    ones = np.ones((1, len(sample.fake)))
    values = [{key: float(value[0]) for key, value in judge(ones).items()} for judge in statistics]
    keys = [key for key in values[0] if all(key in other for other in values)]
    parts: list[dict[str, list[np.ndarray]]] = [{key: [np.zeros(0)] for key in keys} for _ in statistics]
    for weights in sample.resamples.weights():
        for part, judge in zip(parts, statistics, strict=True):
            for key, value in judge(weights).items():
                if key in part:
                    part[key].append(value)
    drawn = [{key: np.concatenate(chunks) for key, chunks in part.items()} for part in parts]
    return [{key: value[key] for key in keys} for value in values], drawn
