"""Parts of single videos, put together to a face set, in the order of the listing; and what was looked at and found."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from verovolto.core.files import as_text
from verovolto.data.layouts import Listing
from verovolto.data.storage import BLOCK
from verovolto.data.storage.parquet import shard_name, write_shard
from verovolto.data.tables import aligned
from verovolto.faces.detection.base import iou
from verovolto.preparation.extract import SCHEMA, Record

SHARD_ROWS = 8192
SAME_FACE = 0.5
"""Overlap (intersection over union) of two crops of the same frame above which they show the same face."""

Box = Sequence[float]
Ranks = npt.NDArray[np.int16]

UNEVEN = 0.05
"""Difference between real and fake, in the share of frames with a face, above which a warning is due."""

COVERAGE = "coverage.json"
ALL = "all"
_SHOWN = 20
_COUNTED = ("label", "method", "videos", "unreadable", "damaged", "frames", "faces")


def merge_parts(parts: Sequence[tuple[Path, Record]], out: Path, *, metadata: dict[str, Any]) -> int:
    """Write the crops of `parts`, in their order, as shards into the folder `out`; returns their number.

    Rows of a fake and of the real video it was made of get a common `pair` where they show the same face in the
    same frame. `metadata` goes into every shard. Memory holds the images of two row groups, and two bytes a row.
    """
    filled = [(path, record) for path, record in parts if record.faces]
    ranks = pair_ranks(filled)
    tables = (
        table for at, (path, record) in enumerate(filled) for table in _read(path, record, ranks.get(at))
    )
    groups = regroup(tables, BLOCK)
    rows = sum(record.faces for _, record in filled)
    count = -(-rows // SHARD_ROWS)
    for index in range(count):
        numbered = {**metadata, "shard_rows": SHARD_ROWS, "shards": count, "shard": index}
        rows_of_shard = islice(groups, SHARD_ROWS // BLOCK)
        write_shard(out / shard_name(index, count), rows_of_shard, SCHEMA, metadata=numbered)
    return rows


def regroup(tables: Iterable[pa.Table], rows: int) -> Iterator[pa.Table]:
    """The same rows in tables of exactly `rows` each; only the last may be shorter."""
    held: list[pa.Table] = []
    count = 0
    for table in tables:
        held.append(table)
        count += len(table)
        while count >= rows:
            whole = pa.concat_tables(held)
            yield whole.slice(0, rows)
            held, count = [whole.slice(rows)], count - rows
    if count:
        yield pa.concat_tables(held)


def _read(path: Path, record: Record, ranks: Ranks | None) -> Iterator[pa.Table]:
    """Row groups of a part with their pairs; `ranks` `[rows]` as of `pair_ranks`, None where it has no pairs."""
    with pq.ParquetFile(path, memory_map=True, pre_buffer=False) as handle:
        start = 0
        for group in range(handle.num_row_groups):
            table = handle.read_row_group(group, use_threads=False)
            if ranks is not None:
                mine = ranks[start : start + len(table)].tolist()
                frames = table["frame"].to_pylist()
                pairs = [
                    None if rank < 0 else pair_id(record, frame, rank)
                    for frame, rank in zip(frames, mine, strict=True)
                ]
                at = table.schema.get_field_index("pair")
                table = table.set_column(at, SCHEMA.field("pair"), pa.array(pairs, pa.string()))
            start += len(table)
            yield table


def pair_id(record: Record, frame: int, rank: int) -> str:
    """What ties crops together: data set, compression, source video, frame, and the face's place in the real frame."""
    parts = (record.dataset, record.compression, record.source_video)
    return "/".join([*(part or "-" for part in parts), f"{frame:06d}-{rank}"])


def pair_ranks(parts: Sequence[tuple[Path, Record]]) -> dict[int, Ranks]:
    """Partners of the rows of each part that has pairs, by the part's place in `parts`.

    A row's partner is a place in the same frame of the real video, -1 where there is none; a real row is its own
    where a fake is paired with it. A fake is compared with the video it was made of, in the same data set and
    compression.
    """
    real: dict[tuple[str, str | None, str], int] = {}
    for at, (_, record) in enumerate(parts):
        if record.label == "real" and record.source_video == record.video:
            real.setdefault(_family(record), at)
    fakes: dict[int, list[int]] = {}
    for at, (_, record) in enumerate(parts):
        if record.label == "fake" and record.source_video and _family(record) in real:
            fakes.setdefault(real[_family(record)], []).append(at)
    ranks: dict[int, Ranks] = {}
    for original, made in fakes.items():
        of_real = _frames(parts[original][0])
        paired: set[tuple[int, int]] = set()
        for at in made:
            ranks[at] = _partners(_frames(parts[at][0]), of_real)
            order = [frame for frame, boxes in _frames(parts[at][0]).items() for _ in boxes]
            paired.update(zip(order, ranks[at].tolist(), strict=True))
        places = ((frame, rank) for frame, boxes in of_real.items() for rank in range(len(boxes)))
        ranks[original] = np.array([place[1] if place in paired else -1 for place in places], np.int16)
    return ranks


def _family(record: Record) -> tuple[str, str | None, str]:
    return record.dataset, record.compression, record.source_video or ""


def _frames(path: Path) -> dict[int, list[Box]]:
    """Crops' boxes of a part by frame, in the order of its rows (the rows of a frame stand together)."""
    with pq.ParquetFile(path, memory_map=True, pre_buffer=False) as handle:
        table = handle.read(columns=["frame", "box"], use_threads=False)
    frames: dict[int, list[Box]] = {}
    for frame, box in zip(table["frame"].to_pylist(), table["box"].to_pylist(), strict=True):
        frames.setdefault(frame, []).append(box)
    return frames


