"""Photos and videos as upright RGB frames: types by content, limits, time stamps, reports of damage."""

from __future__ import annotations

from pathlib import Path

from verovolto.media.photo import Photo, open_animation, open_photo
from verovolto.media.sampling import Sampling
from verovolto.media.types import DecodeReport, FileType, Frame, Limits, UnreadableMedia, file_type_of
from verovolto.media.video import Video, VideoInfo, open_video

__all__ = [
    "DecodeReport",
    "FileType",
    "Frame",
    "Limits",
    "Photo",
    "Sampling",
    "UnreadableMedia",
    "Video",
    "VideoInfo",
    "file_type_of",
    "open_media",
]


def open_media(path: str | Path, *, limits: Limits | None = None) -> Photo | Video:
    """Open a photo or a video, told apart by content.

    What moves in a photo's format (animated GIF, WebP, PNG, AVIF; JPEGs one after the other) is a video.

    Both have `frames(sampling)`, an iterator of `Frame`, and afterwards a `report`. A photo is decoded here;
    of a video only the first frame.

    Args:
        path: a file.
        limits: what it may cost; see `Limits`.

    Raises:
        InputError: nothing at `path`, or a folder, or HEIC without the extra `heic`.
        UnreadableMedia: neither photo nor video, too large, or damaged beyond reading.
        UnreadableImage: a photo that does not decode, or of too many pixels.
    """
    path, limits = Path(path), limits or Limits()
    file_type = file_type_of(path)
    if file_type.category == "photo":
        animation = open_animation(path, file_type, limits)
        if animation is not None:
            return animation
        return open_photo(path, file_type, limits)
    size = path.stat().st_size
    if limits.video_bytes is not None and size > limits.video_bytes:
        raise UnreadableMedia(
            f"{path}: {size:,} bytes, the limit for videos is {limits.video_bytes:,}",
            hint="allow more with --max-megabytes",
        )
    return open_video(path, file_type, limits)
