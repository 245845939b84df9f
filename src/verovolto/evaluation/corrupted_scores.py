"""Scores of degraded faces: each face is read once and scored under every level of every degradation.

The work is kept in parts of a few faces, each a small Parquet file that appears whole, so that a killed run goes on
where it was. A part's scores depend on its faces and the settings alone, never on batches or on what ran before.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from verovolto.core.files import atomic_path
from verovolto.data.corruptions import CORRUPTIONS, Corruption
from verovolto.data.face_batch import FaceBatch
from verovolto.data.faceset import FaceSet
from verovolto.detectors.base import Detector
from verovolto.detectors.score_faces import read_batch
from verovolto.detectors.trivial.detector import TRIVIAL_SCORES, trivial_scores

FACES_A_PART = 64

Version = tuple[Corruption, float]
"""A degradation and one of its levels."""


def versions_of(degradations: Sequence[Corruption] = CORRUPTIONS) -> list[Version]:
    """Every level of every degradation, in the order of the ladders."""
    return [(one, level) for one in degradations for level in one.levels]


@dataclass(frozen=True, kw_only=True)
class CorruptedScores:
    """Scores of some faces under every version.

    `rows` int64 `[m]` are the positions of the faces in their set; `columns` maps a score to float32 `[v, m]`, a row a
    version in the order of `versions`, NaN where there is none (the bytes of an image that never was a file).
    """

    rows: np.ndarray
    versions: Sequence[Version]
    columns: Mapping[str, np.ndarray]

    def __len__(self) -> int:
        return len(self.rows)

    def table(self) -> pa.Table:
        """One row a version and face: `row`, `degradation`, `level` and the scores, null where there is none."""
        faces = len(self.rows)
        columns = {
            "row": np.tile(self.rows, len(self.versions)),
            "degradation": np.repeat([one.name for one, _ in self.versions], faces),
            "level": np.repeat(np.array([level for _, level in self.versions], np.float64), faces),
        }
        scores = {name: values.ravel() for name, values in self.columns.items()}
        return pa.table(columns | {n: pa.array(v, mask=np.isnan(v)) for n, v in scores.items()})


def score_corrupted(
    detector: Detector,
    faces: FaceSet,
    rows: np.ndarray,
    *,
    folder: Path,
    seed: int,
    degradations: Sequence[Corruption] = CORRUPTIONS,
    batch_size: int = 64,
    on_progress: Callable[[int], None] = lambda scored: None,
) -> CorruptedScores:
    """Scores of the faces at positions `rows` int64 `[m]` under every level of the degradations.

    Parts that `folder` holds already are taken as they are: that they were made by the same detector, faces, seed and
    degradations is the caller's to know. `on_progress` is told how many pictures were done since it was last
    called. A face that can no longer be read has no scores. At most `batch_size` faces and as many degraded
    ones are held at once.
    """
    versions = versions_of(degradations)
    parts = []
    for start in range(0, len(rows), FACES_A_PART):
        chosen = np.asarray(rows[start : start + FACES_A_PART], dtype=np.int64)
        path = folder / f"part-{start // FACES_A_PART:05d}.parquet"
        part = _read_part(path, chosen, versions)
        if part is None:
            part = _score_part(detector, faces, chosen, versions, seed, batch_size, on_progress)
            with atomic_path(path) as whole:
                pq.write_table(part.table(), whole)
        else:
            on_progress(len(versions) * len(chosen))
        parts.append(part)
    names = parts[0].columns
    return CorruptedScores(
        rows=np.concatenate([part.rows for part in parts]),
        versions=versions,
        columns={name: np.concatenate([part.columns[name] for part in parts], axis=1) for name in names},
    )


def _score_part(
    detector: Detector,
    faces: FaceSet,
    rows: np.ndarray,
    versions: Sequence[Version],
    seed: int,
    batch_size: int,
    on_progress: Callable[[int], None],
) -> CorruptedScores:
    names = dict.fromkeys((*detector.score_names, *TRIVIAL_SCORES))
    columns = {name: np.full((len(versions), len(rows)), np.nan, dtype=np.float32) for name in names}
    view = faces.take(rows)
    for start in range(0, len(rows), batch_size):
        stop = min(start + batch_size, len(rows))
        read, batch = read_batch(view, start, stop)
        for place, corrupted in enumerate(_corrupted(batch, rows[read], versions, seed)):
            if len(batch):
                found = trivial_scores(corrupted) | detector.score_batch(corrupted).columns
                for name, column in columns.items():
                    column[place, read] = found[name].numpy()
            on_progress(stop - start)
    return CorruptedScores(rows=rows, versions=versions, columns=columns)


def _corrupted(
    batch: FaceBatch, numbers: np.ndarray, versions: Sequence[Version], seed: int
) -> Iterator[FaceBatch]:
    """The faces of a batch, whose numbers in the set are `numbers`, in every version, one version at a time."""
    for degradation, level in versions:
        made = [
            degradation.apply(image, level, seed=seed, face=int(number))
            for image, number in zip(batch.images, numbers, strict=True)
        ]
        yield FaceBatch(images=[one.image for one in made], encoded_bytes=[one.encoded_bytes for one in made])


def _read_part(path: Path, rows: np.ndarray, versions: Sequence[Version]) -> CorruptedScores | None:
    """A finished part, or None where it is not there or is of other faces or versions."""
    if not path.is_file():
        return None
    table = pq.read_table(path)
    asked = CorruptedScores(rows=rows, versions=versions, columns={}).table()
    if not table.select(asked.column_names).equals(asked):
        return None
    scores = [name for name in table.column_names if name not in asked.column_names]
    shape = (len(versions), len(rows))
    columns = {name: table[name].to_numpy().reshape(shape) for name in scores}
    return CorruptedScores(rows=rows, versions=versions, columns=columns)
