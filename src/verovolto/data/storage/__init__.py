"""What all stored face sets have in common, and split files, which stand for another set with its splits replaced.

A split file is a Parquet file of two columns, `face` and `split`, with a row for every face of the set in the
set's order; the split is null for faces that it leaves out. Its metadata names the set, and how the split was
made. Nothing of the set is copied or changed, and one set can have many split files.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from verovolto.core.errors import DataError
from verovolto.core.files import atomic_path
from verovolto.data.crop_rule import Look, look_at
from verovolto.data.schema import pack_metadata, read_metadata

Rows = npt.NDArray[np.int64]
BLOCK = 64
"""Rows of a row group: one is read to get one image, so it is small."""
_KIND = "splits"


class Source(Protocol):
    """All rows of a set, numbered from 0. Picklable: open files are not part of its state."""

    path: Path
    name: str
    crop_rule: dict[str, Any] | None
    left_out: tuple[str, ...]
    """What lies in the set's folder and is not in the set, a line a reason."""

    def __len__(self) -> int: ...

    def names(self) -> list[str]:
        """All metadata columns: the schema's, then extras."""
        ...

    def table(self, names: Sequence[str], start: int, stop: int) -> pa.Table:
        """The named metadata columns of rows `start` to `stop` (exclusive), in the schema's types."""
        ...

    def encoded(self, row: int) -> bytes:
        """Encoded image of a row."""
        ...

    def look(self, row: int) -> Look | None:
        """What of the image is the row's face; None for all of it."""
        ...

    def blocks(self, rows: Rows) -> Rows:
        """Row group of each of `rows`."""
        ...

    def sizes(self, rows: Rows) -> Rows:
        """Bytes of each image (see `FaceSet.sizes` for Parquet files that others wrote)."""
        ...


class SplitSource:
    """The set that a split file names, its `split` column replaced by the file's. Other methods are the set's own."""

    def __init__(self, base: Source, split: pa.Array, *, path: Path) -> None:
        if len(split) != len(base):
            raise DataError(
                f"{path}: {len(split)} rows for a set of {len(base)}", hint="make the split again"
            )
        self.base, self.split, self.path = base, split, path
        self.name, self.crop_rule, self.left_out = base.name, base.crop_rule, base.left_out
        self.names, self.encoded, self.blocks, self.sizes = base.names, base.encoded, base.blocks, base.sizes
        self.look = base.look

    def __len__(self) -> int:
        return len(self.base)

    def table(self, names: Sequence[str], start: int, stop: int) -> pa.Table:
        """See `Source.table`."""
        table = self.base.table([name for name in names if name != "split"], start, stop)
        split = self.split.slice(start, stop - start)
        return pa.table({name: split if name == "split" else table[name] for name in names})


class LookSource:
    """A set seen by a narrower crop rule than it was cut by. Other methods are the set's own.

    Raises:
        InputError: the set's crops do not show what the rule asks for.
    """

    def __init__(self, base: Source, crop_rule: dict[str, Any]) -> None:
        self.base = base
        self.crop_rule: dict[str, Any] | None = crop_rule
        self.path, self.name, self.left_out = base.path, base.name, base.left_out
        self.names, self.encoded, self.blocks, self.sizes = base.names, base.encoded, base.blocks, base.sizes
        self._look = look_at(base.crop_rule, crop_rule)

    def __len__(self) -> int:
        return len(self.base)

    def table(self, names: Sequence[str], start: int, stop: int) -> pa.Table:
        """See `Source.table`; sizes and boxes are those of what is cut out."""
        table = self.base.table(names, start, stop)
        if self._look is None:
            return table
        for name in {"crop_width", "crop_height"} & {*names}:
            sides = pc.round(pc.multiply(table[name], self._look.side)).cast(pa.int32())
            table = table.set_column(table.schema.get_field_index(name), name, sides)
        if "box" in names:
            boxes = [None if box is None else self._look.in_box(box) for box in table["box"].to_pylist()]
            column = pa.array(boxes, table.schema.field("box").type)
            table = table.set_column(table.schema.get_field_index("box"), "box", column)
        return table

    def look(self, row: int) -> Look | None:
        """See `Source.look`."""
        return self._look


def write_split_file(
    path: Path, target: Path, faces: pa.ChunkedArray, split: pa.Array, *, recipe: dict[str, Any]
) -> None:
    """Write the split of a whole set; the file appears whole.

    Args:
        path: the split file.
        target: where the set lies.
        faces: its ids `[n]`, in its order.
        split: the split of each `[n]`, null for none.
        recipe: how the split was made (seed, sizes); kept in the file's metadata.
    """
    target = target.resolve()
    meta = {
        "kind": _KIND,
        "set": os.path.relpath(target, path.resolve().parent),
        "set_absolute": str(target),
        "recipe": recipe,
    }
    table = pa.table({"face": faces, "split": split})
    with atomic_path(path) as part:
        pq.write_table(table.replace_schema_metadata(pack_metadata(meta)), part, compression="zstd")


def read_split_file(path: Path) -> tuple[Path, pa.Table] | None:
    """The path of the set that a split file splits, and its two columns; None if the file is no split file.

    Raises `DataError` for a file that cannot be read, and where the set is not there.
    """
    if path.suffix != ".parquet":
        return None
    try:
        schema = pq.read_schema(path, memory_map=True)
    except (pa.ArrowInvalid, OSError) as error:
        raise DataError(f"{path} is not a readable Parquet file: {error}") from error
    meta = read_metadata(schema.metadata, where=str(path))
    if meta.get("kind") != _KIND:
        return None
    places = [path.resolve().parent / str(meta["set"]), Path(str(meta["set_absolute"]))]
    target = next((place for place in places if place.exists()), None)
    if target is None:
        raise DataError(
            f"{path} splits the set {places[1]}, which is not there", hint="put it back or split again"
        )
    return target, pq.read_table(path, columns=["face", "split"])
