"""Opens containers with FFmpeg safely, and turns whatever it raises into errors of ours."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import av
from av.container import InputContainer
from av.stream import Disposition
from av.video.stream import VideoStream

from verovolto.core.errors import VerovoltoError
from verovolto.media.types import COPY_AGAIN, FileType, Limits, UnreadableMedia

_DEMUXERS = {"mp4": "mov", "mpeg": "mpeg", "mpegts": "mpegts"}
_NO_PICTURE = Disposition.attached_pic | Disposition.timed_thumbnails


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
    stream = pictures[0]
    # PyAV gives a stream of unknown coding no codec context, whatever its annotations say.
    if getattr(stream, "codec_context", None) is None:
        raise UnreadableMedia(f"{path}: its video coding is unknown", hint="convert it to H.264")
    return stream
