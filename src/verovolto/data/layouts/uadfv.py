"""UADFV (Yang et al., ICASSP 2019): `real/0000.mp4` and its forgery `fake/0000_fake.mp4`, 49 of each.

The fakes were made with FakeApp. People are not named, and there is no official split.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from verovolto.data.file_types import VIDEO_SUFFIXES, Problems
from verovolto.data.layouts import Clip, Layout, MediaItem, People
from verovolto.data.layouts.disk import LEVELS, NAME, clips, subfolders

DATASET = "UADFV"
METHOD = "FakeApp"
NO_SPLIT = "UADFV has no official split: it is empty"
_LOOK = 500


def parse_name(name: str, *, fake: bool) -> str | None:
    """The real video that a name stands for: `0000` for `0000` and for the fake `0000_fake`; None for other forms."""
    match = re.fullmatch(r"([0-9]{4})(_fake)?", name)
    return match[1] if match and bool(match[2]) == fake else None


def describe(clip: Clip, *, fake: bool, problems: Problems) -> MediaItem:
    """The item of a clip, by its name."""
    source = parse_name(clip.name, fake=fake)
    if source is None:
        problems.add(NAME, clip.path)
    problems.note(NO_SPLIT)
    people = People(source_video=source or clip.name)
    return clip.item("fake" if fake else "real", DATASET, people, method=METHOD if fake else None)


def _matches(root: Path) -> bool:
    """`real/` and `fake/` alone are anybody's: here all names have UADFV's form."""
    folders = subfolders(root)
    return {"real", "fake"} <= folders.keys() and all(
        _of_form(folders[name], fake=name == "fake") for name in ("real", "fake")
    )


def _of_form(folder: Path, *, fake: bool) -> bool:
    names = [name for place in _levels(folder) for name in _some(place)]
    names = [
        Path(name).stem
        for name in names
        if Path(name).suffix.lower() in VIDEO_SUFFIXES or not Path(name).suffix
    ]
    return bool(names) and all(parse_name(name, fake=fake) for name in names)


def _levels(folder: Path) -> list[Path]:
    below = [path for name, path in subfolders(folder).items() if name in LEVELS]
    return below or [folder]


def _some(folder: Path) -> list[str]:
    """Names of a folder, as many as it takes to recognise the form."""
    try:
        with os.scandir(folder) as below:
            return [entry.name for entry in islice(below, _LOOK) if not entry.name.startswith(".")]
    except OSError:
        return []


def _walk(root: Path, problems: Problems) -> Iterator[MediaItem]:
    folders = subfolders(root, problems)
    for name in ("real", "fake"):
        if name in folders:
            problems.expected.add("fake" if name == "fake" else "real")
            for clip in clips(folders[name], problems):
                yield describe(clip, fake=name == "fake", problems=problems)


LAYOUT = Layout(
    name="uadfv", looks_for="real/0000.mp4 and fake/0000_fake.mp4 (UADFV)", matches=_matches, walk=_walk
)
