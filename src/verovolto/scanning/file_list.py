"""Lists of files to scan, too many for a command line, and the part of them that is one job's of many."""

from __future__ import annotations

import codecs
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import pyarrow as pa
import pyarrow.parquet as pq

from verovolto.core.errors import InputError
from verovolto.data.tables import path_column, read_csv, shown

_WHAT = "give a text file of one path a line, or Parquet or CSV with a column path"
_NO_TEXT = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE, b"PAR1")

_Item = TypeVar("_Item")


def read_list(path: Path) -> list[Path]:
    """The paths that a file lists, in its order, as if they stood on the command line.

    Of `.parquet` and `.csv` the column `path` (else `file_name`) is read; anything else is text with one path a line,
    in which blank lines and those that begin with `#` say nothing.

    Raises:
        InputError: there is no such file, it is of another form, or it lists nothing.
    """
    if not path.is_file():
        raise InputError(f"there is no list {path}", hint=_WHAT)
    read = {".parquet": _of_parquet, ".csv": _of_csv}.get(path.suffix.lower(), _of_text)
    try:
        paths = read(path)
    except OSError as error:
        raise InputError(f"the list {path} cannot be read: {error.strerror or error}", hint=_WHAT) from error
    if not paths:
        raise InputError(f"the list {path} names no file", hint=_WHAT)
    return paths


def _of_text(path: Path) -> list[Path]:
    """Any bytes are a name on Linux, so that the text need not be UTF-8; only what no list can be is refused."""
    raw = path.read_bytes()
    if raw.startswith(_NO_TEXT) or b"\0" in raw:
        raise InputError(f"the list {path} is no text in UTF-8", hint=_WHAT)
    lines = raw.removeprefix(codecs.BOM_UTF8).replace(b"\r\n", b"\n").split(b"\n")
    return [Path(os.fsdecode(line)) for line in lines if line.strip() and not line.lstrip().startswith(b"#")]


def _of_csv(path: Path) -> list[Path]:
    return _of_table(path, read_csv(path, error=InputError))


def _of_parquet(path: Path) -> list[Path]:
    try:
        names = pq.read_schema(path).names
        wanted = [name for name in ("path", "file_name") if name in names]
        table = pq.read_table(path, columns=wanted or names[:0])
    except pa.ArrowException as error:
        raise InputError(
            f"the list {path} is no Parquet: {str(error).partition('.')[0]}", hint=_WHAT
        ) from error
    return _of_table(path, table, names)


def _of_table(path: Path, table: pa.Table, names: Sequence[str] | None = None) -> list[Path]:
    column = path_column(table)
    if column is None:
        has = shown(table.column_names if names is None else names)
        raise InputError(f"the list {path} has no column path (it has {has})", hint=_WHAT)
    values = table.column(column)
    if not (pa.types.is_string(values.type) or pa.types.is_large_string(values.type)):
        raise InputError(f"the column {column} of {path} holds {values.type}, not text", hint=_WHAT)
    if values.null_count:
        raise InputError(f"{values.null_count} rows of {path} have no {column}", hint="leave them out")
    return [Path(value) for value in values.to_pylist()]


@dataclass(frozen=True, kw_only=True)
class Shard:
    """Every `of`-th file, from the `number`-th on, counted from 1: together the shards are all files, each once."""

    number: int
    of: int

    @staticmethod
    def read(text: str) -> Shard:
        """`3/16`, the third of sixteen; raises `InputError` for anything else."""
        number, _, of = text.partition("/")
        if not (number.isdecimal() and of.isdecimal() and 1 <= int(number) <= int(of)):
            raise InputError(
                f"--shard {text} is no part of a whole", hint="1/16 to 16/16 are the parts of 16"
            )
        return Shard(number=int(number), of=int(of))

    def take(self, items: Sequence[_Item]) -> Sequence[_Item]:
        """The items of this shard."""
        return items[self.number - 1 :: self.of]
