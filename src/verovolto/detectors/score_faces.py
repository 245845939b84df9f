"""Score a whole face set: one pass that gives every score, the trivial statistics, p-values and statuses."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa

from verovolto.core.errors import DataError, UnreadableImage
from verovolto.core.progress import track
from verovolto.data.face_batch import FaceBatch
from verovolto.data.faceset import FaceSet
from verovolto.data.score_table import METADATA_COLUMNS, ScoreTable
from verovolto.detectors.base import Detector
from verovolto.detectors.trivial.detector import TRIVIAL_SCORES, trivial_scores


def score_faces(
    detector: Detector,
    faces: FaceSet,
    *,
    batch_size: int = 64,
    max_unreadable: float = 0.05,
    quiet: bool = False,
) -> ScoreTable:
    """Scores of every face of a set, in its order.

    A face that cannot be read has the status `unreadable` and null scores, and is named on standard error.

    Args:
        detector: gives the scores.
        faces: the set.
        batch_size: faces scored at a time; no score depends on it.
        max_unreadable: share of faces that may be unreadable.
        quiet: show no progress.

    Raises:
        DataError: more faces cannot be read.
    """
    names = (*detector.score_names, *(n for n in TRIVIAL_SCORES if n not in detector.score_names))
    columns = {name: np.full(len(faces), np.nan, dtype=np.float32) for name in names}
    readable = np.zeros(len(faces), dtype=bool)
    starts = range(0, len(faces), batch_size)
    for start in track(starts, f"scoring {len(faces)} faces", quiet=quiet):
        rows, batch = read_batch(faces, start, min(start + batch_size, len(faces)))
        if len(batch):
            found = trivial_scores(batch) | detector.score_batch(batch).columns
            for name, column in columns.items():
                column[rows] = found[name].numpy()
            readable[rows] = True
    _check_share(faces, readable, max_unreadable)
    return _table(detector, faces, columns, readable)


def read_batch(faces: FaceSet, start: int, stop: int) -> tuple[list[int], FaceBatch]:
    """The rows from `start` to `stop` that can be read, and their faces; others are named on standard error."""
    rows, images, sizes = [], [], []
    for row, encoded in _encoded(faces, range(start, stop)):
        try:
            images.append(faces.decode(row, encoded))
        except UnreadableImage as error:
            reason = error.message.removeprefix("image: ")
            print(f"skipped: {faces.face(row)}: {reason}", file=sys.stderr)
            continue
        rows.append(row)
        sizes.append(len(encoded))
    return rows, FaceBatch(images=images, encoded_bytes=sizes)


def _encoded(faces: FaceSet, rows: range) -> Iterator[tuple[int, bytes]]:
    for row in rows:
        try:
            yield row, faces.encoded(row)
        except UnreadableImage as error:
            print(f"skipped: {error.message}", file=sys.stderr)


def _check_share(faces: FaceSet, readable: np.ndarray, allowed: float) -> None:
    lost = int((~readable).sum())
    if lost > allowed * len(faces) or not readable.any():
        first = faces.face(int(np.flatnonzero(~readable)[0]))
        raise DataError(
            f"{lost} of {len(faces)} faces of {faces.path} cannot be read, more than the allowed share of {allowed:g}; "
            f"the first: {first}",
            hint="mend the data, or raise --max-unreadable",
        )


def _table(
    detector: Detector, faces: FaceSet, columns: dict[str, np.ndarray], readable: np.ndarray
) -> ScoreTable:
    table = faces.columns(*METADATA_COLUMNS)
    table = table.append_column("status", pa.array(np.where(readable, "ok", "unreadable")))
    for name, values in columns.items():
        # A score that is not known (the bytes of an image that never was a file) is null, not NaN.
        table = table.append_column(name, pa.array(values, mask=np.isnan(values)))
        if name in detector.calibration:
            p = detector.calibration[name].p_values(values)
            table = table.append_column(f"p_{name}", pa.array(p, mask=np.isnan(p)))
    scores = detector.score_names
    metadata: dict[str, Any] = {
        "detector": detector.name,
        "data": faces.name,
        "fingerprint": faces.fingerprint(),
        "crop_rule": faces.crop_rule,
        **{
            key: detector.metadata[key]
            for key in ("trained_on", "seed", "weights")
            if key in detector.metadata
        },
    }
    baselines = tuple(
        name for name in TRIVIAL_SCORES if name not in scores and not np.isnan(columns[name]).all()
    )
    return ScoreTable(table=table, scores=scores, baselines=baselines, metadata=metadata)
