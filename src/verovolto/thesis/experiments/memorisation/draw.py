"""Which frames a network learns from, and which it is tested on: of videos that it knows, and of others."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from verovolto.data.splits import cluster_ids, video_keys
from verovolto.thesis.splits import generator, method_mask

SEEN, UNSEEN = "seen", "unseen"
"""Splits of test faces: of people whose videos are trained on, and of others. Both hold reals and fakes."""
SEEDS = 3
HELD_SHARE = 0.3
"""Share of the frames of a video that are tested on; a video that is trained on gives the others to training."""
FEWEST_FRAMES = 3
FEWEST_PEOPLE = 8
_STREAM = 11  # keeps these draws apart from others of the same seed


@dataclass(frozen=True, kw_only=True)
class Fold:
    """One training: `split` `[n]` holds train, val, seen, unseen or null; `number` counts the folds of all seeds."""

    number: int
    split: pa.Array

    @property
    def name(self) -> str:
        """`fold-2`."""
        return f"fold-{self.number}"


def draw_folds(table: pa.Table, *, seed: int, method: str | None) -> list[Fold]:
    """Two folds a seed: one half of the people is trained on and the other is not, then the other way round.

    Of every real video the same share of frames is tested on, of every fake as many as of the video it was made of, in
    the same frames where they are known. What is left of the other half's reals validates; nothing is chosen by it.

    Args:
        table: of the set, `[n]` rows.
        seed: of the reproduction.
        method: the fakes that count; None for all.

    Returns:
        The folds, none where the set has too few frames a video or too few people.
    """
    counted = method_mask(table, method)
    real = np.asarray([label == "real" for label in table["label"].to_pylist()], dtype=bool)
    people, videos = cluster_ids(table), video_keys(table)
    if not _enough(videos[real], people[real]):
        return []
    names = np.unique(people[real])
    folds: list[Fold] = []
    for number in range(SEEDS):
        mixed = generator(seed, _STREAM, number).permutation(names)
        halves = mixed[::2], mixed[1::2]
        held = _held_out(table, videos, real & counted, generator(seed, _STREAM, number, 1))
        held |= _fakes_beside(table, people, held, ~real & counted, generator(seed, _STREAM, number, 2))
        for known in halves:
            folds.append(Fold(number=len(folds), split=_split(np.isin(people, known), real, held, counted)))
    return folds


def _enough(videos: npt.NDArray[np.str_], people: npt.NDArray[np.str_]) -> bool:
    _, frames = np.unique(videos, return_counts=True)
    return bool(
        len(frames) and np.median(frames) >= FEWEST_FRAMES and len(np.unique(people)) >= FEWEST_PEOPLE
    )


def _held_out(
    table: pa.Table, videos: npt.NDArray[np.str_], rows: npt.NDArray[np.bool_], rng: np.random.Generator
) -> npt.NDArray[np.bool_]:
    """Of each video the frames that are tested on, at least one."""
    held = np.zeros(len(table), dtype=bool)
    for of_video in map(rng.permutation, _grouped(videos, rows)):
        held[of_video[: max(1, round(HELD_SHARE * len(of_video)))]] = True
    return held


def _fakes_beside(
    table: pa.Table,
    people: npt.NDArray[np.str_],
    held: npt.NDArray[np.bool_],
    rows: npt.NDArray[np.bool_],
    rng: np.random.Generator,
) -> npt.NDArray[np.bool_]:
    """Of each person as many fakes as there are held-out reals, those of the same frames first."""
    frame = np.asarray(table["frame"].fill_null(-1).to_pylist())
    source = np.asarray(table["source_video"].fill_null("").to_pylist())
    shown = {(source[row], frame[row]) for row in np.flatnonzero(held)}
    chosen = np.zeros(len(table), dtype=bool)
    wanted = Counter(people[held].tolist())
    for fakes in map(rng.permutation, _grouped(people, rows)):
        beside = [(source[row], frame[row]) not in shown for row in fakes]
        first = fakes[np.argsort(beside, kind="stable")]
        chosen[first[: wanted[people[fakes[0]].item()]]] = True
    return chosen


def _grouped(keys: npt.NDArray[np.str_], rows: npt.NDArray[np.bool_]) -> list[npt.NDArray[np.int64]]:
    """The positions of some rows, a group a key, the keys and the positions of each in rising order."""
    at = np.flatnonzero(rows)
    if not len(at):
        return []
    _, group, sizes = np.unique(keys[at], return_inverse=True, return_counts=True)
    return np.split(at[np.argsort(group, kind="stable")], np.cumsum(sizes)[:-1])


def _split(
    known: npt.NDArray[np.bool_],
    real: npt.NDArray[np.bool_],
    held: npt.NDArray[np.bool_],
    counted: npt.NDArray[np.bool_],
) -> pa.Array:
    names = np.full(len(real), None, dtype=object)
    names[real & known & ~held & counted] = "train"
    names[real & ~known & ~held & counted] = "val"
    names[held & known], names[held & ~known] = SEEN, UNSEEN
    return pa.array(names.tolist(), pa.string())
