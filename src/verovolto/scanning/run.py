"""Find the photos and videos among files and folders, and scan them, one after the other or in several processes."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import torch

from verovolto.core.errors import InputError
from verovolto.core.files import as_text, natural
from verovolto.core.parallel import cores, run_jobs
from verovolto.data.crop_rule import read_rule
from verovolto.data.file_types import LOOP, NO_MEDIA, Problems, category_of, is_folder
from verovolto.detectors.base import Detector, load_detector
from verovolto.detectors.io import detector_folder
from verovolto.faces.detection.registry import open_detector
from verovolto.media import Limits
from verovolto.media.provenance import FileFacts, Fingerprint
from verovolto.scanning.evidence import RunClock, detector_evidence, weighed, with_evidence
from verovolto.scanning.result import PICTURED, FileResult, OperatingPoint, Scan
from verovolto.scanning.scan_file import scan_file, unreadable
from verovolto.scanning.settings import FALSE_ALARM, FPS, SMALLEST, ScanContext, ScanSettings, rule_of

HELPER = "folders of helpers, such as masks and thumbnails (left out)"

OnProgress = Callable[[float, int], None]
"""Called with the files done, the share of the one at work included, and with all there are."""
Load = Callable[[Path], Detector]

_METADATA = ("seed", "weights", "trained_on", "leaky", "contaminated")


@dataclass(frozen=True, kw_only=True)
class MediaPath:
    """A file to scan, or, with a `problem`, a folder that cannot be read."""

    path: Path
    problem: str | None = None


def media_among(paths: Iterable[Path]) -> tuple[list[MediaPath], Problems]:
    """All that `find_media` finds, and what it left out; raises `InputError` where it finds nothing."""
    paths, left_out = tuple(paths), Problems()
    if not paths:
        raise InputError("nothing to scan was given", hint="give photos, videos or folders of them")
    files = list(find_media(paths, left_out))
    if not files:
        raise InputError(
            "there are no photos and no videos in the folders given",
            hint="; ".join(("give files or folders", *left_out.lines())),
        )
    return files, left_out


def find_media(paths: Iterable[Path], left_out: Problems | None = None) -> Iterator[MediaPath]:
    """Files as they are given, and of folders the photos and videos, sorted, each once.

    A file that is named is always scanned. In a folder a file's content decides where its name does not (see
    `data.file_types.category_of`); links are followed, never in circles. Hidden files and folders, those of helpers
    and files that are neither photo nor video are left out; `left_out` counts them, but for what is hidden or evident.
    """
    seen: set[str] = set()
    left_out = left_out if left_out is not None else Problems()
    for path in paths:
        for file in _within(path, left_out) if _is_folder(path) else (MediaPath(path=path),):
            key = _real(file.path)
            if key not in seen:
                seen.add(key)
                yield file


def _real(path: Path) -> str:
    """The file itself, whatever links lead to it."""
    try:
        return os.path.realpath(path)
    except (OSError, ValueError):  # no file can be called so; opening it will be an error
        return str(path)


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:  # a folder above it may not be read; opening it will be an error
        return False


def _within(folder: Path, left_out: Problems, above: tuple[str, ...] = ()) -> Iterator[MediaPath]:
    real = _real(folder)
    if real in above:
        left_out.add(LOOP, folder)
        return
    try:
        with os.scandir(folder) as listed:
            entries = sorted(listed, key=lambda entry: natural(entry.name))
    except OSError as error:
        yield MediaPath(path=folder, problem=f"the folder cannot be read ({error.strerror})")
        return
    for entry in entries:
        path = Path(entry.path)
        if entry.name.startswith("."):
            continue
        if not is_folder(entry):
            if category_of(path, left_out):
                yield MediaPath(path=path)
        elif entry.name.lower() in NO_MEDIA:
            left_out.add(HELPER, path)
        else:
            yield from _within(path, left_out, (*above, real))


def scan(
    *paths: str | Path,
    detector: Detector | Path | str = "default",
    fps: float | None = FPS,
    false_alarm: float = FALSE_ALARM,
    faces: Literal["all", "largest"] = "all",
    smallest: float = SMALLEST,
    crop: str | None = None,
    face_detector: str | None = None,
    limits: Limits | None = None,
    trust_anchors: Path | None = None,
    pictures: bool = False,
    workers: int | None = 0,
    threads: int = 1,
    command: str | None = None,
    load: Load = load_detector,
    on_progress: OnProgress = lambda done, total: None,
) -> Scan:
    """Find, track and judge the faces in photos and videos: what `verovolto scan` prints, as objects.

    >>> [(file.path, file.verdict) for file in scan("tests/samples/v0.1.0/photos/a.png").files]
    [('tests/samples/v0.1.0/photos/a.png', 'cannot tell')]

    Args:
        paths: files and folders, mixed.
        detector: itself, a folder of a detector or of the run that made it, or `default`, the one that comes along.
        fps: frames looked at a second of video, > 0; None for all.
        false_alarm: share of real files that may be called suspect, in (0, 1).
        faces: judge all faces of a frame, or the largest alone.
        smallest: faces whose box is smaller than this on its larger side are not judged, pixels.
        crop: how the detector's training faces were cropped, where it does not say: `ffpp`, `tight`, `dfdc` or a
            JSON file.
        face_detector: `mtcnn` or `centerface`; None for the one that the detector's training faces were cropped with.
        limits: what a file may cost; see `media.Limits`.
        trust_anchors: certificates in PEM whose C2PA signatures are trusted; None for none.
        pictures: keep the key frames with their anomaly maps.
        workers: processes, one thread each, where `detector` is no object; 0 for none but this one, None for one a
            core if there are several files.
        threads: of the video decoder where there are no workers.
        command: that gives the result again, for its record.
        load: opens the detector's folder, where that is given.
        on_progress: see `OnProgress`.

    Returns:
        One result a file, in order; files that cannot be read say why, and never stop the rest. Interrupted (Ctrl-C),
        what is done.

    Raises:
        InputError: nothing to scan, or options that cannot be used.
        CalibrationError: the detector is not calibrated, or not on enough faces for `false_alarm`.
        DetectorError: a folder that holds no detector, or a damaged one.
    """
    if not isinstance(detector, Detector):
        detector = detector_folder(detector)
    settings = ScanSettings(
        crop=None if crop is None else read_rule(crop),
        face_detector=face_detector,
        fps=fps,
        false_alarm=false_alarm,
        faces=faces,
        smallest=smallest,
        limits=limits or Limits(),
        trust_anchors=trust_anchors,
        pictures=pictures,
    )
    files = [Path(path) for path in paths]
    return scan_files(
        detector, files, settings, workers=workers, threads=threads, command=command, load=load,
        on_progress=on_progress,
    )  # fmt: skip


def scan_files(
    detector: Detector | Path,
    paths: Iterable[Path],
    settings: ScanSettings,
    *,
    workers: int | None = 0,
    threads: int = 1,
    command: str | None = None,
    load: Load = load_detector,
    on_progress: OnProgress = lambda done, total: None,
) -> Scan:
    """Scan files and folders, mixed, as the settings say; see `scan`.

    Args:
        detector: itself, or its folder: processes each load their own.
        paths: files and folders.
        settings: how to look and decide.
        workers: see `scan`.
        threads: see `scan`.
        command: see `scan`.
        load: see `scan`.
        on_progress: see `OnProgress`.

    Raises:
        InputError: no photo or video among `paths`, or a crop rule that does not fit.
        CalibrationError: a false-alarm rate that the detector cannot support.
    """
    if workers is not None and workers < 0:
        raise InputError(f"--workers cannot be negative: {workers}")
    clock, folder = RunClock.start(), detector if isinstance(detector, Path) else None
    opened = load(detector) if isinstance(detector, Path) else detector
    context = open_context(opened, settings)
    files, left_out = media_among(paths)
    if workers is None:  # a process of its own has to load everything anew: not for one file
        workers = cores() if len(files) > 1 else 0
    if workers and folder:
        results = _in_processes(files, Scanner(detector=folder, settings=settings), workers, on_progress)
    else:
        results = _one_by_one(files, context, threads, on_progress)
    return Scan(
        files=tuple(results),
        not_reached=len(files) - len(results),
        left_out=tuple(map(as_text, left_out.lines())),
        operating_point=OperatingPoint.of(context.calibration, settings.false_alarm, opened.metadata),
        detector=metadata_of(opened, folder),
        settings=context.to_dict(),
        run=clock.record(
            command=command,
            device=str(opened.device),
            threads=1 if workers and folder else threads,
            workers=workers if folder else 0,
        ),
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

    def __call__(self, file: MediaPath) -> FileResult:
        """The result of one file."""
        if self.context is None:
            torch.set_num_threads(1)
            self.context = open_context(load_detector(self.detector), self.settings)
        return _result(file, self.context)


def _result(
    file: MediaPath,
    context: ScanContext,
    threads: int = 1,
    on_progress: Callable[[float], None] = lambda share: None,
) -> FileResult:
    if file.problem is not None:
        return unreadable(str(file.path), file.problem)
    result = with_evidence(
        file.path,
        context.settings,
        lambda: scan_file(file.path, context, threads=threads, on_progress=on_progress),
    )
    return weighed(result, context.calibration, context.settings.false_alarm)


class _Results:
    """Results by the place of their files; only the most severe keep their pictures."""

    def __init__(self, on_progress: OnProgress, total: int) -> None:
        self._results: dict[int, FileResult] = {}
        self._pictured: list[int] = []
        self._on_progress, self._total = on_progress, total
        on_progress(0, total)

    def add(self, place: int, result: FileResult) -> None:
        self._results[place] = result
        if result.pictured:
            self._pictured.append(place)
        if len(self._pictured) > 2 * PICTURED:  # not at each one: that would sort anew for every file
            self._pictured.sort(key=lambda place: self._results[place].severity)
            for milder in self._pictured[PICTURED:]:
                self._results[milder] = self._results[milder].without_pictures()
            del self._pictured[PICTURED:]
        self.progress(0.0)

    def progress(self, of_next: float) -> None:
        self._on_progress(len(self._results) + of_next, self._total)

    def in_order(self) -> list[FileResult]:
        return [self._results[place] for place in sorted(self._results)]


def _one_by_one(
    files: Sequence[MediaPath], context: ScanContext, threads: int, on_progress: OnProgress
) -> list[FileResult]:
    results = _Results(on_progress, len(files))
    with suppress(KeyboardInterrupt):
        for place, file in enumerate(files):
            results.add(place, _result(file, context, threads, results.progress))
    return results.in_order()


def _in_processes(
    files: Sequence[MediaPath], scanner: Scanner, workers: int, on_progress: OnProgress
) -> list[FileResult]:
    places = {id(file): place for place, file in enumerate(files)}
    results = _Results(on_progress, len(files))
    running = run_jobs(files, scanner, workers=min(workers, len(files)))
    with suppress(KeyboardInterrupt), closing(running):
        for finished in running:
            result = finished.result or died(finished.job.path, finished.died or "")
            results.add(places[id(finished.job)], result)
    return results.in_order()


def died(path: Path, how: str) -> FileResult:
    """The result of a file that ends the processes that read it: hashed, and never opened here."""
    return replace(unreadable(str(path), how), facts=FileFacts(fingerprint=Fingerprint.of(path)))


def metadata_of(detector: Detector, path: Path | None) -> dict[str, Any]:
    """What a result says of the detector, as JSON values."""
    metadata = detector.metadata
    return {
        "name": detector.name,
        "score": detector.default_score,
        "path": None if path is None else str(path),
        **detector_evidence(path),
        "about": {key: metadata[key] for key in _METADATA if key in metadata},
    }
