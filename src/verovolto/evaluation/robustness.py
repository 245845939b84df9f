"""How ranking and false alarms hold when faces are corrupted: figures of a `ScoreTable` and its `CorruptedScores`.

Every level is evaluated on the same faces and the same resamples as the faces without corruption, so that differences
are paired. The threshold is the one set on held-out reals without corruption: what a user has, whatever comes in.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import numpy as np

from verovolto.calibration.thresholds import Threshold, flagged
from verovolto.data.score_table import ScoreTable
from verovolto.evaluation.bootstrap import Estimate, with_intervals
from verovolto.evaluation.corrupted_scores import CorruptedScores
from verovolto.evaluation.groups import Sample, find_pairs, scored_rows
from verovolto.evaluation.metrics import Ranking, auroc, curves, decision_rates

UNDEFINED = Estimate(value=None)


def evaluate_robustness(
    scores: ScoreTable,
    corrupted: CorruptedScores,
    *,
    score: str,
    threshold: Threshold | None,
    strict: bool = False,
    resamples: int = 1000,
    seed: int = 0,
) -> dict[str, Any]:
    """The figures under `robustness` of `metrics.json`.

    Args:
        scores: Scores of all faces without corruption.
        corrupted: Scores of some of them under every corruption.
        score: The score that is evaluated.
        threshold: The detector's threshold of that score; None: none is evaluated.
        strict: Flag a face that scores exactly the threshold.
        resamples: Bootstrap resamples behind each interval.
        seed: Seed of the resamples.

    Raises:
        DataError: When a class is missing among the corrupted faces.
    """
    tried = scores.take(corrupted.rows)
    kept = scored_rows(tried, score)
    sample = Sample.of(tried, score, resamples=resamples, seed=seed)
    evaluator = _Evaluator(sample=sample, score=score, threshold=threshold, strict=strict)
    plain = {
        name: sample.scores.values(name) for name in (score, *(n for n in scores.baselines if n != score))
    }
    levels = [
        {"level": level, **evaluator.version({name: corrupted.columns[name][place, kept] for name in plain})}
        for place, (_, level) in enumerate(corrupted.versions)
    ]
    none = evaluator.version(plain)
    del none["auroc_change"]  # from itself
    ladders = groupby(zip(corrupted.versions, levels, strict=True), key=lambda pair: pair[0][0])
    return {
        "faces": sample.class_counts(),
        "interval": sample.resamples.metadata(),
        "score": score,
        "threshold": None if threshold is None else threshold.to_dict(),
        "none": none,
        "degradations": [
            {**corruption.describe(), "levels": [level for _, level in ladder]}
            for corruption, ladder in ladders
        ],
    }


@dataclass(frozen=True, kw_only=True)
class _Evaluator:
    """The faces `[n]` without corruption that the versions are set against."""

    sample: Sample
    score: str
    threshold: Threshold | None
    strict: bool

    def version(self, columns: Mapping[str, np.ndarray]) -> dict[str, Any]:
        """Figures of one version, from its scores by name, `[n]` each."""
        rows = np.flatnonzero(np.isfinite(columns[self.score]))
        values = np.asarray(columns[self.score], dtype=np.float64)[rows]
        figures = self._ranking(values, rows) | self._decisions(values, rows)
        pairs = find_pairs(self.sample.scores.take(rows), values, self.sample.fake[rows])
        if len(pairs.rows):
            figures |= with_intervals(pairs.pairwise_accuracy, self.sample.resamples, rows)
        trivial = {name: self._trivial(column) for name, column in columns.items() if name != self.score}
        return {
            "faces": self.sample.class_counts(rows),
            **{name: figure.to_dict() for name, figure in figures.items()},
            "baselines": {name: figure.to_dict() for name, figure in trivial.items()},
        }

    def _ranking(self, values: np.ndarray, rows: np.ndarray) -> dict[str, Estimate]:
        """AUROC, and its change from that of the same faces without corruption."""
        fake = self.sample.fake[rows]
        if not fake.any() or fake.all():
            return {"auroc": UNDEFINED, "auroc_change": UNDEFINED}
        before = self.sample.scores.values(self.score)[rows]
        now, then = _area(values, fake), _area(before, fake)
        return with_intervals(
            lambda w: {"auroc": (area := now(w)), "auroc_change": area - then(w)}, self.sample.resamples, rows
        )

    def _decisions(self, values: np.ndarray, rows: np.ndarray) -> dict[str, Estimate]:
        if self.threshold is None:
            return {}
        flags, fake = flagged(values, self.threshold.value, strict=self.strict), self.sample.fake[rows]
        rates = with_intervals(lambda w: decision_rates(flags, fake, w), self.sample.resamples, rows)
        return {name: rates[name] for name in ("false_alarm_rate", "missed_fakes")}

    def _trivial(self, column: np.ndarray) -> Estimate:
        rows = np.flatnonzero(np.isfinite(column))
        fake = self.sample.fake[rows]
        if not fake.any() or fake.all():
            return UNDEFINED
        area = _area(np.asarray(column, dtype=np.float64)[rows], fake)
        return with_intervals(lambda w: {"auroc": area(w)}, self.sample.resamples, rows)["auroc"]


def _area(values: np.ndarray, fake: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """AUROC of scores `[n]` as a function of weights `[R, n]`."""
    ranking = Ranking.of(values, fake)
    return lambda weights: auroc(curves(ranking, weights))
