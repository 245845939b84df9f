"""The splits of both protocols: frames at random as published, which leak, and splits that share nobody.

Malgeri (University of Florence, 2023-24) draws 250 real and 250 fake frames to test, as many to validate, and trains
on all other real frames; frames of one video, and faces of one person, fall on both sides. That is measured here
beside identity-disjoint splits (`data.splits.make_splits`). Both are written as split files beside the set, which
stays as it is. Everything drawn is a function of the seed alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from verovolto.calibration.thresholds import needed
from verovolto.core.errors import InputError, SplitError
from verovolto.data.faceset import FaceSet
from verovolto.data.splits import cluster_ids, halve, make_splits, name_of_clusters, shared_between_splits
from verovolto.data.storage import write_split_file
from verovolto.thesis.plan import Plan, Protocol, split_file

SHARES = {"train": 0.7, "val": 0.15, "test": 0.15}
SEED = 42
EACH = 250
"""Frames of either class to test, and as many to validate."""
PROBE = "probe"
_LARGEST_SHARE = 10  # a tenth of the reals at most goes to each of test, val and probe
_NEEDED = ("train", "val", "test")

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class FrameSplit:
    """A split of a table's rows.

    `split` `[n]`: train, val, test, probe or null; `each`: frames of either class in val and in test; `notes` say where
    the set forced a departure from the thesis.
    """

    split: pa.Array
    each: int
    notes: tuple[str, ...]


def make_protocol_splits(plan: Plan, folder: Path) -> dict[str, Any]:
    """Split the set by each protocol; both train on as many reals, so that they can be compared.

    Raises:
        SplitError: for sets that are too small, or hold no fake of the method.
        InputError: where the held-out reals could not support the false-alarm rate.
    """
    faces = FaceSet.open(plan.data)
    table = faces.columns()
    cuts: dict[Protocol, tuple[pa.Array, list[str]]] = {}
    if "honest" in plan.protocols:
        cuts["honest"] = _disjoint(table, plan)
        _check_rate(table, cuts["honest"][0], plan)
    if "thesis" in plan.protocols:
        cuts["thesis"] = _as_published(table, cuts["honest"][0] if "honest" in cuts else None, plan)
        if not plan.kept("thesis", "max-f1"):
            _check_rate(table, cuts["thesis"][0], plan, halved=not plan.kept("thesis", "test-epoch"))
    real = _is(table, "label", "real")
    available = min(int((_rows(cut, "train") & real).sum()) for cut, _ in cuts.values())
    count = available if plan.limit is None else min(available, plan.limit)
    results = {}
    for protocol, (cut, notes) in cuts.items():
        whole = keep_train(cut, count, seed=plan.seed)
        recipe = {"protocol": protocol, "seed": plan.seed, "method": plan.method, "train": count}
        write_split_file(split_file(folder, protocol), faces.path, table["face"], whole, recipe=recipe)
        results[protocol] = {
            "faces": _counts(whole, real), "notes": notes, **_shared(table, whole),
            "fingerprint": FaceSet.open(split_file(folder, protocol)).fingerprint(),
        }  # fmt: skip
    return {
        "set": faces.name, "faces": len(faces), "fingerprint": faces.fingerprint(), "train": count, "cuts": results,
    }  # fmt: skip


def method_mask(table: pa.Table, method: str | None) -> Mask:
    """Which rows count `[n]`: reals, and fakes of `method` (of any where it is None).

    Raises:
        SplitError: listing the methods there are, when no fake is of it.
    """
    real, fake = (_is(table, "label", label) for label in ("real", "fake"))
    if method is None:
        return real | fake
    wanted = fake & _is(table, "method", method)
    if not wanted.any():
        names = sorted({str(name) for name in pc.unique(table["method"]).to_pylist() if name is not None})
        hint = f"there are: {', '.join(names)}" if names else "the set records no methods: leave out --method"
        raise SplitError(f"no fake of the method {method}", hint=hint)
    return real | wanted


def frames_at_random(
    table: pa.Table, *, seed: int = SEED, method: str | None = None, probe: Mask | None = None
) -> FrameSplit:
    """Draw `each` real and fake frames to test, as many to validate, and give the other reals to training.

    `each` is 250, or as many as half of the fakes and a tenth of the reals allow.

    Args:
        table: the set, with the columns `label` and `method`.
        seed: of the draw.
        method: the fakes that count; all where None.
        probe: rows `[n]` kept out of training, validation and test, as a split of their own, so that another detector,
            of a split without leaks, can be evaluated on the very same faces.

    Raises:
        SplitError: for a set without two fakes or ten reals, or without fakes of `method`.
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
    rng = generator(seed)
    split = np.full(len(table), None, dtype=object)
    split[reals] = "train"
    for rows in (reals, fakes):
        picked = rng.permutation(rows)[: 2 * each]
        split[picked[:each]], split[picked[each:]] = "test", "val"
    split[apart & counted] = PROBE
    notes = () if each == EACH else (
        f"{each} + {each} frames to test and as many to validate where the thesis has {EACH} + {EACH}: the set holds "
        f"{len(reals):,} real and {len(fakes):,} fake faces to draw from",
    )  # fmt: skip
    return FrameSplit(split=pa.array(split, pa.string()), each=each, notes=notes)


