"""The one schema of a face set: a row a face crop, the same columns whatever the set lies in.

| column | type | meaning |
|---|---|---|
| `face` | string | unique id of the row; by default the image's path below the set's folder |
| `image` | binary | encoded image (JPEG, PNG, ...), in Parquet sets only |
| `image_bytes` | int32 | length of `image`, written by `convert`: sizes are known without reading images |
| `label` | string | `real`, `fake` or `unknown` |
| `split` | string | `train`, `val`, `test` or any other name |
| `dataset` | string | the collection it comes from |
| `method` | string | how a fake was made |
| `compression` | string | of the video, such as `c23` |
| `source_video` | string | the video it was cut from; of a fake, the video it was made of |
| `target_identity` | string | who the frame shows (a manifest may call it `identity`) |
| `donor_identity` | string | whose face was put in |
| `pair` | string | ties a fake to the real crop of the same frame |
| `frame` | int32 | frame number in the video |
| `time` | float32 | seconds from the start of the video |
| `box` | list of 4 float32 | left, top, right, bottom of the crop in the frame, in pixels |
| `crop_width`, `crop_height` | int32 | size of the crop before it was resized, in pixels |

Only `face`, `label` and the image are required. What is unknown is null; an empty cell of a CSV file is null.
Other columns are kept as strings and play no part.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from verovolto.core.errors import DataError
from verovolto.data.tables import decimal_comma_hint, shown

SCHEMA_VERSION = 1
METADATA_KEY = b"verovolto"
IMAGE = "image"
LABELS = ("real", "fake", "unknown")
ALIASES = {"target_identity": "identity"}

COLUMNS: dict[str, Any] = {
    "face": pa.string(),
    "label": pa.string(),
    "split": pa.string(),
    "dataset": pa.string(),
    "method": pa.string(),
    "compression": pa.string(),
    "source_video": pa.string(),
    "target_identity": pa.string(),
    "donor_identity": pa.string(),
    "pair": pa.string(),
    "frame": pa.int32(),
    "time": pa.float32(),
    "box": pa.list_(pa.float32(), 4),
    "crop_width": pa.int32(),
    "crop_height": pa.int32(),
    "image_bytes": pa.int32(),
}


def physical_name(name: str, present: Iterable[str]) -> str | None:
    """The column of a file that holds the schema's column `name`: itself, its alias, or None."""
    present = set(present)
    if name in present:
        return name
    alias = ALIASES.get(name)
    return alias if alias in present else None


def column_names(present: Iterable[str]) -> list[str]:
    """Names of all metadata columns, of a set whose file has columns `present`: the schema's, then extras."""
    present = list(present)
    used = {physical_name(name, present) for name in COLUMNS} | {IMAGE}
    return [*COLUMNS, *(name for name in present if name not in used and name not in COLUMNS)]


def check_names(wanted: Iterable[str], present: Iterable[str], *, where: str) -> None:
    """Raise `DataError` for a column that is neither in the schema nor in the file."""
    known = column_names(present)
    for name in wanted:
        if name not in known:
            close = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {shown(close)}?" if close else f"there are: {shown(known)}"
            raise DataError(f"{where} has no column {name!r}", hint=hint)


def conform(table: pa.Table, names: Iterable[str], *, where: str) -> pa.Table:
    """The columns `names` of `table` with the schema's names and types; absent ones are null.

    Extra columns become strings. Raises `DataError` for labels or numbers that cannot be understood, naming
    the first offender.
    """
    columns: dict[str, Any] = {}
    for name in names:
        source = physical_name(name, table.column_names)
        kind = COLUMNS.get(name, pa.string())
        if source is None:
            columns[name] = pa.nulls(len(table), kind)
        else:
            columns[name] = conform_column(name, table[source], where=where)
    return pa.table(columns)


def conform_column(name: str, column: pa.ChunkedArray, *, where: str) -> pa.ChunkedArray:
    """One column with the schema's type: strings trimmed, empty strings null, labels in lower case."""
    kind = COLUMNS.get(name, pa.string())
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if _is_text(column.type):
        column = _blank_to_null(column.cast(pa.string()))
        if name == "box":
            column = _parse_boxes(column, where)
    if column.type != kind:
        column = _cast(name, column, kind, where)
    if name == "label":
        column = _labels(column, where)
    if name == "face" and column.null_count:
        raise DataError(
            f"{where}: {column.null_count} rows have no face id", hint="give every row a unique one"
        )
    return column


