"""The photos and videos among files and folders."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from verovolto.core.files import natural
from verovolto.data.file_types import LOOP, NO_MEDIA, Problems, category_of, is_folder


@dataclass(frozen=True, kw_only=True)
class MediaPath:
    """A file to scan, or, with a `problem`, a folder that cannot be read."""

    path: Path
    problem: str | None = None


HELPER = "folders of helpers, such as masks and thumbnails (left out)"


def find_media(paths: Iterable[Path], left_out: Problems | None = None) -> Iterator[MediaPath]:
    """Files as they are given, and of folders the photos and videos, sorted, each once.

    A file that is named is always scanned. In a folder a file's content decides where its name does not (see
    `data.file_types.category_of`); links are followed, never in circles. Hidden files and folders, those of helpers
    and files that are neither photo nor video are left out; `left_out` counts them, but for what is hidden or evident.
    """
    seen: set[str] = set()
    left_out = left_out if left_out is not None else Problems()
    for path in paths:
        for file in _within(path, left_out) if _is_folder(path) else (MediaPath(path=path),):
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


def _within(folder: Path, left_out: Problems, above: tuple[str, ...] = ()) -> Iterator[MediaPath]:
    real = _real(folder)
    if real in above:
        left_out.add(LOOP, folder)
        return
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
        if not is_folder(entry):
            if category_of(path, left_out):
                yield MediaPath(path=path)
        elif entry.name.lower() in NO_MEDIA:
            left_out.add(HELPER, path)
        else:
            yield from _within(path, left_out, (*above, real))
