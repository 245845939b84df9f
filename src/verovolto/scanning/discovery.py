"""The photos and videos among files and folders."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from verovolto.data.layouts.disk import IMAGE_SUFFIXES, VIDEO_SUFFIXES, natural


@dataclass(frozen=True, kw_only=True)
class Found:
    """A file to scan, or, with a `problem`, a place that could not be looked into."""

    path: Path
    problem: str | None = None


def find_media(paths: Iterable[Path]) -> Iterator[Found]:
    """Files as they are given, and of folders what the names of files say to be photos or videos, sorted, each once.

    A file that is named is always scanned, whatever its name; in a folder the rest is passed over, hidden files too.
    """
    seen: set[str] = set()
    for path in paths:
        for found in _within(path) if _is_folder(path) else (Found(path=path),):
            key = _real(found.path)
            if key not in seen:
                seen.add(key)
                yield found


def _real(path: Path) -> str:
    """The file itself, whatever links lead to it."""
    try:
        return os.path.realpath(path)
    except (OSError, ValueError):  # no file can be called so; opening it will say so
        return str(path)


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:  # what stands before it may not be looked into; opening it will say so
        return False


def _within(folder: Path) -> Iterator[Found]:
    try:
        with os.scandir(folder) as entries:
            found = sorted(entries, key=lambda entry: natural(entry.name))
    except OSError as error:
        yield Found(path=folder, problem=f"the folder cannot be read ({error.strerror})")
        return
    for entry in found:
        path = Path(entry.path)
        if entry.name.startswith("."):
            continue
        if entry.is_dir(follow_symlinks=False):
            yield from _within(path)
        elif path.suffix.lower() in VIDEO_SUFFIXES | IMAGE_SUFFIXES:
            yield Found(path=path)
