"""Several detectors on the faces they share: paired differences on the same resamples.

Two intervals that overlap say little about a difference, since both detectors find the same faces hard. Here
each resample evaluates all of them, and the difference has an interval of its own.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from verovolto.calibration.thresholds import Threshold, flagged
from verovolto.core.errors import InputError
from verovolto.data.score_table import ScoreTable
from verovolto.evaluation.bootstrap import Statistics, interval
from verovolto.evaluation.groups import Sample, find_pairs, on_shared_faces, rows_by_face, scored_rows
from verovolto.evaluation.metrics import decision_rates, ranking_statistics

SCHEMA_VERSION = 1
HIGHER_IS_BETTER = ("auroc", "ap_fake", "ap_real", "pairs_ordered")
LOWER_IS_BETTER = ("eer", "fpr_at_95_tpr")
NO_DIFFERENCE = "no difference shown"
AT_THRESHOLD = ("accuracy", "balanced_accuracy")
"""Compared besides where each candidate has a threshold."""


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A result that is compared.

    Attributes:
        name: Its name in the comparison.
        table: Its scores.
        score: The score that is compared.
        threshold: The threshold that it is used at, if there is one.
        strict: Flag a face that scores exactly the threshold.
    """

    name: str
    table: ScoreTable
    score: str
    threshold: Threshold | None = None
    strict: bool = False


def read_results(folders: Sequence[Path], score: str | None = None) -> list[tuple[str, ScoreTable, str]]:
    """Name, scores and evaluated score of folders that `verovolto evaluate` wrote.

    `score` takes the place of the score that each of them evaluated first. A result has the name of its folder, with
    the parent's where two are the same.

    Raises:
        InputError: For a folder without scores, an unknown score, or damaged metrics.
    """
    names = [folder.resolve().name for folder in folders]
    if len(set(names)) < len(names):
        names = ["/".join(folder.resolve().parts[-2:]) for folder in folders]
    return [(name, *_read(folder, score)) for name, folder in zip(names, folders, strict=True)]


def _read(folder: Path, score: str | None) -> tuple[ScoreTable, str]:
    path = folder / "scores.parquet"
    if not path.is_file():
        inside = ", ".join(sorted(file.name for file in folder.iterdir())[:6]) if folder.is_dir() else None
        there = "no such folder" if inside is None else inside or "nothing"
        raise InputError(
            f"no scores.parquet in {folder} (there is: {there})", hint="make it with verovolto evaluate"
        )
    table, metrics = ScoreTable.read(path), folder / "metrics.json"
    if score is None and metrics.is_file():
        try:
            score = str(json.loads(metrics.read_text(encoding="utf-8"))["score"])
        except (ValueError, KeyError, TypeError) as error:
            raise InputError(
                f"{metrics} is damaged: {error}", hint="make it again with verovolto evaluate"
            ) from error
    score = score or table.scores[0]
    table.values(score)  # raises the error that lists the scores
    return table, score


def compare_scores(
    tables: Sequence[tuple[str, ScoreTable, str]], *, resamples: int = 1000, seed: int = 0
) -> dict[str, Any]:
    """Compare named tables of scores `(name, table, score)`; the first is the reference of the others.

    Joined on `face`, over the faces that all of them scored. Returns what `comparison.json` holds: each
    result's figures on the shared faces and its difference to the first, with 95 % intervals on the same
    resamples of the same clusters; `verdict` is "better" or "worse" only where the interval of the difference
    excludes 0.

    Raises:
        InputError: For fewer than two tables, repeated names or faces, tables without shared faces, and labels that
            differ.
    """
    comparison = _Comparison.of(
        [Candidate(name=name, table=table, score=score) for name, table, score in tables],
        resamples=resamples,
        seed=seed,
    )
    results = comparison.results()
    for i, result in enumerate(results):
        result["differences"] = {} if i == 0 else comparison.differences(i, 0)
    return {
        "schema_version": SCHEMA_VERSION,
        "reference": tables[0][0],
        "faces": comparison.sample.class_counts(),
        "interval": comparison.sample.resamples.metadata(),
        "results": results,
    }


def compare_all(candidates: Sequence[Candidate], *, resamples: int = 1000, seed: int = 0) -> dict[str, Any]:
    """Every candidate against every later one, on the faces that all of them scored.

    The figures and differences of `compare_scores`, which gives the same numbers for the same tables, resamples and
    seed; where all candidates have a threshold, `AT_THRESHOLD` as well. Thresholds stay as they are in all resamples.
    `pairs` holds the differences, each of `name` minus `against`; `verdict` is "better" or "worse" only where
    the interval of the difference excludes 0.

    Raises:
        InputError: As `compare_scores` does.
    """
    comparison = _Comparison.of(candidates, resamples=resamples, seed=seed)
    return {
        "faces": comparison.sample.class_counts(),
        "interval": comparison.sample.resamples.metadata(),
        "results": comparison.results(),
        "pairs": [
            {
                "name": candidates[i].name,
                "against": candidates[j].name,
                "differences": comparison.differences(i, j),
            }
            for i, j in combinations(range(len(candidates)), 2)
        ],
    }


