"""A split as a file of its own, beside a set or anywhere: nothing of the set is copied or changed.

A split file is a Parquet file of two columns, `face` and `split`, a row for every face of the set in the
set's order; faces that the split leaves out have none. Its metadata says which set it cuts, and how. It
opens as a face set wherever a set is asked for: the set it cuts, with these splits. It works alike for a
folder, a folder with a manifest and Parquet shards, and one set can have many.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from verovolto.core.errors import DataError
from verovolto.core.files import atomic_path
from verovolto.data.schema import pack_metadata, read_metadata

KIND = "splits"


def write_split_file(
    path: Path, target: Path, faces: pa.ChunkedArray, split: pa.Array, *, recipe: dict[str, Any]
) -> None:
    """Write the split of the whole set at `target`, whose ids are `faces`; `recipe` (seed, ...) is kept."""
    target = target.resolve()
    meta = {
        "kind": KIND,
        "set": os.path.relpath(target, path.resolve().parent),
        "set_absolute": str(target),
        "recipe": recipe,
    }
    table = pa.table({"face": faces, "split": split})
    with atomic_path(path) as part:
        pq.write_table(table.replace_schema_metadata(pack_metadata(meta)), part, compression="zstd")


def read_split_file(path: Path) -> tuple[Path, pa.Table] | None:
    """The path of the set that a split file cuts, and its two columns; None if the file is no split file."""
    if path.suffix != ".parquet":
        return None
    try:
        schema = pq.read_schema(path, memory_map=True)
    except (pa.ArrowInvalid, OSError) as error:
        raise DataError(f"{path} is not a readable Parquet file: {error}") from error
    meta = read_metadata(schema.metadata, where=str(path))
    if meta.get("kind") != KIND:
        return None
    places = [path.resolve().parent / str(meta["set"]), Path(str(meta["set_absolute"]))]
    target = next((place for place in places if place.exists()), None)
    if target is None:
        raise DataError(
            f"{path} cuts the set {places[1]}, which is not there", hint="put it back or split again"
        )
    return target, pq.read_table(path, columns=["face", "split"])
