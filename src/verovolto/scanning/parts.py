"""Kept results: a folder of small Parquet files, one a scanned file, that appear whole.

    OUT/scan.json                            what it was scanned by; another scan in the folder is refused
    OUT/parts/ab/SHA256-PLACE.parquet        a row; named by the SHA-256 of the file, and by its path, size and time
    OUT/parts/failed/PATH.parquet            a row of a file without a verdict, with the error; it is tried again
    OUT/lists/DIGEST.parquet                 the paths that a run was given

Names alone say what is done. Several processes and machines may write into one folder: whoever writes a part writes
what any other would. What `FileResult.to_dict` wrote is read back here, too.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from verovolto.calibration.likelihood_ratio import LikelihoodRatio
from verovolto.calibration.thresholds import Missed
from verovolto.core.errors import InputError
from verovolto.core.files import as_text, atomic_path
from verovolto.media.provenance import C2pa, FileFacts, Fingerprint, Provenance
from verovolto.scanning.result import FileResult, FrameScore, OperatingPoint, TrackResult

SCHEMA = pa.schema(
    [
        ("path", pa.string()),
        ("sha256", pa.string()),
        ("bytes", pa.int64()),
        ("medium", pa.string()),
        ("status", pa.string()),
        ("verdict", pa.string()),
        ("reasons", pa.list_(pa.string())),
        ("p_value", pa.float64()),
        ("score", pa.float64()),
        ("faces", pa.int32()),
        ("frames", pa.int32()),
        ("duration_s", pa.float64()),
        ("width", pa.int32()),
        ("height", pa.int32()),
        ("error", pa.string()),
        ("seconds", pa.float64()),
        ("result", pa.string()),
    ]
)
"""Columns of a part. `score` is that of the face with the least p-value; `seconds` what the scan took, 0 where another
file has the same content; `result` what `--json` has of the file (docs/scan.md)."""

PARTS, FAILED, LISTS = "parts", "failed", "lists"
_PATH, _STAT = 16, 8  # hexadecimal digits of a name
_LIST = pa.schema([("path", pa.string())])


def row_of(result: FileResult, seconds: float) -> dict[str, Any]:
    """The row of a result, by the columns of `SCHEMA`."""
    values = result.to_dict()
    first = min(result.judged, key=lambda track: (track.p_adjusted or 0.0, track.id), default=None)
    flat = {name: values[name] for name in SCHEMA.names if name in values}
    return flat | {
        "score": None if first is None else first.score,
        "faces": len(result.judged),
        "frames": result.frames,
        "error": None if result.verdict is not None else "; ".join(result.problems),
        "seconds": round(seconds, 3),
        "result": json.dumps(values, ensure_ascii=False, allow_nan=False),
    }


def moved(row: Mapping[str, Any], path: str, modified_utc: str) -> dict[str, Any]:
    """The row of a file whose bytes are those of another one, without scanning it."""
    values = {**json.loads(row["result"]), "path": path, "modified_utc": modified_utc}
    return {
        **row,
        "path": path,
        "seconds": 0.0,
        "result": json.dumps(values, ensure_ascii=False, allow_nan=False),
    }


@dataclass(frozen=True, kw_only=True)
class Parts:
    """The parts below a folder."""

    folder: Path

    def done(self) -> dict[str, Path]:
        """The parts of scanned files, by the digest of the path."""
        return {part.stem.rpartition("-")[2][:_PATH]: part for part in self._files()}

    def part_of(self, path: Path, sha256: str) -> Path:
        """Where the row of a file of this content lies once it is scanned."""
        return self.folder / PARTS / sha256[:2] / f"{sha256}-{place_of(path)}.parquet"

    def twin_of(self, sha256: str) -> Path | None:
        """A part of another file of the same content."""
        return next((self.folder / PARTS / sha256[:2]).glob(f"{sha256}-*.parquet"), None)

    def keep(self, path: Path, row: Mapping[str, Any], *, earlier: Path | None = None) -> None:
        """Keep a row: of a file without a verdict as failed, to be tried again. What was kept of its path before goes.

        Args:
            path: of the file.
            row: by the columns of `SCHEMA`.
            earlier: the part of what the file held before.
        """
        failed = self.folder / PARTS / FAILED / f"{digest_of_path(path)}.parquet"
        if earlier is not None:  # first: a kill between the two must not leave two rows of one file
            earlier.unlink(missing_ok=True)
        if row["verdict"] is None:
            _write(failed, row)
            return
        _write(self.part_of(path, row["sha256"]), row)
        failed.unlink(missing_ok=True)

    def list_paths(self, paths: Sequence[Path]) -> None:
        """Record what a run is of, so that what is missing is known; the shards of a list record the same."""
        names = [as_text(str(path)) for path in paths]
        digest = hashlib.sha256("\0".join(names).encode()).hexdigest()[:32]
        into = self.folder / LISTS / f"{digest}.parquet"
        if not into.exists():
            with atomic_path(into) as part:
                pq.write_table(pa.table({"path": names}, _LIST), part, compression="zstd")

    def listed(self) -> list[str]:
        """The paths of all runs, each once, in the order of their lists."""
        lists = sorted((self.folder / LISTS).glob("*.parquet"), key=lambda each: (each.stat().st_mtime, each))
        return list(dict.fromkeys(path for each in lists for path in pq.read_table(each)["path"].to_pylist()))

    def table(self, columns: Sequence[str] | None = None) -> pa.Table:
        """All rows, one a path, in the order of the lists: a file that was scanned in the end has not failed.

        Args:
            columns: those wanted, beside `path`; None for all.

        Raises:
            InputError: a part is damaged.
        """
        wanted = SCHEMA.names if columns is None else ["path", *columns]
        files = [*(self.folder / PARTS / FAILED).glob("[!.]*.parquet"), *self._files()]
        schema = pa.schema([SCHEMA.field(name) for name in wanted])
        if not files:
            return schema.empty_table()
        import pyarrow.dataset as ds  # slow to import, and most scans keep no parts

        try:
            table = ds.dataset([str(file) for file in files], SCHEMA, format="parquet").to_table(wanted)
        except (pa.ArrowException, OSError) as error:
            raise InputError(
                f"{self.folder} holds a damaged part: {error}",
                hint="delete it; the same command scans its file again",
            ) from error
        rows = {path: row for row, path in enumerate(table["path"].to_pylist())}  # the last counts
        order = [rows[path] for path in self.listed() if path in rows]
        return table.take(pa.array(order, pa.int64()))

    def _files(self) -> Iterator[Path]:
        for group in (self.folder / PARTS).glob("[0-9a-f][0-9a-f]"):
            yield from group.glob("[!.]*.parquet")


def digest_of_path(path: Path) -> str:
    """Digest of a path, 16 hexadecimal digits."""
    return hashlib.sha256(os.fsencode(path)).hexdigest()[:_PATH]


def place_of(path: Path) -> str:
    """Digests of a file's path, and of its size and time: 24 hexadecimal digits; `OSError` where there is no file."""
    stat = path.stat()
    state = hashlib.sha256(f"{stat.st_size} {stat.st_mtime_ns}".encode()).hexdigest()[:_STAT]
    return digest_of_path(path) + state


