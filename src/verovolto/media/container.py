"""Opens containers with FFmpeg safely, turns what it raises into our errors, and reads which way up pictures are."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import av
import numpy as np
from av.container import InputContainer
from av.stream import Disposition
from av.video.stream import VideoStream
from jaxtyping import UInt8

from verovolto.core.errors import VerovoltoError
from verovolto.data.file_types import HEAD_BYTES, transport_packets
from verovolto.media.types import COPY_AGAIN, FileType, Limits, UnreadableMedia

_DEMUXERS = {"mp4": "mov", "mpeg": "mpeg", "mpegts": "mpegts"}
_NO_PICTURE = Disposition.attached_pic | Disposition.timed_thumbnails


@dataclass(frozen=True, kw_only=True)
class Orientation:
    """One of the eight ways to lay a picture on a grid: an optional transposition, then optional flips.

    Attributes:
        transpose: rows become columns.
        flip_x: then left and right change places.
        flip_y: then top and bottom change places.
    """

    transpose: bool = False
    flip_x: bool = False
    flip_y: bool = False

    @property
    def mirrored(self) -> bool:
        """Whether the picture is mirrored, as front cameras do, and not turned alone."""
        return (self.transpose + self.flip_x + self.flip_y) % 2 == 1

    @property
    def rotation(self) -> int:
        """Clockwise turn in degrees, 0, 90, 180 or 270; of a mirrored picture the turn after mirroring it."""
        quarter = 90 if self.transpose else 0
        return (quarter + (180 if self.flip_y else 0)) % 360 if not self.mirrored else self._mirrored_turn()

    def _mirrored_turn(self) -> int:
        if self.transpose:
            return 90 if self.flip_x else 270
        return 180 if self.flip_y else 0

    def size(self, width: int, height: int) -> tuple[int, int]:
        """(width, height) of the upright picture."""
        return (height, width) if self.transpose else (width, height)

    def apply(self, pixels: UInt8[np.ndarray, "h w *c"]) -> UInt8[np.ndarray, "h2 w2 *c"]:
        """The upright picture, as a view; `[H, W, ...]`, or `[W, H, ...]` when transposed."""
        if self.transpose:
            pixels = pixels.swapaxes(0, 1)
        return pixels[:: -1 if self.flip_y else 1, :: -1 if self.flip_x else 1]


UPRIGHT = Orientation()
"""Nothing to do."""


def orientation_of(matrix: bytes | None) -> Orientation:
    """Read the orientation that a display matrix asks for.

    A pixel at (x, y), y downwards, is shown at (a x + c y, b x + d y). Angles between the quarter turns, which
    no camera writes, are taken to the nearest axis.

    Args:
        matrix: nine int32 of this machine's byte order, `a b u c d v x y w`, as FFmpeg hands them on
            (ISO/IEC 14496-12, 8.3.2); None or of another length: upright.
    """
    if matrix is None or len(matrix) != 36:
        return UPRIGHT
    a, b, _, c, d, *_ = struct.unpack("=9i", matrix)
    if abs(b) + abs(c) > abs(a) + abs(d):
        return Orientation(transpose=True, flip_x=c < 0, flip_y=b < 0)
    return Orientation(flip_x=a < 0, flip_y=d < 0)


@contextmanager
def video_stream(
    path: Path, file_type: FileType, limits: Limits, *, threads: int = 1
) -> Iterator[tuple[InputContainer, VideoStream]]:
    """Open a video file and its first video stream that is not a cover picture; closed at the end.

    The demuxer is chosen by the file's content, and FFmpeg is given bytes rather than a name: left to guess,
    it would follow a playlist in disguise to other files or to the network.

    Args:
        path: the file.
        file_type: what it is.
        limits: frames of more pixels are refused before they are allocated.
        threads: of the decoder.

    Raises:
        UnreadableMedia: no container of that kind, no video stream, an unknown codec, or too large a frame.
    """
    with path_errors(path), path.open("rb") as handle:
        try:
            container = av.open(
                handle,
                "r",
                format=_DEMUXERS.get(file_type.format, file_type.format),
                options={"max_pixels": str(limits.frame_pixels)},
                metadata_errors="replace",
            )
        except Exception as error:  # PyAV raises OSError's relatives, ValueError and more on hostile bytes
            raise _cannot_open(path, file_type, reason(error)) from error
        with container:
            stream = _picture_stream(path, file_type, container)
            # FFmpeg refuses a frame above this before it allocates one, whatever the stream turns into.
            stream.codec_context.options = {"max_pixels": str(limits.frame_pixels)}
            stream.codec_context.thread_count = threads
            stream.codec_context.thread_type = "AUTO"
            yield container, stream


@contextmanager
def path_errors(path: Path) -> Iterator[None]:
    """Turn the operating system's errors about `path` into ours."""
    try:
        yield
    except VerovoltoError:
        raise
    except OSError as error:
        raise UnreadableMedia(f"{path}: cannot be read ({error.strerror or error})") from error


def reason(error: Exception) -> str:
    """Return FFmpeg's own words for an error, in one line and without its number."""
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return str(text).splitlines()[0]


def _area(stream: VideoStream) -> int:
    context = getattr(stream, "codec_context", None)
    return context.width * context.height if context is not None else 0


