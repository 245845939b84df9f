"""One model under one protocol: what its test faces, its thresholds and its epochs give. Pure functions of tables.

An *arm* is a network trained by a protocol's split. The thesis's arm is judged as the thesis judges
(`thesis.metrics`); the honest one by thresholds of held-out reals. The trivial statistics are judged in the same way
as the score.
"""

from __future__ import annotations

from collections.abc import Sequence
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
from verovolto.data.score_table import ScoreTable
from verovolto.data.splits import halve
from verovolto.evaluation.bootstrap import with_intervals
from verovolto.evaluation.groups import Sample, clusters_of, scored_rows
from verovolto.evaluation.metrics import ranking_statistics
from verovolto.thesis import ablation
from verovolto.thesis import metrics as thesis
from verovolto.thesis.ablation import Shortcut

_SHOWN = ("auroc", "ap_real", "ap_fake", "eer")
RANDOM_FRAMES = "of the thesis's random test frames"


def labels_of(table: ScoreTable, score: str) -> tuple[np.ndarray, np.ndarray]:
    """Scores `[n]` and which of them are of fakes `[n]`, of the faces with a score. `DataError` without a class."""
    kept = table.take(scored_rows(table, score))
    return kept.values(score), kept.strings("label") == "fake"


def calibrate_half(val: ScoreTable, *, seed: int) -> ScoreTable:
    """The rows of the validation faces that choose nothing: the half that training left to calibration."""
    return val.take(np.flatnonzero(~halve(val.table, seed=seed)))


def judged_names(sample: Sample, score: str) -> list[str]:
    """The score, and the trivial statistics that every face has."""
    known = [name for name in sample.scores.baselines if np.isfinite(sample.scores.values(name)).all()]
    return [score, *known]


def rankings(sample: Sample, score: str) -> dict[str, dict[str, Any]]:
    """Areas under the curves with intervals, of the score and of the trivial statistics."""
    return {
        name: {
            key: figure.to_dict()
            for key, figure in with_intervals(
                ranking_statistics(sample.scores.values(name), sample.fake), sample.resamples
            ).items()
            if key in _SHOWN
        }
        for name in judged_names(sample, score)
    }


@dataclass(frozen=True, kw_only=True)
class Judging:
    """Which of the thesis's ways of judging are kept: thresholds of the `pooled` test and of the largest F1 (`max_f1`),
    faces accepted when `score < s` (`strict`). Where one is not, the sound way stands in its place."""

    pooled: bool = True
    max_f1: bool = True
    strict: bool = True


AS_PUBLISHED = Judging()


def thesis_thresholds(
    test: ScoreTable,
    val: ScoreTable,
    score: str,
    *,
    kept: Judging = AS_PUBLISHED,
    reals: ScoreTable | None = None,
    false_alarm: float = 0.1,
) -> list[Threshold]:
    """The pooled 80th percentile of the test itself, and the largest F1 of the validation faces.

    One that is not `kept` is replaced by its sound counterpart: the same percentile of the reals of the table `reals`
    (of `val` where None), and, for the largest F1, which needs fakes, the conformal threshold of those reals at a
    false-alarm rate. Raises `CalibrationError` where they are too few for that rate, `DataError` where a class is
    missing that a threshold needs.
    """
    reals = val if reals is None else reals
    first = _pooled(test, score) if kept.pooled else percentile_of_reals(reals, score)
    if kept.max_f1:
        return [first, _largest_f1(val, score, strict=kept.strict)]
    return [first, held_out_thresholds(reals, score, false_alarm)[0]]


def _pooled(test: ScoreTable, score: str) -> Threshold:
    judged, _ = labels_of(test, score)
    return thesis.pooled(judged, score=score)


def _largest_f1(val: ScoreTable, score: str, *, strict: bool) -> Threshold:
    """With `strict` as published; without, `score <= s` with s up to infinity, so that any real can be accepted."""
    values, fake = labels_of(val, score)
    chosen_on = f"{int((~fake).sum())} real and {int(fake.sum())} fake validation faces"
    if strict:
        return thesis.largest_f1(values, fake, score=score, chosen_on=chosen_on)
    found = supervised_thresholds(
        values[~fake], values[fake], score=score, chosen_on=chosen_on, positive="real"
    )
    return found[0]


def percentile_of_reals(reals: ScoreTable, score: str) -> Threshold:
    """The 80th percentile of held-out reals. Raises `DataError` where there are none."""
    known, chosen_on = _held_out(reals, score)
    return one_class_thresholds(known, (), chosen_on)[-1]


def held_out_thresholds(reals: ScoreTable, score: str, false_alarm: float) -> list[Threshold]:
    """The conformal threshold at a false-alarm rate and the 80th percentile, of held-out reals alone.

    Raises `CalibrationError` where they are too few for that rate, `DataError` where there are none.
    """
    known, chosen_on = _held_out(reals, score)
    known.threshold(false_alarm)  # raises where the sample cannot support the rate
    return one_class_thresholds(known, (false_alarm,), chosen_on)


def _held_out(reals: ScoreTable, score: str) -> tuple[Calibration, str]:
    """The scores of the reals of a table, and how many they are in words."""
    values = reals.values(score)
    kept = reals.take(np.flatnonzero((reals.strings("label") == "real") & np.isfinite(values)))
    if not len(kept):
        raise DataError("there is no scored real validation face to set a threshold on")
    clusters, kind = clusters_of(kept)
    known = Calibration.of(kept.values(score), score=score, clusters=len(np.unique(clusters)), cluster=kind)
    return known, f"{len(kept)} held-out real faces ({known.clusters} clusters by {kind})"


