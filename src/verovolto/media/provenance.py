"""What identifies a file (digest, size, times, coding), and what it says of where it comes from: EXIF, tags, C2PA.

Nothing of it touches a verdict. Anybody can write EXIF and tags, and remove everything. A manifest that is trusted
says who signed for what; none says nothing.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

from PIL import ExifTags, Image

from verovolto.core.errors import VerovoltoError
from verovolto.core.files import sha256_file
from verovolto.media.container import video_stream
from verovolto.media.types import FileType, Limits, file_type_of

C2paState = Literal["trusted", "valid, signer not known", "broken", "none", "not read"]
READER = Path(__file__).with_name("c2pa_reader.py")
"""A program of its own."""
TIME_LIMIT_S = 20.0
_STATES: dict[str | None, C2paState] = {
    "Trusted": "trusted",
    "Valid": "valid, signer not known",
    "Invalid": "broken",
    None: "none",
}
_LONGEST = 200
_LABEL = b"c2pa"
_BLOCK = 1 << 20


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


@dataclass(frozen=True, kw_only=True)
class C2pa:
    """What a file's C2PA manifest comes to; `none` proves nothing, since every copy loses it easily.

    Attributes:
        state: `not read` where it could not be, with the reason in `why`.
        signer: who signed it, as its certificate says.
        made_by: what wrote it.
        why: what is wrong with it, or why it was not read.
    """

    state: C2paState
    signer: str | None = None
    made_by: str | None = None
    why: str | None = None


@dataclass(frozen=True, kw_only=True)
class Provenance:
    """What a file says of itself.

    Attributes:
        camera: maker and model.
        software: what wrote it.
        created: when, in its own words: often local time, and easily changed.
        has_position: whether it holds a position (which is not repeated here).
        c2pa: its manifest.
    """

    camera: str | None = None
    software: str | None = None
    created: str | None = None
    has_position: bool = False
    c2pa: C2pa | None = None

    def to_dict(self) -> dict[str, Any]:
        """As JSON values."""
        return {**vars(self), "c2pa": None if self.c2pa is None else dict(vars(self.c2pa))}


def provenance_of(path: Path, limits: Limits, anchors: Path | None = None) -> Provenance:
    """What the file says of itself; empty where that cannot be read. Never an error.

    Args:
        path: of the file.
        limits: what opening it may cost.
        anchors: certificates in PEM whose signatures are trusted.
    """
    try:
        photo = file_type_of(path).category == "photo"
        found = _of_photo(path) if photo else _of_video(container_tags(path, limits))
    except Exception:  # hostile bytes raise nearly anything
        found = Provenance()
    return Provenance(**{**vars(found), "c2pa": c2pa_of(path, anchors)})


def _of_photo(path: Path) -> Provenance:
    with Image.open(path) as image:
        exif = image.getexif()
        inner = exif.get_ifd(ExifTags.IFD.Exif)
        position = bool(exif.get_ifd(ExifTags.IFD.GPSInfo))
    taken = inner.get(ExifTags.Base.DateTimeOriginal) or exif.get(ExifTags.Base.DateTime)
    return Provenance(
        camera=_joined(exif.get(ExifTags.Base.Make), exif.get(ExifTags.Base.Model)),
        software=_text(exif.get(ExifTags.Base.Software)),
        created=_text(taken),
        has_position=position,
    )


def _of_video(tags: Mapping[str, str]) -> Provenance:
    def tag(*names: str) -> str | None:
        return next((tags[name] for name in names if tags.get(name)), None)

    apple = "com.apple.quicktime."
    return Provenance(
        camera=_joined(tag(f"{apple}make", "make"), tag(f"{apple}model", "model", "com.android.model")),
        software=_text(tag(f"{apple}software", "software", "encoder")),
        created=_text(tag(f"{apple}creationdate", "creation_time", "date")),
        has_position=tag(f"{apple}location.iso6709", "location", "location-eng") is not None,
    )


def _joined(*parts: Any) -> str | None:
    """Maker and model, the maker once."""
    maker, model = (_text(part) for part in parts)
    if maker and model:
        return model if model.lower().startswith(maker.lower()) else f"{maker} {model}"
    return maker or model


def _text(value: Any) -> str | None:
    """A value as text of bounded length; None where it is empty."""
    shown = str(value).replace("\0", " ").strip() if value is not None else ""
    return shown[:_LONGEST] or None


def c2pa_of(path: Path, anchors: Path | None = None) -> C2pa:
    """The manifest of a file, read in a process of its own, within a time limit."""
    try:
        if not _mentions_c2pa(path):
            return C2pa(state="none")
    except OSError:
        return C2pa(state="not read", why="the file cannot be read")
    if find_spec("c2pa") is None:
        return C2pa(state="not read", why='there may be one: pip install "verovolto[provenance]" reads it')
    command = [sys.executable, "-I", str(READER), str(path.absolute())]
    command += [] if anchors is None else [str(anchors.absolute())]
    try:
        ended = subprocess.run(command, capture_output=True, timeout=TIME_LIMIT_S, check=False)
        return _answer(json.loads(ended.stdout))
    except OSError as error:
        return C2pa(state="not read", why=f"no process could be started to read it: {error.strerror}")
    except subprocess.TimeoutExpired:
        return C2pa(state="not read", why=f"it took longer than {TIME_LIMIT_S:g} s")
    except ValueError:
        return C2pa(state="not read", why=f"the program that read it ended with {ended.returncode}")


def _answer(answer: Mapping[str, Any]) -> C2pa:
    """What the reader's JSON says."""
    if "not_read" in answer:
        return C2pa(state="not read", why=_text(answer["not_read"]))
    if "problem" in answer:
        return C2pa(state="broken", why=_text(answer["problem"]))
    state = _STATES.get(answer["state"], "broken")
    why = ", ".join(str(code) for code in answer.get("failures", ())) or None
    return C2pa(
        state=state, signer=_text(answer.get("signer")), made_by=_text(answer.get("made_by")), why=_text(why)
    )


def _mentions_c2pa(path: Path) -> bool:
    """Whether the label that every embedded manifest has stands anywhere in the file.

    Read in blocks: a file that was mapped into memory and becomes shorter meanwhile would end the process.
    """
    end = b""
    with path.open("rb") as handle:
        while block := handle.read(_BLOCK):
            if _LABEL in end + block:
                return True
            end = block[1 - len(_LABEL) :]
    return False
