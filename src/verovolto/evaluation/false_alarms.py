"""How many real faces a detector flags in truth, beside what it promises: of all, of a source, of a group of people.

Of a set of real faces alone that is all that can be said: `evaluate_reals`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from verovolto import __version__
from verovolto.calibration.thresholds import FALSE_ALARMS, Calibration, flagged, share_interval
from verovolto.core.errors import InputError
from verovolto.core.files import write_json
from verovolto.data.faceset import FaceSet
from verovolto.data.score_table import ScoreTable
from verovolto.data.splits import cluster_ids
from verovolto.detectors.base import Detector
from verovolto.detectors.score_faces import score_faces
from verovolto.evaluation.groups import Groups, clusters_of
from verovolto.evaluation.preflight import EvaluationSettings, seen_by


def false_alarm_rates(
    table: ScoreTable, score: str, known: Calibration, asked: float, *, groups: Groups | None = None
) -> list[dict[str, Any]]:
    """What share of the real faces lies above each threshold, for all, by source and by group.

    Args:
        table: scores of N faces; those that are not real, or have no score, play no part.
        score: the column.
        known: the calibration that gives the thresholds.
        asked: a rate besides the usual ones that `known` supports.
        groups: columns of groups `[N]`, see `read_groups`.

    Returns:
        An object a rate and group, as `metrics.json` holds it. Its interval (95 %, Clopper and Pearson) counts people,
        as if all faces of one person said the same.
    """
    rows = np.flatnonzero((table.strings("label") == "real") & np.isfinite(table.values(score)))
    values, people = table.values(score)[rows], np.asarray(cluster_ids(table.table))[rows]
    sources = np.asarray([str(name or "") for name in table.strings("dataset")[rows]])
    parts = {("", "all"): np.ones(len(rows), dtype=bool)}
    if len(np.unique(sources)) > 1:
        parts |= {("dataset", str(name)): sources == name for name in np.unique(sources)}
    for column, of_face in (groups or {}).items():
        of = of_face[rows]
        parts |= {(column, str(name)): of == name for name in np.unique(of) if name}
    rates = sorted({asked, *(each for each in FALSE_ALARMS if each * (known.smallest + 1) >= 1)})
    return [
        each
        for rate in rates
        if len(rows)
        for each in _at(rate, known.threshold(rate), values, people, parts)
    ]


def _at(
    rate: float,
    threshold: float,
    values: NDArray[np.float64],
    people: NDArray[Any],
    parts: Mapping[tuple[str, str], NDArray[np.bool_]],
) -> Iterator[dict[str, Any]]:
    above = flagged(values, threshold)
    for (column, name), part in parts.items():
        count, number = int(part.sum()), len(np.unique(people[part]))
        share = float(above[part].mean())
        low, high = share_interval(share * number, number)
        yield {
            "promised": rate, "threshold": threshold, "faces_of": name, "column": column,
            "flagged": int(above[part].sum()), "of": count, "people": number, "share": share, "low": low, "high": high,
        }  # fmt: skip


def text(rates: list[dict[str, Any]], promised: float | None = None) -> list[str]:
    """The rates as lines for people; of one promise, or of all."""
    return [
        f"{each['share']:.1%} [{each['low']:.1%}, {each['high']:.1%}] flagged where {each['promised']:.0%} are promised"
        f" ({each['flagged']} of {each['of']}{_whose(each)})"
        for each in rates
        if promised in (None, each["promised"])
    ]


def _whose(rate: Mapping[str, Any]) -> str:
    if rate["faces_of"] == "all":
        return ""
    return (
        f" of {rate['faces_of']}" if rate["column"] == "dataset" else f", {rate['column']} {rate['faces_of']}"
    )


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
