"""`verovolto calibrate`: real photographs and videos of one's own, as the calibration or as a test of it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from verovolto.core.errors import InputError


def calibrate(
    detector: Path,
    /,
    *,
    reals: Annotated[list[Path], Parameter(consume_multiple=True, negative=())],
    out: Path | None = None,
    check: bool = False,
    false_alarm: float = 0.05,
    fps: float = 2.0,
    workers: int | None = None,
) -> int:
    """Calibrate a detector on real photographs and videos of your own, or check whether it keeps its promise on them.

    The thresholds, p-values and domain of the new detector are those of the real people given; the score stays as it
    is. With --check nothing is written: the files are scanned, and the share called suspect stands beside the one
    promised. Exit code 1 with --check: the promise is broken.

    Parameters
    ----------
    detector
        Folder of a detector, or of the run that made it; default for the one of the package.
    reals
        Folders of photographs and videos of real people, each a source of its own: what is promised holds in each.
    out
        Folder for the new detector, new or empty.
    check
        Only say what share of these real files the detector calls suspect.
    false_alarm
        Share of real files that may be called suspect; for --check.
    fps
        Frames looked at a second of video.
    workers
        Processes, one thread each; 0 for none but this one. [default: one a core]
    """
    from verovolto.detectors.base import load_detector
    from verovolto.detectors.io import detector_folder

    if check == (out is not None):
        raise InputError("calibrate writes a detector or checks one", hint="give --out FOLDER, or --check")
    folder = detector_folder(detector)
    if check:
        return _check(folder, reals, false_alarm, fps, workers)
    from verovolto.core.progress import ProgressDisplay
    from verovolto.scanning.recalibrate import recalibrate

    assert out is not None, "one of the two"
    with ProgressDisplay() as progress:
        task = progress.add_task("looking for faces", total=None)
        made = recalibrate(
            load_detector(folder), reals, out, fps=fps, workers=workers,
            on_progress=lambda done, total: progress.update(task, completed=done, total=total),
        )  # fmt: skip
    print("\n".join(made.summary_lines()))
    print(f"detector: {out.resolve()}")
    return 0


def _check(folder: Path, reals: list[Path], false_alarm: float, fps: float, workers: int | None) -> int:
    from verovolto.core.progress import ProgressDisplay
    from verovolto.scanning.recalibrate import breaks_promise, promise_text, realised
    from verovolto.scanning.run import scan

    with ProgressDisplay() as progress:
        task = progress.add_task("scanning", total=None)
        result = scan(
            *reals, detector=folder, false_alarm=false_alarm, fps=fps, workers=workers,
            on_progress=lambda done, total: progress.update(task, completed=done, total=total),
        )  # fmt: skip
    found = realised(result)
    if not found:
        raise InputError(
            "no real file could be judged", hint="give photographs and videos of faces to --reals"
        )
    for each in found:
        plural = "" if each.judged == 1 else "s"
        print(
            f"{each.judged} real {each.kind}{plural} judged: {each.suspect} suspect, {each.share:.1%} "
            f"[{each.low:.1%}, {each.high:.1%}], promised at most {false_alarm:.0%}: {promise_text(each, false_alarm)}"
            + (f"; of {each.cannot_tell} more nothing can be told" if each.cannot_tell else "")
        )
    return int(any(breaks_promise(each, false_alarm) for each in found))
