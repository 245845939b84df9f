"""Parts of single videos, put together to a face set: in the order of the listing, with pairs, in whole shards."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from verovolto.data.storage import BLOCK
from verovolto.data.storage.parquet import shard_name, write_shard
from verovolto.faces.detection.base import iou
from verovolto.preparation.extract import SCHEMA, Record

SHARD_ROWS = 8192
SAME_FACE = 0.5
"""Overlap (intersection over union) of two crops of the same frame above which they show the same face."""

Box = Sequence[float]
Ranks = npt.NDArray[np.int16]


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
