"""What forged faces among the training reals do to a detector: each level of them against none.

Every network is judged on the same test faces and the same resamples of the same clusters, at the threshold that
held-out reals set for it. Intervals resample faces, not trainings, and any other training gives other figures. So each
level is set against two networks without fakes: the one trained already, and a sham that saw other reals in the same
places. It is called better or worse only where it is shown to be so against both. Pure functions of tables.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from verovolto.calibration.thresholds import flagged
from verovolto.core.errors import DataError
from verovolto.data.score_table import ScoreTable
from verovolto.evaluation.bootstrap import Statistics
from verovolto.evaluation.groups import Sample, scored_rows
from verovolto.evaluation.metrics import decision_rates, divide, ranking_statistics
from verovolto.thesis import ablation
from verovolto.thesis import protocols as arms

ERROR_SCORE = "rmse"
"""The reconstruction error that is shown beside whatever score a model is judged by."""
RANKED = ("auroc", "ap_real", "ap_fake")
ERRORS = ("error_real", "error_fake", "error_gap")
DECIDED = ("missed_fakes", "false_alarm_rate")
_LESS_IS_BETTER = frozenset(DECIDED)
_NEITHER = frozenset(("error_real", "error_fake"))
"""Of these no direction is good: they are called higher or lower."""


@dataclass(frozen=True, kw_only=True)
class Level:
    """A network that learned from `faces` faces in the places of others, taken at `epoch`; `share` is that of fakes
    among its training faces; `test` is what it scored, `reals` the held-out reals that set its threshold."""

    share: float
    faces: int
    epoch: int
    test: ScoreTable
    reals: ScoreTable


def evaluate_levels(
    none: Level,
    sham: Level,
    levels: Sequence[Level],
    score: str,
    *,
    false_alarm: float,
    resamples: int,
    seed: int,
) -> dict[str, Any]:
    """All figures of a model at each level, as JSON holds them: `levels`, of which the first are `none` and `sham`,
    each with `share`, `faces`, `epoch`, `threshold` and `figures` by name; `interval`, `judged_on`.

    A figure has its `value`, its differences `to_none` and `to_sham` (level minus those) and a `verdict`, each None
    where it makes no sense. Figures: areas under the curves (`RANKED`), the mean reconstruction error of either class
    and fake minus real (`ERRORS`), and rates at the threshold for `false_alarm` (`DECIDED`). Raises `DataError`
    where the tables share no face, `CalibrationError` where the reals are too few for that rate.
    """
    all_levels = (none, sham, *levels)
    tables = _shared([one.test for one in all_levels], score)
    sample = Sample.of(tables[0], score, resamples=resamples, seed=seed)
    judged = [
        _Judged(level=one, table=table, score=score, fake=sample.fake, false_alarm=false_alarm)
        for one, table in zip(all_levels, tables, strict=True)
    ]
    known = [one.statistics() for one in judged]
    figures = [_figures(of, [known[0], known[1]][: min(place, 2)], sample) for place, of in enumerate(known)]
    return {
        "score": score,
        "levels": [
            {
                "share": one.level.share,
                "faces": one.level.faces,
                "epoch": one.level.epoch,
                "threshold": one.threshold,
                "figures": found,
            }
            for one, found in zip(judged, figures, strict=True)
        ],
        "judged_on": {"real": int((~sample.fake).sum()), "fake": int(sample.fake.sum())},
        "interval": sample.resamples.metadata(),
    }


@dataclass(frozen=True, kw_only=True)
class _Judged:
    level: Level
    table: ScoreTable
    score: str
    fake: np.ndarray
    false_alarm: float

    @property
    def threshold(self) -> float:
        return arms.held_out_thresholds(self.level.reals, self.score, self.false_alarm)[0].value

    def statistics(self) -> Statistics:
        """All figures of this level under weights `[R, n]`."""
        values, errors = self.table.values(self.score), self.table.values(ERROR_SCORE)
        ranking = ranking_statistics(values, self.fake)
        flags = flagged(values, self.threshold)

        def all_of_them(weights: np.ndarray) -> dict[str, np.ndarray]:
            real, fake = (_mean(weights * of, errors) for of in (~self.fake, self.fake))
            means = dict(zip(ERRORS, (real, fake, fake - real), strict=True))
            return ranking(weights) | means | decision_rates(flags, self.fake, weights)

        return all_of_them


def _figures(one: Statistics, against: Sequence[Statistics], sample: Sample) -> dict[str, dict[str, Any]]:
    """The figures of a level, and its differences to none and to the sham, as many of them as are given."""
    names = (*RANKED, *ERRORS, *DECIDED)
    # Against itself where there is nothing to set it against: for its values.
    compared = [ablation.paired(one, other, sample.resamples, names) for other in (*against, one)]
    found: dict[str, dict[str, Any]] = {}
    for name in names:
        differences = [figures[name]["difference"] for figures in compared[:-1]]
        to_none, to_sham = (*differences, None, None)[:2]
        found[name] = {
            "value": compared[-1][name]["published"],
            "to_none": to_none,
            "to_sham": to_sham,
            "verdict": _verdict(name, differences) if differences else None,
        }
    return found


def _verdict(name: str, differences: Sequence[Mapping[str, float | None]]) -> str:
    """One is called better than the others only where the intervals of all differences lie on the same side of 0."""
    lows, highs = ([one[end] for one in differences] for end in ("low", "high"))
    above = all(low is not None and low > 0 for low in lows)
    if not above and not all(high is not None and high < 0 for high in highs):
        return "no difference shown"
    if name in _NEITHER:
        return "higher" if above else "lower"
    return "better" if above != (name in _LESS_IS_BETTER) else "worse"


def _shared(tables: Sequence[ScoreTable], score: str) -> list[ScoreTable]:
    """The faces that all tables scored, in one order."""
    places = [
        {str(face): int(row) for face, row in zip(table.strings("face")[rows], rows, strict=True)}
        for table in tables
        for rows in [scored_rows(table, score)]
    ]
    common = sorted(set.intersection(*(set(place) for place in places)))
    if not common:
        raise DataError("the networks scored no face in common")
    return [
        table.take(np.array([place[face] for face in common]))
        for table, place in zip(tables, places, strict=True)
    ]


def _mean(weights: np.ndarray, values: np.ndarray) -> np.ndarray:
    return np.asarray(divide(weights @ values, weights.sum(axis=1)))
