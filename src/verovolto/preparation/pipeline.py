"""Videos and photographs in, a face set out: extraction that goes on where it was stopped, and what coverage it had."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

from verovolto.core.errors import DataError, InputError
from verovolto.core.files import as_text, read_json_object, write_json
from verovolto.core.parallel import Execute, cores, run_jobs
from verovolto.core.workdir import claim
from verovolto.data.crop_rule import CropRule, read_rule
from verovolto.data.layouts import Listing, MediaItem
from verovolto.data.layouts.registry import list_media
from verovolto.faces.detection.base import FaceDetector
from verovolto.faces.detection.registry import for_detector, open_detector
from verovolto.media import Limits
from verovolto.preparation.extract import (
    ENCODING,
    Extractor,
    Job,
    Record,
    Rules,
    fail,
    part_path,
    read_record,
)
from verovolto.preparation.merge import COVERAGE, coverage_of, merge_parts, summary_lines

FPS = 2.0
"""Frames a second where neither a rate nor a number is asked for."""
SMALLEST = 40
FACE_DETECTOR = "mtcnn"
WORK, SETTINGS = ".work", "prepare.json"

ONE_CLASS = "A set of one class has to be asked for: --one-class"

OnProgress = Callable[[int, int], None]
"""Called with the media done and with all there are."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """All that the faces depend on; kept in `prepare.json`, and the same whenever a run goes on.

    Attributes:
        source: the folder, as an absolute path.
        layout: how it is laid out, by name.
        fps: and `frames`, `faces`, `smallest`, `confidence` as of `preparation.extract.Rules`.
        detector: name of the face detector.
        crop_rule: see `data.crop_rule.CropRule`.
        encoding: how crops are stored.
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
    """A finished preparation.

    Attributes:
        out: folder of the face set.
        coverage: what `coverage.json` holds (see `docs/prepare.md`).
        already: whether it was finished before.
    """

    out: Path
    coverage: dict[str, Any]
    already: bool = False

    @property
    def complete(self) -> bool:
        """Whether every video and photograph could be read."""
        return not self.coverage["unreadable"]

    def summary_lines(self) -> list[str]:
        """What a user should know of it, a line each."""
        return summary_lines(self.coverage, self.out, already=self.already)


def prepare(
    src: str | Path,
    out: str | Path,
    *,
    layout: str = "auto",
    label: Literal["real", "fake"] | None = None,
    fps: float | None = None,
    frames: int | None = None,
    faces: Literal["largest", "all"] = "largest",
    crop: str | CropRule = "ffpp",
    face_detector: str | FaceDetector = FACE_DETECTOR,
    smallest: float = SMALLEST,
    confidence: float | None = None,
    limits: Limits | None = None,
    workers: int | None = 0,
    max_unreadable: float = 0.5,
    one_class: bool = False,
    force: bool = False,
    execute: Execute = run_jobs,
    on_progress: OnProgress = lambda done, total: None,
) -> Prepared:
    """Cut the faces out of videos and photographs into a face set, or go on with it; see docs/prepare.md.

    Args:
        src: folder of media.
        out: folder of the set, new or of the same preparation; its hidden folder `.work` holds what is done until all
            is.
        layout: name of the layout of `src`, or `auto`.
        label: of all media below `src`, where no folder names it.
        fps: frames looked at a second of video, > 0; 2 where `frames` is None too.
        frames: frames looked at a video, evenly spread, >= 1, instead of a rate.
        faces: the one face that a frame is about, or all of them.
        crop: name of a crop rule (`ffpp`, `tight`, `dfdc`) or a JSON file, restated for the boxes of `face_detector`;
            or a rule for these boxes.
        face_detector: `mtcnn`, `centerface`, or a detector, which must pickle where `workers` is above 0.
        smallest: faces whose box is smaller than this on its larger side are left out, pixels.
        confidence: faces found with a lower score are left out, in [0, 1]; None for the detector's own.
        limits: what a file may cost; see `media.Limits`.
        workers: processes, one thread each; 0 for none but this one, None for one a core.
        max_unreadable: share of media, in [0, 1], that may be unreadable; beyond it no set is written.
        one_class: accept a set of one class where `src` is there for both.
        force: begin anew where `out` holds another preparation, which is deleted.
        execute: see `core.parallel.Execute`.
        on_progress: see `OnProgress`.

    Raises:
        InputError: options or folders that cannot be used, or another preparation in `out`.
        DataError: no layout recognised, no media, no face, a class lost, or too much that cannot be read.
        OSError: the disk is full, or nothing may be written.
        KeyboardInterrupt: with what is done, and that the same call goes on.
    """
    src, out, workers = Path(src), Path(out), cores() if workers is None else workers
    _check_numbers(workers, max_unreadable)
    detector = open_detector(face_detector) if isinstance(face_detector, str) else face_detector
    rules = Rules(
        rule=_rule_for(detector, crop),
        fps=FPS if fps is None and frames is None else fps,
        frames=frames,
        faces=faces,
        smallest=smallest,
        confidence=detector.confidence if confidence is None else confidence,
        limits=limits or Limits(),
    )
    listing = list_media(src, layout=layout, label=label)
    chosen = {key: value for key, value in asdict(rules).items() if key not in ("rule", "limits")}
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
    labels = {job.name: job.item.label for job in jobs_of(listing)}
    classes = frozenset() if one_class else frozenset(listing.problems.expected)
    _check_media(src, listing, labels, classes)
    extractor = Extractor(detector=detector, rules=rules, work=out / WORK)
    again = list_media(src, layout=layout if label else listing.layout, label=label)
    _extract(jobs_of(again), extractor, list(labels), workers, execute, on_progress)
    return _finish(out, list(labels), listing, settings, max_unreadable, classes)


