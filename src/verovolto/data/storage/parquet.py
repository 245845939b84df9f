"""Face sets in Parquet: row groups of 64 rows, read when an image is asked for.

The image column is stored plain, uncompressed, without dictionary or statistics: it is compressed already. Any Parquet
reader can read these files; the key `verovolto` of their metadata holds a JSON object with `schema_version`, `name`,
`crop_rule`, and, for shards that `convert` wrote, the fingerprint of what they were made from and which part of it
they hold.
"""

from __future__ import annotations

import os
import re
import threading
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from verovolto.core.errors import DataError, UnreadableImage
from verovolto.core.files import atomic_path
from verovolto.data.crop_rule import Look
from verovolto.data.schema import (
    IMAGE,
    check_names,
    column_names,
    conform,
    pack_metadata,
    physical_name,
    read_metadata,
)
from verovolto.data.storage import BLOCK, Rows
from verovolto.data.tables import shown

CACHED_GROUPS = 80
"""Row groups kept in memory: the 64 that a window of 4,096 shuffled rows spans, and some to spare."""
CACHED_BYTES = 256 << 20
OPEN_FILES = 128
_SHARD = re.compile(r"-(\d+)-of-(\d+)\.parquet$")
# What others filter by; statistics of every column would double the footers of such small row groups.
_STATISTICS = ["label", "split", "dataset", "method"]


