"""Fakes of the honest test's people that `--method` left out of the splits: cut apart, and scored."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from verovolto.thesis.networks import run_folder
from verovolto.thesis.plan import Plan, Protocol
from verovolto.thesis.splits import split_file

if TYPE_CHECKING:
    from verovolto.core.workdir import Done

EACH = 2000
"""Fakes of a method that are judged at most: the interval depends on the people, not on their frames."""


def others_file(folder: Path) -> Path:
    """Where their split lies in the folder of its step; there is none where it would be empty."""
    return folder / "others.parquet"


def cut_others(plan: Plan, splits: Done, folder: Path) -> dict[str, Any]:
    """Write them as a split file of their own, beside that of the honest protocol, which stays as it is.

    Raises `SplitError` should one of them show somebody of the training or validation faces.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    from verovolto.data.faceset import FaceSet
    from verovolto.data.splits import check_disjoint
    from verovolto.data.storage.base import write_split_file
    from verovolto.thesis.unsplit_fakes import OTHERS, other_fakes

    faces = FaceSet.open(split_file(splits.folder, "honest"))
    table = faces.columns()
    found = other_fakes(table, each=EACH, seed=plan.seed)
    told = {"torn": found.torn, "too_many": found.too_many, "apart": list(found.apart), "faces": {}}
    if not found.rows.any():
        others_file(folder).unlink(missing_ok=True)
        return told
    beside = pc.if_else(pa.array(found.rows), "test", table["split"])
    check_disjoint(table.set_column(table.column_names.index("split"), "split", beside))
    cut = pa.array([OTHERS if row else None for row in found.rows], pa.string())
    whole = FaceSet.open(plan.data)
    write_split_file(
        others_file(folder), whole.path, table["face"], cut,
        recipe={"protocol": OTHERS, "seed": plan.seed, "method": plan.method, "each": EACH},
    )  # fmt: skip
    taken = table.filter(pa.array(found.rows))
    pairs = zip(taken["label"].to_pylist(), taken["method"].to_pylist(), strict=True)
    counts = Counter("real" if label == "real" else str(method or "fake") for label, method in pairs)
    return {**told, "faces": dict(sorted(counts.items()))}


def score_others(
    plan: Plan, protocol: Protocol, network: str, epoch: int, others: Path, folder: Path
) -> dict[str, Any]:
    """Score them by the network as it was after `epoch` epochs, into `others.parquet` of the step's folder."""
    from verovolto.data.faceset import FaceSet
    from verovolto.detectors.score_faces import score_faces
    from verovolto.thesis.checkpoints import checkpoint_detector
    from verovolto.thesis.unsplit_fakes import OTHERS

    detector = checkpoint_detector(run_folder(plan, protocol, network), epoch)
    table = score_faces(detector, FaceSet.open(others_file(others)).select(split=OTHERS))
    table.write(folder / "others.parquet")
    return {"faces": len(table)}
