"""Where the rows of a face set come from: what a folder and a Parquet set have in common."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from verovolto.core.errors import DataError

Rows = npt.NDArray[np.int64]
BLOCK = 64
"""Rows of a row group: one is read to get one image, so it is small."""


class Source(Protocol):
    """All rows of a set, numbered from 0. Picklable: open files are not part of its state."""

    path: Path
    name: str
    crop_rule: dict[str, Any] | None

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

    def blocks(self, rows: Rows) -> Rows:
        """Row group of each of `rows`."""
        ...

    def sizes(self, rows: Rows) -> Rows:
        """Bytes of each image (see `FaceSet.sizes` for Parquet files that others wrote)."""
        ...


class SplitSource:
    """Another source with its `split` column replaced (see `data.storage.split_file`)."""

    def __init__(self, base: Source, split: pa.Array, *, path: Path) -> None:
        if len(split) != len(base):
            raise DataError(
                f"{path}: {len(split)} rows for a set of {len(base)}", hint="make the split again"
            )
        self.base = base
        self.split = split
        self.path = path
        self.name = base.name
        self.crop_rule = base.crop_rule

    def __len__(self) -> int:
        return len(self.base)

    def names(self) -> list[str]:
        return self.base.names()

    def table(self, names: Sequence[str], start: int, stop: int) -> pa.Table:
        table = self.base.table([name for name in names if name != "split"], start, stop)
        split = self.split.slice(start, stop - start)
        columns = {name: split if name == "split" else table[name] for name in names}
        return pa.table(columns)

    def encoded(self, row: int) -> bytes:
        return self.base.encoded(row)

    def blocks(self, rows: Rows) -> Rows:
        return self.base.blocks(rows)

    def sizes(self, rows: Rows) -> Rows:
        return self.base.sizes(rows)