class ParquetSource:
    """Shards of a set, in the order of their names."""

    left_out: tuple[str, ...] = ()

    def __init__(self, path: Path, files: Sequence[Path]) -> None:
        self.path = path
        self.files = list(files)
        self._connect()
        metas, starts, groups = [], [0], [0]
        for file in self.files:
            schema, meta, counts = _footer(file)
            metas.append(meta)
            if not groups[1:]:
                self._present = list(schema.names)
            _check_columns(schema, self._present, file)
            starts.extend(starts[-1] + np.cumsum(counts, dtype=np.int64))
            groups.append(groups[-1] + len(counts))
        _check_same(metas, self.files)
        self._starts = np.asarray(starts, dtype=np.int64)
        self._first_group = np.asarray(groups, dtype=np.int64)
        self.name = str(metas[0].get("name") or path.stem)
        self.crop_rule: dict[str, Any] | None = metas[0].get("crop_rule")

    def _connect(self) -> None:
        """Forget open files and cached rows: after pickling and in a forked process they are not ours."""
        self._process = os.getpid()
        self._lock = threading.Lock()
        self._handles: OrderedDict[int, Any] = OrderedDict()
        self._cache: OrderedDict[int, Any] = OrderedDict()
        self._cached_bytes = 0

    def __getstate__(self) -> dict[str, Any]:
        transient = ("_process", "_lock", "_handles", "_cache", "_cached_bytes")
        return {key: value for key, value in self.__dict__.items() if key not in transient}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._connect()

    def __len__(self) -> int:
        return int(self._starts[-1])

    def names(self) -> list[str]:
        """See `Source.names`."""
        return column_names(self._present)

    def table(self, names: Sequence[str], start: int, stop: int) -> pa.Table:
        """See `Source.table`."""
        check_names(names, self._present, where=str(self.path))
        physical = [column for name in names if (column := physical_name(name, self._present)) is not None]
        first = int(np.searchsorted(self._starts, start, side="right")) - 1
        last = int(np.searchsorted(self._starts, stop, side="left"))
        parts = [conform(self._read(0, 0, 0, physical), names, where=str(self.path))]
        for index, file in enumerate(self.files):
            offset = int(self._first_group[index])
            low, high = max(first, offset), min(last, int(self._first_group[index + 1]))
            if low < high:
                raw = self._read(index, low - offset, high - offset, physical)
                parts.append(conform(raw, names, where=str(file)))
        whole = pa.concat_tables(parts)
        return whole.slice(start - int(self._starts[first]), stop - start)

    def _read(self, index: int, low: int, high: int, physical: list[str]) -> pa.Table:
        """Columns of the row groups `low` to `high` of a file."""
        with self._lock_here():
            groups = list(range(low, high))
            raw = self._file(index).read_row_groups(groups, columns=physical, use_threads=False)
        if physical:
            return raw
        offset = int(self._first_group[index])  # a table without columns forgets how many rows it has
        return pa.table({"": pa.nulls(int(self._starts[offset + high] - self._starts[offset + low]))})

    def encoded(self, row: int) -> bytes:
        """See `Source.encoded`."""
        group = int(np.searchsorted(self._starts, row, side="right")) - 1
        with self._lock_here():
            value = self._images(group)[row - int(self._starts[group])].as_py()
        if value is None:
            raise UnreadableImage(f"row {row} of {self.path}: it has no image")
        return bytes(value)

    def look(self, row: int) -> Look | None:
        """See `Source.look`."""
        return None

    def blocks(self, rows: Rows) -> Rows:
        """See `Source.blocks`."""
        return np.asarray(np.searchsorted(self._starts, rows, side="right") - 1, dtype=np.int64)

    def sizes(self, rows: Rows) -> Rows:
        """See `Source.sizes`."""
        if "image_bytes" in self._present:
            column = self.table(["image_bytes"], 0, len(self))["image_bytes"]
            return np.asarray(pc.fill_null(column, -1).to_numpy(), dtype=np.int64)[rows]
        # The bytes of a row group are dealt out to its rows, so that every byte of difference shows.
        groups = self.blocks(rows)
        count = np.diff(self._starts)[groups]
        whole, rest = np.divmod(self._group_sizes()[groups], count)
        return np.asarray(whole + (rows - self._starts[groups] < rest), dtype=np.int64)

    def _group_sizes(self) -> Rows:
        """Bytes of the image column of each row group, from the footers."""
        sizes: list[int] = []
        for index in range(len(self.files)):
            meta = self._file(index).metadata
            column = meta.schema.to_arrow_schema().names.index(IMAGE)
            groups = range(meta.num_row_groups)
            sizes.extend(meta.row_group(g).column(column).total_uncompressed_size for g in groups)
        return np.asarray(sizes, dtype=np.int64)

    def _lock_here(self) -> threading.Lock:
        """The lock of this process; a forked child starts afresh."""
        if self._process != os.getpid():
            self._connect()
        return self._lock

    def _file(self, index: int) -> Any:
        if index not in self._handles:
            # Threads of Arrow's pool do not survive a fork, so nothing here uses them.
            self._handles[index] = pq.ParquetFile(self.files[index], memory_map=True, pre_buffer=False)
            if len(self._handles) > OPEN_FILES:
                self._handles.popitem(last=False)[1].close()
        self._handles.move_to_end(index)
        return self._handles[index]

    def _images(self, group: int) -> Any:
        """The image column of a row group, out of the cache or the file."""
        if group in self._cache:
            self._cache.move_to_end(group)
            return self._cache[group]
        index = int(np.searchsorted(self._first_group, group, side="right")) - 1
        local = group - int(self._first_group[index])
        try:
            table = self._file(index).read_row_group(local, columns=[IMAGE], use_threads=False)
        except (pa.ArrowInvalid, OSError) as error:
            raise DataError(
                f"{self.files[index]} is damaged: {error}", hint="convert the set again"
            ) from error
        images = table[IMAGE].combine_chunks()
        self._cache[group] = images
        self._cached_bytes += images.nbytes
        while len(self._cache) > 1 and (
            len(self._cache) > CACHED_GROUPS or self._cached_bytes > CACHED_BYTES
        ):
            self._cached_bytes -= self._cache.popitem(last=False)[1].nbytes
        return images


def parquet_files(folder: Path) -> list[Path]:
    """The Parquet files directly in a folder, sorted by name; hidden ones (half-written) are passed over."""
    return sorted(p for p in folder.glob("*.parquet") if not p.name.startswith("."))


