"""The faces that are evaluated: which rows hold a score, and which belong to one identity, video, pair or group."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from verovolto.core.errors import DataError, InputError
from verovolto.data.faceset import FaceSet
from verovolto.data.score_table import METADATA_COLUMNS, ScoreTable
from verovolto.data.splits import cluster_ids, name_of_clusters, numbered, pair_keys, video_keys
from verovolto.data.tables import read_csv
from verovolto.evaluation.bootstrap import Resamples, draw_resamples
from verovolto.evaluation.metrics import divide

MOST_GROUPS = 30
"""Values of a column beyond which it names people or files rather than groups of them."""

Groups = Mapping[str, NDArray[Any]]
_KEYS = ("video", "source_video", "face")
_NO_GROUPS = {"path", "video", "identity", *METADATA_COLUMNS}


@dataclass(frozen=True, kw_only=True)
class Sample:
    """The faces that are evaluated.

    Attributes:
        scores: Their rows alone.
        fake: Boolean `[n]`.
        resamples: The resamples that all figures share.
    """

    scores: ScoreTable
    fake: np.ndarray
    resamples: Resamples

    @staticmethod
    def of(scores: ScoreTable, score: str, *, resamples: int, seed: int) -> Sample:
        """The scored and labelled faces of a table.

        Args:
            scores: The table.
            score: Faces without this score are left out.
            resamples: Number of bootstrap resamples.
            seed: Their seed.

        Raises:
            DataError: When a class is missing.
        """
        kept = scores.take(scored_rows(scores, score))
        fake = kept.strings("label") == "fake"
        clusters, kind = clusters_of(kept)
        drawn = draw_resamples(clusters, fake, kind=kind, resamples=resamples, seed=seed)
        return Sample(scores=kept, fake=fake, resamples=drawn)

    def class_counts(self, rows: np.ndarray | None = None) -> dict[str, int]:
        """Number of real and of fake faces, of all or of those at the positions `rows`."""
        return class_counts(self.fake if rows is None else self.fake[rows])


def class_counts(fake: np.ndarray) -> dict[str, int]:
    """Number of real and of fake faces, of labels `[n]`."""
    return {"real": int((~fake).sum()), "fake": int(fake.sum())}


def clusters_of(scores: ScoreTable) -> tuple[np.ndarray, str]:
    """Cluster names `[n]` and their kind: the identity, else the source video, else the face itself.

    Where the coarsest kind is unknown for some faces, the name of the kind says what stands in for it.
    """
    ids = cluster_ids(scores.table)
    return ids, name_of_clusters(ids)


def scored_rows(scores: ScoreTable, score: str) -> np.ndarray:
    """Positions `[m]` of the faces with status `ok`, a label, and a finite number as `score`.

    Raises:
        DataError: When either class is missing among them.
    """
    label = scores.strings("label")
    labelled = (label == "real") | (label == "fake")
    rows = np.flatnonzero((scores.strings("status") == "ok") & labelled & np.isfinite(scores.values(score)))
    missing = {"real", "fake"} - set(label[rows])
    if missing:
        raise DataError(
            f"no scored {' and no scored '.join(sorted(missing))} face among the {len(scores)} rows",
            hint="an evaluation needs real and fake faces; choose another split or data set",
        )
    return rows


def rows_by_face(scores: ScoreTable, score: str) -> dict[str, int]:
    """Positions of the `scored_rows` by the names of their faces; of a repeated name the last."""
    rows = scored_rows(scores, score)
    return {str(face): int(row) for face, row in zip(scores.strings("face")[rows], rows, strict=True)}


def on_shared_faces(tables: Sequence[ScoreTable], rows: Sequence[Mapping[str, int]]) -> list[ScoreTable]:
    """The faces that all tables scored, in one order: empty tables where there is none.

    Args:
        tables: of scores.
        rows: of each, as `rows_by_face` gives them.
    """
    common = sorted(set.intersection(*map(set, rows)))
    return [
        table.take(np.array([of[face] for face in common], dtype=np.int64))
        for table, of in zip(tables, rows, strict=True)
    ]


def coverage(scores: ScoreTable) -> dict[str, int]:
    """Number of input faces, in all and by status, and of those without a usable label."""
    status, label = scores.strings("status"), scores.strings("label")
    counted = {name: int((status == name).sum()) for name in ("ok", "no_face", "unreadable")}
    unlabelled = int((~np.isin(label.astype(str), ["real", "fake"])).sum())
    return {"faces": len(scores), **counted, "unlabelled": unlabelled}


def by_video(scores: ScoreTable, score: str) -> tuple[ScoreTable, np.ndarray]:
    """The first row of each video, and the mean `score` of its frames, `[v]` each; every row must have that score."""
    _, video = numbered(video_keys(scores.table))
    _, first = np.unique(video, return_index=True)
    sums = np.bincount(video, weights=scores.values(score))
    return scores.take(first), sums / np.bincount(video)


@dataclass(frozen=True, kw_only=True)
class Pairs:
    """Fakes that have a real counterpart.

    Attributes:
        rows: `[p]`, positions of those fakes.
        ordered: `[p]`, share of the counterparts that score lower, ties counting half.
    """

    rows: np.ndarray
    ordered: np.ndarray

    def pairwise_accuracy(self, weights: np.ndarray) -> dict[str, np.ndarray]:
        """Weighted share `[R]` of pairs whose fake scores higher, from weights `[R, n]` of all faces."""
        weights = weights[:, self.rows]
        return {"pairs_ordered": divide(weights @ self.ordered, weights.sum(axis=1))}


def find_pairs(scores: ScoreTable, values: np.ndarray, fake: np.ndarray) -> Pairs:
    """Match each fake with the reals of its data set, compression, `pair` and frame.

    `values` `[n]` are the scores, `fake` `[n]` boolean; all rows count. Brightness, pose and framing cancel
    within a pair, so the pairwise accuracy complements the AUROC.
    """
    of_pair = pair_keys(scores.table)
    paired = np.array([key is not None for key in of_pair], dtype=bool)
    if not paired.any():
        return Pairs(rows=np.zeros(0, dtype=np.int64), ordered=np.zeros(0))
    _, number = numbered(np.where(paired, of_pair, ""))
    real = np.flatnonzero(paired & ~fake)
    real = real[np.argsort(number[real], kind="stable")]
    keys = number[real]
    rows = np.flatnonzero(paired & fake)
    start, stop = np.searchsorted(keys, number[rows], "left"), np.searchsorted(keys, number[rows], "right")
    rows, start, size = rows[stop > start], start[stop > start], (stop - start)[stop > start]
    owner = np.repeat(np.arange(len(rows)), size)
    offset = np.arange(size.sum()) - np.repeat(np.cumsum(size) - size, size)
    counterparts = values[real[np.repeat(start, size) + offset]]
    own = values[rows][owner]
    won = (own > counterparts) + 0.5 * (own == counterparts)
    return Pairs(
        rows=rows, ordered=np.bincount(owner, weights=won, minlength=len(rows)) / np.maximum(size, 1)
    )


def read_groups(path: Path, faces: FaceSet) -> dict[str, NDArray[Any]]:
    """The groups that a table puts each face into, by the table's columns: `{"gender": ["Male", ...]}`, "" if unknown.

    Args:
        path: CSV with a column `path`, which names faces of the set or the photographs and videos that they are cut
            out of, and columns with few values, such as `gender` or `age`.
        faces: N of them.

    Raises:
        InputError: there is no such column, no column of groups, or no row is of any of the faces.
        DataError: the table cannot be read.
    """
    table = read_csv(path)
    if "path" not in table.column_names:
        raise InputError(f"{path} has no column path", hint="it names the photograph or video of each row")
    columns = {
        name: table[name].fill_null("").to_pylist()
        for name in table.column_names
        if name not in _NO_GROUPS and len(table[name].unique()) <= MOST_GROUPS
    }
    if not columns:
        raise InputError(
            f"{path} has no column of groups",
            hint=f"a column with {MOST_GROUPS} values at most: gender, age, …",
        )
    rows = {name: row for row, name in enumerate(table["path"].to_pylist())}
    known = faces.columns()
    names = (known[key].to_pylist() for key in _KEYS if key in known.column_names)
    best = max(
        ([rows.get(name, -1) for name in of] for of in names),
        key=lambda found: sum(row >= 0 for row in found),
    )
    if max(best) < 0:
        raise InputError(
            f"no row of {path} is of a face in {faces.path}",
            hint=f"its column path names photographs and videos as the set does: {known['face'][0]}",
        )
    return {name: np.asarray([of[row] if row >= 0 else "" for row in best]) for name, of in columns.items()}
