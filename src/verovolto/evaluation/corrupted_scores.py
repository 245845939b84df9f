"""Scores of corrupted faces: each face is read once and scored under every level of every corruption.

The work is kept in parts of a few faces, each a small Parquet file that appears whole, so that a killed run goes on
where it was. A part's scores depend on its faces and the settings alone, never on batches or on what ran before.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from verovolto import __version__
from verovolto.core.files import atomic_path, sha256_file
from verovolto.core.progress import OnProgress, ProgressDisplay
from verovolto.core.workdir import record_or_verify
from verovolto.data.corruptions import CORRUPTIONS, Corruption
from verovolto.data.face_batch import FaceBatch
from verovolto.data.faceset import FaceSet
from verovolto.data.score_table import ScoreTable
from verovolto.data.splits import numbered, pair_keys
from verovolto.detectors.base import Detector
from verovolto.detectors.io import JSON_NAME, find_folder
from verovolto.detectors.score_faces import read_batch
from verovolto.detectors.trivial.detector import TRIVIAL_SCORES, trivial_scores
from verovolto.evaluation.groups import scored_rows

FACES_A_PART = 64
PARTS, SETTINGS, RESULT = "robustness", "settings.json", "robustness.parquet"
DRAW_COLUMNS = ("face", "label", "dataset", "compression", "pair", "frame")
"""The columns that `draw_faces` reads."""

Version = tuple[Corruption, float]
"""A corruption and one of its levels."""


def versions_of(corruptions: Sequence[Corruption] = CORRUPTIONS) -> list[Version]:
    """Every level of every corruption, from mild to severe."""
    return [(corruption, level) for corruption in corruptions for level in corruption.levels]


@dataclass(frozen=True, kw_only=True)
class CorruptedScores:
    """Scores of some faces under every version.

    Attributes:
        rows: int64 `[m]`, positions of the faces in their set.
        versions: Corruptions and levels, `v` in all.
        columns: By score, float32 `[v, m]`, NaN where there is none (the bytes of an image that never was a file).
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
            "degradation": np.repeat([corruption.name for corruption, _ in self.versions], faces),
            "level": np.repeat(np.array([level for _, level in self.versions], np.float64), faces),
        }
        scores = {name: values.ravel() for name, values in self.columns.items()}
        return pa.table(columns | {n: pa.array(v, mask=np.isnan(v)) for n, v in scores.items()})


@dataclass(frozen=True, kw_only=True)
class CorruptionPlan:
    """Which faces are corrupted, and where finished parts are kept until all is done.

    Attributes:
        rows: int64 `[m]`, positions of the faces in the evaluated set.
        seed: Drew the rows, and decides the noise.
        parts: Folder for finished parts and the settings they were made with.
    """

    rows: np.ndarray
    seed: int
    parts: Path

    def score(
        self, detector: Detector, faces: FaceSet, scores: ScoreTable, *, batch_size: int
    ) -> CorruptedScores:
        """Score the planned faces under every corruption, from where an earlier run stopped.

        Args:
            detector: The detector that scores.
            faces: The evaluated set.
            scores: Its scores without corruption; faces that have none are left out.
            batch_size: Faces a batch.

        Raises:
            DataError: When no real or no fake face is left.
        """
        rows = self.rows[scored_rows(scores.take(self.rows), scores.scores[0])]
        versions = len(versions_of())
        with ProgressDisplay() as progress:
            count = progress.task(f"{len(rows)} faces, {versions} times degraded", versions * len(rows))
            return score_corrupted(
                detector, faces, rows, folder=self.parts, seed=self.seed, batch_size=batch_size,
                on_progress=count,
            )  # fmt: skip


def plan_corruptions(
    detector: Path, faces: FaceSet, folder: Path, *, count: int, seed: int
) -> CorruptionPlan:
    """Draw the faces to corrupt and record the settings before anything is scored.

    Args:
        detector: Folder of the detector.
        faces: The evaluated set.
        folder: Holds the parts of the run, and maybe those of an earlier one.
        count: Number of faces to draw, see `draw_faces`.
        seed: Seed of the draw and of the noise.

    Raises:
        InputError: When `folder` holds parts of a run of other settings.
    """
    plan = CorruptionPlan(
        rows=draw_faces(faces.columns(*DRAW_COLUMNS), count, seed=seed), seed=seed, parts=folder / PARTS
    )
    settings = {
        "version": __version__,
        "detector": sha256_file(find_folder(detector) / JSON_NAME),  # it holds the digest of the weights
        "data": faces.fingerprint(),
        "faces": count,
        "seed": seed,
        "degradations": [corruption.describe() for corruption in CORRUPTIONS],
    }
    if not any(plan.parts.glob("*.parquet")):  # of a run that stopped before its first part nothing is lost
        (plan.parts / SETTINGS).unlink(missing_ok=True)
    record_or_verify(
        plan.parts / SETTINGS,
        settings,
        what="an unfinished run of other settings: {}",
        hint="run it with those again, delete that folder, or give another --out",
    )
    return plan