def frames_apart(table: pa.Table, cut: pa.Array, *, each: int, seed: int) -> FrameSplit:
    """The same without the leak: as many test and validation faces, of a split that shares nobody.

    Where a class of a split has fewer rows, all are cut down to as many, so that there are as many fakes as reals.

    Args:
        table: the set, with the column `label`.
        cut: train, val, test or null `[n]`. Train stays as it is.
        each: real and fake rows that stay in test and in val, drawn by the seed; the others are in no split.
        seed: of the draw.

    Raises:
        SplitError: where a class of a split has no row.
    """
    names = _names(cut)
    places = [(split, label) for split in ("test", "val") for label in ("real", "fake")]
    rows = {place: np.flatnonzero((names == place[0]) & _is(table, "label", place[1])) for place in places}
    for (split, label), of in rows.items():
        if not len(of):
            raise SplitError(
                f"cut by people, the {split} split holds no {label} face to judge the thesis's way on",
                hint="keep the deviation leak, or give a set with more people",
            )
    fewest = min(each, *map(len, rows.values()))
    rng = generator(seed, 4)
    for of in rows.values():
        names[rng.permutation(of)[fewest:]] = None
    notes = () if fewest == each else (
        f"{fewest} + {fewest} faces to test and as many to validate, not {each} + {each}: cut by people there are no "
        "more",
    )  # fmt: skip
    return FrameSplit(split=pa.array(names, pa.string()), each=fewest, notes=notes)


