"""What a face set holds, counted: the content of `verovolto data info`."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow.compute as pc

from verovolto.core.errors import UnreadableImage
from verovolto.data.decode import image_size
from verovolto.data.faceset import FaceSet
from verovolto.data.splits import SPLIT_COLUMNS, cluster_ids, cluster_kinds, shared_between_splits

SAMPLE = 256
"""Images whose headers are read to state the sizes."""


def summarise(faces: FaceSet, *, seed: int = 0) -> dict[str, Any]:
    """Count a set; a JSON object (keys are the lines of `info`).

    Sizes of images are those of a random sample of `SAMPLE` headers, drawn by `seed`; everything else covers
    every row. Columns are read one after the other, no image is decoded.
    """
    table = faces.columns(*SPLIT_COLUMNS)
    shared = shared_between_splits(table)
    return {
        "name": faces.name,
        "path": str(faces.path),
        "faces": len(faces),
        "counts": _counts(faces, "split", "label"),
        "methods": _counts(faces, "method", "label"),
        "compressions": _counts(faces, "compression", "label"),
        "datasets": _counts(faces, "dataset", "label"),
        "target_identities": _distinct(table["target_identity"]),
        "donor_identities": _distinct(table["donor_identity"]),
        "source_videos": _distinct(table["source_video"]),
        "pairs": _distinct(table["pair"]),
        "clusters": {
            kind: {"clusters": clusters, "rows": rows}
            for kind, (clusters, rows) in cluster_kinds(cluster_ids(table)).items()
        },
        "per_split": count_splits(faces),
        "crop_size": _crop_size(faces),
        "images": _images(faces, seed),
        "shared_between_splits": {
            kind: {"count": len(found), "first": [[key, splits] for key, splits in found[:5]]}
            for kind, found in shared.items()
        },
        "crop_rule": faces.crop_rule,
        "fingerprint": faces.fingerprint(),
    }


def _counts(faces: FaceSet, *names: str) -> list[dict[str, Any]]:
    """Rows of each combination of values, sorted; nothing if the first column is unknown throughout."""
    table = faces.columns(*names)
    if table[names[0]].null_count == len(table):
        table = table.slice(0, 0) if names[0] != "split" else table
    groups = table.group_by(list(names)).aggregate([([], "count_all")]).to_pylist()
    rows = [{**{name: group[name] for name in names}, "faces": group["count_all"]} for group in groups]
    return sorted(rows, key=lambda row: [str(row[name]) for name in names])


def _distinct(column: Any) -> dict[str, int]:
    return {"distinct": len(pc.unique(column.drop_null())), "unknown_rows": column.null_count}


def count_splits(faces: FaceSet) -> dict[str, dict[str, int]]:
    """Faces, reals, fakes, identities and source videos of each split."""
    table = faces.columns("split", "label", "target_identity", "source_video")
    result = {}
    for split in sorted(pc.unique(table["split"].drop_null()).to_pylist()):
        part = table.filter(pc.equal(table["split"], split))
        result[split] = {
            "faces": len(part),
            "real": int(pc.sum(pc.equal(part["label"], "real")).as_py()),
            "fake": int(pc.sum(pc.equal(part["label"], "fake")).as_py()),
            "target_identities": len(pc.unique(part["target_identity"].drop_null())),
            "source_videos": len(pc.unique(part["source_video"].drop_null())),
        }
    return result


def _crop_size(faces: FaceSet) -> dict[str, float] | None:
    """Larger side of the crops before they were resized: 5th, 50th and 95th percentile, in pixels."""
    table = faces.columns("crop_width", "crop_height")
    side = pc.max_element_wise(table["crop_width"], table["crop_height"]).drop_null()
    if not len(side):
        return None
    low, middle, high = np.percentile(side.to_numpy(), [5, 50, 95])
    return {"p5": float(low), "median": float(middle), "p95": float(high)}


def _images(faces: FaceSet, seed: int) -> dict[str, Any]:
    """Bytes and sizes of the images, and how many headers of the sample could not be read."""
    random = np.random.Generator(np.random.Philox(np.random.SeedSequence(seed)))
    sample = np.sort(random.permutation(len(faces))[:SAMPLE])
    found: dict[str, int] = {}
    unreadable, lengths = 0, []
    for row in sample:
        try:
            encoded = faces.encoded(int(row))
            width, height = image_size(encoded)
        except UnreadableImage:
            unreadable += 1
            continue
        lengths.append(len(encoded))
        found[f"{width}x{height}"] = found.get(f"{width}x{height}", 0) + 1
    return {
        "sampled": len(sample),
        "unreadable_in_sample": unreadable,
        "sizes_in_sample": dict(sorted(found.items(), key=lambda item: -item[1])[:8]),
        "median_bytes_in_sample": int(np.median(lengths)) if lengths else None,
        "total_bytes": int(np.maximum(faces.sizes(), 0).sum()),
    }
