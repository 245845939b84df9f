"""Celeb-DF v1 and v2 (Li et al., CVPR 2020).

```
Celeb-real/id0_0000.mp4  Celeb-synthesis/id0_id16_0000.mp4  YouTube-real/00000.mp4    (or each below videos/)
List_of_testing_videos.txt     lines `1 YouTube-real/00170.mp4`; here 1 is real
```
A fake `id0_id16_0000` is video `id0_0000` with the face of `id16`. The official test videos show the same people
as the others: these are in no split, since a training split of them would share its people with the test.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from verovolto.core.errors import DataError
from verovolto.data.layouts.base import Clip, Layout, MediaItem, People, Problems
from verovolto.data.layouts.disk import BAD_LIST, NAME, NO_FILE, clips, entries, subfolders
from verovolto.data.tables import read_text

FOLDERS = {"celeb-real": "Celeb-real", "celeb-synthesis": "Celeb-synthesis", "youtube-real": "YouTube-real"}
SYNTHESIS = "celeb-synthesis"
LIST = "List_of_testing_videos.txt"
TEST_VIDEOS = {100: "Celeb-DF-v1", 518: "Celeb-DF-v2"}
"""Lines of the official list of each version: what tells them apart when the folder's name does not."""
CONTRADICTION = "lines of the list that contradict the folder's label (the folder counts)"
BAD_LINE = "lines of the list that are not `1 folder/video.mp4`"
SPLIT_NOTE = (
    "Celeb-DF: only the official test videos have a split; the others share people with them, and have none"
)
NO_LIST_NOTE = f"Celeb-DF: {LIST} is not there: splits are empty"


def parse_name(name: str) -> People | None:
    """Read `id0_0000`, `id0_id16_0000` or `00170` (a stranger: nobody says who); None for another form."""
    match = re.fullmatch(r"(id[0-9]+)(?:_(id[0-9]+))?_([0-9]+)", name)
    if match:
        target, donor, number = match.groups()
        return People(source_video=f"{target}_{number}", target=target, donor=donor)
    return People(source_video=name) if re.fullmatch(r"[0-9]+", name) else None


def describe(
    clip: Clip, *, fake: bool, dataset: str, test: dict[str, str] | None, problems: Problems
) -> MediaItem:
    """The item of a clip, by its name.

    Args:
        clip: the video or its frames.
        fake: its class.
        dataset: the version.
        test: the listed videos by name; None without the list.
        problems: counts a name of another form.
    """
    people = parse_name(clip.name)
    if people is None or fake != (people.donor is not None):
        problems.add(NAME, clip.path)
        people = None
    split = "test" if test is not None and clip.name in test else None
    return clip.item(
        "fake" if fake else "real", dataset, people, method="Celeb-synthesis" if fake else None, split=split
    )


def read_list(file: Path, problems: Problems) -> dict[str, str]:
    """The official test videos, `{name: folder in lower case}`; names are unique across the three folders.

    Lines of another form are counted and passed over, and so are labels (1 = real) that contradict the folder.
    """
    listed: dict[str, str] = {}
    try:
        lines = read_text(file).splitlines()
    except (OSError, DataError) as error:
        problems.add(BAD_LIST, f"{file} ({error})")
        return listed
    for line in filter(str.strip, lines):
        match = re.fullmatch(r"\s*([01])\s+(?:.*[/\\])?([^/\\]+)[/\\]([^/\\]+?)(?:\.[A-Za-z0-9]+)?\s*", line)
        if not match or match[2].lower() not in FOLDERS:
            problems.add(BAD_LINE, line.strip())
            continue
        if (match[1] == "1") == (match[2].lower() == SYNTHESIS):
            problems.add(CONTRADICTION, line.strip())
        listed[match[3]] = match[2].lower()
    return listed


def find_list(folder: Path) -> Path | None:
    """The list of test videos in a folder, however its name is capitalised."""
    files = {name.lower(): name for name in entries(folder)[1]}
    name = files.get(LIST.lower())
    return folder / name if name else None


def version(root: Path, listed: int) -> str:
    """`Celeb-DF-v1` or `Celeb-DF-v2`, by the folder's name, else by the length of the list, else `Celeb-DF`."""
    match = re.search(r"v([12])(?![0-9])", root.resolve().name.lower())
    return f"Celeb-DF-v{match[1]}" if match else TEST_VIDEOS.get(listed, "Celeb-DF")


def _matches(root: Path) -> bool:
    return bool({"celeb-real", SYNTHESIS} & subfolders(root).keys())


def _walk(root: Path, problems: Problems) -> Iterator[MediaItem]:
    file = find_list(root)
    problems.note(SPLIT_NOTE if file else NO_LIST_NOTE)
    test = read_list(file, problems) if file else None
    dataset = version(root, len(test or ()))
    missing = dict(test or {})
    folders = subfolders(root, problems)
    for name in FOLDERS:
        if name in folders:
            for clip in clips(folders[name], problems):
                missing.pop(clip.name, None)
                yield describe(clip, fake=name == SYNTHESIS, dataset=dataset, test=test, problems=problems)
    for video, folder in missing.items():
        problems.add(NO_FILE, f"{FOLDERS[folder]}/{video}")


LAYOUT = Layout(
    name="celebdf", looks_for="Celeb-real/ or Celeb-synthesis/ (Celeb-DF)", matches=_matches, walk=_walk
)
