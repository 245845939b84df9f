"""Which faces take whose places among the training reals: fakes at each level, other reals in a placebo."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from verovolto.core.errors import DataError
from verovolto.data.faceset import FaceSet
from verovolto.data.splits import halve
from verovolto.thesis.splits import generator, method_mask

SOURCES = ("training people", "validation people whose reals choose the epoch",
           "validation people whose reals set the thresholds")  # fmt: skip
"""Where fakes are taken from, in this order. "Training people" are of no other split."""
_STREAM = 5  # keeps these draws apart from others of the same seed


@dataclass(frozen=True, kw_only=True)
class Contamination:
    """`swaps` maps ids of training reals to those of the faces that take their places.

    `share` in [0, 1) is that of fakes among all training faces: 0 for a placebo.
    """

    share: float
    swaps: Mapping[str, str]

    @property
    def digest(self) -> str:
        """SHA-256 of the swaps (64 hexadecimal digits)."""
        return hashlib.sha256(json.dumps(dict(self.swaps), sort_keys=True).encode()).hexdigest()

    def applied(self, faces: FaceSet, train: FaceSet) -> FaceSet:
        """The training reals `train` of the whole set `faces`, each that is named replaced where it stands.

        Raises:
            DataError: where a face to be replaced is no training face, or where what takes its place is no fake (of a
                placebo, no training real) or is in the test split.
        """
        ids = [str(face) for face in train.columns("face")["face"].to_pylist()]
        table = faces.columns("face", "label", "split")
        place = {str(face): row for row, face in enumerate(table["face"].to_pylist())}
        trained = set(ids)
        lost = sorted(self.swaps.keys() - trained) + sorted(set(self.swaps.values()) - place.keys())
        if lost:
            raise DataError(
                f"{lost[0]} is not in {faces.path} as the swaps have it", hint="draw the swaps from this set"
            )
        for face in self.swaps.values():
            label, split = (table[name][place[face]].as_py() for name in ("label", "split"))
            fits = face in trained if self.share == 0 else label == "fake" and split != "test"
            if not fits:
                raise DataError(
                    f"{face} is a {label} face of the split {split}, so it cannot be trained on in another's place",
                    hint="give fakes that are not tested on, or for a placebo training reals",
                )
        return faces.take([place[self.swaps.get(face, face)] for face in ids])


@dataclass(frozen=True, kw_only=True)
class CandidateFakes:
    """Rows of fakes that may be trained on, `[m]`, in the order in which they are taken, and where each is from."""

    rows: npt.NDArray[np.int64]
    sources: tuple[str, ...]


def candidate_fakes(table: pa.Table, *, seed: int, method: str | None = None) -> CandidateFakes:
    """The fakes of a set (`table`: all its columns, `split` train, val and test) that show nobody of the test split.

    First fakes of people in no other split than training, then of validation people: those whose reals choose the
    epoch, then those whose reals set the thresholds (`halve` with the same seed). Within each, drawn by the seed. A
    fake that says neither person nor video nor pair is left out: it could show anyone.
    """
    split, label = (np.asarray(table[name].to_pylist(), dtype=object) for name in ("split", "label"))
    keys = _keys(table)
    in_val, in_test = (
        set().union(*(keys[row] for row in np.flatnonzero(split == name))) for name in ("val", "test")
    )
    free = np.array([bool(own) and not own & in_test for own in keys])
    fakes = (label == "fake") & (split != "test") & method_mask(table, method) & free
    val = np.flatnonzero(split == "val")
    chooses = np.zeros(len(table), dtype=bool)
    chooses[val[halve(table.take(val), seed=seed)]] = True
    apart = fakes & (split != "val") & np.array([not own & in_val for own in keys])
    groups = (apart, fakes & chooses, fakes & (split == "val") & ~chooses)
    rng = generator(seed, _STREAM)
    parts = [rng.permutation(np.flatnonzero(group)) for group in groups]
    sources = [source for source, part in zip(SOURCES, parts, strict=True) for _ in part]
    return CandidateFakes(rows=np.concatenate(parts), sources=tuple(sources))


def counts_of(shares: Sequence[float], *, train: int, available: int) -> tuple[list[int], list[str]]:
    """Faces to replace at each share in (0, 1), rising, of `train`, where so many fakes are available.

    Returns the counts, and in words which shares are capped or left out.
    """
    if not available:
        nothing = (
            "the set holds no fake outside the test split that is known to show nobody of the test split"
        )
        return [], [nothing]
    counts: list[int] = []
    notes: list[str] = []
    for share in shares:
        wanted = round(share * train)
        count = min(wanted, available)
        if not count:
            notes.append(f"{share:.0%} of {train} faces is less than one: left out")
            continue
        if count < wanted:
            done = "left out" if count in counts else f"capped to {count / train:.1%}"
            notes.append(f"{share:.0%} would need {wanted} fakes, there are {available}: {done}")
        if count not in counts:
            counts.append(count)
    return counts, notes


def contaminations(
    table: pa.Table, fakes: CandidateFakes, counts: list[int], *, seed: int
) -> list[Contamination]:
    """A contamination of each count of faces: smaller ones are parts of larger ones.

    Args:
        table: the set.
        fakes: those that may be trained on.
        counts: faces to replace, each from 1 to the number of fakes.
        seed: of the draw of the reals that are replaced.
    """
    faces = table["face"].to_pylist()
    train = _training_reals(table)
    replaced = generator(seed, _STREAM, 1).permutation(train)
    swaps = [(str(faces[real]), str(faces[fake])) for real, fake in zip(replaced, fakes.rows, strict=False)]
    return [Contamination(share=count / len(train), swaps=dict(swaps[:count])) for count in counts]


def placebo_of(table: pa.Table, largest: Contamination, *, seed: int) -> Contamination:
    """The places of a contamination taken by other training reals, drawn by the seed, each of which is then seen twice.

    Raises:
        DataError: where more than half of the training faces are replaced.
    """
    faces = table["face"].to_pylist()
    others = np.array(
        [row for row in _training_reals(table) if faces[row] not in largest.swaps], dtype=np.int64
    )
    if len(others) < len(largest.swaps):
        raise DataError(
            f"{len(others)} training reals are too few to take the places of {len(largest.swaps)}"
        )
    drawn = generator(seed, _STREAM, 2).permutation(others)
    swaps = {real: str(faces[row]) for real, row in zip(largest.swaps, drawn, strict=False)}
    return Contamination(share=0.0, swaps=swaps)


def _training_reals(table: pa.Table) -> npt.NDArray[np.int64]:
    split, label = (np.asarray(table[name].to_pylist(), dtype=object) for name in ("split", "label"))
    return np.flatnonzero((split == "train") & (label == "real"))


def _keys(table: pa.Table) -> list[set[tuple[str, str, str]]]:
    """Who and what each row shows: people (as target or donor), source video, pair, each within its data set."""
    dataset = table["dataset"].to_pylist()
    keys: list[set[tuple[str, str, str]]] = [set() for _ in dataset]
    for name, kind in (
        ("target_identity", "person"), ("donor_identity", "person"), ("source_video", "video"), ("pair", "pair"),
    ):  # fmt: skip
        for row, value in enumerate(table[name].to_pylist()):
            if value is not None:
                keys[row].add((str(dataset[row]), kind, str(value)))
    return keys
