"""One model under one protocol: the epoch, the thresholds and the rows of the tables that its scores give.

The protocol as published is evaluated as the thesis does (`thesis.metrics`); the sound one by thresholds of held-out
reals. The trivial statistics are evaluated in the same way as the score.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from verovolto.calibration.thresholds import (
    Calibration,
    Threshold,
    one_class_thresholds,
    supervised_thresholds,
)
from verovolto.core.errors import DataError
from verovolto.core.workdir import Done
from verovolto.data.score_table import ScoreTable
from verovolto.data.splits import halve
from verovolto.evaluation.bootstrap import with_intervals
from verovolto.evaluation.evaluate import video_level
from verovolto.evaluation.groups import Sample, clusters_of, scored_rows
from verovolto.evaluation.metrics import ranking_statistics
from verovolto.thesis import metrics
from verovolto.thesis.networks import scores
from verovolto.thesis.plan import Deviation, Plan, Protocol

_SHOWN = ("auroc", "ap_real", "ap_fake", "eer")
OF_THRESHOLDS: tuple[Deviation, ...] = ("pooled", "max-f1", "strict")
"""The deviations that thresholds and their rule depend on."""


@dataclass(frozen=True, kw_only=True)
class ModelScores:
    """What the checkpoints of a model scored under a protocol: the steps by epoch."""

    plan: Plan
    protocol: Protocol
    model: str
    scored: Mapping[int, Done]

    @property
    def score(self) -> str:
        """The score that the protocol evaluates by."""
        return self.plan.score_of(self.protocol, self.model)

    def table(self, epoch: int, split: str = "test") -> ScoreTable:
        """The scores of a split by the checkpoint of an epoch."""
        return scores(self.scored[epoch].folder, split)

    def kept(self, *of: Deviation) -> list[Deviation]:
        """Which of these deviations the protocol keeps."""
        return self.plan.kept(self.protocol, *of)

    def held_out(self, epoch: int) -> ScoreTable:
        """The validation faces that chose no epoch: all, where the test set chose it."""
        val = self.table(epoch, "val")
        return val if self.kept("test-epoch") else calibration_split(val, seed=self.plan.seed)

    def thresholds(self, epoch: int, name: str) -> list[Threshold]:
        """The two thresholds of the protocol, of a score or trivial statistic."""
        if self.protocol == "honest":
            return held_out_thresholds(self.held_out(epoch), name, self.plan.false_alarm)
        return thesis_thresholds(
            self.table(epoch), self.table(epoch, "val"), name, kept=self.kept(*OF_THRESHOLDS),
            reals=self.held_out(epoch), false_alarm=self.plan.false_alarm,
        )  # fmt: skip


def choose_epoch(model: ModelScores, trained: Done) -> dict[str, Any]:
    """The epoch by the protocol's own rule, and what led to it: figures on the test set, losses on reals."""
    score, by_test = model.score, bool(model.kept("test-epoch"))
    areas, ranked = {}, {}
    for epoch in model.scored:
        test = model.table(epoch)
        areas[epoch] = metrics.area_under_pr(*labels_of(test, score))
        ranked[str(epoch)] = rankings(model.plan.sample(test, score), score)[score]
    losses = {epoch: float(trained.result["losses"][str(epoch)]) for epoch in model.scored}
    on_test, on_reals = metrics.chosen_on_test(areas), metrics.chosen_on_reals(losses)
    return {
        "model": model.model, "protocol": model.protocol, "score": score, "on_test": on_test, "on_reals": on_reals,
        "epoch": on_test if by_test else on_reals,
        "chosen_on": "largest area under PR on the test set" if by_test else "least loss on validation reals",
        "losses": {str(epoch): loss for epoch, loss in losses.items()},
        "ranking": ranked,
    }  # fmt: skip


def tabulate(model: ModelScores, choice: Mapping[str, Any]) -> dict[str, Any]:
    """The rows of the tables: each threshold of the protocol with counts, figures and intervals."""
    score, epoch = model.score, choice["epoch"]
    sample = model.plan.sample(model.table(epoch), score)
    names = evaluated_scores(sample, score)
    by_name = {name: model.thresholds(epoch, name) for name in names}
    return {
        "model": model.model, "protocol": model.protocol, "score": score, "epoch": epoch,
        "chosen_on": choice["chosen_on"],
        "test": sample.class_counts(),
        "interval": sample.resamples.metadata(),
        "ranking": rankings(sample, score),
        "by_video": {name: video_level(sample, name, **model.plan.bootstrap) for name in names},
        "rows": rows(sample, by_name, strict=bool(model.kept("strict"))),
    }  # fmt: skip


