"""The preview of the DeepFake Detection Challenge (Dolhansky et al., 2019).

```
dataset.json     {"method_A/.../x.mp4": {"label": "real" or "fake", "set": "train" or "test"}}
original_videos/<actor>/<actor>_A_001.mp4   method_A/...   method_B/...
```
The folder of a fake names its method; that of an original its actor. Where an entry also has `target_id` and
`swapped_id`, they name the people of a fake.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from verovolto.data.file_types import Problems, media_of
from verovolto.data.layouts import Clip, Layout, MediaItem, People
from verovolto.data.layouts.dfdc import BAD_ENTRY
from verovolto.data.layouts.disk import (
    LEVELS,
    NO_FILE,
    NO_LIST,
    beginning,
    image_files,
    read_json_object,
    walk,
)

DATASET = "DFDCP"
LIST = "dataset.json"
ORIGINALS = "original_videos"


def _matches(root: Path) -> bool:
    text = beginning(root / LIST)
    return bool(re.search(r'"label"\s*:\s*"(real|fake)"', text, re.IGNORECASE) and '"set"' in text)


def _walk(root: Path, problems: Problems) -> Iterator[MediaItem]:
    listed = read_json_object(root / LIST)
    taken: set[Path] = set()
    folders: set[str] = set()
    for name in sorted(listed):
        path = _relative(name)
        entry = listed[name]
        label = str(entry.get("label", "")).lower() if isinstance(entry, dict) else ""
        if path is None or label not in ("real", "fake"):
            problems.add(BAD_ENTRY, name)
            continue
        problems.expected.add("fake" if label == "fake" else "real")
        folders.add(path.parts[0])
        clip = _find(root, path)
        if clip is None:
            problems.add(NO_FILE, name)
            continue
        taken.add(clip.path)
        yield _item(clip, path, entry, fake=label == "fake")
    for folder in sorted(folders):
        for file in _media(root / folder, problems):
            if file not in taken:
                problems.add(NO_LIST, file)


def _relative(name: str) -> PurePosixPath | None:
    """A listed path as one below the folder; None if it leaves it or has no folder."""
    path = PurePosixPath(name.replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts or len(path.parts) < 2:
        return None
    return path


def _find(root: Path, path: PurePosixPath) -> Clip | None:
    """The video, else its frames: beside its place, or in the `frames/` of its method."""
    for file in (root / path, root / path.parts[0] / "videos" / path.name):
        if file.is_file():
            return Clip(name=path.stem, path=file)
    for folder in (root / path.with_suffix(""), root / path.parts[0] / "frames" / path.stem):
        images = image_files(folder)
        if images:
            return Clip(name=path.stem, path=folder, frames=images)
    return None


def _item(clip: Clip, path: PurePosixPath, entry: dict[str, Any], *, fake: bool) -> MediaItem:
    target, donor = _person(entry.get("target_id")), _person(entry.get("swapped_id"))
    if not fake:
        actor = path.parts[1] if path.parts[0] == ORIGINALS and len(path.parts) > 2 else None
        target, donor = target or actor, None
    split = entry.get("set")
    people = People(source_video=clip.name, target=target, donor=donor)
    return clip.item(
        "fake" if fake else "real",
        DATASET,
        people,
        method=path.parts[0] if fake else None,
        split=split if isinstance(split, str) and split else None,
    )


def _person(value: object) -> str | None:
    return str(value) if isinstance(value, str | int) and str(value).strip() else None


def _media(folder: Path, problems: Problems) -> Iterator[Path]:
    """Videos and folders of frames anywhere below `folder`."""
    for place, files in walk(folder, problems):
        images, videos = media_of(folder / place, files, problems)
        yield from (folder / place / name for name in videos)
        if images and (folder / place).name.lower() not in LEVELS:
            yield folder / place


LAYOUT = Layout(
    name="dfdc-preview",
    looks_for="dataset.json with label and set (DFDC preview)",
    matches=_matches,
    walk=_walk,
)
