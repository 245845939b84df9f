"""The table of scores: one row an input face, with every score, its p-value and a status.

A `ScoreTable` is what scoring hands to evaluation, and what `evaluate` writes as `scores.parquet`. A table of
scores made by another program enters through `read_scores`, so that any detector is judged by the same code.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from verovolto.core.errors import InputError
from verovolto.core.files import atomic_path
from verovolto.data.tables import decimal_comma_hint, read_csv, separator_hint, shown

SCHEMA_VERSION = 1
METADATA_KEY = b"verovolto.scores"
BASELINES = ("bytes", "sharpness", "brightness")
STATUSES = ("ok", "no_face", "unreadable")
METADATA_COLUMNS = (
    "face", "label", "split", "dataset", "method", "compression", "source_video", "target_identity", "donor_identity",
    "pair", "frame",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class ScoreTable:
    """Scores of input faces, higher = more likely fake.

    Attributes:
        table: one row an input face: the metadata columns of the face set (`METADATA_COLUMNS`, any of them may be
            absent or null), `status` (one of `STATUSES`), a float column a score (null unless the status is `ok`)
            and, where the detector is calibrated, its conformal p-value in `p_<score>`.
        scores: names of the detector's own scores, the default first.
        baselines: names of the trivial statistics.
        metadata: provenance that JSON can hold (detector, data fingerprint, crop rule, seed, frames a video, ...).

    >>> table = pa.table({"label": ["real", "fake"], "status": ["ok", "ok"], "rmse": [0.5, 0.75]})
    >>> ScoreTable(table=table, scores=("rmse",)).values("rmse")
    array([0.5 , 0.75])
    """

    table: pa.Table
    scores: tuple[str, ...]
    baselines: tuple[str, ...] = ()
    metadata: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.scores:
            raise InputError("a table of scores needs at least one score column")
        wanted = ("label", "status", *self.scores, *self.baselines)
        missing = [name for name in wanted if name not in self.table.column_names]
        if missing:
            raise InputError(
                f"the table of scores lacks the column(s) {', '.join(missing)}",
                hint=f"it has: {shown(self.table.column_names)}",
            )

    def __len__(self) -> int:
        return int(self.table.num_rows)

    def strings(self, name: str) -> np.ndarray:
        """Metadata column `name` as an object array `[n]` of `str` or None; all None where it is absent."""
        if name not in self.table.column_names:
            return np.full(len(self), None, dtype=object)
        column = self.table[name]
        if not pa.types.is_string(column.type):
            column = column.cast(pa.string())
        return np.asarray(column.to_numpy(zero_copy_only=False), dtype=object)

    def values(self, score: str) -> np.ndarray:
        """Score column as float64 `[n]`, NaN where the face has no score.

        Raises InputError, listing the scores there are, when `score` is not one of them.
        """
        if score not in (*self.scores, *self.baselines):
            raise InputError(
                f"there is no score {score!r} in the table",
                hint=f"it has: {', '.join((*self.scores, *self.baselines))}",
            )
        column = self.table[score].cast(pa.float64())
        return np.asarray(column.to_numpy(zero_copy_only=False), dtype=np.float64)

    def take(self, rows: np.ndarray) -> ScoreTable:
        """The rows at the given positions (or where a boolean array is true), with the same provenance."""
        rows = np.flatnonzero(rows) if rows.dtype == np.bool_ else rows
        return replace(self, table=self.table.take(pa.array(rows, pa.int64())))

    def write(self, path: Path) -> None:
        """Write Parquet, provenance in the schema's metadata (key `verovolto.scores`); it appears whole."""
        metadata = {
            "schema_version": SCHEMA_VERSION,
            "scores": list(self.scores),
            "baselines": list(self.baselines),
            "about": self.metadata,
        }
        schema_metadata = {METADATA_KEY: json.dumps(metadata).encode()}
        with atomic_path(Path(path)) as part:
            pq.write_table(self.table.replace_schema_metadata(schema_metadata), part)

    @staticmethod
    def read(path: Path) -> ScoreTable:
        """Read what `write` wrote. Raises InputError for other files and for newer versions of the schema."""
        table = _open_table(Path(path))
        written = (table.schema.metadata or {}).get(METADATA_KEY)
        if written is None:
            raise InputError(
                f"{path} is no table of scores written by verovolto",
                hint="a table made elsewhere is read with --scores FILE --score COLUMN",
            )
        metadata = json.loads(written)
        if metadata.get("schema_version") != SCHEMA_VERSION:
            raise InputError(
                f"{path} has score schema version {metadata.get('schema_version')}, this program reads "
                f"{SCHEMA_VERSION}",
                hint="make the table again with this version",
            )
        return ScoreTable(
            table=table,
            scores=tuple(metadata["scores"]),
            baselines=tuple(metadata["baselines"]),
            metadata=metadata["about"],
        )


