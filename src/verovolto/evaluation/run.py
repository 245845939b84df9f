"""Evaluations from end to end: of a detector on a set of faces, and of a table of scores made by any program."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from verovolto import __version__
from verovolto.calibration.thresholds import (
    Calibration,
    Threshold,
    every_supervised_threshold,
    find_threshold,
    one_class_thresholds,
)
from verovolto.core.errors import CalibrationError, InputError
from verovolto.core.files import write_json
from verovolto.data.faceset import FaceSet
from verovolto.data.score_table import ScoreTable, read_scores
from verovolto.data.splits import check_disjoint
from verovolto.detectors.base import Detector
from verovolto.detectors.io import detector_folder
from verovolto.detectors.score_faces import score_faces
from verovolto.evaluation.corrupted_scores import CorruptedScores, plan_corruptions, write_corrupted
from verovolto.evaluation.evaluate import correlations, evaluate_scores
from verovolto.evaluation.false_alarms import false_alarm_rates
from verovolto.evaluation.groups import Groups, clusters_of
from verovolto.evaluation.preflight import EvaluationSettings, check_scorable, exposure_warning, seen_by
from verovolto.evaluation.robustness import evaluate_robustness

HELD_OUT = ("calibrate", "val")
"""Splits of a table of scores that thresholds are set on: the first that is there."""


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """What an evaluation gives.

    Attributes:
        metrics: All figures, as `metrics.json` holds them (`docs/metrics-schema.md`), but for `command`.
        scores: Every input face with its scores, p-values and status.
        settings: How the evaluation was made.
        title: What was evaluated on what.
        arguments: Of `verovolto evaluate`, those that name what was evaluated.
        threshold: That of the evaluated score at the asked false-alarm rate, where there is one.
        warning: What makes the figures flatter the detector.
        detector: The detector; None for a table of scores.
        detector_folder: Its folder, where it came from one.
        faces: The faces that it scored.
        corrupted: Scores of corrupted faces, where they were asked for.
    """

    metrics: dict[str, Any]
    scores: ScoreTable
    settings: EvaluationSettings
    title: str
    arguments: tuple[str, ...]
    threshold: Threshold | None = None
    warning: str | None = None
    detector: Detector | None = None
    detector_folder: Path | None = None
    faces: FaceSet | None = None
    corrupted: CorruptedScores | None = None

    def command(self, folder: Path) -> str:
        """The command that makes these results again and writes them into `folder`."""
        words = ("verovolto", "evaluate", *self.arguments, "--out", str(folder), *self.settings.flags())
        return shlex.join(words)

    def write(self, folder: str | Path) -> None:
        """Write `scores.parquet`, `metrics.json` and, with corrupted faces, `robustness.parquet` into `folder`."""
        folder = Path(folder)
        self.scores.write(folder / "scores.parquet")
        write_json(folder / "metrics.json", self.metrics | {"command": self.command(folder)})
        if self.corrupted is not None:
            write_corrupted(self.corrupted, self.scores, folder)


def evaluate(
    detector: Detector | str | Path,
    data: FaceSet | str | Path,
    split: str = "test",
    *,
    settings: EvaluationSettings | None = None,
    workdir: Path | None = None,
    **options: Any,
) -> Evaluation:
    """Score a set of faces and measure how well reals and fakes are told apart.

    Args:
        detector: A detector, its folder, or `default`: the one that comes with the package.
        data: The set of faces, or its folder.
        split: The split that is scored; `all` for every face.
        settings: How to evaluate; None: the default settings.
        workdir: With `robustness`, the folder for finished parts, from which a killed run goes on.
        options: Fields of `EvaluationSettings`, in place of `settings`.

    Raises:
        InputError: For settings out of range, faces of one class alone, or faces cropped by another rule.
        CalibrationError: When the detector's calibration does not support the false-alarm rate.
        DataError: When too many faces cannot be read.

    >>> result = evaluate("default", face_set, split="test", false_alarm=0.05, resamples=100)
    >>> sorted(result.metrics["auroc"])
    ['high', 'low', 'value']
    >>> result.scores.scores
    ('discriminant', 'distance')
    >>> result.write(folder)  # metrics.json and scores.parquet
    """
    settings = settings or EvaluationSettings(**options)
    if isinstance(detector, Detector):
        folder, loaded, name = None, detector, detector.name
    else:
        folder, name = detector_folder(detector), str(detector)
        loaded = Detector.load(folder)
    whole = data if isinstance(data, FaceSet) else FaceSet.open(data)
    path = str(data.path if isinstance(data, FaceSet) else data)
    faces = whole if split == "all" else whole.select(split=split)
    faces = seen_by(loaded, faces, settings.any_crop)
    check_scorable(loaded, faces, settings)
    groups = settings.groups_of(faces)
    if (warning := exposure_warning(loaded, whole, split)) is not None:
        print(f"warning: {warning}", file=sys.stderr)
    plan = None
    if settings.robustness is not None:
        if folder is None or workdir is None:
            raise InputError("robustness needs the folder of a detector, and a workdir for finished parts")
        plan = plan_corruptions(folder, faces, workdir, count=settings.robustness, seed=settings.seed)
    scores = score_faces(
        loaded, faces, batch_size=settings.batch_size, max_unreadable=settings.max_unreadable
    )
    corrupted = plan.score(loaded, faces, scores, batch_size=settings.batch_size) if plan else None
    origin = {"detector_folder": name, "data": path, "split": split, "training": loaded.metadata}
    metrics, threshold = _measure(
        scores,
        settings,
        scores.metadata | origin,
        list(loaded.thresholds),
        loaded.calibration,
        corrupted,
        groups,
    )
    return Evaluation(
        metrics=metrics, scores=scores, settings=settings, title=f"{loaded.name} on {faces.name} ({split})",
        arguments=(name, "--data", path, "--split", split, *settings.scoring_flags()), threshold=threshold,
        warning=warning, detector=loaded, detector_folder=folder, faces=faces, corrupted=corrupted,
    )  # fmt: skip


def evaluate_table(
    path: Path, split: str = "test", *, settings: EvaluationSettings | None = None
) -> Evaluation:
    """Evaluate a table of scores made by any program (see `read_scores`); with a column `split`, see `split_table`."""
    settings = settings or EvaluationSettings()
    scores, calibration, thresholds = split_table(read_scores(path, score=settings.score), split)
    origin = {"split": split if "split" in scores.table.column_names else "all rows"}
    metrics, threshold = _measure(scores, settings, scores.metadata | origin, thresholds, calibration)
    return Evaluation(
        metrics=metrics, scores=scores, settings=settings, title=f"{scores.scores[0]} of {path.name}",
        arguments=("--scores", str(path), "--split", split), threshold=threshold,
    )  # fmt: skip


def _measure(
    scores: ScoreTable,
    settings: EvaluationSettings,
    metadata: Mapping[str, Any],
    thresholds: list[Threshold],
    calibration: Mapping[str, Calibration],
    corrupted: CorruptedScores | None = None,
    groups: Groups | None = None,
) -> tuple[dict[str, Any], Threshold | None]:
    """All figures, and the threshold at the asked false-alarm rate, which is added where the calibration gives it."""
    score = settings.score or scores.scores[0]
    if score in calibration:
        chosen_on = [each.chosen_on for each in thresholds if (each.score, each.kind) == (score, "one-class")]
        asked = calibration[score].at_rate(settings.false_alarm, *chosen_on[:1])
        if find_threshold(thresholds, score, settings.false_alarm) is None:
            thresholds = [asked, *thresholds]
    threshold = find_threshold(thresholds, score, settings.false_alarm)
    metrics = evaluate_scores(
        scores, thresholds=thresholds, calibration=calibration, score=score, protocol=settings.protocol,
        positive=settings.positive_class, strict=settings.strict, resamples=settings.resamples,
        seed=settings.seed,
    )  # fmt: skip
    metrics |= {"version": __version__, "correlations": correlations(scores, score)}
    if score in calibration:
        metrics["false_alarms"] = false_alarm_rates(
            scores, score, calibration[score], settings.false_alarm, groups=groups
        )
    if corrupted is not None:
        metrics["robustness"] = evaluate_robustness(
            scores, corrupted, score=score, threshold=threshold, strict=settings.strict,
            resamples=settings.resamples, seed=settings.seed,
        )  # fmt: skip
    return metrics | {"about": metadata, "detector": metadata.get("detector")}, threshold


def split_table(table: ScoreTable, split: str) -> tuple[ScoreTable, dict[str, Calibration], list[Threshold]]:
    """Rows of one split, and the calibration and thresholds that the `calibrate` (else `val`) rows give.

    A table without splits is evaluated whole; its supervised thresholds are then chosen on the very faces that
    are evaluated, and say so.

    Raises:
        InputError: For a split that is not there.
        SplitError: When the held-out rows share an identity or a video with the evaluated ones.
    """
    score = table.scores[0]
    splits = table.strings("split")
    names = {str(name) for name in splits if name is not None}
    if not names or split == "all":
        return table, {}, _supervised(table, score, "the evaluated faces themselves (optimistic)")
    if split not in names:
        raise InputError(
            f"no row of the table has the split {split!r}", hint=f"there is: {', '.join(sorted(names))}"
        )
    evaluated = table.take(np.flatnonzero(splits == split))
    held_out = next((name for name in HELD_OUT if name in names and name != split), None)
    if held_out is None:
        return evaluated, {}, _supervised(evaluated, score, "the evaluated faces themselves (optimistic)")
    # Evaluated rows must share nobody with those that set the thresholds; other splits do not matter.
    check_disjoint(table.table.filter(pc.is_in(table.table["split"], pa.array([split, held_out]))))
    rest = table.take(np.flatnonzero(splits == held_out))
    calibration, thresholds = _calibrate(rest, score, held_out)
    return evaluated, calibration, [*thresholds, *_supervised(rest, score, f"{held_out}, real and fake")]


def _calibrate(
    table: ScoreTable, score: str, held_out: str
) -> tuple[dict[str, Calibration], list[Threshold]]:
    finite = np.isfinite(table.values(score))
    reals = table.take(np.flatnonzero((table.strings("label") == "real") & finite))
    if not len(reals):
        return {}, []
    clusters, kind = clusters_of(reals)
    calibration = Calibration.of(
        reals.values(score), score=score, clusters=len(np.unique(clusters)), cluster=kind
    )
    return {score: calibration}, one_class_thresholds(calibration, chosen_on=f"{held_out} reals")


def _supervised(table: ScoreTable, score: str, chosen_on: str) -> list[Threshold]:
    values, label = table.values(score), table.strings("label")
    finite = np.isfinite(values)
    real, fake = values[finite & (label == "real")], values[finite & (label == "fake")]
    try:
        return every_supervised_threshold(real, fake, score=score, chosen_on=chosen_on)
    except CalibrationError:
        return []  # one class only: the evaluation says what is missing