def check_faces(faces: pa.ChunkedArray, *, where: str) -> None:
    """Raise `DataError` where a face id occurs twice."""
    counts = pc.value_counts(faces)
    twice = counts.filter(pc.greater(counts.field("counts"), 1))
    if len(twice):
        first = twice.field("values")[0].as_py()
        raise DataError(f"{where}: {len(twice)} face ids occur more than once, first {first!r}")


def read_metadata(metadata: dict[bytes, bytes] | None, *, where: str) -> dict[str, Any]:
    """Our JSON object out of a Parquet file's metadata, or {} for a file that others wrote.

    Raises `DataError` for one of a newer schema than this program's.
    """
    raw = (metadata or {}).get(METADATA_KEY)
    if raw is None:
        return {}
    try:
        value = json.loads(raw)
        version = int(value["schema_version"])
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"{where}: its verovolto metadata is damaged", hint="convert the set again"
        ) from error
    if version > SCHEMA_VERSION:
        raise DataError(
            f"{where} has face set schema {version}, this program reads up to {SCHEMA_VERSION}",
            hint="update verovolto, or convert the set again with this version",
        )
    return dict(value)


def pack_metadata(value: dict[str, Any]) -> dict[bytes, bytes]:
    """Parquet key-value metadata of our JSON object with the schema version; keys are sorted."""
    text = json.dumps({"schema_version": SCHEMA_VERSION, **value}, sort_keys=True, ensure_ascii=False)
    return {METADATA_KEY: text.encode()}


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def _blank_to_null(column: pa.ChunkedArray) -> pa.ChunkedArray:
    column = pc.utf8_trim_whitespace(column)
    return pc.if_else(pc.equal(column, ""), pa.scalar(None, pa.string()), column)


def _cast(name: str, column: pa.ChunkedArray, kind: pa.DataType, where: str) -> pa.ChunkedArray:
    try:
        if pa.types.is_integer(kind) and _is_text(column.type):
            column = pc.replace_substring_regex(column, r"^([-+]?[0-9]+)\.0*$", r"\1")  # 12.0 is 12
        return column.cast(kind)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        comma = next(filter(None, map(decimal_comma_hint, column.to_pylist())), None)
        raise DataError(f"{where}: column {name!r} is not {kind}: {error}", hint=comma) from error


def _labels(column: pa.ChunkedArray, where: str) -> pa.ChunkedArray:
    column = pc.fill_null(pc.utf8_lower(column), "unknown")
    wrong = pc.unique(column.filter(pc.invert(pc.is_in(column, pa.array(LABELS)))))
    if not len(wrong):
        return column
    found = ", ".join(repr(value) for value in wrong.to_pylist()[:5])
    hint = "use real, fake or unknown"
    if set(wrong.to_pylist()) <= {"0", "1", "0.0", "1.0"}:
        hint = "data sets disagree on whether 1 is real or fake: write real, fake or unknown"
    raise DataError(f"{where}: unknown labels {found}", hint=hint)


def _parse_boxes(column: pa.ChunkedArray, where: str) -> pa.ChunkedArray:
    """Boxes out of text such as `12 30 200 218` or `[12, 30, 200, 218]`."""
    text = pc.replace_substring_regex(column, r"[\[\](),;]+", " ")
    parts = pc.utf8_split_whitespace(pc.utf8_trim_whitespace(text))
    bad = pc.fill_null(pc.not_equal(pc.list_value_length(parts), 4), False)
    if pc.any(bad).as_py():
        raise DataError(
            f"{where}: box {column.filter(bad)[0].as_py()!r} is not four numbers (left top right bottom)"
        )
    try:
        return parts.cast(pa.list_(pa.float32())).cast(COLUMNS["box"])
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise DataError(f"{where}: column 'box' is not four numbers a row: {error}") from error