def read_scores(path: Path, *, score: str | None = None) -> ScoreTable:
    """Read a table of scores made elsewhere: CSV (by its name) or Parquet.

    Columns: the score (`score` names it; the default is the column `score`), `label` (`real` or `fake`) and, where
    present, `face`, `source_video`, `identity` (taken as `target_identity`), `pair`, `method` and the other metadata
    columns, `status`, and the trivial statistics `bytes`, `sharpness`, `brightness`. When `rmse` is asked for and only
    `mse` is there, it is derived as sqrt(mse) and `metadata["derived"]` says so. A file written by `ScoreTable.write`
    keeps all its scores; the one asked for becomes the default.

    Raises `InputError` for a missing column, a label that is neither `real` nor `fake`, a score that is not a finite
    number, and when only one class is there.
    """
    path = Path(path)
    table = _open_table(path)
    if METADATA_KEY in (table.schema.metadata or {}):
        return _with_default(ScoreTable.read(path), score)
    score = score or "score"
    twice = sorted({name for name in table.column_names if table.column_names.count(name) > 1})
    if twice:
        raise InputError(f"{path}: the column {twice[0]!r} is there twice", hint="leave one of them")
    table = _rename_identity(table)
    table, derived = _derive(table, score, path)
    if "label" not in table.column_names:
        raise InputError(f"{path}: there is no column 'label'", hint=f"it has: {shown(table.column_names)}")
    table = table.set_column(table.column_names.index("label"), "label", _labels(table["label"], path))
    status = _status(table, path)
    kept = [name for name in METADATA_COLUMNS if name in table.column_names]
    numbers = [score, *(name for name in BASELINES if name in table.column_names and name != score)]
    columns: dict[str, Any] = {name: table[name].cast(pa.string()) for name in kept}
    if "frame" in columns:
        columns["frame"] = pc.replace_substring_regex(
            columns["frame"], r"^([0-9]+)\.0*$", r"\1"
        )  # 12.0 is 12
    columns.setdefault("face", pa.array([f"row {i + 1}" for i in range(table.num_rows)]))
    columns["status"] = status
    for name in numbers:
        columns[name] = _numbers(table[name], status, name, path)
    metadata: dict[str, Any] = {"detector": f"scores made elsewhere: {path.name}", "scores_file": path.name}
    if "face" not in kept:
        metadata["faces_numbered"] = True
    if derived:
        metadata["derived"] = derived
    return ScoreTable(
        table=pa.table(columns), scores=(score,), baselines=tuple(numbers[1:]), metadata=metadata
    )


def _with_default(scores: ScoreTable, score: str | None) -> ScoreTable:
    if score is None or score == scores.scores[0]:
        return scores
    scores.values(score)  # raises the error that lists what is there
    others = tuple(name for name in scores.scores if name != score)
    return replace(
        scores, scores=(score, *others), baselines=tuple(name for name in scores.baselines if name != score)
    )


