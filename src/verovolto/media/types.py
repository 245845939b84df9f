"""What a file is, by its first bytes (names lie, and a wrong guess starts the wrong parser), and what it may cost."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from verovolto.core.errors import DataError, InputError
from verovolto.data.decode import MAX_PIXELS

HEAD_BYTES = 4096
"""How much of a file is looked at."""

SUPPORTED = "JPEG, PNG, WebP, TIFF, HEIC, BMP, GIF, PPM; MP4, MOV, MKV, WebM, AVI, MPEG, FLV, OGG, WMV, IVF"
"""For messages."""


class UnreadableMedia(DataError):
    """A file that is no photo or video, is too large, or of which no frame can be decoded.

    Callers count it, name it and go on. Photos that do not decode raise its sibling `UnreadableImage`.
    """


@dataclass(frozen=True, kw_only=True)
class FileType:
    """The type of a photo or video file.

    Attributes:
        medium: `photo` or `video`. Containers that may hold sound alone count as video until opened.
        format: its name in lower case: `jpeg`, `heic`, `mp4`, `matroska`, …
    """

    category: Literal["photo", "video"]
    format: str


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Bounds on one file. The defaults pass everything that cameras and phones make.

    Attributes:
        photo_bytes: largest encoded photo, which is read into memory whole.
        photo_pixels: largest photo, width x height; at most `data.decode.MAX_PIXELS`.
        video_bytes: largest video file; None for any. A video is never read into memory whole.
        frame_pixels: largest frame of a video; 8K UHD passes. A decoder keeps up to 17 frames in memory.
        seconds: a video is decoded up to here, and the outcome says so; None for all of it.
    """

    photo_bytes: int = 1 << 28
    photo_pixels: int = MAX_PIXELS
    video_bytes: int | None = None
    frame_pixels: int = 1 << 25
    seconds: float | None = None

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if value is not None and not (math.isfinite(value) and value > 0):
                raise InputError(f"the limit {name} must be above 0, not {value}")
        if self.photo_pixels > MAX_PIXELS:
            raise InputError(
                f"the limit photo_pixels is {self.photo_pixels:,}, above what the decoder takes",
                hint=f"choose at most {MAX_PIXELS:,}",
            )