def is_cut_off(path: Path, file_type: FileType) -> bool:
    """Whether a file ends before the size that its own structure states; False where it states none."""
    walk = {
        "mp4": _mp4_end,
        "matroska": _matroska_end,
        "avi": _riff_end,
        "asf": _asf_end,
        "ivf": _ivf_end,
        "flv": _flv_end,
        "ogg": _ogg_end,
        "mpegts": _transport_end,
    }.get(file_type.format)
    try:
        with path.open("rb") as handle:
            size = handle.seek(0, 2)
            return walk is not None and walk(handle, size) > size
    except (OSError, ValueError):
        return False


def _mp4_end(handle: BinaryIO, size: int) -> int:
    """Where the last top-level box ends (ISO/IEC 14496-12, 4.2); a size of 0 means up to the end of the file."""
    at = 0
    while at + 8 <= size:
        handle.seek(at)
        head = handle.read(16)
        length = int.from_bytes(head[:4], "big")
        if length == 1:
            length = int.from_bytes(head[8:16], "big")
        if length < 8 or not head[4:8].isalnum():
            return size
        at += length
    return at if at > size else size


def _matroska_end(handle: BinaryIO, size: int) -> int:
    """Where the segment ends (RFC 8794); of unknown size: nowhere."""
    at = 0
    while at + 12 <= size:
        handle.seek(at)
        head = handle.read(12)
        id_length = 9 - head[0].bit_length()
        if id_length > 4 or not head[id_length]:
            return size
        length_bytes = 9 - head[id_length].bit_length()
        if len(head) < id_length + length_bytes:
            return size
        unknown = (1 << 7 * length_bytes) - 1
        length = int.from_bytes(head[id_length : id_length + length_bytes], "big") & unknown
        if length == unknown:
            return size
        at += id_length + length_bytes + length
        if head[:4] == b"\x18\x53\x80\x67":
            return at
    return size


def _riff_end(handle: BinaryIO, size: int) -> int:
    """Where the last RIFF chunk ends; a size of 0 is that of a recording that was never closed."""
    at = 0
    while at + 12 <= size:
        handle.seek(at)
        head = handle.read(12)
        length = int.from_bytes(head[4:8], "little")
        if head[:4] != b"RIFF" or not length:
            return size
        at += 8 + length + length % 2
    return at - 1 if at > size else size


def _asf_end(handle: BinaryIO, size: int) -> int:
    """Where the data object ends, which follows the header; 0 stands for a live recording."""
    handle.seek(16)
    header = int.from_bytes(handle.read(8), "little")
    handle.seek(header + 16)
    length = int.from_bytes(handle.read(8), "little")
    return header + length if length else size


def _ivf_end(handle: BinaryIO, size: int) -> int:
    """Where the last frame ends: each says its length."""
    handle.seek(6)
    at = int.from_bytes(handle.read(2), "little")
    while at + 12 <= size:
        handle.seek(at)
        at += 12 + int.from_bytes(handle.read(4), "little")
    return at


def _flv_end(handle: BinaryIO, size: int) -> int:
    """Where the last tag of sound, picture or data ends; the size of each stands before it, and once more behind."""
    handle.seek(5)
    at = int.from_bytes(handle.read(4), "big") + 4
    while at < size:
        handle.seek(at)
        head = handle.read(11)
        if head[0] & 0x1F not in (8, 9, 18):
            return size
        at += 11 + int.from_bytes(head[1:4], "big") + 4
    return at


def _ogg_end(handle: BinaryIO, size: int) -> int:
    """Where the last page ends (RFC 3533, 6): each lists the sizes of its segments."""
    at = 0
    while at < size:
        handle.seek(at)
        head = handle.read(27)
        if not b"OggS".startswith(head[:4]) and head[:4] != b"OggS":
            return size
        if len(head) < 27:
            return size + 1
        sizes = handle.read(head[26])
        at += 27 + head[26] + sum(sizes)
    return at


def _transport_end(handle: BinaryIO, size: int) -> int:
    """Where the last packet ends: all are of one length."""
    handle.seek(0)
    packets = transport_packets(handle.read(HEAD_BYTES))
    return size if packets is None else size + (packets[0] - size) % packets[1]


def _cannot_open(path: Path, file_type: FileType, why: str) -> UnreadableMedia:
    message = f"{path}: damaged or cut off, it does not open as {file_type.format} ({why})"
    if file_type.format != "mp4":
        return UnreadableMedia(message, hint=COPY_AGAIN)
    return UnreadableMedia(
        message, hint="an MP4 whose recording or download broke off lacks its index; copy it again"
    )


def _picture_stream(path: Path, file_type: FileType, container: InputContainer) -> VideoStream:
    if not len(container.streams):  # an MP4 cut off before its index opens as an empty one
        raise _cannot_open(path, file_type, "nothing is listed in it")
    pictures = [s for s in container.streams.video if not s.disposition & _NO_PICTURE]
    if not pictures:
        what = "sound alone" if container.streams.audio else "no video"
        raise UnreadableMedia(f"{path}: holds {what}", hint="give a file with a picture")
    # Main before thumbnail, whatever the order: what the file calls the default, then the larger picture.
    stream = max(pictures, key=lambda s: (bool(s.disposition & Disposition.default), _area(s)))
    # PyAV gives a stream of unknown coding no codec context, whatever its annotations say.
    if getattr(stream, "codec_context", None) is None:
        raise UnreadableMedia(f"{path}: its video coding is unknown", hint="convert it to H.264")
    return stream
