"""Folders on disk: sorted names, videos and folders of frames, lists. Nothing here decodes anything."""

from __future__ import annotations

import codecs
import json
import os
import re
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from typing import Any

from verovolto.core.errors import DataError
from verovolto.core.files import natural
from verovolto.data.file_types import LOOP, NO_MEDIA, Problems, is_folder, media_of
from verovolto.data.layouts import Clip

SPLIT_FOLDERS = {
    "train": "train", "training": "train", "val": "val", "valid": "val", "validation": "val", "test": "test",
    "testing": "test",
}  # fmt: skip
REAL_FOLDERS = frozenset({"real", "reals", "original", "originals"})
FAKE_FOLDERS = frozenset({"fake", "fakes"})
FFPP_METHODS = frozenset(
    {"deepfakes", "face2face", "faceswap", "neuraltextures", "faceshifter", "deepfakedetection"}
)
LEVELS = frozenset({"videos", "images", "frames"})
"""Folders that stand between a class and its videos, or between it and its folders of frames."""

UNREADABLE_FOLDER = "folders that cannot be read"
NO_FRAMES = "folders of frames without an image"
TWICE = "videos that occur twice (the first is taken)"
NAME = "names that are not of the official form (people unknown)"
NO_FILE = "listed, but not there"
NO_LIST = "there, but in no list"
BAD_LIST = "lists that cannot be read (what they name is left out)"
_PEEK = 4096
_LOOK = 20
"""Files of a folder that tell whether it is a video's frames."""


def in_order(frames: Iterable[Path]) -> tuple[Path, ...]:
    """Frames by their numbers."""
    return tuple(sorted(frames, key=lambda path: natural(path.name)))


def frame_number(path: Path) -> int | None:
    """Number of an extracted frame by its name, None without any: the last digits, but for a face's number.

    >>> [frame_number(Path("clip") / name) for name in ("0012.png", "clip_000010_0.jpg", "clip_7.jpg", "face.png")]
    [12, 10, 7, None]
    """
    stem = path.stem.removeprefix(
        path.parent.name
    )  # `id0_0001/id0_0001_3.png` is frame 3 of video `id0_0001`
    face = re.fullmatch(r".*?([0-9]{4,})[_-](?:0|[1-9][0-9]?)", stem)
    digits = re.findall(r"[0-9]+", stem)
    if face and (face[1].startswith("0") or len(face[1]) > 4):
        return int(face[1])
    return int(digits[-1]) if digits else None


def entries(folder: Path, problems: Problems | None = None) -> tuple[list[str], list[str]]:
    """Names of the folders and of the files in `folder`, sorted; hidden ones (also macOS's `._x`) are left out.

    A folder that is not there is empty; one that cannot be read is, too, and is counted.
    """
    folders: list[str] = []
    files: list[str] = []
    try:
        with os.scandir(folder) as below:
            for entry in below:
                if not entry.name.startswith("."):
                    (folders if is_folder(entry) else files).append(entry.name)
    except (FileNotFoundError, NotADirectoryError):
        return [], []
    except OSError as error:
        if problems is not None:
            problems.add(UNREADABLE_FOLDER, f"{folder} ({error.strerror})")
    return sorted(folders, key=natural), sorted(files, key=natural)


def walk(
    folder: Path, problems: Problems, *, prefix: str = "", above: tuple[Path, ...] = ()
) -> Iterator[tuple[str, list[str]]]:
    """A folder and all below it, links followed but never in circles, as (place with a final `/`, names of files).

    Hidden folders and those of helpers are left out.

    Args:
        folder: where to begin.
        problems: counts folders that contain themselves, and those that cannot be read.
        prefix: of the place of `folder` itself.
        above: folders around it, with links resolved.
    """
    real = folder.resolve()
    if real in above:
        problems.add(LOOP, folder)
        return
    below, files = entries(folder, problems)
    yield prefix, files
    for name in below:
        if name.lower() not in NO_MEDIA:
            yield from walk(folder / name, problems, prefix=f"{prefix}{name}/", above=(*above, real))