def rows(sample: Sample, by_name: dict[str, list[Threshold]], *, strict: bool) -> list[dict[str, Any]]:
    """A row a threshold of each score, as `thesis.metrics.Row.to_dict` gives it, with the name of the score."""
    return [
        {
            "score": name,
            **thesis.judge(
                sample.scores.values(name), sample.fake, threshold, sample.resamples, strict=strict
            ).to_dict(),
        }
        for name, thresholds in by_name.items()
        for threshold in thresholds
    ]


def leak(
    leaky: ScoreTable,
    honest: ScoreTable,
    score: str,
    *,
    resamples: int,
    seed: int,
    share: float,
    faces: int,
    uniform: bool = False,
) -> Shortcut:
    """Frames at random against people kept apart: two detectors on the faces that both tables scored.

    `share` is the part of the judged faces whose person (or video) the leaky one met in training; both were trained on
    `faces` reals. With `uniform` the leaky one was trained with uniform noise besides, and the two are measured as one:
    to part them would take a third network. Raises `DataError` when the tables share too little.
    """
    met = f"trained on frames drawn at random: {share:.0%} of the judged faces show someone trained on"
    return _trainings(
        leaky, honest, score, resamples=resamples, seed=seed, faces=faces,
        name="leak and uniform noise" if uniform else "leak",
        published=f"{met}; with uniform noise" if uniform else met,
        sound="trained on other people's frames alone" + (", with normal noise" if uniform else ""),
    )  # fmt: skip


def noise(
    uniform: ScoreTable, normal: ScoreTable, score: str, *, resamples: int, seed: int, faces: int
) -> Shortcut:
    """Uniform noise in the reparametrisation against normal noise: two detectors on the faces that both tables scored,
    trained on the same `faces` reals. Raises `DataError` when the tables share too little."""
    return _trainings(
        uniform, normal, score, resamples=resamples, seed=seed, faces=faces, name="uniform noise",
        published="trained with noise drawn uniformly from [0, 1)", sound="trained with noise from N(0, 1)",
    )  # fmt: skip


def _trainings(
    published_table: ScoreTable,
    sound_table: ScoreTable,
    score: str,
    *,
    resamples: int,
    seed: int,
    faces: int,
    name: str,
    published: str,
    sound: str,
) -> Shortcut:
    """Two detectors, on the faces that both scored."""
    one, other = _shared(published_table, sound_table, score)
    sample = Sample.of(one, score, resamples=resamples, seed=seed)
    return Shortcut(
        name=name,
        published=published,
        honest=sound,
        judged_on=_told(sample, "kept out of both trainings, of the identity-disjoint test split"),
        figures=ablation.of_rankings(
            sample.scores.values(score), other.values(score), sample.fake, sample.resamples
        ),
        interval=sample.resamples.metadata(),
        note=f"both trained once on {faces:,} reals with the same settings and seed, and taken at the same epoch; the "
        "interval is of other faces, not of other trainings: other reals alone can change a network as much",
    )


def selection(
    tables: dict[int, ScoreTable],
    score: str,
    on_test: int,
    on_reals: int,
    *,
    resamples: int,
    seed: int,
    judged: str = RANDOM_FRAMES,
) -> Shortcut:
    """The epoch chosen on the test set against that of least loss on validation reals, on that test set; `judged` says
    which faces it holds."""
    first, second = _shared(tables[on_test], tables[on_reals], score)
    sample = Sample.of(first, score, resamples=resamples, seed=seed)
    return Shortcut(
        name="selection",
        published=f"epoch {on_test}: largest area under PR on the test set",
        honest=f"epoch {on_reals}: least loss on validation reals",
        judged_on=_told(sample, judged),
        figures=ablation.of_rankings(sample.scores.values(score), second.values(score), sample.fake, sample.resamples),
        interval=sample.resamples.metadata(),
        note="both ways chose the same epoch, so nothing was gained" if on_test == on_reals else
        f"chosen among {len(tables)} checkpoints; the more there are, the more a choice on the test set gains",
    )  # fmt: skip


def thresholds(
    sample: Sample,
    score: str,
    published: Threshold,
    held_out: Threshold,
    *,
    name: str,
    says: tuple[str, str],
    strict: bool = True,
    judged: str = RANDOM_FRAMES,
) -> Shortcut:
    """A threshold of the thesis, and its `strict` rule where that is kept, against one of held-out reals, on the same
    scores of the same faces; `judged` says which those are."""
    return Shortcut(
        name=name,
        published=says[0],
        honest=says[1],
        judged_on=_told(sample, judged),
        figures=ablation.of_thresholds(
            sample.scores.values(score), sample.fake, (published, strict), (held_out, False), sample.resamples
        ),
        interval=sample.resamples.metadata(),
        note="the thresholds stay as they are in all resamples",
    )


def _told(sample: Sample, what: str) -> str:
    real, fake = int((~sample.fake).sum()), int(sample.fake.sum())
    return f"{real} real and {fake} fake faces {what}"


def _shared(one: ScoreTable, other: ScoreTable, score: str) -> tuple[ScoreTable, ScoreTable]:
    """The faces that both tables scored, in one order."""
    places: Sequence[dict[str, int]] = [
        {str(table.strings("face")[row]): int(row) for row in scored_rows(table, score)}
        for table in (one, other)
    ]
    common = sorted(places[0].keys() & places[1].keys())
    if not common:
        raise DataError("the two detectors scored no face in common")
    first, second = (
        table.take(np.array([place[face] for face in common]))
        for table, place in zip((one, other), places, strict=True)
    )
    return first, second
