"""Uploads: bytes on disk by their hash, and what the client called them, as text alone.

`FOLDER/<sha256>/data` and `file.json`; what is still arriving lies in `FOLDER/.arriving`. No name that a client gives
ever becomes part of a path.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import time
import uuid
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

from verovolto.core.files import write_json
from verovolto.media.provenance import utc
from verovolto.service.problems import Problem

_ID = re.compile(r"[0-9a-f]{64}")
NAME_LENGTH = 255


@dataclass(frozen=True, kw_only=True)
class StoredFile:
    """An upload that arrived whole. `id` is its SHA-256."""

    id: str
    name: str
    bytes: int
    uploaded_utc: str


def clean_name(name: str | None) -> str:
    r"""What a client calls a file, as text to show: the last part of a path, in whatever way it is written.

    >>> clean_name("../../etc/passwd"), clean_name("C:\\clips\\a.mp4"), clean_name("")
    ('passwd', 'a.mp4', 'unnamed')
    """
    last = re.split(r"[/\\]", name or "")[-1]
    shown = "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in last).strip()
    return shown[:NAME_LENGTH] if shown not in ("", ".", "..") else "unnamed"


class Arriving:
    """An upload under way; a context that leaves nothing behind unless it was kept."""

    def __init__(self, folder: Path, most: int) -> None:
        self._folder, self._most = folder, most
        self._hash, self.bytes = hashlib.sha256(), 0
        self._handle: BinaryIO | None = None

    def __enter__(self) -> Arriving:
        self._folder.mkdir(parents=True)
        self._handle = (self._folder / "data").open("wb")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._handle is not None:
            with suppress(OSError):  # of a full disk, which was answered already
                self._handle.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def write(self, chunk: bytes) -> None:
        """Take what arrived. Raises `Problem` beyond the limit, whatever was announced."""
        self.bytes += len(chunk)
        if self.bytes > self._most:
            raise Problem("too-large", f"an upload may have {self._most:,} bytes")
        assert self._handle is not None, "entered"
        self._hash.update(chunk)
        self._handle.write(chunk)

    def finish(self) -> tuple[Path, str]:
        """Flush to disk; the folder and the digest."""
        assert self._handle is not None, "entered"
        self._handle.flush()
        os.fsync(self._handle.fileno())
        return self._folder, self._hash.hexdigest()


class Uploads:
    """The uploads in a folder."""

    def __init__(self, folder: Path, *, most: int) -> None:
        self._folder, self._most = folder, most
        shutil.rmtree(folder / ".arriving", ignore_errors=True)  # of a server that was killed
        folder.mkdir(parents=True, exist_ok=True)

    def arriving(self) -> Arriving:
        """A place for a new one."""
        return Arriving(self._folder / ".arriving" / uuid.uuid4().hex, self._most)

    def keep(self, upload: Arriving, name: str | None) -> StoredFile:
        """Keep what arrived under its hash; the same content is kept once, under its first name."""
        folder, digest = upload.finish()
        there = self.get(digest)
        if there is not None:
            os.utime(self._folder / digest)  # asked for again: its day begins anew
            return there
        stored = StoredFile(
            id=digest, name=clean_name(name), bytes=upload.bytes, uploaded_utc=utc(time.time())
        )
        write_json(folder / "file.json", vars(stored))
        try:
            folder.rename(self._folder / digest)
        except OSError:
            there = self.get(digest)
            if there is not None:  # somebody else was faster with the same content
                return there
            self.delete(digest)  # what a disk that failed has left of it
            folder.rename(self._folder / digest)
        return stored

    def get(self, digest: str) -> StoredFile | None:
        """The upload of this id."""
        if not _ID.fullmatch(digest):
            return None
        try:
            written = json.loads((self._folder / digest / "file.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        return StoredFile(**written)

    def path(self, digest: str) -> Path:
        """Where its bytes lie."""
        assert _ID.fullmatch(digest), "an id of `get`"
        return self._folder / digest / "data"

    def delete(self, digest: str) -> None:
        """Delete it; nothing happens where it is not there.

        It is moved away first: half of it would be in the way of the same content for good.
        """
        if not _ID.fullmatch(digest):
            return
        away = self._folder / ".arriving" / uuid.uuid4().hex
        away.parent.mkdir(exist_ok=True)
        with suppress(OSError):
            (self._folder / digest).rename(away)
        shutil.rmtree(away, ignore_errors=True)

    def older(self, seconds: float) -> list[str]:
        """The ids of those that were uploaded longer ago."""
        before = time.time() - seconds
        return [
            each.name
            for each in self._folder.iterdir()
            if _ID.fullmatch(each.name) and _modified(each) < before
        ]


def _modified(folder: Path) -> float:
    try:
        return folder.stat().st_mtime
    except OSError:  # deleted meanwhile
        return float("inf")
