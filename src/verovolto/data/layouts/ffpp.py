"""FaceForensics++ (Rossler et al., ICCV 2019) as its download script lays it out, with DeepFakeDetection.

```
original_sequences/{youtube,actors}/{raw,c23,c40}/{videos/*.mp4, images/<video>/%04d.png}
manipulated_sequences/<method>/{raw,c23,c40}/{videos/*.mp4, images/<video>/%04d.png}
manipulated_sequences/<method>/masks/videos/*.mp4      (not faces: left alone)
train.json, val.json, test.json                        (at the root, or in splits/)
```
A fake `<target>_<source>` shows the scene of `target` with the face of `source`. `c0` is another name of `raw`.
The official lists hold pairs of videos: [a, b] covers the reals a and b and the fakes a_b and b_a, of every method
and compression.
Actors and DeepFakeDetection are a collection of their own: its people are not those of the 1,000 videos, and no
official list covers them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
import pyarrow.compute as pc

from verovolto.core.errors import DataError, SplitError
from verovolto.data.file_types import Problems
from verovolto.data.layouts import Clip, Layout, MediaItem, People
from verovolto.data.layouts.disk import NAME, NO_FILE, NO_LIST, clips, subfolders
from verovolto.data.splits import Splits

DATASET = "FaceForensics++"
DFD = "DeepFakeDetection"
METHODS = {
    name.lower(): name
    for name in ("Deepfakes", "Face2Face", "FaceSwap", "NeuralTextures", "FaceShifter", "DeepFakeDetection")
}
COMPRESSIONS = {"raw": "raw", "c0": "raw", "c23": "c23", "c40": "c40"}
SOURCES = ("youtube", "actors")
SPLIT_FILES = {"train": "train.json", "val": "val.json", "test": "test.json"}
NO_LISTS = "FaceForensics++: train.json, val.json, test.json are not beside it: splits are empty"
NO_DFD_SPLIT = "DeepFakeDetection and its actors have no official split: theirs is empty"
CROSS_SPLIT = "fakes of no official split (target and donor are not in the same one)"
UNKNOWN_FOLDER = "folders that are no part of FaceForensics++ (left out)"


def parse_name(name: str, *, dfd: bool, fake: bool) -> People | None:
    """Read a video's name: `000`, `000_003`, `01__scene` or `01_02__scene__A1B2C3D4`; None for another form."""
    if dfd and fake:
        match = re.fullmatch(r"([0-9]+)_([0-9]+)__(.+)__[A-Za-z0-9]{8}", name)
        if not match:
            return None
        target, donor, scene = match.groups()
        return People(source_video=f"{target}__{scene}", target=target, donor=donor)
    if dfd:
        match = re.fullmatch(r"([0-9]+)__(.+)", name)
        return People(source_video=name, target=match[1]) if match else None
    if fake:
        match = re.fullmatch(r"([0-9]{3})_([0-9]{3})", name)
        return People(source_video=match[1], target=match[1], donor=match[2]) if match else None
    return People(source_video=name, target=name) if re.fullmatch(r"[0-9]{3}", name) else None


def describe(
    clip: Clip,
    *,
    method: str | None,
    dfd: bool,
    compression: str | None,
    split_of: dict[str, str] | None,
    problems: Problems,
) -> MediaItem:
    """The item of a clip, by its name.

    Args:
        clip: the video or its frames.
        method: how a fake was made; None for a real video.
        dfd: whether it is of DeepFakeDetection.
        compression: of the video.
        split_of: `{video: split}` of the official lists; None without them.
        problems: counts a name of another form and a video of no split.
    """
    label: Literal["real", "fake"] = "real" if method is None else "fake"
    people = parse_name(clip.name, dfd=dfd, fake=label == "fake")
    if people is None:
        problems.add(NAME, clip.path)
        people = People(source_video=clip.name)
    split = None
    if dfd:
        problems.note(NO_DFD_SPLIT)
    elif split_of is None:
        problems.note(NO_LISTS)
    else:
        split = split_by_people(people, split_of)
        if split is None:
            problems.add(CROSS_SPLIT if label == "fake" else NO_LIST, clip.path)
    return clip.item(
        label, DFD if dfd else DATASET, people, method=method, compression=compression, split=split
    )


