"""Scan many photos and videos, one after the other or in several processes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import closing, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from verovolto.core.errors import InputError
from verovolto.core.parallel import run_jobs
from verovolto.detectors.base import Detector
from verovolto.detectors.registry import load_detector
from verovolto.faces.detection.registry import open_detector
from verovolto.scanning.discovery import Found, find_media
from verovolto.scanning.result import PICTURED, FileResult, OperatingPoint, Scan
from verovolto.scanning.scan_file import ScanContext, scan_file, unreadable
from verovolto.scanning.settings import ScanSettings, rule_of

OnProgress = Callable[[float, int], None]
"""Hears of the media done, with the share of the one at work, and of all there are."""

_TOLD = ("seed", "weights", "trained_on", "leaky", "contaminated")


def scan(
    detector: Detector | Path,
    paths: Iterable[Path],
    settings: ScanSettings,
    *,
    workers: int = 0,
    threads: int = 1,
    on_progress: OnProgress = lambda done, total: None,
) -> Scan:
    """Scan files and folders, mixed; see `Detector.scan`. Interrupted (Ctrl-C), it returns what is done.

    Args:
        detector: itself, or its folder: processes each load their own.
        workers: processes, one thread each; 0 for none but this one.
        threads: of the video decoder where there are no workers.
        advance: see `OnProgress`.

    Raises:
        InputError: no photo or video among `paths`, or a crop rule that does not fit.
        CalibrationError: a false-alarm rate that the detector cannot support.
    """
    opened = load_detector(detector) if isinstance(detector, Path) else detector
    context = open_context(opened, settings)
    found = list(find_media(paths))
    if not found:
        raise InputError(
            "there are no photos and no videos in the folders given", hint="give files or folders"
        )
    if workers and isinstance(detector, Path):
        media = _in_processes(found, Scanner(detector=detector, settings=settings), workers, on_progress)
    else:
        media = _one_by_one(found, context, threads, on_progress)
    return Scan(
        media=tuple(media),
        not_reached=len(found) - len(media),
        operating_point=OperatingPoint.of(context.calibration, settings.false_alarm),
        detector=_metadata(opened, detector if isinstance(detector, Path) else None),
        settings=_as_json(settings, context),
    )


def open_context(detector: Detector, settings: ScanSettings) -> ScanContext:
    """The detector with the face detector asked for, or the one that its crop rule refers to."""
    face_detector = settings.face_detector or rule_of(detector, settings.crop).detector
    return ScanContext.of(detector, open_detector(face_detector), settings)


@dataclass(kw_only=True)
class Scanner:
    """Scans files in a process of its own, where it loads the detector once."""

    detector: Path
    settings: ScanSettings
    context: ScanContext | None = None

    def __call__(self, found: Found) -> FileResult:
        """The result of one file."""
        if self.context is None:
            torch.set_num_threads(1)
            self.context = open_context(load_detector(self.detector), self.settings)
        return _result(found, self.context)


def _result(
    found: Found,
    context: ScanContext,
    threads: int = 1,
    on_progress: Callable[[float], None] = lambda share: None,
) -> FileResult:
    if found.problem is not None:
        return unreadable(str(found.path), found.problem)
    return scan_file(found.path, context, threads=threads, on_progress=on_progress)


class _Gathered:
    """Results by their place among the files; pictures of the gravest alone are kept."""

    def __init__(self, on_progress: OnProgress, total: int) -> None:
        self.media: dict[int, FileResult] = {}
        self._pictured: list[int] = []
        self._on_progress, self._total = on_progress, total
        on_progress(0, total)

    def add(self, at: int, result: FileResult) -> None:
        self.media[at] = result
        if result.pictured:
            self._pictured.append(at)
        if len(self._pictured) > 2 * PICTURED:  # not at each one: that would sort anew for every file
            self._pictured.sort(key=lambda at: self.media[at].severity)
            for milder in self._pictured[PICTURED:]:
                self.media[milder] = self.media[milder].without_pictures()
            del self._pictured[PICTURED:]
        self.share(0.0)

    def share(self, of_next: float) -> None:
        self._on_progress(len(self.media) + of_next, self._total)

    def in_order(self) -> list[FileResult]:
        return [self.media[at] for at in sorted(self.media)]


def _one_by_one(
    found: Sequence[Found], context: ScanContext, threads: int, on_progress: OnProgress
) -> list[FileResult]:
    gathered = _Gathered(on_progress, len(found))
    with suppress(KeyboardInterrupt):
        for at, one in enumerate(found):
            gathered.add(at, _result(one, context, threads, gathered.share))
    return gathered.in_order()


def _in_processes(
    found: Sequence[Found], scanner: Scanner, workers: int, on_progress: OnProgress
) -> list[FileResult]:
    places = {id(one): at for at, one in enumerate(found)}
    gathered = _Gathered(on_progress, len(found))
    running = run_jobs(found, scanner, workers=min(workers, len(found)))
    with suppress(KeyboardInterrupt), closing(running):
        for finished in running:
            result = finished.result or unreadable(str(finished.job.path), finished.died or "")
            gathered.add(places[id(finished.job)], result)
    return gathered.in_order()


def _metadata(detector: Detector, path: Path | None) -> dict[str, Any]:
    metadata = detector.metadata
    return {
        "name": detector.name,
        "score": detector.default_score,
        "path": None if path is None else str(path),
        "about": {key: metadata[key] for key in _TOLD if key in metadata},
    }


def _as_json(settings: ScanSettings, context: ScanContext) -> dict[str, Any]:
    return {
        "fps": settings.fps,
        "false_alarm": settings.false_alarm,
        "faces": "largest" if settings.largest_only else "all",
        "face_detector": context.face_detector.name,
        "crop_rule": context.rule.to_dict(),
        "least": asdict(settings.faces),
        "domain": context.detector.domain.to_dict(),
    }