def _rule_for(detector: FaceDetector, crop: str | CropRule) -> CropRule:
    """The crop rule that refers to the boxes of a detector."""
    rule = crop if isinstance(crop, CropRule) else for_detector(read_rule(crop), detector.name)
    if rule.detector != detector.name:
        raise InputError(
            f"the crop rule refers to boxes of {rule.detector}, the detector is {detector.name}",
            hint="give a rule for this detector",
        )
    return rule


def _check_media(src: Path, listing: Listing, labels: Mapping[str, str], classes: frozenset[str]) -> None:
    """Refuse before anything is decoded a folder that holds no media, or none of a class that it has folders for."""
    if not labels:
        raise DataError(
            f"{src} holds no videos and no photographs", hint="; ".join(listing.problems.lines()) or None
        )
    if lost := classes - set(labels.values()):
        raise DataError(
            f"{src} has folders of real and of fake media, and nothing was found in those of {' and '.join(lost)}",
            hint="; ".join((*listing.problems.lines(), ONE_CLASS)),
        )


def jobs_of(listing: Listing) -> Iterator[Job]:
    """A job an item, named by all that its crops depend on: a file that has changed is looked at again."""
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
    identity = {
        "path": path,
        "columns": [
            *item.key, item.source_video, item.target_identity, item.donor_identity, item.split,
        ],
        "frames": None if item.frames is None else [_below(frame, item.path) for frame in item.frames],
        "bytes": place.stat().st_size if single and place.exists() else None,
    }  # fmt: skip
    text = json.dumps(identity, ensure_ascii=True)  # names need not be UTF-8
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _below(path: Path, root: Path) -> str:
    text = (path.relative_to(root) if path.is_relative_to(root) else path).as_posix()
    return as_text(text)


def _check_numbers(workers: int, max_unreadable: float) -> None:
    if workers < 0:
        raise InputError(f"--workers cannot be negative: {workers}")
    if not 0 <= max_unreadable <= 1:
        raise InputError(f"--max-unreadable is a share between 0 and 1, not {max_unreadable}")


def _begin(out: Path, settings: Settings, *, force: bool) -> Prepared | None:
    """Make `out` ready for this preparation; returns it where it is finished already."""
    wanted = json.loads(json.dumps(asdict(settings)))
    clear = partial(_clear, out) if force else None
    claim(out, SETTINGS, wanted, what="a face set of this command", clear=clear)
    if (out / COVERAGE).exists():
        shutil.rmtree(out / WORK, ignore_errors=True)  # the last step of a run may have been cut off
        return Prepared(out=out, coverage=read_json_object(out / COVERAGE), already=True)
    (out / WORK).mkdir(exist_ok=True)
    for half in (out / WORK).glob(".*.part"):
        half.unlink(missing_ok=True)
    return None


def _clear(out: Path) -> None:
    """Delete a preparation, and nothing else; not its settings, so that a kill on the way can be repeated."""
    for shard in out.glob("faces-*-of-*.parquet"):
        shard.unlink()
    shutil.rmtree(out / WORK, ignore_errors=True)
    (out / COVERAGE).unlink(missing_ok=True)


def _extract(
    jobs: Iterator[Job],
    extractor: Extractor,
    names: list[str],
    workers: int,
    execute: Execute,
    on_progress: OnProgress,
) -> None:
    """Make the parts that are not there yet. What failed earlier is tried again: it may have been mended."""
    there = {file.name for file in extractor.work.iterdir()}
    done = sum(part_path(extractor.work, name).name in there for name in names)
    on_progress(done, len(names))
    todo = (job for job in jobs if part_path(extractor.work, job.name).name not in there)
    try:
        with closing(execute(todo, extractor, workers=min(workers, len(names) - done))) as running:
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
    out: Path,
    names: list[str],
    listing: Listing,
    settings: Settings,
    max_unreadable: float,
    classes: frozenset[str],
) -> Prepared:
    """Put the parts together, write the coverage, take the work folder away."""
    parts = list(_parts(out / WORK, names))
    records = [record for _, record in parts]
    _check_records(records, max_unreadable, classes)
    for old in out.glob("faces-*-of-*.parquet"):  # of a run that was killed here
        old.unlink()
    metadata = {
        "name": listing.root.resolve().name,
        "crop_rule": settings.crop_rule,
        "detector": settings.detector,
        "encoding": settings.encoding,
    }
    rows = merge_parts(
        [(part_path(out / WORK, name), record) for name, record in parts], out, metadata=metadata
    )
    coverage = coverage_of(records, listing, rows)
    write_json(out / COVERAGE, coverage)
    shutil.rmtree(out / WORK, ignore_errors=True)
    return Prepared(out=out, coverage=coverage)


def _parts(work: Path, names: list[str]) -> Iterator[tuple[str, Record]]:
    for name in names:
        record = read_record(work, name)
        if record is None:
            raise DataError(
                "the source changed while it was read", hint="give the same command again: it goes on"
            )
        yield name, record


def _check_records(records: list[Record], max_unreadable: float, classes: frozenset[str]) -> None:
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
    if lost := classes - {record.label for record in records if record.faces}:
        raise DataError(
            f"no face was found in any of the {' and '.join(lost)} media",
            hint=f"lower --confidence or --smallest. {ONE_CLASS}",
        )
