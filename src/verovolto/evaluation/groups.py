"""What is counted: which rows hold a score, which belong to one person, to one video, to one pair."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from verovolto.core.errors import DataError
from verovolto.data.score_table import ScoreTable
from verovolto.data.splits import cluster_ids, name_of_clusters, video_keys
from verovolto.evaluation.bootstrap import Resamples, draw_resamples
from verovolto.evaluation.metrics import divide

SEPARATOR = "\x1f"


def scored_rows(scores: ScoreTable, score: str) -> np.ndarray:
    """Positions `[m]` of the faces that count: status `ok`, a label, and a finite number as `score`.

    Raises DataError when either class is missing among them.
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


def coverage(scores: ScoreTable) -> dict[str, int]:
    """How many input faces there are, by status, and how many carry no usable label."""
    status, label = scores.strings("status"), scores.strings("label")
    counted = {name: int((status == name).sum()) for name in ("ok", "no_face", "unreadable")}
    unlabelled = int((~np.isin(label.astype(str), ["real", "fake"])).sum())
    return {"faces": len(scores), **counted, "unlabelled": unlabelled}


def by_video(scores: ScoreTable, score: str) -> tuple[ScoreTable, np.ndarray]:
    """The first row of each video, and the mean `score` of its frames, `[v]` each.

    Rows without the score must have been left out.
    """
    _, first, inverse = np.unique(video_keys(scores.table), return_index=True, return_inverse=True)
    sums = np.bincount(inverse, weights=scores.values(score))
    return scores.take(first), sums / np.bincount(inverse)


@dataclass(frozen=True, kw_only=True)
class Pairs:
    """Fakes that have a real counterpart. `rows` `[p]`: positions of those fakes; `ordered` `[p]`: share of
    the counterparts that score lower, ties counting half."""

    rows: np.ndarray
    ordered: np.ndarray

    def share(self, weights: np.ndarray) -> dict[str, np.ndarray]:
        """Weighted share of pairs ordered rightly `[R]`, from weights `[R, n]` of all faces."""
        weights = weights[:, self.rows]
        total = weights.sum(axis=1)
        return {"pairs_ordered": divide(weights @ self.ordered, total)}


def find_pairs(scores: ScoreTable, values: np.ndarray, fake: np.ndarray) -> Pairs:
    """Tie each fake to the reals of its data set, compression, `pair` and frame.

    `values` `[n]` are the scores, `fake` `[n]` boolean; all rows count. Brightness, pose and framing cancel
    within a pair, so this figure stands beside the AUROC.
    """
    pair = scores.strings("pair")
    columns = [scores.strings(name) for name in ("dataset", "compression", "pair", "frame")]
    key = _joined([np.where(_known(column), column, "") for column in columns]).astype(str)
    _, number = np.unique(key, return_inverse=True)
    paired = _known(pair)
    real = np.flatnonzero(paired & ~fake)
    real = real[np.argsort(number[real], kind="stable")]
    keys = number[real]
    rows = np.flatnonzero(paired & fake)
    start, stop = np.searchsorted(keys, number[rows], "left"), np.searchsorted(keys, number[rows], "right")
    rows, start, size = rows[stop > start], start[stop > start], (stop - start)[stop > start]
    owner = np.repeat(np.arange(len(rows)), size)
    offset = np.arange(size.sum()) - np.repeat(np.cumsum(size) - size, size)
    theirs = values[real[np.repeat(start, size) + offset]]
    ours = values[rows][owner]
    won = (ours > theirs) + 0.5 * (ours == theirs)
    return Pairs(
        rows=rows, ordered=np.bincount(owner, weights=won, minlength=len(rows)) / np.maximum(size, 1)
    )


def _known(column: np.ndarray) -> np.ndarray:
    return np.array([value is not None for value in column], dtype=bool)


def _joined(columns: list[np.ndarray]) -> np.ndarray:
    return np.array([SEPARATOR.join(row) for row in zip(*columns, strict=True)], dtype=object)


@dataclass(frozen=True, kw_only=True)
class Sample:
    """The faces that are judged: `scores` holds only them; `fake` `[n]` boolean; the resamples they share."""

    scores: ScoreTable
    fake: np.ndarray
    resamples: Resamples

    @staticmethod
    def of(scores: ScoreTable, score: str, *, resamples: int, seed: int) -> Sample:
        """The scored and labelled faces of a table. Raises DataError when a class is missing."""
        kept = scores.take(scored_rows(scores, score))
        fake = kept.strings("label") == "fake"
        clusters, kind = clusters_of(kept)
        drawn = draw_resamples(clusters, fake, kind=kind, resamples=resamples, seed=seed)
        return Sample(scores=kept, fake=fake, resamples=drawn)


def clusters_of(scores: ScoreTable) -> tuple[np.ndarray, str]:
    """Cluster names `[n]` and what they are: the identity, else the source video, else the face itself.

    Where the coarsest kind is unknown for some faces, the kind says what stands in for it.
    """
    ids = cluster_ids(scores.table)
    return ids, name_of_clusters(ids)
