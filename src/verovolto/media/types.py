"""What a file is, by its content, and what it may cost."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from verovolto.core.errors import DataError, InputError
from verovolto.data.decode import MAX_PIXELS
from verovolto.data.file_types import COPY_AGAIN, FileType, file_type_of_bytes, read_head, what_else

_MOST_PIXELS = 1 << 30
__all__ = ["COPY_AGAIN", "FileType", "Limits", "UnreadableMedia", "file_type_of", "file_type_of_bytes"]


class UnreadableMedia(DataError):
    """A file that is no photo or video, is too large, or of which no frame can be decoded.

    Callers count it, name it and go on. Photos that do not decode raise its sibling `UnreadableImage`.
    """


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Bounds on one file. The defaults pass everything that cameras and phones make.

    Attributes:
        photo_bytes: largest encoded photo, which is read into memory whole.
        photo_pixels: most pixels of a photo as it is decoded, width x height, at most 2^30. A larger JPEG is read
            reduced: of today's phones, 200 million pixels pass.
        video_bytes: largest video file; None for any. A video is never read into memory whole.
        frame_pixels: largest frame of a video; 8K UHD passes. A decoder keeps up to 17 frames in memory.
        seconds: a video is decoded up to here, and the outcome says so; None for all of it.
    """

    photo_bytes: int = 1 << 28
    photo_pixels: int = MAX_PIXELS
    video_bytes: int | None = None
    frame_pixels: int = 1 << 25
    seconds: float | None = None

    @staticmethod
    def of(*, megapixels: float | None = None, megabytes: float | None = None) -> Limits:
        """Limits as commands take them: of a photo and of a frame alike, and of a file; None for the defaults."""
        given: dict[str, Any] = {}
        if megapixels is not None:
            given |= dict.fromkeys(("photo_pixels", "frame_pixels"), _whole(megapixels, "--max-megapixels"))
        if megabytes is not None:
            given |= dict.fromkeys(("photo_bytes", "video_bytes"), _whole(megabytes, "--max-megabytes"))
        return Limits(**given)

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if value is not None and not (math.isfinite(value) and value > 0):
                raise InputError(f"the limit {name} must be above 0, not {value}")
        if max(self.photo_pixels, self.frame_pixels) > _MOST_PIXELS:
            raise InputError(f"a limit of more than {_MOST_PIXELS:,} pixels is more than decoders take")


def _whole(millions: float, flag: str) -> int:
    if not 0 < millions < 1e9:
        raise InputError(f"{flag} is a number above 0, not {millions}")
    return max(1, round(millions * 1e6))


def file_type_of(path: str | Path) -> FileType:
    """Tell what the file at `path` is by its content; its name plays no part but for camera raw files.

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
        head = read_head(path)
    except (OSError, ValueError) as error:  # ValueError: a name with a NUL in it
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise UnreadableMedia(f"{path}: cannot be read ({reason})", hint="check its permissions") from error
    file_type = file_type_of_bytes(head, suffix=path.suffix)
    if file_type is None:
        what, hint = what_else(head, suffix=path.suffix)
        raise UnreadableMedia(f"{path}: {what}, not a photo or a video", hint=hint)
    return file_type