def split_by_people(people: People, split_of: dict[str, str]) -> str | None:
    """The split of an item by its people: of a fake, only where target and donor are in the same one."""
    split = split_of.get(people.target) if people.target is not None else None
    if people.donor is not None and split_of.get(people.donor) != split:
        return None
    return split


def find_official(*folders: Path) -> dict[str, str] | None:
    """`{video: split}` of the first folder that has all three official lists, in it or in its `splits/`.

    Raises `DataError` or `SplitError` for damaged lists: a split made of half a list is none.
    """
    for folder in folders:
        for place in (folder, folder / "splits"):
            if all((place / name).is_file() for name in SPLIT_FILES.values()):
                return read_pairs(place)
    return None


def _matches(root: Path) -> bool:
    return any((root / name).is_dir() for name in ("original_sequences", "manipulated_sequences"))


def _walk(root: Path, problems: Problems) -> Iterator[MediaItem]:
    split_of = find_official(root)
    seen: set[str] = set()
    for folder, method, dfd in _families(root, problems):
        problems.expected.add("real" if method is None else "fake")
        for compression, place in _compressions(folder, problems):
            for clip in clips(place, problems):
                if method is None:
                    seen.add(clip.name)
                yield describe(
                    clip,
                    method=method,
                    dfd=dfd,
                    compression=compression,
                    split_of=split_of,
                    problems=problems,
                )
    for video in sorted(split_of or ()):
        if "_" not in video and video not in seen:
            problems.add(NO_FILE, f"original {video}")


def _families(root: Path, problems: Problems) -> Iterator[tuple[Path, str | None, bool]]:
    """Folders above the compressions: (folder, method or None for reals, whether of DeepFakeDetection)."""
    for name, folder in subfolders(root / "original_sequences", problems).items():
        if name in SOURCES:
            yield folder, None, name == "actors"
        else:
            problems.add(UNKNOWN_FOLDER, folder)
    for name, folder in subfolders(root / "manipulated_sequences", problems).items():
        if name in METHODS:
            yield folder, METHODS[name], METHODS[name] == DFD
        else:
            problems.add(UNKNOWN_FOLDER, folder)


def _compressions(folder: Path, problems: Problems) -> Iterator[tuple[str, Path]]:
    """The compressions that are there, by their usual names."""
    taken: set[str] = set()
    for name, place in subfolders(folder, problems).items():
        if name == "masks":
            continue
        if name not in COMPRESSIONS or COMPRESSIONS[name] in taken:
            problems.add(UNKNOWN_FOLDER, place)
            continue
        taken.add(COMPRESSIONS[name])
        yield COMPRESSIONS[name], place


def official_splits(table: pa.Table, folder: Path) -> Splits:
    """Split rows by the official pair files in `folder`.

    Rows are found by their `source_video` (`000`, `000_003`, also with path or suffix); a fake named by its target
    alone (`000`) also by its donor, where that is known. A row whose video is in no pair (actors, videos of other
    sets) is left out; a fake whose two videos are not one official pair is dropped and counted.

    Raises:
        DataError: for missing or damaged files.
        SplitError: if no row belongs to any pair, or two lists share a video.
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
    for split, name in SPLIT_FILES.items():
        for a, b in _pairs(folder / name):
            for video in (a, b, f"{a}_{b}", f"{b}_{a}"):
                if split_of.setdefault(video, split) != split:
                    raise SplitError(f"{folder / name}: video {video} is in {split_of[video]} too")
    return split_of


def _pairs(file: Path) -> list[tuple[str, str]]:
    try:
        return [(str(a), str(b)) for a, b in json.loads(file.read_text(encoding="utf-8"))]
    except FileNotFoundError as error:
        raise DataError(
            f"{file} does not exist", hint="give the folder of train.json, val.json, test.json"
        ) from error
    except (ValueError, TypeError, OSError) as error:
        raise DataError(f"{file} is not a list of pairs of videos: {error}") from error


LAYOUT = Layout(
    name="ffpp",
    looks_for="original_sequences/ or manipulated_sequences/ (FaceForensics++)",
    matches=_matches,
    walk=_walk,
)
