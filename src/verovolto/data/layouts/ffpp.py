"""FaceForensics++ (Rossler et al., ICCV 2019) as its download script lays it out, with DeepFakeDetection.

```
original_sequences/{youtube,actors}/{raw,c23,c40}/{videos/*.mp4, images/<video>/%04d.png}
manipulated_sequences/<method>/{raw,c23,c40}/{videos/*.mp4, images/<video>/%04d.png}
manipulated_sequences/<method>/masks/videos/*.mp4      (not faces: left alone)
train.json, val.json, test.json                        (at the root, or in splits/)
```
A fake `<target>_<source>` shows the scene of `target` with the face of `source`. `c0` is another name of `raw`.
Actors and DeepFakeDetection are a collection of their own: its people are not those of the 1,000 videos, and no
official list covers them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from verovolto.data.layouts.base import Layout, MediaItem, Problems, split_of_people
from verovolto.data.layouts.disk import NAME, NO_FILE, NO_LIST, Clip, clips, subfolders
from verovolto.data.layouts.ffpp_splits import FILES, read_pairs

DATASET = "FaceForensics++"
DFD = "DeepFakeDetection"
METHODS = {
    name.lower(): name
    for name in ("Deepfakes", "Face2Face", "FaceSwap", "NeuralTextures", "FaceShifter", "DeepFakeDetection")
}
COMPRESSIONS = {"raw": "raw", "c0": "raw", "c23": "c23", "c40": "c40"}
SOURCES = ("youtube", "actors")
NO_LISTS = "FaceForensics++: train.json, val.json, test.json are not beside it: splits are empty"
NO_DFD_SPLIT = "DeepFakeDetection and its actors have no official split: theirs is empty"
TORN = "fakes of no official split (target and donor are not in the same one)"
UNKNOWN_FOLDER = "folders that are no part of FaceForensics++ (left out)"


@dataclass(frozen=True, kw_only=True, slots=True)
class People:
    """What a video's name says: the video it was made of, who is seen, whose face was put in."""

    source_video: str
    target: str | None = None
    donor: str | None = None


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
    """The item of a clip, out of its name; `split_of` is `{video: split}` of the official lists, if they are there."""
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
        split = split_of_people(split_of, people.target, people.donor, fake=label == "fake")
        if split is None:
            problems.add(TORN if label == "fake" else NO_LIST, clip.path)
    return MediaItem(
        path=clip.path,
        frames=clip.frames,
        label=label,
        dataset=DFD if dfd else DATASET,
        video=clip.name,
        source_video=people.source_video,
        method=method,
        compression=compression,
        target_identity=people.target,
        donor_identity=people.donor,
        split=split,
    )


def find_official(*folders: Path) -> dict[str, str] | None:
    """`{video: split}` of the first folder that has all three official lists, in it or in its `splits/`.

    Raises `DataError` or `SplitError` for lists that are there and damaged: a split made of half a list is
    none.
    """
    for folder in folders:
        for place in (folder, folder / "splits"):
            if all((place / name).is_file() for name in FILES.values()):
                return read_pairs(place)
    return None


def _matches(root: Path) -> bool:
    return any((root / name).is_dir() for name in ("original_sequences", "manipulated_sequences"))


def _walk(root: Path, problems: Problems) -> Iterator[MediaItem]:
    split_of = find_official(root)
    seen: set[str] = set()
    for folder, method, dfd in _families(root, problems):
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


LAYOUT = Layout(
    name="ffpp",
    looks_for="original_sequences/ or manipulated_sequences/ (FaceForensics++)",
    matches=_matches,
    walk=_walk,
)