_PHOTO_STARTS = (
    (b"\xff\xd8\xff", "jpeg"),
    (b"\x89PNG\r\n\x1a\n", "png"),
    (b"GIF87a", "gif"),
    (b"GIF89a", "gif"),
    (b"II*\0", "tiff"),
    (b"MM\0*", "tiff"),
)
_VIDEO_STARTS = (
    (b"\x1a\x45\xdf\xa3", "matroska"),
    (b"\0\0\x01\xba", "mpeg"),
    (b"FLV\x01", "flv"),
    (b"OggS", "ogg"),
    (b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", "asf"),
    (b"DKIF", "ivf"),
)
_SOUND_STARTS = (b"ID3", b"fLaC", b"\xff\xfb", b"\xff\xf3", b"\xff\xf2", b"\xff\xf1", b"\xff\xf9", b"#!AMR")
_MP4_BOXES = {b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide", b"pnot", b"styp", b"moof"}
_HEIC_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs"}
_BMP_HEADER_BYTES = {12, 40, 52, 56, 64, 108, 124}


def file_type_of(path: str | Path) -> FileType:
    """Tell what the file at `path` is by its content; its name plays no part.

    Raises:
        InputError: there is nothing at `path`, or it is a folder or a device.
        UnreadableMedia: the file is empty, cannot be opened, or is neither photo nor video (text, sound, …).
    """
    path = Path(path)
    try:
        if not path.exists():
            raise InputError(f"{path}: no such file", hint="check the path")
        if not path.is_file():  # a pipe or a device would block, or never end
            raise InputError(f"{path}: not a file", hint="give a photo or a video")
        with path.open("rb") as handle:
            head = handle.read(HEAD_BYTES)
    except (OSError, ValueError) as error:  # ValueError: a name with a NUL in it
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise UnreadableMedia(f"{path}: cannot be read ({reason})", hint="check its permissions") from error
    file_type = file_type_of_bytes(head)
    if file_type is None:
        what, hint = _what_else(head)
        raise UnreadableMedia(f"{path}: {what}, not a photo or a video", hint=hint)
    return file_type


def file_type_of_bytes(head: bytes) -> FileType | None:
    """Tell the type of a file that begins with `head` (a few hundred bytes suffice); None for any other file.

    >>> file_type_of_bytes(b"GIF89a")
    FileType(category='photo', format='gif')
    """
    for start, name in _PHOTO_STARTS:
        if head.startswith(start):
            return FileType(category="photo", format=name)
    for start, name in _VIDEO_STARTS:
        if head.startswith(start):
            return FileType(category="video", format=name)
    if head[:4] == b"RIFF":
        return _riff(head)
    if head[4:8] in _MP4_BOXES:
        return _iso_media(head)
    return _by_structure(head)


def _riff(head: bytes) -> FileType | None:
    if head[8:12] == b"WEBP":
        return FileType(category="photo", format="webp")
    return FileType(category="video", format="avi") if head[8:12] == b"AVI " else None


def _iso_media(head: bytes) -> FileType:
    """MP4, MOV and 3GP, and the still images that share their form (ISO/IEC 14496-12, 23008-12)."""
    brands = _brands(head)
    if brands & _HEIC_BRANDS and (brands & {b"mif1", b"msf1"} or brands <= _HEIC_BRANDS):
        return FileType(category="photo", format="heic")
    if head[8:12] in {b"avif", b"avis"} or (head[8:12] == b"mif1" and b"avif" in brands):
        return FileType(category="photo", format="avif")
    return FileType(category="video", format="mp4")


def _brands(head: bytes) -> set[bytes]:
    """Major and compatible brands of a leading `ftyp` box; empty where there is none."""
    if head[4:8] != b"ftyp":
        return set()
    end = min(int.from_bytes(head[:4], "big"), len(head))
    return {head[at : at + 4] for at in (8, *range(16, end - 3, 4))}


def _by_structure(head: bytes) -> FileType | None:
    """Formats whose first bytes are too short a mark: a second one is asked for."""
    if re.match(rb"P[1-6][\s#]+\d*", head) and re.match(rb"P[1-6]\s+(#[^\n]*\n\s*)*\d+\s+\d+", head):
        return FileType(category="photo", format="ppm")
    if head[:2] == b"BM" and int.from_bytes(head[14:18], "little") in _BMP_HEADER_BYTES:
        return FileType(category="photo", format="bmp")
    # Transport streams: packets of 188 bytes, or 192 with a time code before each.
    for first, step in ((0, 188), (4, 192)):
        if len(head) > first + 2 * step and all(head[first + i * step] == 0x47 for i in range(3)):
            return FileType(category="video", format="mpegts")
    return None


def _what_else(head: bytes) -> tuple[str, str]:
    """(what the file is, what to do) for a file of no known kind."""
    if not head:
        return "an empty file (0 bytes)", "copy or download it again"
    if head.startswith(_SOUND_STARTS) or head[8:12] == b"WAVE":
        return "a sound file", "there is no picture in it"
    if not any(head):
        return "a file of zeros", "copy or download it again"
    if _is_text(head):
        return "a text file", "a failed download often leaves a web page under the video's name"
    return "a file of unknown kind", f"known are {SUPPORTED}"


def _is_text(head: bytes) -> bool:
    try:
        text = head.decode("utf-8")
    except UnicodeDecodeError as error:
        if error.start < len(head) - 3:  # else only the last letter was cut by the end of `head`
            return False
        text = head[: error.start].decode("utf-8")
    return all(letter.isprintable() or letter in "\t\r\n\f\ufeff" for letter in text)
