"""A scan as it is asked for: lists of files, the shard of them that is one job's, and all flags as one value."""

from __future__ import annotations

import codecs
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal, TypeVar

import pyarrow as pa
import pyarrow.parquet as pq

from verovolto.core.errors import InputError
from verovolto.core.files import as_text
from verovolto.data.crop_rule import read_rule
from verovolto.data.tables import path_column, read_csv, shown
from verovolto.detectors.base import load_detector
from verovolto.detectors.io import detector_folder
from verovolto.media import Limits
from verovolto.scanning.result import Scan
from verovolto.scanning.run import Load, OnProgress, scan_files
from verovolto.scanning.settings import FALSE_ALARM, FPS, SMALLEST, ScanSettings

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


@dataclass(frozen=True, kw_only=True)
class ScanRequest:
    """What is to be scanned, and how.

    Attributes:
        paths: files and folders, mixed.
        list_file: of paths beside these (`read_list`).
        names: how a path is called in the result, where it is not by itself: of files kept under another name.
        detector: its folder; None for the one of the package.
        fps: frames looked at a second of video, > 0; None for all.
        false_alarm: share of real files that may be called suspect, in (0, 1).
        faces: judge all faces of a frame, or the largest alone.
        smallest: least side of a face's box, pixels.
        crop: crop rule, where the detector has none.
        face_detector: what finds the faces; None for the one that the crop rule refers to.
        max_megapixels: largest photo and frame, millions of pixels; None for the defaults.
        max_megabytes: largest file, millions of bytes; None for the defaults.
        trust_anchors: certificates in PEM whose C2PA signatures are trusted.
    """

    paths: tuple[Path, ...]
    list_file: Path | None = None
    names: Mapping[Path, str] = field(default_factory=dict)
    detector: Path | None = None
    fps: float | None = FPS
    false_alarm: float = FALSE_ALARM
    faces: Literal["all", "largest"] = "all"
    smallest: float = SMALLEST
    crop: str | None = None
    face_detector: str | None = None
    max_megapixels: float | None = None
    max_megabytes: float | None = None
    trust_anchors: Path | None = None

    def words(self) -> list[str]:
        """The command line that asks for the same."""
        paths = (self.names.get(path, str(path)) for path in self.paths)
        words = ["verovolto", "scan", *(f"./{path}" if path.startswith("-") else path for path in paths)]
        words += [] if self.list_file is None else ["--list", str(self.list_file)]
        words += ["--detector", str(self.detector)] if self.detector else []
        words += ["--every-frame"] if self.fps is None else ["--fps", f"{self.fps:g}"]
        words += ["--false-alarm", f"{self.false_alarm:g}", "--smallest", f"{self.smallest:g}"]
        words += ["--faces", self.faces] if self.faces != "all" else []
        words += ["--crop", self.crop] if self.crop else []
        words += ["--face-detector", self.face_detector] if self.face_detector else []
        words += [] if self.max_megapixels is None else ["--max-megapixels", f"{self.max_megapixels:g}"]
        words += [] if self.max_megabytes is None else ["--max-megabytes", f"{self.max_megabytes:g}"]
        return words + ([] if self.trust_anchors is None else ["--trust-anchors", str(self.trust_anchors)])

    def detector_folder(self) -> Path:
        """The folder of the detector asked for; raises `DetectorError` where there is none."""
        return detector_folder("default" if self.detector is None else self.detector)

    def files(self) -> tuple[Path, ...]:
        """The paths, those of the list after the others; raises `InputError` for a list that cannot be read."""
        return self.paths if self.list_file is None else (*self.paths, *read_list(self.list_file))

    def settings(self, *, pictures: bool = False) -> ScanSettings:
        """How to look and decide; raises `InputError` for what cannot be."""
        return ScanSettings(
            crop=None if self.crop is None else read_rule(self.crop),
            face_detector=self.face_detector,
            fps=self.fps,
            false_alarm=self.false_alarm,
            faces=self.faces,
            smallest=self.smallest,
            limits=Limits.of(megapixels=self.max_megapixels, megabytes=self.max_megabytes),
            trust_anchors=self.trust_anchors,
            pictures=pictures,
        )

    def run(
        self,
        *,
        pictures: bool,
        command: str,
        workers: int | None = 0,
        threads: int = 1,
        load: Load = load_detector,
        on_progress: OnProgress | Callable[[float, int], None] = lambda done, total: None,
    ) -> Scan:
        """Scan; see `scanning.run.scan` for what it raises.

        Args:
            pictures: keep the key frames, for a report.
            command: for the record of the run.
            workers: see `scanning.run.scan`.
            threads: see `scanning.run.scan`.
            load: see `scanning.run.scan`.
            on_progress: see `scanning.run.OnProgress`.
        """
        result = scan_files(
            self.detector_folder(), self.files(), self.settings(pictures=pictures),
            workers=workers, threads=threads, command=command, load=load, on_progress=on_progress,
        )  # fmt: skip
        shown = {as_text(str(path)): name for path, name in self.names.items()}
        if not shown:
            return result
        files = tuple(replace(file, path=as_text(shown.get(file.path, file.path))) for file in result.files)
        return replace(result, files=files)
