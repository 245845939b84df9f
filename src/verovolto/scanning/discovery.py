"""The photos and videos among files and folders."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from verovolto.core.files import natural
from verovolto.data.file_types import IMAGE_SUFFIXES, VIDEO_SUFFIXES


@dataclass(frozen=True, kw_only=True)
class MediaPath:
    """A file to scan, or, with a `problem`, a folder that cannot be read."""

    path: Path
    problem: str | None = None


def find_media(paths: Iterable[Path]) -> Iterator[MediaPath]:
    """Files as they are given, and of folders the files with a name of a photo or video, sorted, each once.

    A file that is named is always scanned, whatever its name; in a folder other and hidden files are left out.
    """
    seen: set[str] = set()
    for path in paths:
        for file in _within(path) if _is_folder(path) else (MediaPath(path=path),):
            key = _real(file.path)
            if key not in seen:
                seen.add(key)
                yield file


def _real(path: Path) -> str:
    """The file itself, whatever links lead to it."""
    try:
        return os.path.realpath(path)
    except (OSError, ValueError):  # no file can be called so; opening it will be an error
        return str(path)


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:  # a folder above it may not be read; opening it will be an error
        return False


def _within(folder: Path) -> Iterator[MediaPath]:
    try:
        with os.scandir(folder) as listed:
            entries = sorted(listed, key=lambda entry: natural(entry.name))
    except OSError as error:
        yield MediaPath(path=folder, problem=f"the folder cannot be read ({error.strerror})")
        return
    for entry in entries:
        path = Path(entry.path)
        if entry.name.startswith("."):
            continue
        if entry.is_dir(follow_symlinks=False):
            yield from _within(path)
        elif path.suffix.lower() in VIDEO_SUFFIXES | IMAGE_SUFFIXES:
            yield MediaPath(path=path)
