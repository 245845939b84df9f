"""What forged faces among the training reals do to a detector: each level of them against none.

Every network is evaluated on the same test faces and the same resamples of the same clusters, at the threshold that
held-out reals set for it. Intervals resample faces, not trainings, and any other training gives other figures. So each
level is set against two networks without fakes: the one trained already, and a placebo that saw other reals in the same
places. It is called better or worse only where it is shown to be so against both. Pure functions of tables.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from verovolto.calibration.thresholds import flagged
from verovolto.data.score_table import ScoreTable
from verovolto.evaluation.bootstrap import Statistics
from verovolto.evaluation.groups import Sample
from verovolto.evaluation.metrics import decision_rates, divide, ranking_statistics
from verovolto.thesis.ablation import paired, shared_faces
from verovolto.thesis.protocols import held_out_thresholds

ERROR_SCORE = "rmse"
"""The reconstruction error that is shown beside whatever score a model is evaluated by."""
RANKED = ("auroc", "ap_real", "ap_fake")
ERRORS = ("error_real", "error_fake", "error_gap")
DECIDED = ("missed_fakes", "false_alarm_rate")
_LESS_IS_BETTER = frozenset(DECIDED)
_NEITHER = frozenset(("error_real", "error_fake"))
"""Of these no direction is good: they are called higher or lower."""


@dataclass(frozen=True, kw_only=True)
class Level:
    """A network that learned from `faces` faces in the places of others, taken at `epoch`.

    `share` is that of fakes among its training faces; `test` is what it scored, `reals` the held-out reals that set its
    threshold.
    """

    share: float
    faces: int
    epoch: int
    test: ScoreTable
    reals: ScoreTable


def evaluate_levels(
    none: Level,
    placebo: Level,
    levels: Sequence[Level],
    score: str,
    *,
    false_alarm: float,
    **bootstrap: int,
) -> dict[str, Any]:
    """All figures of a model at each level, as JSON holds them.

    Args:
        none: the network that no face was replaced for.
        placebo: the one that saw other reals.
        levels: those that learned from fakes.
        score: that the model is evaluated by.
        false_alarm: rate in (0, 1) of the thresholds.
        bootstrap: number and seed of the resamples, as `Sample.of` takes them.

    Returns:
        `levels`, of which the first are `none` and `placebo`, each with `share`, `faces`, `epoch`, `threshold` and
        `figures` by name; `interval`, `judged_on`. A figure has its `value`, its differences `to_none` and `to_sham`
        (level minus those) and a `verdict`, each None where it makes no sense. Figures: areas under the curves
        (`RANKED`), the mean reconstruction error of either class and fake minus real (`ERRORS`), and rates at the
        threshold for `false_alarm` (`DECIDED`).

    Raises:
        DataError: where the tables share no face.
        CalibrationError: where the reals are too few for that rate.
    """
    all_levels = (none, placebo, *levels)
    tables = shared_faces([one.test for one in all_levels], score)
    sample = Sample.of(tables[0], score, **bootstrap)
    thresholds = [held_out_thresholds(one.reals, score, false_alarm)[0].value for one in all_levels]
    statistics = [
        _statistics(table, score, sample.fake, threshold)
        for table, threshold in zip(tables, thresholds, strict=True)
    ]
    figures = [_figures(of, statistics[: min(place, 2)], sample) for place, of in enumerate(statistics)]
    return {
        "score": score,
        "levels": [
            {
                "share": one.share,
                "faces": one.faces,
                "epoch": one.epoch,
                "threshold": threshold,
                "figures": of,
            }
            for one, threshold, of in zip(all_levels, thresholds, figures, strict=True)
        ],
        "judged_on": sample.class_counts(),
        "interval": sample.resamples.metadata(),
    }


def _statistics(table: ScoreTable, score: str, fake: np.ndarray, threshold: float) -> Statistics:
    """All figures of a level as functions of weights `[R, n]`."""
    values, errors = table.values(score), table.values(ERROR_SCORE)
    ranking, flags = ranking_statistics(values, fake), flagged(values, threshold)

    def statistics(weights: np.ndarray) -> dict[str, np.ndarray]:
        on_real, on_fake = (_mean(weights * of, errors) for of in (~fake, fake))
        means = dict(zip(ERRORS, (on_real, on_fake, on_fake - on_real), strict=True))
        return ranking(weights) | means | decision_rates(flags, fake, weights)

    return statistics


def _figures(one: Statistics, against: Sequence[Statistics], sample: Sample) -> dict[str, dict[str, Any]]:
    """The figures of a level, and its differences to none and to the placebo, as many of them as are given."""
    names = (*RANKED, *ERRORS, *DECIDED)
    # Against itself where there is nothing to set it against: for its values.
    compared = [paired(one, other, sample.resamples, names) for other in (*against, one)]
    figures: dict[str, dict[str, Any]] = {}
    for name in names:
        differences = [pair[name]["difference"] for pair in compared[:-1]]
        to_none, to_placebo = (*differences, None, None)[:2]
        figures[name] = {
            "value": compared[-1][name]["published"], "to_none": to_none, "to_sham": to_placebo,
            "verdict": _verdict(name, differences) if differences else None,
        }  # fmt: skip
    return figures


def _verdict(name: str, differences: Sequence[Mapping[str, float | None]]) -> str:
    """One is called better than the others only where the intervals of all differences lie on the same side of 0."""
    lows, highs = ([one[end] for one in differences] for end in ("low", "high"))
    above = all(low is not None and low > 0 for low in lows)
    if not above and not all(high is not None and high < 0 for high in highs):
        return "no difference shown"
    if name in _NEITHER:
        return "higher" if above else "lower"
    return "better" if above != (name in _LESS_IS_BETTER) else "worse"


def _mean(weights: np.ndarray, values: np.ndarray) -> np.ndarray:
    return np.asarray(divide(weights @ values, weights.sum(axis=1)))
