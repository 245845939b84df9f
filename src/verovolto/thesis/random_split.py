"""The thesis's split: frames at random, whoever they show. It leaks, and is here to be measured.

Malgeri (University of Florence, 2023-24) draws 250 real and 250 fake frames to test, as many to validate, and trains
on all other real frames; frames of one video, and faces of one person, fall on both sides. `data.splits.make_splits`
makes splits that share nobody.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from verovolto.core.errors import SplitError

SEED = 42
EACH = 250
"""Frames of either class to test, and as many to validate."""
PROBE = "probe"
_LARGEST_SHARE = 10  # a tenth of the reals at most goes to each of test, val and probe


@dataclass(frozen=True, kw_only=True)
class FrameSplit:
    """A split of a table's rows. `split` `[n]`: train, val, test, probe or null; `each`: frames of either class in
    val and in test; `notes` say where the set forced a departure from the thesis."""

    split: pa.Array
    each: int
    notes: tuple[str, ...]


def method_mask(table: pa.Table, method: str | None) -> npt.NDArray[np.bool_]:
    """Which rows count `[n]`: reals, and fakes of `method` (of any where it is None).

    Raises `SplitError`, listing the methods there are, when no fake is of it.
    """
    real, fake = (_is(table, "label", label) for label in ("real", "fake"))
    if method is None:
        return real | fake
    wanted = fake & _is(table, "method", method)
    if not wanted.any():
        known = sorted({str(name) for name in pc.unique(table["method"]).to_pylist() if name is not None})
        raise SplitError(
            f"no fake of the method {method}",
            hint=f"there are: {', '.join(known)}"
            if known
            else "the set records no methods: leave out --method",
        )
    return real | wanted


def frames_at_random(
    table: pa.Table,
    *,
    seed: int = SEED,
    method: str | None = None,
    probe: npt.NDArray[np.bool_] | None = None,
) -> FrameSplit:
    """Draw `each` real and fake frames to test, as many to validate, and give the other reals to training.

    `each` is 250, or as many as half of the fakes and a tenth of the reals allow. `table` holds `label` and `method`.
    Rows where `probe` `[n]` is true are kept out of training, validation and test, as a split of their own: another
    detector, of a split without leaks, can then be judged on the very same faces. A function of its arguments alone.

    Raises `SplitError` for a set without two fakes or ten reals, or without fakes of `method`.
    """
    counted = method_mask(table, method)
    apart = np.zeros(len(table), dtype=bool) if probe is None else probe
    free = counted & ~apart
    reals, fakes = (np.flatnonzero(free & _is(table, "label", label)) for label in ("real", "fake"))
    each = min(EACH, len(fakes) // 2, len(reals) // _LARGEST_SHARE)
    if each < 1:
        raise SplitError(
            f"{len(reals)} real and {len(fakes)} fake faces are too few to test and validate on frames at random",
            hint=f"at least {_LARGEST_SHARE} reals and 2 fakes are needed",
        )
    drawn = np.random.Generator(np.random.Philox(np.random.SeedSequence(seed)))
    split = np.full(len(table), None, dtype=object)
    split[reals] = "train"
    for rows in (reals, fakes):
        picked = drawn.permutation(rows)[: 2 * each]
        split[picked[:each]], split[picked[each:]] = "test", "val"
    split[apart & counted] = PROBE
    notes = () if each == EACH else (
        f"{each} + {each} frames to test and as many to validate where the thesis has {EACH} + {EACH}: the set holds "
        f"{len(reals):,} real and {len(fakes):,} fake faces to draw from",
    )  # fmt: skip
    return FrameSplit(split=pa.array(split, pa.string()), each=each, notes=notes)


def frames_apart(table: pa.Table, cut: pa.Array, *, each: int, seed: int) -> FrameSplit:
    """The same without the leak: `each` real and fake rows of the test and of the validation split of `cut` `[n]`
    (train, val, test or null), drawn by the seed; the others of these are in no split, and train stays as it is.

    Where a class of a split has fewer rows, all are cut down to as many, so that there are as many fakes as reals.

    Raises `SplitError` where one has none.
    """
    names = np.asarray(cut.to_numpy(zero_copy_only=False), dtype=object)
    places = [(split, label) for split in ("test", "val") for label in ("real", "fake")]
    rows = {place: np.flatnonzero((names == place[0]) & _is(table, "label", place[1])) for place in places}
    for (split, label), found in rows.items():
        if not len(found):
            raise SplitError(
                f"cut by people, the {split} split holds no {label} face to judge the thesis's way on",
                hint="keep the quirk leak, or give a set with more people",
            )
    fewest = min(each, *(len(found) for found in rows.values()))
    drawn = np.random.Generator(np.random.Philox(np.random.SeedSequence([seed, 4])))
    kept = names.copy()
    for found in rows.values():
        kept[drawn.permutation(found)[fewest:]] = None
    notes = () if fewest == each else (
        f"{fewest} + {fewest} faces to test and as many to validate, not {each} + {each}: cut by people there are no "
        "more",
    )  # fmt: skip
    return FrameSplit(split=pa.array(kept, pa.string()), each=fewest, notes=notes)


def draw_probe(
    table: pa.Table, held_out: npt.NDArray[np.bool_], *, seed: int, method: str | None = None
) -> npt.NDArray[np.bool_]:
    """Faces `[n]` to judge a leaky and an honest detector on alike: at most 250 of either class, of the rows
    `held_out` `[n]` of an identity-disjoint test split.

    At most half of the rows of a class are taken, so that a random split can train on, and draw from, the others of
    the same people.
    """
    free = held_out & method_mask(table, method)
    drawn = np.random.Generator(np.random.Philox(np.random.SeedSequence([seed, 1])))
    probe = np.zeros(len(table), dtype=bool)
    for label in ("real", "fake"):
        rows = drawn.permutation(np.flatnonzero(free & _is(table, "label", label)))
        probe[rows[: min(EACH, len(rows) // 2)]] = True
    return probe


def _is(table: pa.Table, column: str, value: str) -> npt.NDArray[np.bool_]:
    found = pc.fill_null(pc.equal(table[column], value), False)
    return np.asarray(found.to_numpy(zero_copy_only=False), dtype=np.bool_)


def keep_train(split: pa.Array, count: int, *, seed: int) -> pa.Array:
    """The split `[n]` with `count` of its training rows, drawn by the seed; the others are in no split any more."""
    names = np.asarray(split.to_numpy(zero_copy_only=False), dtype=object).copy()
    rows = np.flatnonzero(names == "train")
    drawn = np.random.Generator(np.random.Philox(np.random.SeedSequence([seed, 2]))).permutation(rows)
    names[drawn[count:]] = None
    return pa.array(names, pa.string())


def met_in_training(ids: npt.NDArray[np.str_], split: pa.Array, name: str) -> float:
    """Share in [0, 1] of the rows of split `name` whose cluster `ids` `[n]` (`data.splits.cluster_ids`:
    person, else video) is that of a training row, too: 0 for a split without leaks."""
    names = np.asarray(split.to_numpy(zero_copy_only=False), dtype=object)
    judged = ids[names == name]
    return float(np.isin(judged, ids[names == "train"]).mean()) if len(judged) else 0.0