def labels_of(table: ScoreTable, score: str) -> tuple[np.ndarray, np.ndarray]:
    """Scores `[n]` and which of them are of fakes `[n]`, of the faces with a score.

    Raises:
        DataError: without one of the classes.
    """
    kept = table.take(scored_rows(table, score))
    return kept.values(score), kept.strings("label") == "fake"


def calibration_split(val: ScoreTable, *, seed: int) -> ScoreTable:
    """The rows of the validation faces that choose nothing: the half that training left to calibration."""
    return val.take(np.flatnonzero(~halve(val.table, seed=seed)))


def evaluated_scores(sample: Sample, score: str) -> list[str]:
    """The score, and the trivial statistics that every face has."""
    return [
        score,
        *(name for name in sample.scores.baselines if np.isfinite(sample.scores.values(name)).all()),
    ]


def rankings(sample: Sample, score: str) -> dict[str, dict[str, Any]]:
    """Areas under the curves with intervals, of the score and of the trivial statistics."""
    estimates = {
        name: with_intervals(ranking_statistics(sample.scores.values(name), sample.fake), sample.resamples)
        for name in evaluated_scores(sample, score)
    }
    return {
        name: {key: estimate.to_dict() for key, estimate in of.items() if key in _SHOWN}
        for name, of in estimates.items()
    }


def thesis_thresholds(
    test: ScoreTable,
    val: ScoreTable,
    score: str,
    *,
    kept: Collection[Deviation] = OF_THRESHOLDS,
    reals: ScoreTable | None = None,
    false_alarm: float = 0.1,
) -> list[Threshold]:
    """The pooled 80th percentile of the test itself, and the largest F1 of the validation faces.

    One whose deviation is not `kept` is replaced by its sound counterpart: the same percentile of held-out reals, and,
    for the largest F1, which needs fakes, their conformal threshold at a false-alarm rate.

    Args:
        test: the scored test faces.
        val: the scored validation faces.
        score: name of the score.
        kept: deviations; without `strict`, the largest F1 is that of `score <= s` with s up to infinity.
        reals: validation faces whose reals chose nothing; `val` where None.
        false_alarm: rate in (0, 1).

    Raises:
        CalibrationError: where the reals are too few for that rate.
        DataError: where a class is missing that a threshold needs.
    """
    reals = val if reals is None else reals
    if "pooled" in kept:
        first = metrics.pooled(labels_of(test, score)[0], score=score)
    else:
        first = percentile_of_reals(reals, score)
    if "max-f1" not in kept:
        return [first, held_out_thresholds(reals, score, false_alarm)[0]]
    values, fake = labels_of(val, score)
    chosen_on = f"{int((~fake).sum())} real and {int(fake.sum())} fake validation faces"
    if "strict" in kept:
        return [first, metrics.largest_f1(values, fake, score=score, chosen_on=chosen_on)]
    supervised = supervised_thresholds(
        values[~fake], values[fake], score=score, chosen_on=chosen_on, positive="real"
    )
    return [first, supervised[0]]


def percentile_of_reals(reals: ScoreTable, score: str) -> Threshold:
    """The 80th percentile of held-out reals.

    Raises:
        DataError: where there are none.
    """
    calibration, chosen_on = _calibration(reals, score)
    return one_class_thresholds(calibration, (), chosen_on)[-1]


def held_out_thresholds(reals: ScoreTable, score: str, false_alarm: float) -> list[Threshold]:
    """The conformal threshold at a false-alarm rate and the 80th percentile, of held-out reals alone.

    Raises:
        CalibrationError: where they are too few for that rate.
        DataError: where there are none.
    """
    calibration, chosen_on = _calibration(reals, score)
    calibration.threshold(false_alarm)  # raises where the sample cannot support the rate
    return one_class_thresholds(calibration, (false_alarm,), chosen_on)


def _calibration(reals: ScoreTable, score: str) -> tuple[Calibration, str]:
    """The scores of the reals of a table, and how many they are in words."""
    values = reals.values(score)
    kept = reals.take(np.flatnonzero((reals.strings("label") == "real") & np.isfinite(values)))
    if not len(kept):
        raise DataError("there is no scored real validation face to set a threshold on")
    clusters, kind = clusters_of(kept)
    count = len(np.unique(clusters))
    calibration = Calibration.of(kept.values(score), score=score, clusters=count, cluster=kind)
    return calibration, f"{len(kept)} held-out real faces ({count} clusters by {kind})"


def rows(sample: Sample, by_name: Mapping[str, list[Threshold]], *, strict: bool) -> list[dict[str, Any]]:
    """A row a threshold of each score, as `metrics.evaluate_threshold` gives it, with the name of the score."""
    return [
        {
            "score": name,
            **metrics.evaluate_threshold(values, sample.fake, one, sample.resamples, strict=strict),
        }
        for name, thresholds in by_name.items()
        for values in [sample.scores.values(name)]
        for one in thresholds
    ]
