"""One video, photograph or folder of frames in, one part file out: its face crops and a record of the counts.

A part is a small Parquet file that appears whole, so that a killed run is resumed by looking at which parts are
there. Nothing in it depends on the process that made it or on what was done before.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
import torch
from jaxtyping import UInt8
from torch import Tensor

from verovolto.core.errors import InputError, VerovoltoError
from verovolto.core.files import as_text, write_json
from verovolto.data.crop_rule import CropRule
from verovolto.data.decode import encode_jpeg
from verovolto.data.layouts import MediaItem
from verovolto.data.layouts.disk import frame_number
from verovolto.data.schema import COLUMNS, IMAGE
from verovolto.data.storage import BLOCK
from verovolto.data.storage.parquet import shard_metadata, write_shard
from verovolto.faces.crop import (
    DAMAGED_PHOTO,
    NO_FACE,
    OUTSIDE_FRAME,
    TOO_SMALL,
    TURNED,
    UNCERTAIN,
    FaceFilter,
    crop,
    crop_box,
)
from verovolto.faces.detection.base import Face, FaceDetector
from verovolto.faces.upright import UprightFaces
from verovolto.media import Limits, Photo, Sampling, Video, open_media
from verovolto.media.sampling import evenly_spaced

Status = Literal["ok", "damaged", "unreadable"]

ENCODING = "JPEG, quality 95, 4:4:4"
"""How crops are stored, real and fake alike (see `data.decode.encode_jpeg`)."""

COVERAGE_WORDS = {
    TOO_SMALL: "smaller than --smallest", UNCERTAIN: "below --confidence", OUTSIDE_FRAME: OUTSIDE_FRAME,
    NO_FACE: "nothing found", DAMAGED_PHOTO: DAMAGED_PHOTO, TURNED: TURNED,
}  # fmt: skip
"""How records and `coverage.json` spell the reasons why a frame gives no face."""

SCHEMA = pa.schema(
    [
        ("face", pa.string()),
        (IMAGE, pa.binary()),
        *((name, type_) for name, type_ in COLUMNS.items() if name != "face"),
        ("video", pa.string()),
    ]
)
"""Columns of what is written: those of a face set, and the name of the video."""


@dataclass(frozen=True, kw_only=True)
class Rules:
    """Which frames are looked at, which of their faces are kept, and how these are cut.

    Attributes:
        fps: frames a second, or None.
        frames: frames of a video, evenly spread, or None. Without either, all frames.
        faces: `largest`, the one face that the frame is about, or `all`.
        smallest: larger side of the detector's box below which a face is left out, pixels, >= 0.
        confidence: score below which a face is left out, in [0, 1].
        rule: how a crop follows from a box.
        limits: what a file may cost.
    """

    rule: CropRule
    fps: float | None = None
    frames: int | None = None
    faces: Literal["largest", "all"] = "largest"
    smallest: float = 0.0
    confidence: float = 0.0
    limits: Limits = field(default_factory=Limits)

    def __post_init__(self) -> None:
        _ = self.sampling  # refuses what cannot be sampled
        if not self.smallest >= 0:
            raise InputError(f"--smallest is a number of pixels, not {self.smallest}")
        if not 0 <= self.confidence <= 1:
            raise InputError(f"--confidence lies between 0 and 1, not {self.confidence}")

    @property
    def sampling(self) -> Sampling:
        """Which frames of a video are looked at."""
        return Sampling(fps=self.fps, count=self.frames)

    @property
    def face_filter(self) -> FaceFilter:
        """The least that a face must have to be kept; blurred ones are, since sharpness is a property of a set."""
        return FaceFilter(side=self.smallest, sharpness=0.0, confidence=self.confidence)


@dataclass(frozen=True, kw_only=True)
class Record:
    """The counts of one video, photograph or folder of frames, or why it gave none.

    Attributes:
        path: below the source folder, with `/`.
        status: `damaged` where something is missing or wrong and the rest was used.
        reasons: what is damaged or cannot be read, in words.
        frames: frames looked at.
        faces: crops stored.
        no_face: frames without a stored face, by reason.
    """

    path: str
    label: str
    dataset: str
    video: str
    method: str | None
    compression: str | None
    source_video: str | None
    status: Status
    reasons: tuple[str, ...] = ()
    frames: int = 0
    faces: int = 0
    no_face: dict[str, int] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """The record as JSON values."""
        return asdict(self) | {"reasons": list(self.reasons)}

    @staticmethod
    def from_dict(value: dict[str, Any]) -> Record:
        """Read what `to_dict` wrote."""
        return Record(**value | {"reasons": tuple(value["reasons"])})


@dataclass(frozen=True, kw_only=True)
class Job:
    """One item to extract: `name` is that of its part file, `path` its place below the source folder."""

    item: MediaItem
    name: str
    path: str


@dataclass(frozen=True, kw_only=True)
class Extractor:
    """Extracts jobs into the folder `work`; picklable, so that it can be sent to other processes."""

    detector: FaceDetector
    rules: Rules
    work: Path

    def __call__(self, job: Job) -> Record:
        """Write the part of a job, or the record of why there is none, and return the record.

        Media that cannot be read, and whatever else goes wrong with one of them, end up in the record; a disk
        that is full, or a folder that may not be written, raises `OSError`.
        """
        if part_path(self.work, job.name).exists() and (kept := read_record(self.work, job.name)):
            return kept  # on a cluster a job may be given twice
        torch.set_num_threads(1)
        try:
            return self._write(job)
        except OSError:  # of the file we write: media raise errors of their own
            raise
        except VerovoltoError as error:
            return fail(job, self.work, _without_path(error, job.item.path))
        except Exception as error:  # a codec's bug at one video must not end the work of a night
            return fail(job, self.work, f"{type(error).__name__}: {error}")

    def _write(self, job: Job) -> Record:
        counts = _Counts()
        metadata: dict[str, Any] = {}

        def groups() -> Iterator[pa.Table]:
            yield from _tables(crops_of(job.item, self.detector, self.rules, counts))
            if not counts.frames:
                raise InputError("; ".join(counts.damage) or "no frame could be read")
            metadata["record"] = counts.record(job).to_dict()  # written after the last group

        write_shard(part_path(self.work, job.name), groups(), SCHEMA, metadata=metadata)
        return Record.from_dict(metadata["record"])


def part_path(work: Path, name: str) -> Path:
    """Where the part of a job lies once it is done."""
    return work / f"{name}.parquet"


def failure_path(work: Path, name: str) -> Path:
    """Where the record lies of a job that has no part."""
    return work / f"{name}.failed.json"


def fail(job: Job, work: Path, reason: str) -> Record:
    """Write the record of a job that could not be read."""
    record = _record(job, status="unreadable", reasons=(as_text(" ".join(reason.split())),))
    write_json(failure_path(work, job.name), record.to_dict())
    return record


def read_record(work: Path, name: str) -> Record | None:
    """The record of a job that is over; None where it is not."""
    if part_path(work, name).exists():
        return Record.from_dict(shard_metadata(part_path(work, name))["record"])
    if failure_path(work, name).exists():
        return Record.from_dict(json.loads(failure_path(work, name).read_text(encoding="utf-8")))
    return None


@dataclass(kw_only=True)
class _Counts:
    """Counts while an item is read."""

    frames: int = 0
    faces: int = 0
    no_face: Counter[str] = field(default_factory=Counter)
    damage: list[str] = field(default_factory=list)

    def record(self, job: Job) -> Record:
        """The record of the item, once it is read."""
        return _record(
            job, status="damaged" if self.damage else "ok", reasons=tuple(self.damage), frames=self.frames,
            faces=self.faces, no_face=dict(sorted(self.no_face.items())),
        )  # fmt: skip


def _record(job: Job, **counts: Any) -> Record:
    item = job.item
    return Record(
        path=job.path, label=item.label, dataset=item.dataset, video=item.video, method=item.method,
        compression=item.compression, source_video=item.source_video, **counts,
    )  # fmt: skip


@dataclass(frozen=True, kw_only=True, eq=False)
class _Picture:
    """A frame with its number and time; both are None for a photograph, the time for an extracted frame."""

    image: UInt8[Tensor, "3 h w"]
    frame: int | None
    time: float | None


def crops_of(
    item: MediaItem, detector: FaceDetector, rules: Rules, counts: _Counts
) -> Iterator[dict[str, Any]]:
    """Rows (columns of `SCHEMA`) of an item's faces, frame by frame, best face first.

    Args:
        item: the video, photograph or frames.
        detector: of faces.
        rules: frames, faces and crops.
        counts: takes the counts.

    Raises:
        VerovoltoError: the item cannot be read at all.
    """
    upright = UprightFaces(detector)
    for picture in _pictures(item, rules, counts):
        counts.frames += 1
        kept, reason = choose(upright.detect(picture.image, picture.time), rules)
        stored = 0
        for face in kept:
            try:
                row = _row(item, picture, face, rules.rule, stored)
            except InputError:  # the box lies outside the frame
                reason = reason or OUTSIDE_FRAME
                continue
            stored += 1
            yield row
        counts.faces += stored
        if not stored:
            counts.no_face[COVERAGE_WORDS[reason or NO_FACE]] += 1


def choose(faces: list[Face], rules: Rules) -> tuple[list[Face], str | None]:
    """The faces to keep, best first, and why the first of the others is not kept (None if all are).

    The doubtful and the small are left out first, so that `largest` is the largest of what may be kept.
    """
    kept, first_reason = [], None
    for face in faces:
        if reasons := rules.face_filter.reasons(face):
            first_reason = first_reason or reasons[-1]
        else:
            kept.append(face)
    return (kept[:1] if rules.faces == "largest" else kept), first_reason


def _pictures(item: MediaItem, rules: Rules, counts: _Counts) -> Iterator[_Picture]:
    if item.frames is None:
        yield from _of_video(open_media(item.path, limits=rules.limits), rules, counts)
    elif item.source_video is None and len(item.frames) == 1:
        media = open_media(item.frames[0], limits=rules.limits)
        if isinstance(media, Video):
            yield from _of_video(media, rules, counts)
            return
        if media.report is not None and media.report.damage:  # in part the decoder's guess: no face for a set
            counts.damage += media.report.damage
            counts.frames += 1
            counts.no_face[COVERAGE_WORDS[DAMAGED_PHOTO]] += 1
            return
        for frame in media.frames():
            yield _Picture(image=frame.image, frame=None, time=None)
    else:
        yield from _of_frames(item.frames, rules, counts)


def _of_video(media: Photo | Video, rules: Rules, counts: _Counts) -> Iterator[_Picture]:
    for frame in media.frames(rules.sampling):
        yield _Picture(image=frame.image, frame=frame.index, time=frame.time_s)
    if media.report is not None:
        counts.damage += media.report.damage


def _of_frames(paths: tuple[Path, ...], rules: Rules, counts: _Counts) -> Iterator[_Picture]:
    """Extracted frames by their numbers. They have no times: a rate says nothing of them, and all are taken."""
    numbers, count = frame_numbers(paths), rules.frames
    for at in range(len(paths)) if count is None else evenly_spaced(range(len(paths)), count):
        try:
            media = open_media(paths[at], limits=rules.limits)
        except VerovoltoError as error:
            counts.damage.append(as_text(f"{paths[at].name}: {_without_path(error, paths[at])}"))
            continue
        if media.report is not None and media.report.damage:
            counts.damage.append(as_text(f"{paths[at].name}: {media.report.damage[0]}"))
            continue
        for frame in media.frames(Sampling(count=1)):
            yield _Picture(image=frame.image, frame=numbers[at], time=None)


def frame_numbers(paths: tuple[Path, ...]) -> list[int]:
    """Numbers in the names of extracted frames; their places, from 0, where a name has none or two share one."""
    numbers = [frame_number(path) for path in paths]
    valid = [number for number in numbers if number is not None and number < 2**31]
    return valid if len(valid) == len(set(numbers)) == len(paths) else list(range(len(paths)))


def _row(item: MediaItem, picture: _Picture, face: Face, rule: CropRule, rank: int) -> dict[str, Any]:
    image = picture.image
    box = crop_box(face, (int(image.shape[1]), int(image.shape[2])), rule)
    cut = crop(image, face, rule)
    encoded = encode_jpeg(cut)
    return {
        "face": face_id(item, picture.frame, rank),
        IMAGE: encoded,
        "label": item.label,
        "split": item.split,
        "dataset": item.dataset,
        "method": item.method,
        "compression": item.compression,
        "source_video": item.source_video,
        "target_identity": item.target_identity,
        "donor_identity": item.donor_identity,
        "pair": None,  # set once all parts are there
        "frame": picture.frame,
        "time": picture.time,
        "box": [float(edge) for edge in box],
        "crop_width": int(cut.shape[2]),
        "crop_height": int(cut.shape[1]),
        "image_bytes": len(encoded),
        "video": item.video,
    }


def face_id(item: MediaItem, frame: int | None, rank: int) -> str:
    """Unique id of a crop: the key of its video, the frame, and the face's place in the frame from 0 (best)."""
    place = f"{rank}" if frame is None else f"{frame:06d}-{rank}"
    return "/".join([*("-" if part is None else part for part in item.key), place])


def _tables(rows: Iterator[dict[str, Any]]) -> Iterator[pa.Table]:
    """Rows as tables of one row group each."""
    block: list[dict[str, Any]] = []
    for row in rows:
        block.append(row)
        if len(block) == BLOCK:
            yield pa.Table.from_pylist(block, SCHEMA)
            block = []
    if block:
        yield pa.Table.from_pylist(block, SCHEMA)


def _without_path(error: VerovoltoError, path: Path) -> str:
    """An error's message without the path, which stands beside it."""
    return error.message.removeprefix(f"{path}: ")
