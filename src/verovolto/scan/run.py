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
from verovolto.scan.discovery import Found, find_media
from verovolto.scan.result import PICTURED, MediumResult, Promise, Scan
from verovolto.scan.scan_file import Eye, scan_medium, unreadable
from verovolto.scan.settings import ScanSettings, rule_of

Advance = Callable[[float, int], None]
"""Hears of the media done, with the share of the one at work, and of all there are."""

_TOLD = ("seed", "weights", "trained_on", "leaky", "contaminated")


def scan(
    detector: Detector | Path,
    paths: Iterable[Path],
    settings: ScanSettings,
    *,
    workers: int = 0,
    threads: int = 1,
    advance: Advance = lambda done, total: None,
) -> Scan:
    """Scan files and folders, mixed; see `Detector.scan`. Interrupted (Ctrl-C), it returns what is done.

    Args:
        detector: itself, or its folder: processes each load their own.
        workers: processes, one thread each; 0 for none but this one.
        threads: of the video decoder where there are no workers.
        advance: see `Advance`.

    Raises:
        InputError: no photo or video among `paths`, or a crop rule that does not fit.
        CalibrationError: a false-alarm rate that the detector cannot support.
    """
    opened = load_detector(detector) if isinstance(detector, Path) else detector
    eye = open_eye(opened, settings)
    found = list(find_media(paths))
    if not found:
        raise InputError(
            "there are no photos and no videos in the folders given", hint="give files or folders"
        )
    if workers and isinstance(detector, Path):
        media = _in_processes(found, Scanner(detector=detector, settings=settings), workers, advance)
    else:
        media = _one_by_one(found, eye, threads, advance)
    return Scan(
        media=tuple(media),
        not_reached=len(found) - len(media),
        promise=Promise.of(eye.calibration, settings.false_alarm),
        detector=_about(opened, detector if isinstance(detector, Path) else None),
        settings=_as_json(settings, eye),
    )


def open_eye(detector: Detector, settings: ScanSettings) -> Eye:
    """The detector with the face detector asked for, or the one that its crop rule refers to."""
    finder = settings.finder or rule_of(detector, settings.crop).detector
    return Eye.of(detector, open_detector(finder), settings)


@dataclass(kw_only=True)
class Scanner:
    """Scans files in a process of its own, where it loads the detector once."""

    detector: Path
    settings: ScanSettings
    eye: Eye | None = None

    def __call__(self, found: Found) -> MediumResult:
        """The result of one file."""
        if self.eye is None:
            torch.set_num_threads(1)
            self.eye = open_eye(load_detector(self.detector), self.settings)
        return _result(found, self.eye)


def _result(
    found: Found, eye: Eye, threads: int = 1, advance: Callable[[float], None] = lambda share: None
) -> MediumResult:
    if found.problem is not None:
        return unreadable(str(found.path), found.problem)
    return scan_medium(found.path, eye, threads=threads, advance=advance)


class _Gathered:
    """Results by their place among the files; pictures of the gravest alone are kept."""

    def __init__(self, advance: Advance, total: int) -> None:
        self.media: dict[int, MediumResult] = {}
        self._pictured: list[int] = []
        self._advance, self._total = advance, total
        advance(0, total)

    def add(self, at: int, result: MediumResult) -> None:
        self.media[at] = result
        if result.pictured:
            self._pictured.append(at)
        if len(self._pictured) > 2 * PICTURED:  # not at each one: that would sort anew for every file
            self._pictured.sort(key=lambda at: self.media[at].gravity)
            for milder in self._pictured[PICTURED:]:
                self.media[milder] = self.media[milder].without_pictures()
            del self._pictured[PICTURED:]
        self.share(0.0)

    def share(self, of_next: float) -> None:
        self._advance(len(self.media) + of_next, self._total)

    def in_order(self) -> list[MediumResult]:
        return [self.media[at] for at in sorted(self.media)]


def _one_by_one(found: Sequence[Found], eye: Eye, threads: int, advance: Advance) -> list[MediumResult]:
    gathered = _Gathered(advance, len(found))
    with suppress(KeyboardInterrupt):
        for at, one in enumerate(found):
            gathered.add(at, _result(one, eye, threads, gathered.share))
    return gathered.in_order()


def _in_processes(
    found: Sequence[Found], scanner: Scanner, workers: int, advance: Advance
) -> list[MediumResult]:
    places = {id(one): at for at, one in enumerate(found)}
    gathered = _Gathered(advance, len(found))
    running = run_jobs(found, scanner, workers=min(workers, len(found)))
    with suppress(KeyboardInterrupt), closing(running):
        for finished in running:
            result = finished.result or unreadable(str(finished.job.path), finished.died or "")
            gathered.add(places[id(finished.job)], result)
    return gathered.in_order()


def _about(detector: Detector, path: Path | None) -> dict[str, Any]:
    about = detector.about
    return {
        "name": detector.name,
        "score": detector.default_score,
        "path": None if path is None else str(path),
        "about": {key: about[key] for key in _TOLD if key in about},
    }


def _as_json(settings: ScanSettings, eye: Eye) -> dict[str, Any]:
    return {
        "fps": settings.fps,
        "false_alarm": settings.false_alarm,
        "faces": "largest" if settings.largest_only else "all",
        "face_detector": eye.finder.name,
        "crop_rule": eye.rule.to_dict(),
        "least": asdict(settings.faces),
        "domain": eye.detector.domain.to_dict(),
    }