def subfolders(folder: Path, problems: Problems | None = None) -> dict[str, Path]:
    """Folders in `folder` by their name in lower case: people spell `Celeb-real` and `celeb-real`."""
    paths: dict[str, Path] = {}
    for name in entries(folder, problems)[0]:
        paths.setdefault(name.lower(), folder / name)
    return paths


def clips(folder: Path, problems: Problems, *, besides: Collection[Path] = ()) -> Iterator[Clip]:
    """Videos and folders of frames of one class: in `folder` itself, or below `videos/`, `images/`, `frames/`.

    Folders `besides` are left to others.

    Where a video and its extracted frames are both there, the video is taken (it has times, and every frame)
    and the frames are counted as a double. Frames are listed only when their clip is asked for.
    """
    videos, frames = _clip_paths(folder, problems, besides)
    for name in sorted(videos.keys() | frames.keys(), key=natural):
        if name in videos:
            yield Clip(name=name, path=videos[name])
            continue
        images = image_files(frames[name], problems)
        if images:
            yield Clip(name=name, path=frames[name], frames=images)
        else:
            problems.add(NO_FRAMES, frames[name])


def image_files(folder: Path, problems: Problems | None = None) -> tuple[Path, ...]:
    """Images directly in a folder, by their numbers."""
    return tuple(folder / name for name in media_of(folder, entries(folder, problems)[1], problems)[0])


def folders_of_clips(folder: Path, problems: Problems) -> list[Path]:
    """Folders below `folder` that hold videos or folders of frames, such as one a method, however deep."""
    names = [name for name in entries(folder, problems)[0] if name.lower() not in LEVELS | NO_MEDIA]
    return [folder / name for name in names if not _is_frames(folder / name)]


def _is_frames(folder: Path) -> bool:
    """Whether a folder is a video's frames: it holds images, or nothing at all."""
    below, files = entries(folder)
    images, videos = media_of(folder, files[:_LOOK])
    return bool(images) or not (below or videos)


def _clip_paths(
    folder: Path, problems: Problems, besides: Collection[Path]
) -> tuple[dict[str, Path], dict[str, Path]]:
    """Video files and folders of frames by name; the videos' names win."""
    videos: dict[str, Path] = {}
    frames: dict[str, Path] = {}
    levels = [folder, *(path for name, path in subfolders(folder, problems).items() if name in LEVELS)]
    for level in levels:
        below, files = entries(level, problems)
        for name in media_of(level, files, problems)[1]:
            _put(videos, Path(name).stem, level / name, problems)
        for name in below:
            if name.lower() not in LEVELS | NO_MEDIA and level / name not in besides:
                _put(frames, name, level / name, problems)
    for name in sorted(videos.keys() & frames.keys(), key=natural):
        problems.add(TWICE, frames.pop(name))
    return videos, frames


def _put(paths: dict[str, Path], name: str, path: Path, problems: Problems) -> None:
    if paths.setdefault(name, path) != path:
        problems.add(TWICE, path)


def beginning(file: Path) -> str:
    """The first few thousand characters of a text file; empty where it is not one."""
    try:
        with file.open("rb") as handle:
            raw = handle.read(_PEEK)
    except OSError:
        return ""
    wide = raw.startswith(
        (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
    )  # recognised, so that reading it can refuse it
    return raw.decode("utf-16" if wide else "utf-8-sig", errors="replace")


def read_json_object(file: Path) -> dict[str, Any]:
    """A JSON object. Raises `DataError` for a file that is damaged, of another kind, or not there."""
    try:
        value = json.loads(file.read_text(encoding="utf-8-sig"))
    except (ValueError, OSError, RecursionError) as error:
        raise DataError(f"{file} cannot be read as JSON: {error}", hint="copy it again") from error
    if not isinstance(value, dict):
        raise DataError(f"{file} is not a JSON object", hint="see docs/layouts.md for its form")
    return value