def draw_probe(table: pa.Table, free: Mask, *, seed: int) -> Mask:
    """Faces `[n]` to evaluate a leaky and a sound detector on alike: at most 250 of either class.

    They are drawn of the rows `free` `[n]` of an identity-disjoint test split; at most half of a class, so that a
    random split can train on, and draw from, the others of the same people.
    """
    rng = generator(seed, 1)
    probe = np.zeros(len(table), dtype=bool)
    for label in ("real", "fake"):
        rows = rng.permutation(np.flatnonzero(free & _is(table, "label", label)))
        probe[rows[: min(EACH, len(rows) // 2)]] = True
    return probe


def keep_train(split: pa.Array, count: int, *, seed: int) -> pa.Array:
    """The split `[n]` with `count` of its training rows, drawn by the seed; the others are in no split any more."""
    names = _names(split)
    names[generator(seed, 2).permutation(np.flatnonzero(names == "train"))[count:]] = None
    return pa.array(names, pa.string())


def seen_in_training(ids: npt.NDArray[np.str_], split: pa.Array, name: str) -> float:
    """Share in [0, 1] of the rows of split `name` whose cluster is that of a training row, too.

    `ids` `[n]` are clusters (`data.splits.cluster_ids`: person, else video); 0 for a split without leaks.
    """
    names = _names(split)
    members = ids[names == name]
    return float(np.isin(members, ids[names == "train"]).mean()) if len(members) else 0.0


def generator(seed: int, *stream: int) -> np.random.Generator:
    """Random numbers of a seed; `stream` keeps draws of one seed apart."""
    return np.random.Generator(np.random.Philox(np.random.SeedSequence([seed, *stream])))


def _as_published(table: pa.Table, sound: pa.Array | None, plan: Plan) -> tuple[pa.Array, list[str]]:
    """Frames at random; without the deviation `leak`, as many of the splits that share nobody."""
    probe = None
    if sound is not None:
        free = _rows(sound, "test") & method_mask(table, plan.method)
        probe = draw_probe(table, free, seed=plan.seed)
    drawn = frames_at_random(table, seed=plan.seed, method=plan.method, probe=probe)
    if plan.kept("thesis", "leak"):
        return drawn.split, list(drawn.notes)
    cut, notes = _disjoint(table, plan) if sound is None else (sound, ["cut as the sound protocol's"])
    apart = frames_apart(table, cut, each=drawn.each, seed=plan.seed)
    return apart.split, [*notes, *drawn.notes, *apart.notes]


def _disjoint(table: pa.Table, plan: Plan) -> tuple[pa.Array, list[str]]:
    """Identity-disjoint splits: the set's own where it has them, else cut here; fakes of other methods are left out."""
    counted, fake = method_mask(table, plan.method), ~_is(table, "label", "real")
    own = set(_NEEDED) <= set(table["split"].unique().to_pylist())
    if own and not any(shared_between_splits(table).values()):
        names, notes = _names(table["split"]), ["the splits of the set itself"]
        names[~counted | ~np.isin(names.astype(str), _NEEDED)] = None
    else:
        made = make_splits(table.filter(pa.array(counted)), parts=SHARES, seed=plan.seed)
        names = np.full(len(table), None, dtype=object)
        names[counted] = made.split.to_pylist()
        shares = ", ".join(f"{name} {share:.0%}" for name, share in SHARES.items())
        dropped = f"{made.dropped_fakes} fakes dropped whose two people fell apart"
        notes = [f"cut by person and video ({shares}); {dropped}", *made.notes]
    # Fakes are never trained on: those of training people are in no split.
    names[(names == "train") & fake] = None
    return pa.array(names, pa.string()), notes


def _check_rate(table: pa.Table, cut: pa.Array, plan: Plan, *, halved: bool = True) -> None:
    """Refuse before training a false-alarm rate that the held-out reals could not support after it.

    Those are the reals that chose no epoch: half of the validation faces where it is chosen on these.
    """
    place = table.column_names.index("split")
    val = table.set_column(place, "split", cut).take(_rows(cut, "val").nonzero()[0])
    chose = halve(val, seed=plan.seed) if halved else np.zeros(len(val), dtype=bool)
    reals = int((~chose & _is(val, "label", "real")).sum())
    if reals < needed(plan.false_alarm):
        raise InputError(
            f"a false-alarm rate of {plan.false_alarm:g} needs {needed(plan.false_alarm)} real faces to set the "
            f"threshold on, there are {reals}",
            hint=f"ask for --false-alarm {1 / (reals + 1):.2g} or more, or give a larger validation split",
        )


def _shared(table: pa.Table, cut: pa.Array) -> dict[str, Any]:
    """What training and test share."""
    ids = cluster_ids(table)
    both = pa.array(_rows(cut, "train") | _rows(cut, "test"))
    with_cut = table.set_column(table.column_names.index("split"), "split", cut).filter(both)
    return {
        "shared": {kind: len(shared) for kind, shared in shared_between_splits(with_cut).items()},
        "met": {name: seen_in_training(ids, cut, name) for name in ("test", PROBE)},
        "met_by": name_of_clusters(ids),
    }


def _counts(cut: pa.Array, real: Mask) -> dict[str, dict[str, int]]:
    names = sorted({str(name) for name in cut.unique().to_pylist() if name is not None})
    rows = {name: _rows(cut, name) for name in names}
    return {
        name: {"real": int((of & real).sum()), "fake": int((of & ~real).sum())} for name, of in rows.items()
    }


def _names(cut: pa.Array) -> npt.NDArray[np.object_]:
    """The names of a split `[n]`, to be changed."""
    return np.asarray(cut.to_numpy(zero_copy_only=False), dtype=object).copy()


def _rows(cut: pa.Array, name: str) -> Mask:
    return np.asarray(_names(cut) == name, dtype=np.bool_)


def _is(table: pa.Table, column: str, value: str) -> Mask:
    equal = pc.fill_null(pc.equal(table[column], value), False)
    return np.asarray(equal.to_numpy(zero_copy_only=False), dtype=np.bool_)