@dataclass(frozen=True, kw_only=True)
class _Comparison:
    """Candidates on the faces they share: their values and resampled values by figure."""

    candidates: Sequence[Candidate]
    sample: Sample
    values: Sequence[dict[str, float]]
    resampled: Sequence[dict[str, np.ndarray]]

    @staticmethod
    def of(candidates: Sequence[Candidate], *, resamples: int, seed: int) -> _Comparison:
        if len(candidates) < 2:
            raise InputError(
                "a comparison needs at least two results", hint="give two or more evaluate folders"
            )
        shared = _shared_rows(candidates)
        sample = Sample.of(shared[0], candidates[0].score, resamples=resamples, seed=seed)
        statistics = [
            _statistics(table, each, sample.fake) for table, each in zip(shared, candidates, strict=True)
        ]
        values, resampled = _run(statistics, sample)
        return _Comparison(candidates=candidates, sample=sample, values=values, resampled=resampled)

    def results(self) -> list[dict[str, Any]]:
        return [
            {
                "name": each.name,
                "score": each.score,
                "faces_scored": len(scored_rows(each.table, each.score)),
                "figures": {key: interval(values[key], resampled[key]).to_dict() for key in values},
            }
            for each, values, resampled in zip(self.candidates, self.values, self.resampled, strict=True)
        ]

    def differences(self, i: int, j: int) -> dict[str, Any]:
        """Candidate i minus candidate j."""
        differences = {}
        for key in self.values[i]:
            figure = interval(
                self.values[i][key] - self.values[j][key], self.resampled[i][key] - self.resampled[j][key]
            )
            shown = verdict(figure.low, figure.high, less_is_better=key in LOWER_IS_BETTER)
            differences[key] = {**figure.to_dict(), "verdict": shown}
        return differences


def verdict(low: float | None, high: float | None, *, less_is_better: bool = False) -> str:
    """Better or worse only where the interval of a difference leaves out 0.

    >>> verdict(0.01, 0.05), verdict(-0.01, 0.05)
    ('better', 'no difference shown')
    """
    if low is None or high is None or low <= 0 <= high:
        return NO_DIFFERENCE
    return "better" if (low > 0) != less_is_better else "worse"


def _shared_rows(candidates: Sequence[Candidate]) -> list[ScoreTable]:
    """The rows of each table that all of them scored, in the same order of faces."""
    names = [each.name for each in candidates]
    repeated = {name for name in names if names.count(name) > 1}
    if repeated:
        raise InputError(f"two results have the same name: {', '.join(sorted(repeated))}")
    _check_numbered(candidates)
    scored = [_row_by_face(each) for each in candidates]
    shared = on_shared_faces([each.table for each in candidates], scored)
    if not len(shared[0]):
        examples = " and ".join(repr(next(iter(rows))) for rows in scored[:2])
        raise InputError(
            "these results share no face, so they cannot be compared", hint=f"for example {examples}"
        )
    labels = shared[0].strings("label")
    for name, other in zip(names[1:], shared[1:], strict=True):
        differing = np.flatnonzero(other.strings("label") != labels)
        if differing.size:
            raise InputError(
                f"{names[0]} and {name} label {differing.size} shared face(s) differently, the first is "
                f"{shared[0].strings('face')[differing[0]]}",
                hint="were they made from the same face set?",
            )
    return shared


def _check_numbered(candidates: Sequence[Candidate]) -> None:
    """Rows without a `face` column are identified by number alone: only equal lengths can be the same set."""
    if not any(each.table.metadata.get("faces_numbered") for each in candidates):
        return
    if len({len(each.table) for each in candidates}) > 1:
        raise InputError(
            "a result names its faces by row number only, and the others have another number of rows",
            hint="add a column 'face' to the table of scores",
        )


def _row_by_face(candidate: Candidate) -> dict[str, int]:
    row_of = rows_by_face(candidate.table, candidate.score)
    if len(row_of) != len(scored_rows(candidate.table, candidate.score)):
        raise InputError(
            f"{candidate.name}: the same face stands in more than one row, so its rows cannot be matched"
        )
    return row_of


def _statistics(table: ScoreTable, candidate: Candidate, fake: np.ndarray) -> Statistics:
    values = table.values(candidate.score)
    ranking, pairs = ranking_statistics(values, fake), find_pairs(table, values, fake)
    threshold = candidate.threshold
    flags = None if threshold is None else flagged(values, threshold.value, strict=candidate.strict)

    def statistics(weights: np.ndarray) -> dict[str, np.ndarray]:
        figures = ranking(weights) | (pairs.pairwise_accuracy(weights) if len(pairs.rows) else {})
        if flags is not None:
            figures |= decision_rates(flags, fake, weights)
        order = (*HIGHER_IS_BETTER, *LOWER_IS_BETTER, *AT_THRESHOLD)
        return {key: figures[key] for key in order if key in figures}

    return statistics


def _run(
    statistics: list[Statistics], sample: Sample
) -> tuple[list[dict[str, float]], list[dict[str, np.ndarray]]]:
    """Values and resampled values of each table; every chunk of weights is shown to all of them."""
    ones = np.ones((1, len(sample.fake)))
    values = [{key: float(value[0]) for key, value in of(ones).items()} for of in statistics]
    keys = [key for key in values[0] if all(key in other for other in values)]
    parts: list[dict[str, list[np.ndarray]]] = [{key: [np.zeros(0)] for key in keys} for _ in statistics]
    for weights in sample.resamples.weights():
        for part, of in zip(parts, statistics, strict=True):
            figures = of(weights)
            for key in keys:
                part[key].append(figures[key])
    resampled = [{key: np.concatenate(chunks) for key, chunks in part.items()} for part in parts]
    return [{key: value[key] for key in keys} for value in values], resampled
