"""How ranking and false alarms hold when faces are degraded: figures of a `ScoreTable` and its `CorruptedScores`.

Every level is judged on the same faces and the same resamples as the undegraded ones, so that differences are paired.
The threshold is the one set on undegraded held-out reals: what a user has, whatever comes in.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from verovolto.calibration.thresholds import Threshold, flagged
from verovolto.data.score_table import ScoreTable
from verovolto.evaluation.bootstrap import Estimate, with_intervals
from verovolto.evaluation.corrupted_scores import CorruptedScores
from verovolto.evaluation.groups import SEPARATOR, Sample, find_pairs, scored_rows
from verovolto.evaluation.metrics import Ranking, auroc, curves, decision_rates

DRAW_COLUMNS = ("face", "label", "dataset", "compression", "pair", "frame")
"""The columns that `draw_faces` reads."""

Figures = dict[str, Estimate]


def draw_faces(table: pa.Table, count: int, *, seed: int) -> np.ndarray:
    """Positions, ascending, of at most `count` labelled faces drawn by `seed`: half of them real, as far as that goes.

    Fakes and the reals they were made from come together (those of one data set, compression, pair and frame), so that
    pairs stay pairs; where one class is short, the other fills up. Faces are drawn from all clusters alike rather than
    whole clusters: each face has the same chance within its class, and many clusters make narrow intervals. The draw
    depends on what the rows say, not on their order.
    """
    label = _strings(table, "label")
    face = _strings(table, "face")
    real, fake = np.flatnonzero(label == "real"), np.flatnonzero(label == "fake")
    half = count // 2
    reals = min(len(real), max(half, count - len(fake)))
    unit = _units(table, face)
    names, unit_of = np.unique(unit, return_inverse=True)
    random = np.random.Philox(np.random.SeedSequence([seed, len(names)]))
    place = random.random_raw(len(names))[unit_of]
    drawn = [
        of[np.lexsort((face[of], place[of]))][:wanted]
        for of, wanted in ((real, reals), (fake, count - reals))
    ]
    return np.sort(np.concatenate(drawn)).astype(np.int64)


def _units(table: pa.Table, face: np.ndarray) -> np.ndarray:
    """What each row is drawn with, `[n]` strings: its pair, else itself."""
    pair = _strings(table, "pair")
    parts = [_strings(table, name) for name in ("dataset", "compression", "pair", "frame")]
    together = [SEPARATOR.join(row) for row in zip(*parts, strict=True)]
    return np.where(pair != "", together, face)


def _strings(table: pa.Table, name: str) -> np.ndarray:
    """A column as strings `[n]`, empty where unknown."""
    if name not in table.column_names:
        return np.full(len(table), "", dtype=np.str_)
    column = pc.fill_null(table[name].cast(pa.string()), "")
    return np.asarray(column.to_numpy(zero_copy_only=False), dtype=np.str_)


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

    `scores` are all undegraded faces, of which `corrupted` holds some; `threshold` cuts `score` where the
    detector does. Raises DataError when a class is missing among the faces tried.
    """
    tried = scores.take(corrupted.rows)
    kept = scored_rows(tried, score)
    judge = _Evaluator(
        sample=Sample.of(tried, score, resamples=resamples, seed=seed),
        score=score,
        threshold=threshold,
        strict=strict,
    )
    baselines = [name for name in scores.baselines if name != score]
    plain = {name: judge.sample.scores.values(name) for name in (score, *baselines)}
    levels = [
        {"level": level, **judge.version({name: corrupted.columns[name][place, kept] for name in plain})}
        for place, (_, level) in enumerate(corrupted.versions)
    ]
    none = judge.version(plain)
    del none["auroc_change"]  # from itself
    at = groupby(zip(corrupted.versions, levels, strict=True), key=lambda one: one[0][0])
    return {
        "faces": {"real": int((~judge.sample.fake).sum()), "fake": int(judge.sample.fake.sum())},
        "interval": judge.sample.resamples.metadata(),
        "score": score,
        "threshold": None if threshold is None else threshold.to_dict(),
        "none": none,
        "degradations": [{**one.describe(), "levels": [level for _, level in of]} for one, of in at],
    }


@dataclass(frozen=True, kw_only=True)
class _Evaluator:
    """The undegraded faces `[n]` that the versions are set against."""

    sample: Sample
    score: str
    threshold: Threshold | None
    strict: bool

    def version(self, columns: Mapping[str, np.ndarray]) -> dict[str, Any]:
        """Figures of one version, from its scores by name, `[n]` each."""
        rows = np.flatnonzero(np.isfinite(columns[self.score]))
        values = np.asarray(columns[self.score], dtype=np.float64)[rows]
        fake = self.sample.fake[rows]
        figures = self._ranking(values, rows) | self._decisions(values, rows)
        pairs = find_pairs(self.sample.scores.take(rows), values, fake)
        if len(pairs.rows):
            figures |= with_intervals(pairs.share, self.sample.resamples, rows)
        trivial = {name: self._trivial(column) for name, column in columns.items() if name != self.score}
        return {
            "faces": {"real": int((~fake).sum()), "fake": int(fake.sum())},
            **{name: figure.to_dict() for name, figure in figures.items()},
            "baselines": {name: figure.to_dict() for name, figure in trivial.items()},
        }

    def _ranking(self, values: np.ndarray, rows: np.ndarray) -> Figures:
        """AUROC, and its change from that of the same faces undegraded."""
        fake = self.sample.fake[rows]
        if not fake.any() or fake.all():
            return {name: Estimate(value=None) for name in ("auroc", "auroc_change")}
        before = self.sample.scores.values(self.score)[rows]
        now, then = _area(values, fake), _area(before, fake)
        return with_intervals(
            lambda w: {"auroc": now(w), "auroc_change": now(w) - then(w)}, self.sample.resamples, rows
        )

    def _decisions(self, values: np.ndarray, rows: np.ndarray) -> Figures:
        if self.threshold is None:
            return {}
        flags, fake = flagged(values, self.threshold.value, strict=self.strict), self.sample.fake[rows]
        rates = with_intervals(lambda w: decision_rates(flags, fake, w), self.sample.resamples, rows)
        return {name: rates[name] for name in ("false_alarm_rate", "missed_fakes")}

    def _trivial(self, column: np.ndarray) -> Estimate:
        rows = np.flatnonzero(np.isfinite(column))
        fake = self.sample.fake[rows]
        if not fake.any() or fake.all():
            return Estimate(value=None)
        area = _area(np.asarray(column, dtype=np.float64)[rows], fake)
        return with_intervals(lambda w: {"auroc": area(w)}, self.sample.resamples, rows)["auroc"]


def _area(values: np.ndarray, fake: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """AUROC of scores `[n]` as a function of weights `[R, n]`."""
    ranking = Ranking.of(values, fake)
    return lambda weights: auroc(curves(ranking, weights))
