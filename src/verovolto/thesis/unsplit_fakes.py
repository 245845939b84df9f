"""Fakes that a split leaves out and that may still be judged beside its test: of other methods, of the same people.

A split of the fakes of one method puts the others in no split. Those of test people have been met by nobody in
training, and say how a detector does on forgeries that nothing was chosen on.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

OTHERS = "others"
"""Name of the split of such rows."""

_Key = tuple[str | None, str]


@dataclass(frozen=True, kw_only=True)
class OtherFakes:
    """Rows `[n]` (boolean) to judge beside test, and what became of the other fakes in no split: `torn` have a person
    or video outside test, `too_many` were beyond the number wanted; `apart` names data sets that no split holds."""

    rows: npt.NDArray[np.bool_]
    torn: int
    too_many: int
    apart: Sequence[str]


def other_fakes(table: pa.Table, *, each: int, seed: int) -> OtherFakes:
    """Rows in no split that share nobody with train and val, and belong to test.

    `table` holds metadata with a `split` that shares nobody: train, val, test or null. A fake belongs to test when
    each person known of it is there, and neither they nor its source video are elsewhere (where nobody is known: when
    its source video is there). Of a collection (`dataset`) that the split leaves out altogether, such as one without
    official lists beside one with them, every face is taken, the reals to judge its fakes against. At most `each` fakes
    of a method, drawn by the seed.
    """
    split, label, dataset = (table[name].to_pylist() for name in ("split", "label", "dataset"))
    homes = _homes(table, split)
    within = {name for name, where in zip(dataset, split, strict=True) if where is not None}
    apart = sorted({name for name in dataset if name is not None and name not in within})
    free, fake, real, of_apart = (
        np.array(list(one), dtype=bool)
        for one in (
            (where is None for where in split),
            (one == "fake" for one in label),
            (one == "real" for one in label),
            (name in apart for name in dataset),
        )
    )
    fake, of_apart = fake & free, of_apart & free
    belongs = np.zeros(len(table), dtype=bool)
    people = zip(*(_keys(table, name) for name in _PEOPLE), strict=True)
    for row, (keys, video) in enumerate(zip(people, _keys(table, _VIDEO), strict=True)):
        if fake[row] and not of_apart[row]:
            belongs[row] = _in_test([key for key in keys if key], video, homes)
    wanted = belongs | (fake & of_apart)
    drawn = _at_most(wanted, table["method"].to_pylist(), each, seed)
    return OtherFakes(
        rows=drawn | (real & of_apart),
        torn=int((fake & ~wanted).sum()),
        too_many=int((wanted & ~drawn).sum()),
        apart=apart,
    )


_PEOPLE = ("target_identity", "donor_identity")
_VIDEO = "source_video"


def _keys(table: pa.Table, column: str) -> list[_Key | None]:
    """A person or video of each row, named within its data set; None where unknown."""
    pairs = zip(table["dataset"].to_pylist(), table[column].to_pylist(), strict=True)
    return [None if value is None else (dataset, f"{column[-5:]}:{value}") for dataset, value in pairs]


def _homes(table: pa.Table, split: Sequence[str | None]) -> dict[_Key, str]:
    """The split of every person and video that is in one."""
    homes: dict[_Key, str] = {}
    for column in (*_PEOPLE, _VIDEO):
        for key, where in zip(_keys(table, column), split, strict=True):
            if key is not None and where is not None:
                homes[key] = where
    return homes


def _in_test(people: Sequence[_Key], video: _Key | None, homes: Mapping[_Key, str]) -> bool:
    where = [homes.get(key) for key in people]
    of_video = None if video is None else homes.get(video)
    if of_video not in (None, "test"):
        return False
    return all(one == "test" for one in where) if people else of_video == "test"


def _at_most(
    wanted: npt.NDArray[np.bool_], methods: Sequence[str | None], each: int, seed: int
) -> npt.NDArray[np.bool_]:
    """The rows wanted, of each method `each` at most."""
    taken, kept = Counter[str | None](), np.zeros_like(wanted)
    order = np.random.Generator(np.random.Philox(np.random.SeedSequence([seed, 3]))).permutation(len(wanted))
    for row in order[wanted[order]]:
        taken[methods[row]] += 1
        kept[row] = taken[methods[row]] <= each
    return kept
