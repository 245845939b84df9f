"""Celeb-DF v1 and v2 (Li et al., CVPR 2020), and Celeb-DF++ (Li et al., arXiv:2507.18015, 2025).

```
Celeb-real/id0_0000.mp4  Celeb-synthesis/id0_id16_0000.mp4  YouTube-real/00000.mp4    (or each below videos/)
List_of_testing_videos.txt     lines `1 YouTube-real/00170.mp4`; here 1 is real
```
A fake `id0_id16_0000` is video `id0_0000` with the face of `id16`. In Celeb-DF++ fakes lie in a folder a method,
`Celeb-synthesis/FaceSwap/SimSwap/`, and the list names them with it; such a folder may also lie beside the reals. The
official test videos show the same people
as the others: these are in no split, since a training split of them would share its people with the test.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from verovolto.core.errors import DataError
from verovolto.core.files import natural
from verovolto.data.file_types import LOOP, NO_MEDIA, Problems
from verovolto.data.layouts import Clip, Layout, MediaItem, People
from verovolto.data.layouts.disk import (
    BAD_LIST,
    LEVELS,
    NAME,
    NO_FILE,
    clips,
    entries,
    folders_of_clips,
    subfolders,
)
from verovolto.data.tables import read_text

FOLDERS = {"celeb-real": "Celeb-real", "celeb-synthesis": "Celeb-synthesis", "youtube-real": "YouTube-real"}
SYNTHESIS = "celeb-synthesis"
REALS = ("celeb-real", "youtube-real", "real")
PLUS = "Celeb-DF++"
LIST = "List_of_testing_videos.txt"
TEST_VIDEOS = {100: "Celeb-DF-v1", 518: "Celeb-DF-v2"}
"""Lines of the official list of each version: what tells them apart when the folder's name does not."""
CONTRADICTION = "lines of the list that contradict the folder's label (the folder counts)"
OTHER_FOLDER = "folders that are no part of Celeb-DF (left out)"
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


def parse_driven(name: str) -> People | None:
    """Read the name of a reenacted or talking face, `id0_0003_id5_0001` or `id0_0003_x`: who is seen, who drives."""
    match = re.match(r"(id[0-9]+)_([0-9]+)_(?:(id[0-9]+)(?![A-Za-z0-9]))?", name)
    if not match:
        return None
    target, number, donor = match.groups()
    return People(source_video=f"{target}_{number}", target=target, donor=donor)


def describe(
    clip: Clip,
    *,
    fake: bool,
    dataset: str,
    test: dict[str, str] | None,
    problems: Problems,
    method: str | None = None,
) -> MediaItem:
    """The item of a clip, by its name.

    Args:
        clip: the video or its frames.
        fake: its class.
        dataset: the version.
        test: the listed videos by name, with the method's folder before it if there is one; None without the list.
        problems: counts a name of another form.
        method: of a fake in a folder of its own.
    """
    people = parse_name(clip.name)
    if people is None or fake != (people.donor is not None):
        people = parse_driven(clip.name) if method else None
        if people is None:
            problems.add(NAME, clip.path)
    listed = f"{method}/{clip.name}" if method else clip.name
    split = "test" if test is not None and listed in test else None
    label: Literal["real", "fake"] = "fake" if fake else "real"
    return clip.item(
        label, dataset, people, method=(method or "Celeb-synthesis") if fake else None, split=split
    )


def read_list(file: Path, problems: Problems) -> dict[str, str]:
    """The official test videos, `{name: folder in lower case}`, of Celeb-DF++'s fakes `method/name`.

    Lines of another form are counted and passed over, and so are labels (1 = real) that contradict the folder.
    """
    listed: dict[str, str] = {}
    try:
        lines = read_text(file).splitlines()
    except (OSError, DataError) as error:
        problems.add(BAD_LIST, f"{file} ({error})")
        return listed
    for line in filter(str.strip, lines):
        match = re.fullmatch(r"\s*([01])\s+(\S.*?)(?:\.[A-Za-z0-9]+)?\s*", line)
        parts = re.split(r"[/\\]", match[2]) if match else []
        folder = next((part.lower() for part in parts[:-1] if part.lower() in FOLDERS), None)
        if match is None or folder is None:
            problems.add(BAD_LINE, line.strip())
            continue
        if (match[1] == "1") == (folder == SYNTHESIS):
            problems.add(CONTRADICTION, line.strip())
        nested = folder == SYNTHESIS and parts[-2].lower() not in {folder, *LEVELS}
        listed["/".join(parts[-2:]) if nested else parts[-1]] = folder
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


def _classes(root: Path, problems: Problems) -> Iterator[tuple[Path, bool, str | None, list[Path]]]:
    """Folders of clips as (folder, whether of fakes, method if it is one's own, folders in it that are another's)."""
    folders = {name: path for name, path in subfolders(root, problems).items() if name not in NO_MEDIA}
    for name in (*(each for each in (*FOLDERS, *REALS) if each in folders), *sorted(folders, key=natural)):
        if name not in folders:
            continue
        folder = folders.pop(name)
        if name in REALS:
            yield folder, False, None, []
        elif name == SYNTHESIS:
            yield from _fakes(folder, None, problems)
        elif _holds_fakes(folder):
            yield from _fakes(folder, folder.name, problems)
        else:
            problems.add(OTHER_FOLDER, folder)


def _holds_fakes(folder: Path) -> bool:
    """Whether names in a folder, or in those in it, are of Celeb-DF's form: a method beside the reals."""
    below, files = entries(folder)
    names = [
        *below,
        *files,
        *(name for each in below[:50] for part in entries(folder / each) for name in part),
    ]
    return any(re.match(r"id[0-9]+_", name) for name in names)


def _fakes(
    folder: Path, method: str | None, problems: Problems, above: tuple[Path, ...] = ()
) -> Iterator[tuple[Path, bool, str | None, list[Path]]]:
    real = folder.resolve()
    if real in above:
        problems.add(LOOP, folder)
        return
    below = folders_of_clips(folder, problems)
    yield folder, True, method, below
    for each in below:
        yield from _fakes(each, each.name, problems, (*above, real))


def _matches(root: Path) -> bool:
    return bool({"celeb-real", SYNTHESIS} & subfolders(root).keys())


def _walk(root: Path, problems: Problems) -> Iterator[MediaItem]:
    file = find_list(root)
    problems.note(SPLIT_NOTE if file else NO_LIST_NOTE)
    test = read_list(file, problems) if file else None
    classes = list(_classes(root, problems))
    dataset = PLUS if any(method for _, _, method, _ in classes) else version(root, len(test or ()))
    missing = dict(test or {})
    for folder, fake, method, besides in classes:
        problems.expected.add("fake" if fake else "real")
        for clip in clips(folder, problems, besides=besides):
            missing.pop(f"{method}/{clip.name}" if method else clip.name, None)
            yield describe(clip, fake=fake, dataset=dataset, test=test, problems=problems, method=method)
    for video, name in missing.items():
        problems.add(NO_FILE, f"{FOLDERS[name]}/{video}")


LAYOUT = Layout(
    name="celebdf", looks_for="Celeb-real/ or Celeb-synthesis/ (Celeb-DF)", matches=_matches, walk=_walk
)