def read_row(part: Path) -> dict[str, Any] | None:
    """The row of a part; None where it cannot be read."""
    try:
        rows: list[dict[str, Any]] = pq.read_table(part, schema=SCHEMA).to_pylist()
    except (pa.ArrowException, OSError):
        return None
    return rows[0] if rows else None


def _write(part: Path, row: Mapping[str, Any]) -> None:
    with atomic_path(part) as path:
        pq.write_table(
            pa.Table.from_pylist([dict(row)], SCHEMA), path, compression="zstd", use_dictionary=False,
            write_statistics=False, store_schema=False,
        )  # fmt: skip


def file_of(values: Mapping[str, Any]) -> FileResult:
    """The inverse of `FileResult.to_dict`: the same file, without pictures."""
    size, provenance = values["stored_size"], values["provenance"]
    return FileResult(
        path=values["path"],
        medium=values["medium"],
        status=values["status"],
        problems=tuple(values["problems"]),
        verdict=values["verdict"],
        reasons=tuple(values["reasons"]),
        p_value=values["p_value"],
        width=values["width"],
        height=values["height"],
        stored_size=None if size is None else (size[0], size[1]),
        pixel_aspect=values["pixel_aspect"],
        transfer=values["tone_mapped"],
        duration_s=values["duration_s"],
        frames=values["frames_looked_at"],
        tracks=tuple(map(_track_of, values["tracks"])),
        facts=_facts_of(values),
        provenance=None if provenance is None else _provenance_of(provenance),
    )


def _track_of(values: Mapping[str, Any]) -> TrackResult:
    ratio = values["likelihood_ratio"]
    return TrackResult(
        id=values["id"],
        verdict=values["verdict"],
        reasons=tuple(values["reasons"]),
        p_value=values["p_value"],
        p_adjusted=values["p_adjusted"],
        score=values["score"],
        rule=values["rule"],
        seen=values["frames_seen"],
        rejected=dict(values["passed_over"]),
        start_s=values["start_s"],
        end_s=values["end_s"],
        frame_scores=tuple(FrameScore(**{**each, "box": tuple(each["box"])}) for each in values["timeline"]),
        conditions=dict(values["conditions"]),
        likelihood_ratio=None if ratio is None else LikelihoodRatio.from_dict(ratio),
    )


def _facts_of(values: Mapping[str, Any]) -> FileFacts:
    known = None
    if values["sha256"] is not None:
        known = Fingerprint(**{name: values[name] for name in ("sha256", "bytes", "modified_utc")})
    return FileFacts(fingerprint=known, container=values["container"], codecs=tuple(values["codecs"]))


def _provenance_of(values: Mapping[str, Any]) -> Provenance:
    c2pa = values["c2pa"]
    return Provenance(**{**values, "c2pa": None if c2pa is None else C2pa(**c2pa)})


def operating_point_of(values: Mapping[str, Any]) -> OperatingPoint:
    """The inverse of `OperatingPoint.to_dict`."""
    known = values["calibrated_on"]
    return OperatingPoint(
        false_alarm=values["false_alarm"],
        score=values["score"],
        threshold=values["threshold"],
        low=known["lowest"],
        high=known["highest"],
        faces=known["real_faces"],
        clusters=known["clusters"],
        cluster=known["cluster"],
        videos=known["videos"],
        missed={
            each["method"]: Missed(missed=each["missed"], of=each["of"]) for each in values["missed_fakes"]
        },
        fake_clusters=values["fake_clusters"],
        left_out=dict(values["left_out"]),
    )
