"""A set of real faces alone: how many of them a detector flags. Nothing can be said of fakes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from verovolto import __version__
from verovolto.core.errors import InputError
from verovolto.core.files import write_json
from verovolto.data.faceset import FaceSet
from verovolto.data.score_table import ScoreTable
from verovolto.detectors.base import Detector
from verovolto.detectors.score_faces import score_faces
from verovolto.evaluation.false_alarms import false_alarm_rates, text
from verovolto.evaluation.groups import clusters_of
from verovolto.evaluation.preflight import EvaluationSettings, seen_by


def reals_alone(whole: FaceSet, split: str) -> FaceSet | None:
    """The faces of a split of a set, `all` for all of it, if all are labelled real; None where there are others."""
    faces = whole if split == "all" else whole.select(split=split)
    return faces if set(faces.columns("label")["label"].unique().to_pylist()) == {"real"} else None


def evaluate_reals(detector: Detector, faces: FaceSet, settings: EvaluationSettings) -> dict[str, Any]:
    """The share of real faces above each threshold of the calibration, for all and by collection.

    Args:
        detector: a calibrated one.
        faces: real faces that it has not learned from.
        settings: of an evaluation.

    Returns:
        JSON values, with `scores` the table of scores beside them.

    Raises:
        InputError: the detector is not calibrated, or the faces were cropped by another rule.
    """
    faces = seen_by(detector, faces, settings.any_crop)
    score = settings.score or detector.default_score
    known = detector.calibration.get(score)
    if known is None:
        raise InputError(
            f"the detector has no calibration of {score!r}: of reals alone nothing can be said",
            hint="give faces of both classes with --data, or another --score",
        )
    groups = settings.groups_of(faces)
    table = score_faces(
        detector, faces, batch_size=settings.batch_size, max_unreadable=settings.max_unreadable
    )
    readable = table.take(np.flatnonzero(table.strings("status") == "ok"))
    clusters, kind = clusters_of(readable)
    return {
        "schema": "reals-only/1", "version": __version__, "detector": detector.name, "score": score,
        "faces": len(readable), "clusters": len(np.unique(clusters)), "cluster": kind,
        "false_alarms": false_alarm_rates(table, score, known, settings.false_alarm, groups=groups),
        "scores": table,
    }  # fmt: skip


def write_reals(found: dict[str, Any], out: Path) -> list[str]:
    """Write `metrics.json` and `scores.parquet`; returns what to tell, a line each."""
    out.mkdir(parents=True, exist_ok=True)
    scores: ScoreTable = found["scores"]
    scores.write(out / "scores.parquet")
    write_json(out / "metrics.json", {name: value for name, value in found.items() if name != "scores"})
    lines = [
        f"{found['faces']} real faces of {found['clusters']} groups by {found['cluster']}, no fakes: how many fakes "
        "are found cannot be said"
    ]
    return lines + text(found["false_alarms"])
