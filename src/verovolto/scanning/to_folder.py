"""Scan into a folder that keeps every result: work that goes on after a kill, in many processes or on many machines."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from verovolto.core.errors import InputError
from verovolto.core.files import as_text, read_json_object, write_json
from verovolto.core.parallel import Execute, cores, run_jobs
from verovolto.core.workdir import claim
from verovolto.detectors.base import load_detector
from verovolto.media.provenance import Fingerprint
from verovolto.scanning import run
from verovolto.scanning.evidence import RunClock
from verovolto.scanning.parts import (
    Parts,
    digest_of_path,
    file_of,
    moved,
    operating_point_of,
    place_of,
    read_row,
    row_of,
)
from verovolto.scanning.request import Shard
from verovolto.scanning.result import OperatingPoint, Scan
from verovolto.scanning.run import MediaPath, Scanner, media_among
from verovolto.scanning.settings import ScanSettings

CLAIM, HEADER = "scan.json", "about.json"
"""What the folder is of, which a later run must share; and what `--json` says beside the files."""


@dataclass(frozen=True, kw_only=True)
class KeptFile:
    """A file to scan, and the part of what it held before."""

    media: MediaPath
    earlier: Path | None = None


@dataclass(frozen=True, kw_only=True)
class KeptScanner:
    """Scans a file and keeps its row. To do it twice does no harm: what is there is not scanned again."""

    scanner: Scanner
    parts: Parts

    def __call__(self, job: KeptFile) -> bool:
        """Whether the file could be scanned. Raises `OSError` where the row cannot be kept: the disk is full."""
        path = job.media.path
        known = None if job.media.problem else Fingerprint.of(path)
        if known is not None:
            if self.parts.part_of(path, known.sha256).is_file():
                return True
            if (twin := self._twin(known)) is not None:
                row = moved(twin, as_text(str(path)), known.modified_utc)
                self.parts.keep(path, row, earlier=job.earlier)
                return True
        begin = time.perf_counter()
        result = self.scanner(job.media)
        row = row_of(result, time.perf_counter() - begin)
        self.parts.keep(path, row, earlier=job.earlier)
        return result.verdict is not None

    def _twin(self, known: Fingerprint) -> dict[str, Any] | None:
        """The row of a file of the same content."""
        part = self.parts.twin_of(known.sha256)
        return None if part is None else read_row(part)


@dataclass(frozen=True, kw_only=True)
class Kept:
    """What a run left in its folder.

    Attributes:
        files: how many it was given, of its shard alone.
        already: those of them that were there.
        failed: those without a verdict.
        left_out: what lay in folders and was not scanned, a line each.
    """

    files: int
    already: int
    failed: int
    left_out: tuple[str, ...] = ()


def scan_to_folder(
    detector: Path,
    paths: Iterable[Path],
    out: Path,
    settings: ScanSettings,
    *,
    shard: Shard | None = None,
    workers: int | None = None,
    command: str | None = None,
    execute: Execute = run_jobs,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> Kept:
    """Scan files and folders into `out`, or go on with it; `read_scan` reads it.

    Files that are there with the same path, size and time are not opened. Of files with the same content one is
    scanned, and each has a row. What has no verdict is tried again by the next run.

    Args:
        detector: its folder.
        paths: files and folders.
        out: folder for the results, new or of the same scan.
        settings: how to look and decide, without pictures.
        shard: the part of the files that is this run's; None for all.
        workers: processes, one thread each; 0 for none but this one, None for one a core.
        command: that gives the result again, for the record.
        execute: see `core.parallel.Execute`.
        on_progress: called with the files done and with all there are.

    Raises:
        InputError: nothing to scan, options that cannot be used, or another scan in `out`.
        CalibrationError: a false-alarm rate that the detector cannot support.
        OSError: the disk is full, or nothing may be written.
        KeyboardInterrupt: with what is done.
    """
    workers = cores() if workers is None else workers
    if workers < 0:
        raise InputError(f"--workers cannot be negative: {workers}")
    _begin(detector, out, settings, command, workers)
    files, left_out = media_among(paths)
    parts = Parts(folder=out)
    parts.list_paths([file.path for file in files])
    mine = files if shard is None else shard.take(files)
    todo = _todo(mine, parts)
    done = already = len(mine) - len(todo)
    failed = 0
    on_progress(done, len(mine))
    scanner = KeptScanner(scanner=run.Scanner(detector=detector, settings=settings), parts=parts)
    try:
        with closing(execute(todo, scanner, workers=min(workers, len(todo)))) as running:
            for finished in running:
                if finished.died is not None:
                    _keep_death(finished.job, finished.died, parts)
                failed += not finished.result
                done += 1
                on_progress(done, len(mine))
    except KeyboardInterrupt:
        raise KeyboardInterrupt(
            f"stopped: {done} of {len(mine)} files are done; the same command goes on"
        ) from None
    return Kept(
        files=len(mine), already=already, failed=failed, left_out=tuple(map(as_text, left_out.lines()))
    )


def _begin(detector: Path, out: Path, settings: ScanSettings, command: str | None, workers: int) -> None:
    """Claim the folder, and record what a result says beside its files."""
    clock = RunClock.start()
    opened = load_detector(detector)
    context = run.open_context(opened, settings)
    about = {
        "run": clock.record(command=command, device=str(opened.device), threads=1, workers=workers),
        "detector": {**run.metadata_of(opened, detector), "path": None},  # another one on each machine
        "settings": context.to_dict(),
        "promise": OperatingPoint.of(context.calibration, settings.false_alarm, opened.metadata).to_dict(),
    }
    about = json.loads(json.dumps(about))
    same = {name: value for name, value in about["settings"].items() if name != "domain"}
    claim(out, CLAIM, {"detector": about["detector"]["digest"], **same}, what="a scan")
    if not (out / HEADER).is_file():
        write_json(out / HEADER, about)


def _todo(files: Iterable[MediaPath], parts: Parts) -> list[KeptFile]:
    """The files whose parts are not there, or of another state of the file."""
    done, todo = parts.done(), []
    for file in files:
        earlier = done.get(digest_of_path(file.path))
        if file.problem is not None or earlier is None or not _same(file.path, earlier):
            todo.append(KeptFile(media=file, earlier=earlier))
    return todo


def _same(path: Path, part: Path) -> bool:
    try:
        return part.stem.endswith(f"-{place_of(path)}")
    except (OSError, ValueError):  # it is gone, and that is what its row will say
        return False


def _keep_death(job: KeptFile, how: str, parts: Parts) -> None:
    parts.keep(job.media.path, row_of(run.died(job.media.path, how), 0.0), earlier=job.earlier)


def read_scan(out: Path) -> Scan:
    """The result of all that a folder keeps, in the order of the lists; what is listed and not there is not reached.

    Raises:
        InputError: the folder holds no scan, or a damaged one.
    """
    about = read_about(out)
    parts = Parts(folder=out)
    rows = parts.table(["result"])["result"].to_pylist()
    return Scan(
        files=tuple(file_of(json.loads(row)) for row in rows),
        not_reached=len(parts.listed()) - len(rows),
        operating_point=operating_point_of(about["promise"]),
        detector=about["detector"],
        settings=about["settings"],
        run=about["run"],
    )


@dataclass(frozen=True, kw_only=True)
class KeptCounts:
    """What a folder keeps, counted.

    Attributes:
        verdicts: files by verdict; those without one under None.
        not_reached: files that are listed and have no row yet.
        operating_point: what the verdicts are worth.
    """

    verdicts: Mapping[str | None, int]
    not_reached: int
    operating_point: OperatingPoint

    @property
    def complete(self) -> bool:
        """Whether every listed file has a verdict."""
        return not (self.not_reached or self.verdicts.get(None))


def count_kept(out: Path) -> KeptCounts:
    """Count what a folder keeps, by flat columns alone; raises as `read_scan`."""
    promise = read_about(out)["promise"]
    parts = Parts(folder=out)
    verdicts = Counter(parts.table(["verdict"])["verdict"].to_pylist())
    return KeptCounts(
        verdicts=verdicts,
        not_reached=len(parts.listed()) - verdicts.total(),
        operating_point=operating_point_of(promise),
    )


def read_about(out: Path) -> Mapping[str, Any]:
    """What a folder says of its scan; raises `InputError` where it holds none."""
    if not (out / HEADER).is_file():
        raise InputError(f"{out} holds no scan", hint="give files or --list beside --out to make one")
    return read_json_object(out / HEADER)
