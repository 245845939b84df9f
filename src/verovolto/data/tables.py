"""CSV tables and lists of names, read alike everywhere; what cannot be read is refused by name. Tables for people."""

from __future__ import annotations

import codecs
import csv
import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.csv as pcsv

from verovolto.core.errors import DataError, VerovoltoError

_WIDE = {
    codecs.BOM_UTF32_LE: "UTF-32", codecs.BOM_UTF32_BE: "UTF-32", codecs.BOM_UTF16_LE: "UTF-16",
    codecs.BOM_UTF16_BE: "UTF-16",
}  # fmt: skip
_DECIMAL_COMMA = re.compile(r"\s*[-+]?[0-9]+,[0-9]+(?:[eE][-+]?[0-9]+)?\s*")

MANIFESTS = ("manifest.csv", "metadata.csv")


def find_manifest(folder: Path) -> Path | None:
    """`manifest.csv`, else `metadata.csv`, of a folder."""
    return next((folder / name for name in MANIFESTS if (folder / name).is_file()), None)


def path_column(manifest: pa.Table) -> str | None:
    """The column of a manifest that names the files: `path`, else `file_name`."""
    return next((name for name in ("path", "file_name") if name in manifest.column_names), None)


def read_text(path: Path) -> str:
    """A text file in UTF-8, without byte-order mark.

    Raises `DataError` for another encoding, which is named where it can be told; `OSError` as reading does.
    """
    raw = path.read_bytes()
    wide = next((name for mark, name in _WIDE.items() if raw.startswith(mark)), None)
    if wide is None and b"\0" in raw[:4096]:
        wide = "UTF-16, or no text at all"
    if wide is None:
        try:
            return raw.decode("utf-8-sig")
        except UnicodeDecodeError:
            wide = "of another encoding"
    raise DataError(f"{path} is no UTF-8 text (it is {wide})", hint="save it as CSV in UTF-8")


def csv_text(path: Path) -> str:
    """The text of a CSV file, without the line `sep=,` that Excel reads and writes; raises as `read_text`."""
    return re.sub(r'\A"?[sS][eE][pP]=.?"?\r?\n', "", read_text(path))


def read_csv(
    path: Path,
    *,
    text_columns: Callable[[str], bool] = lambda name: True,
    null_values: Sequence[str] = ("",),
    error: type[VerovoltoError] = DataError,
) -> pa.Table:
    """The columns of a CSV file with a header; empty cells are null.

    Args:
        path: the file.
        text_columns: which columns are read as strings, by name; the others as what their values are.
        null_values: cells that are null.
        error: what to raise.

    Raises:
        error: for another encoding or separator than UTF-8 and comma, for a column name that occurs twice, and for
            rows of different length.
    """
    try:
        text = csv_text(path)
    except DataError as reason:
        raise error(reason.message, hint=reason.hint) from reason
    try:
        header = next(csv.reader(text.splitlines()), [])
        twice = next((name for name in header if header.count(name) > 1), None)
        if twice is not None:
            raise error(f"{path}: the column {twice!r} is there twice", hint="leave one of them")
        options = pcsv.ConvertOptions(
            column_types={name: pa.string() for name in header if text_columns(name)},
            strings_can_be_null=True,
            null_values=list(null_values),
        )
        return pcsv.read_csv(pa.py_buffer(text.encode()), convert_options=options)
    except (pa.ArrowInvalid, pa.ArrowTypeError, csv.Error) as reason:
        raise error(
            f"{path} cannot be read as a table: {reason}",
            hint="all rows need as many cells as the header; a comma within a cell, such as a decimal comma, splits it",
        ) from reason


def aligned(rows: Sequence[tuple[str, ...]], *, left: int | None = None) -> list[str]:
    """Rows of cells, the first a header, as lines for people.

    To the right stand the columns of whole numbers; with `left` all columns but the first so many.
    """
    columns = []
    for place, cells in enumerate(zip(*rows, strict=True)):
        width = max(map(len, cells))
        figures = (
            all(cell.replace(",", "").isdigit() for cell in cells[1:]) if left is None else place >= left
        )
        columns.append([cell.rjust(width) if figures else cell.ljust(width) for cell in cells])
    return ["  ".join(cells).rstrip() for cells in zip(*columns, strict=True)]


def shown(names: Iterable[str]) -> str:
    r"""Names for a message; what would not be seen in one (spaces at its ends, a byte-order mark, ...) is spelt out.

    >>> shown(["path", "label\u200b", " split"])
    "path, 'label\\u200b', ' split'"
    """
    return ", ".join(
        name if name.isprintable() and name == name.strip() and name else repr(name) for name in names
    )


def separator_hint(header: Sequence[str]) -> str | None:
    """What to do about a CSV file whose whole header was read as one column; None for any other."""
    if len(header) != 1:
        return None
    marks = {";": "semicolons", "\t": "tabs", "|": "bars"}
    mark = next((words for mark, words in marks.items() if mark in header[0]), None)
    return None if mark is None else f"its columns are separated by {mark}: write it with commas"


def decimal_comma_hint(value: object) -> str | None:
    """What to do about a number such as `0,5`; None for any other value."""
    if not isinstance(value, str) or not _DECIMAL_COMMA.fullmatch(value):
        return None
    return f"it has decimal commas; write numbers with a decimal point: {value.strip().replace(',', '.')}"