def open_parquet(path: Path) -> ParquetSource:
    """Open a Parquet file, or a folder of shards.

    Raises `DataError` for files that are no Parquet, that lack `face`, `label` or `image`, that are of a
    newer schema or of different sets, and for an unfinished conversion.
    """
    files = parquet_files(path) if path.is_dir() else [path]
    source = ParquetSource(path, files)
    if path.is_dir():
        _check_complete(path, files)
    if not len(source):
        raise DataError(f"{path} holds no faces")
    return source


def shard_name(index: int, count: int) -> str:
    """File name of a shard, as others name theirs."""
    return f"faces-{index:05d}-of-{count:05d}.parquet"


def write_shard(path: Path, rows: Iterable[pa.Table], schema: pa.Schema, *, metadata: dict[str, Any]) -> None:
    """Write one shard; the file appears whole.

    Args:
        path: the file.
        rows: tables of `schema` (metadata columns and `image`), one a row group, which is all that memory holds.
        schema: of the file.
        metadata: our JSON object, written last: what is found out while `rows` are made can be in it.
    """
    others = [name for name in schema.names if name != IMAGE]
    with (
        atomic_path(path) as part,
        pq.ParquetWriter(
            part,
            schema,
            compression={IMAGE: "NONE", **{_leaf(name): "SNAPPY" for name in others}},
            use_dictionary=[_leaf(name) for name in others],
            write_statistics=[name for name in others if name in _STATISTICS],
        ) as writer,
    ):
        for table in rows:
            if len(table):
                writer.write_table(table.select(schema.names).cast(schema), row_group_size=BLOCK)
        writer.add_key_value_metadata(pack_metadata(metadata))


def shard_metadata(path: Path) -> dict[str, Any]:
    """Our metadata of a Parquet file ({} for a file that others wrote). Raises `DataError` if it is none."""
    return _footer(path)[1]


def _leaf(name: str) -> str:
    return "box.list.element" if name == "box" else name


def _footer(file: Path) -> tuple[Any, dict[str, Any], list[int]]:
    """Arrow schema, our metadata, and rows of each row group."""
    try:
        with pq.ParquetFile(file, memory_map=True) as handle:
            schema, meta = handle.schema_arrow, handle.metadata
            counts = [meta.row_group(group).num_rows for group in range(meta.num_row_groups)]
    except (pa.ArrowInvalid, OSError) as error:
        raise DataError(f"{file} is not a readable Parquet file: {error}") from error
    return schema, read_metadata(meta.metadata, where=str(file)), counts


def _check_columns(schema: Any, present: list[str], file: Path) -> None:
    missing = [name for name in ("face", "label", IMAGE) if name not in schema.names]
    if missing:
        raise DataError(f"{file} has no column {missing[0]!r}", hint=f"it has: {shown(schema.names)}")
    if list(schema.names) != present:
        raise DataError(f"{file} has other columns than the other files", hint="keep one set a folder")
    kind = schema.field(IMAGE).type
    if not (pa.types.is_binary(kind) or pa.types.is_large_binary(kind)):
        raise DataError(f"{file}: column 'image' is {kind}, not encoded images as binary")


def _check_same(metas: list[dict[str, Any]], files: Sequence[Path]) -> None:
    for meta, file in zip(metas, files, strict=True):
        for key in ("name", "crop_rule", "source_fingerprint", "shard_rows"):
            if meta.get(key) != metas[0].get(key):
                raise DataError(
                    f"{file} and {files[0].name} belong to different sets ({key} differs)",
                    hint="keep one set a folder",
                )


def _check_complete(folder: Path, files: Sequence[Path]) -> None:
    numbered = [match for file in files if (match := _SHARD.search(file.name))]
    expected = {int(match[2]) for match in numbered}
    if len(numbered) != len(files) or len(expected) != 1:
        return
    missing = expected.pop() - len(files)
    if missing > 0:
        raise DataError(
            f"{folder}: {missing} of {len(files) + missing} shards missing",
            hint="run the conversion again: it goes on there",
        )
