"""The splits of both protocols, as split files beside the set, which stays as it is."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from verovolto.core.errors import InputError
from verovolto.core.workdir import Done
from verovolto.thesis.plan import Plan, Protocol

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

SHARES = {"train": 0.7, "val": 0.15, "test": 0.15}
_NEEDED = ("train", "val", "test")


def split_file(folder: Path, protocol: Protocol) -> Path:
    """Where the split of a protocol lies in the folder of its step."""
    return folder / f"{protocol}.parquet"


def cut_of(splits: Done, protocol: Protocol) -> Done:
    """The split of one protocol alone, for the steps that read nothing of the other: they are done again when it
    changes, and not when the other does."""
    result = splits.result["cuts"][protocol]
    return Done(name=f"splits-{protocol}", folder=splits.folder, key=result["fingerprint"], result=result)


def cut_splits(plan: Plan, folder: Path) -> dict[str, Any]:
    """Cut the set by each protocol; both train on as many reals, so that they can be compared.

    Raises `SplitError` and `InputError` for sets that are too small, or hold no fake of the method.
    """
    from verovolto.data.faceset import FaceSet
    from verovolto.data.storage.base import write_split_file
    from verovolto.thesis.random_split import keep_train

    faces = FaceSet.open(plan.data)
    table = faces.columns()
    cuts: dict[Protocol, pa.Array] = {}
    notes: dict[Protocol, list[str]] = {}
    if "honest" in plan.protocols:
        cuts["honest"], notes["honest"] = _disjoint(table, plan)
        _check_rate(table, cuts["honest"], plan)
    if "thesis" in plan.protocols:
        cuts["thesis"], notes["thesis"] = _as_published(table, cuts.get("honest"), plan)
        if not plan.kept("thesis", "max-f1"):
            _check_rate(table, cuts["thesis"], plan, halved=not plan.kept("thesis", "test-epoch"))
    there = min(int((_rows(cut, "train") & _real(table)).sum()) for cut in cuts.values())
    count = there if plan.limit is None else min(there, plan.limit)
    told = {}
    for protocol, cut in cuts.items():
        whole = keep_train(cut, count, seed=plan.seed)
        recipe = {"protocol": protocol, "seed": plan.seed, "method": plan.method, "train": count}
        write_split_file(split_file(folder, protocol), faces.path, table["face"], whole, recipe=recipe)
        told[protocol] = {
            "faces": _counts(table, whole), "notes": notes[protocol], **_shared(table, whole),
            "fingerprint": FaceSet.open(split_file(folder, protocol)).fingerprint(),
        }  # fmt: skip
    return {
        "set": faces.name, "faces": len(faces), "fingerprint": faces.fingerprint(), "train": count, "cuts": told,
    }  # fmt: skip


def _as_published(table: pa.Table, honest: pa.Array | None, plan: Plan) -> tuple[pa.Array, list[str]]:
    """Frames at random; without the quirk `leak`, as many of the splits that share nobody."""
    from verovolto.thesis.random_split import draw_probe, frames_apart, frames_at_random

    probe = None
    if honest is not None:
        probe = draw_probe(table, _rows(honest, "test"), seed=plan.seed, method=plan.method)
    drawn = frames_at_random(table, seed=plan.seed, method=plan.method, probe=probe)
    if plan.kept("thesis", "leak"):
        return drawn.split, list(drawn.notes)
    cut, notes = _disjoint(table, plan) if honest is None else (honest, ["cut as the sound protocol's"])
    apart = frames_apart(table, cut, each=drawn.each, seed=plan.seed)
    return apart.split, [*notes, *drawn.notes, *apart.notes]


def _disjoint(table: pa.Table, plan: Plan) -> tuple[pa.Array, list[str]]:
    """Identity-disjoint splits: the set's own where it has them, else cut here; fakes of other methods are left out."""
    import numpy as np
    import pyarrow as pa

    from verovolto.data.splits import make_splits, shared_between_splits
    from verovolto.thesis.random_split import method_mask

    counted = method_mask(table, plan.method)
    known = set(table["split"].unique().to_pylist())
    if set(_NEEDED) <= known and not any(shared_between_splits(table).values()):
        names = np.asarray(table["split"].to_numpy(zero_copy_only=False), dtype=object).copy()
        names[~counted | ~np.isin(names.astype(str), _NEEDED)] = None
        names[(names == "train") & ~_real(table)] = None
        return pa.array(names, pa.string()), ["the splits of the set itself"]
    made = make_splits(table.filter(pa.array(counted)), parts=SHARES, seed=plan.seed)
    names = np.full(len(table), None, dtype=object)
    names[counted] = made.split.to_pylist()
    # Fakes are never trained on: those of training people are in no split.
    names[(names == "train") & ~_real(table)] = None
    cut = ", ".join(f"{name} {share:.0%}" for name, share in SHARES.items())
    dropped = f"{made.dropped_fakes} fakes dropped whose two people fell apart"
    return pa.array(names, pa.string()), [f"cut by person and video ({cut}); {dropped}", *made.notes]


def _check_rate(table: pa.Table, cut: pa.Array, plan: Plan, *, halved: bool = True) -> None:
    """Refuse before training a false-alarm rate that the held-out reals could not support after it: those that chose
    no epoch, half of the validation faces where it is chosen on these."""
    import numpy as np

    from verovolto.calibration.thresholds import needed
    from verovolto.data.splits import halve

    val = table.set_column(table.column_names.index("split"), "split", cut).take(
        _rows(cut, "val").nonzero()[0]
    )
    chose = halve(val, seed=plan.seed) if halved else np.zeros(len(val), dtype=bool)
    reals = int((~chose & _real(val)).sum())
    if reals < needed(plan.false_alarm):
        raise InputError(
            f"a false-alarm rate of {plan.false_alarm:g} needs {needed(plan.false_alarm)} real faces to set the "
            f"threshold on, there are {reals}",
            hint=f"ask for --false-alarm {1 / (reals + 1):.2g} or more, or give a larger validation split",
        )


def _shared(table: pa.Table, cut: pa.Array) -> dict[str, Any]:
    """What training and test share."""
    import pyarrow as pa

    from verovolto.data.splits import cluster_ids, name_of_clusters, shared_between_splits
    from verovolto.thesis.random_split import PROBE, met_in_training

    ids = cluster_ids(table)
    both = pa.array(_rows(cut, "train") | _rows(cut, "test"))
    with_cut = table.set_column(table.column_names.index("split"), "split", cut).filter(both)
    return {
        "shared": {kind: len(found) for kind, found in shared_between_splits(with_cut).items()},
        "met": {name: met_in_training(ids, cut, name) for name in ("test", PROBE)},
        "met_by": name_of_clusters(ids),
    }


def _rows(cut: pa.Array, name: str) -> np.ndarray:
    import numpy as np

    names = np.asarray(cut.to_numpy(zero_copy_only=False), dtype=np.str_)
    return np.asarray(names == name)


def _real(table: pa.Table) -> np.ndarray:
    import numpy as np

    labels = np.asarray(table["label"].to_numpy(zero_copy_only=False), dtype=np.str_)
    return np.asarray(labels == "real")


def _counts(table: pa.Table, cut: pa.Array) -> dict[str, dict[str, int]]:
    real = _real(table)
    names = sorted({str(name) for name in cut.unique().to_pylist() if name is not None})
    return {
        name: {"real": int((_rows(cut, name) & real).sum()), "fake": int((_rows(cut, name) & ~real).sum())}
        for name in names
    }
