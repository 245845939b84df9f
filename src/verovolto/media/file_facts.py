"""What identifies a file, and what its container says: digest, size, times, coding, tags."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from verovolto.core.errors import VerovoltoError
from verovolto.core.files import sha256_file
from verovolto.media.container import video_stream
from verovolto.media.types import FileType, Limits, file_type_of


@dataclass(frozen=True, kw_only=True)
class Fingerprint:
    """What tells one content from another: SHA-256 and size, with the time of the last change.

    The time plays no part in comparing: copying sets it anew.
    """

    sha256: str
    bytes: int
    modified_utc: str = field(compare=False)

    @staticmethod
    def of(path: Path) -> Fingerprint | None:
        """The fingerprint of the file at `path`; None where no file can be read there."""
        try:
            if not path.is_file():  # a pipe or a device would block, or never end
                return None
            digest, stat = sha256_file(path), path.stat()
        except (OSError, ValueError):
            return None
        return Fingerprint(sha256=digest, bytes=stat.st_size, modified_utc=utc(stat.st_mtime))


@dataclass(frozen=True, kw_only=True)
class FileFacts:
    """What is recorded of a file beside its verdict.

    Attributes:
        fingerprint: taken before the file was decoded; None where it could not be read.
        container: format of the file by its content, such as `mp4` or `jpeg`; None where it is neither photo nor video.
        codecs: coding of each stream in order, such as `h264` and `aac`; of a photo its format.
    """

    fingerprint: Fingerprint | None = None
    container: str | None = None
    codecs: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """As JSON values."""
        known = self.fingerprint
        return {
            "sha256": None if known is None else known.sha256,
            "bytes": None if known is None else known.bytes,
            "modified_utc": None if known is None else known.modified_utc,
            "container": self.container,
            "codecs": list(self.codecs),
        }


def utc(seconds: float) -> str:
    """Seconds since 1970 as ISO 8601 in UTC, to the second: `2026-01-31T12:00:00Z`."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def file_facts(path: Path, fingerprint: Fingerprint | None, limits: Limits) -> FileFacts:
    """The facts of a file; of one that does not open, what is known all the same. Never an error.

    Args:
        path: of the file.
        fingerprint: of it, taken before.
        limits: what opening it may cost.
    """
    facts = FileFacts(fingerprint=fingerprint)
    try:
        file_type = file_type_of(path)
        codecs = (file_type.format,) if file_type.category == "photo" else _codecs(path, file_type, limits)
    except VerovoltoError:
        return facts
    except Exception:  # as with decoding, hostile bytes raise nearly anything
        return facts
    return FileFacts(fingerprint=fingerprint, container=file_type.format, codecs=codecs)


def _codecs(path: Path, file_type: FileType, limits: Limits) -> tuple[str, ...]:
    with video_stream(path, file_type, limits) as (container, _):
        return tuple(_codec(stream) for stream in container.streams)


def _codec(stream: Any) -> str:
    """The coding of a stream; of one without, such as a time code, its kind."""
    context = getattr(stream, "codec_context", None)
    return str(stream.type if context is None else context.codec.canonical_name)


def container_tags(path: Path, limits: Limits) -> Mapping[str, str]:
    """The tags of a video's container and of its picture stream, by lower-case name; those of the stream win."""
    with video_stream(path, file_type_of(path), limits) as (container, stream):
        tags = {**container.metadata, **stream.metadata}
    return {name.lower(): str(value) for name, value in tags.items()}
