"""FaceForensics++'s official splits (Rossler et al., ICCV 2019): pairs of videos in three JSON files.

A pair [a, b] covers the real videos a and b and the fakes a_b and b_a, of every method and compression.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from verovolto.core.errors import DataError, SplitError
from verovolto.data.splits import Splits

FILES = {"train": "train.json", "val": "val.json", "test": "test.json"}


def official_splits(table: pa.Table, folder: Path) -> Splits:
    """Split rows by the pair files of `folder`, by their `source_video` (`000`, `000_003`, also with path
    or suffix); a fake named by its target alone (`000`) also by its donor, where that is known.

    A row whose video is in no pair (actors, videos of other sets) is left out; a fake whose two videos are
    not one official pair is dropped and counted. Raises `DataError` for missing or damaged files,
    `SplitError` if no row belongs to any pair or two lists share a video.
    """
    split_of = read_pairs(folder)
    video = pc.replace_substring_regex(_column(table, "source_video"), r"^.*[/\\]", "")
    video = pc.replace_substring_regex(video, r"\.[A-Za-z0-9]+$", "")
    video = pc.coalesce(_with_donor(video, table), video)
    keys = pa.array(list(split_of), pa.string())
    split = pa.array(list(split_of.values()), pa.string()).take(pc.index_in(video, keys, skip_nulls=True))
    if isinstance(split, pa.ChunkedArray):
        split = split.combine_chunks()
    if split.null_count == len(table):
        raise SplitError(
            f"no source_video of the set is in the official lists of {folder}",
            hint="they name videos such as 000 and 000_003",
        )
    lost = table.filter(pc.is_null(split))
    dropped = int(pc.sum(pc.equal(lost["label"], "fake")).as_py() or 0)
    return Splits(split=split, dropped_fakes=dropped, left_out=len(lost) - dropped)


def _with_donor(video: Any, table: pa.Table) -> Any:
    """`000_003` for a fake of target video `000` and donor `003`; null for all other rows."""
    alone = pc.and_(pc.equal(table["label"], "fake"), pc.invert(pc.match_substring(video, "_")))
    named = pc.binary_join_element_wise(video, _column(table, "donor_identity"), "_")
    return pc.if_else(alone, named, pa.scalar(None, pa.string()))


def _column(table: pa.Table, name: str) -> Any:
    return table[name] if name in table.column_names else pa.nulls(len(table), pa.string())


def read_pairs(folder: Path) -> dict[str, str]:
    """`{video: split}` for the reals `a`, `b` and the fakes `a_b`, `b_a` of every pair."""
    split_of: dict[str, str] = {}
    for split, name in FILES.items():
        for a, b in _pairs(folder / name):
            for video in (a, b, f"{a}_{b}", f"{b}_{a}"):
                if split_of.setdefault(video, split) != split:
                    raise SplitError(f"{folder / name}: video {video} is in {split_of[video]} too")
    return split_of


def _pairs(file: Path) -> list[tuple[str, str]]:
    try:
        value: Any = json.loads(file.read_text(encoding="utf-8"))
        pairs = [(str(a), str(b)) for a, b in value]
    except FileNotFoundError as error:
        raise DataError(
            f"{file} does not exist", hint="give the folder of train.json, val.json, test.json"
        ) from error
    except (ValueError, TypeError, OSError) as error:
        raise DataError(f"{file} is not a list of pairs of videos: {error}") from error
    return pairs