def draw_faces(table: pa.Table, count: int, *, seed: int) -> np.ndarray:
    """Positions, ascending, of at most `count` labelled faces drawn by `seed`: half of them real, as far as that goes.

    Fakes and the reals they were made from come together (those of one data set, compression, pair and frame), so that
    pairs stay pairs; where one class is short, the other fills up. Faces are drawn from all clusters alike rather than
    whole clusters: each face has the same chance within its class, and many clusters make narrow intervals. The draw
    depends on the values of the rows (`DRAW_COLUMNS`), not on their order.
    """
    label, face, pair = (_strings(table, name) for name in ("label", "face", "pair"))
    real, fake = np.flatnonzero(label == "real"), np.flatnonzero(label == "fake")
    reals = min(len(real), max(count // 2, count - len(fake)))
    names, group_of = numbered(np.where(pair != "", pair_keys(table), face))
    random = np.random.Philox(np.random.SeedSequence([seed, len(names)]))
    place = random.random_raw(len(names))[group_of]
    drawn = [
        rows[np.lexsort((face[rows], place[rows]))][:wanted]
        for rows, wanted in ((real, reals), (fake, count - reals))
    ]
    return np.sort(np.concatenate(drawn)).astype(np.int64)


def _strings(table: pa.Table, name: str) -> np.ndarray:
    """A column as strings `[n]`, empty where unknown."""
    if name not in table.column_names:
        return np.full(len(table), "", dtype=np.str_)
    column = pc.fill_null(table[name].cast(pa.string()), "")
    return np.asarray(column.to_numpy(zero_copy_only=False), dtype=np.str_)


def score_corrupted(
    detector: Detector,
    faces: FaceSet,
    rows: np.ndarray,
    *,
    folder: Path,
    seed: int,
    corruptions: Sequence[Corruption] = CORRUPTIONS,
    batch_size: int = 64,
    on_progress: OnProgress = lambda done: None,
) -> CorruptedScores:
    """Scores of faces under every level of every corruption; a face that can no longer be read has none.

    At most `batch_size` faces and as many corrupted ones are held at once.

    Args:
        detector: The detector that scores.
        faces: The set of faces.
        rows: int64 `[m]`, positions of the faces in the set.
        folder: Holds finished parts. Those that are there are taken as they are: the caller has to make sure that the
            same detector, faces, seed and corruptions made them.
        seed: Seed of the noise.
        corruptions: The corruptions, each with its levels.
        batch_size: Faces a batch.
        on_progress: Called with the number of pictures that were done since the last call.
    """
    versions = versions_of(corruptions)
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
    on_progress: OnProgress,
) -> CorruptedScores:
    names = dict.fromkeys((*detector.score_names, *TRIVIAL_SCORES))
    columns = {name: np.full((len(versions), len(rows)), np.nan, dtype=np.float32) for name in names}
    view = faces.take(rows)
    for start in range(0, len(rows), batch_size):
        stop = min(start + batch_size, len(rows))
        read, batch = read_batch(view, start, stop)
        for place, corrupted in enumerate(_corrupted(batch, rows[read], versions, seed)):
            if len(batch):
                scores = trivial_scores(corrupted) | detector.score_batch(corrupted).columns
                for name, column in columns.items():
                    column[place, read] = scores[name].numpy()
            on_progress(stop - start)
    return CorruptedScores(rows=rows, versions=versions, columns=columns)


def _corrupted(
    batch: FaceBatch, numbers: np.ndarray, versions: Sequence[Version], seed: int
) -> Iterator[FaceBatch]:
    """The faces of a batch, whose numbers in the set are `numbers`, in every version, one version at a time."""
    for corruption, level in versions:
        made = [
            corruption.apply(image, level, seed=seed, face=int(number))
            for image, number in zip(batch.images, numbers, strict=True)
        ]
        yield FaceBatch(
            images=[face.image for face in made], encoded_bytes=[face.encoded_bytes for face in made]
        )


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


def write_corrupted(corrupted: CorruptedScores, scores: ScoreTable, folder: Path) -> None:
    """Write all scores of corrupted faces into `folder`, a row a face and version, and delete the parts."""
    table = corrupted.table()
    rows = table["row"].to_numpy()
    for name in ("label", "face"):
        table = table.add_column(0, name, pa.array(scores.strings(name)[rows], pa.string()))
    with atomic_path(folder / RESULT) as part:
        pq.write_table(table.drop_columns(["row"]), part)
    shutil.rmtree(folder / PARTS)