def _partners(fake: dict[int, list[Box]], real: dict[int, list[Box]]) -> Ranks:
    ranks = [rank for frame, boxes in fake.items() for rank in match(boxes, real.get(frame, []))]
    return np.array(ranks, np.int16)


def match(ours: Sequence[Box], theirs: Sequence[Box]) -> list[int]:
    """For each of `ours` the index of the box of `theirs` that it overlaps most, -1 where none by `SAME_FACE`.

    Each of `theirs` is given away once, the pair of largest overlap first.
    """
    overlaps = sorted((-iou(a, b), i, j) for i, a in enumerate(ours) for j, b in enumerate(theirs))
    partner = [-1] * len(ours)
    taken: set[int] = set()
    for negative, i, j in overlaps:
        if -negative >= SAME_FACE and partner[i] < 0 and j not in taken:
            partner[i] = j
            taken.add(j)
    return partner


@dataclass(kw_only=True)
class Counts:
    """Sums over the records of one class (`label`, and `method` where there is one)."""

    label: str
    method: str | None
    videos: int = 0
    unreadable: int = 0
    damaged: int = 0
    frames: int = 0
    faces: int = 0
    no_face: Counter[str] = field(default_factory=Counter)

    def add(self, record: Record) -> None:
        """Count one record."""
        self.videos += 1
        self.unreadable += record.status == "unreadable"
        self.damaged += record.status == "damaged"
        self.frames += record.frames
        self.faces += record.faces
        self.no_face.update(record.no_face)

    @property
    def no_face_frames(self) -> int:
        """Frames without a stored face."""
        return sum(self.no_face.values())

    @property
    def share(self) -> float | None:
        """Share of frames with a face, in [0, 1]; None without frames."""
        return 1 - self.no_face_frames / self.frames if self.frames else None

    def to_dict(self) -> dict[str, Any]:
        """The counts as JSON values."""
        return {name: getattr(self, name) for name in _COUNTED} | {
            "no_face": self.no_face_frames,
            "no_face_reasons": dict(sorted(self.no_face.items())),
            "share_with_face": None if self.share is None else round(self.share, 6),
        }

    @staticmethod
    def from_dict(value: dict[str, Any]) -> Counts:
        """Read what `to_dict` wrote."""
        return Counts(**{name: value[name] for name in _COUNTED}, no_face=Counter(value["no_face_reasons"]))


def count(records: Iterable[Record]) -> list[Counts]:
    """Counts by label and method: reals first, then fakes by method, then all together."""
    classes: dict[tuple[str, str | None], Counts] = {}
    total = Counts(label=ALL, method=None)
    for record in records:
        key = (record.label, record.method)
        classes.setdefault(key, Counts(label=record.label, method=record.method)).add(record)
        total.add(record)
    order = sorted(classes, key=lambda key: (key[0] != "real", key[0], key[1] or ""))
    return [*(classes[key] for key in order), total]


def warnings(counts: Iterable[Counts]) -> list[str]:
    """What should make a reader careful: faces found more often in one class than in the other."""
    frames, without = Counter[str](), Counter[str]()
    for each in counts:
        frames[each.label] += each.frames
        without[each.label] += each.no_face_frames
    if not (frames["real"] and frames["fake"]):
        return []
    real, fake = (1 - without[label] / frames[label] for label in ("real", "fake"))
    if abs(real - fake) <= UNEVEN + 1e-12:
        return []
    return [
        f"a face was found in {real:.1%} of the real and {fake:.1%} of the fake frames: what is left out differs "
        "between the classes, and figures made of this set may be biased by it"
    ]


def table(counts: Iterable[Counts]) -> list[tuple[str, ...]]:
    """The counts as rows of text, the first a header."""
    head = ("label", "method", "videos", "unreadable", "damaged", "frames", "faces", "no face", "with face")
    rows: list[tuple[str, ...]] = [head]
    for each in counts:
        share = "-" if each.share is None else f"{each.share:.1%}"
        figures = (each.videos, each.unreadable, each.damaged, each.frames, each.faces, each.no_face_frames)
        rows.append((each.label, each.method or "-", *(f"{value:,}" for value in figures), share))
    return rows


def coverage_of(records: Sequence[Record], listing: Listing, rows: int) -> dict[str, Any]:
    """What `coverage.json` holds; its form is in docs/prepare.md."""
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


def summary_lines(coverage: dict[str, Any], out: Path, *, already: bool = False) -> list[str]:
    """What a user should know of a preparation, a line each; `already` if it was finished before."""
    lines = aligned(table(Counts.from_dict(value) for value in coverage["classes"]), left=2)
    reasons = coverage["classes"][-1]["no_face_reasons"]
    if reasons:
        lines.append(
            "frames without a face: " + ", ".join(f"{n:,} {reason}" for reason, n in reasons.items())
        )
    for each in coverage["media"][:_SHOWN]:
        lines.append(f"{each['status']}: {each['path']}: {'; '.join(each['reasons'])}")
    if len(coverage["media"]) > _SHOWN:
        lines.append(f"... and {len(coverage['media']) - _SHOWN} more in {out / COVERAGE}")
    lines += [f"note: {line}" for line in coverage["listing"]["lines"]]
    lines += [f"warning: {line}" for line in coverage["warnings"]]
    again = " (stood there already; --force makes it anew)" if already else ""
    lines.append(f"{coverage['faces']:,} faces: {out}{again}")
    lines.append(f"see them: verovolto data info {out} --sheet FILE.png")
    return lines