def _open_table(path: Path) -> pa.Table:
    if not path.is_file():
        raise InputError(f"there is no file {path}", hint="give a CSV or Parquet table of scores")
    try:
        if path.suffix.lower() in (".parquet", ".pq"):
            return pq.read_table(path)
        return read_csv(
            path,
            text_columns=lambda name: name in (*METADATA_COLUMNS, "identity", "status"),
            null_values=("", "NaN", "nan", "null"),
            error=InputError,
        )
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        raise InputError(f"{path} cannot be read as a table: {error}", hint="CSV or Parquet") from error


def _rename_identity(table: pa.Table) -> pa.Table:
    if "identity" not in table.column_names or "target_identity" in table.column_names:
        return table
    return table.rename_columns(
        ["target_identity" if name == "identity" else name for name in table.column_names]
    )


def _derive(table: pa.Table, score: str, path: Path) -> tuple[pa.Table, str | None]:
    """Add `rmse` when only `mse` is there; the second value says what was derived."""
    if score in table.column_names:
        return table, None
    if score == "rmse" and "mse" in table.column_names and _is_number(table["mse"].type):
        if (pc.min(table["mse"]).as_py() or 0.0) < 0:
            raise InputError(f"{path}: the column 'mse' holds negative numbers, so no rmse can be derived")
        return table.append_column("rmse", pc.sqrt(table["mse"].cast(pa.float64()))), "rmse = sqrt(mse)"
    raise InputError(
        f"{path}: there is no column {score!r}",
        hint=separator_hint(table.column_names)
        or f"choose with --score; it has: {shown(table.column_names)}",
    )


def _is_number(kind: pa.DataType) -> bool:
    return bool(pa.types.is_floating(kind) or pa.types.is_integer(kind))


def _labels(column: pa.ChunkedArray, path: Path) -> pa.ChunkedArray:
    labels = pc.utf8_lower(pc.utf8_trim_whitespace(column.cast(pa.string())))
    classes = set(pc.unique(labels).to_pylist())
    wrong = sorted("(empty)" if value is None else str(value) for value in classes - {"real", "fake"})
    if wrong:
        raise InputError(
            f"{path}: labels must be 'real' or 'fake', found {', '.join(map(repr, wrong[:5]))}",
            hint="0 and 1 mean opposite things in different data sets, so they are not guessed",
        )
    if len(classes) < 2:
        raise InputError(
            f"{path}: only the class {', '.join(map(repr, classes)) or '(no rows)'} is there",
            hint="an evaluation needs real and fake faces",
        )
    return labels


def _status(table: pa.Table, path: Path) -> pa.ChunkedArray | pa.Array:
    if "status" not in table.column_names:
        return pa.array(["ok"] * table.num_rows)
    status = table["status"].cast(pa.string())
    wrong = [value for value in pc.unique(status).to_pylist() if value not in STATUSES]
    if wrong:
        raise InputError(f"{path}: unknown status {wrong[0]!r}", hint=f"one of: {', '.join(STATUSES)}")
    return status


def _numbers(column: pa.ChunkedArray, status: Any, name: str, path: Path) -> pa.Array:
    """Float64 column, null where the status is not `ok`. Scores are never clamped; NaN is never a score."""
    if not _is_number(column.type):
        first = next((value for value in column.to_pylist() if value is not None), None)
        raise InputError(
            f"{path}: the column {name!r} holds no numbers (the first value is {first!r})",
            hint=decimal_comma_hint(first),
        )
    values = column.cast(pa.float64()).to_numpy(zero_copy_only=False)
    scored = np.asarray(pc.equal(status, "ok").to_numpy(zero_copy_only=False), dtype=bool)
    bad = np.flatnonzero(scored & ~np.isfinite(values))
    if bad.size:
        raise InputError(
            f"{path}: {bad.size} score(s) of {name!r} are missing, NaN or infinite, the first in row "
            f"{int(bad[0]) + 1}",
            hint="leave those rows out, or say why in a column 'status': no_face or unreadable",
        )
    return pa.array(values, mask=~scored)
