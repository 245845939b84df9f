"""What a file is, by its content, and what it may cost; what decoding gives: frames, and a report of the damage."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

from jaxtyping import UInt8
from torch import Tensor

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


@dataclass(frozen=True, kw_only=True, eq=False)
class Frame:
    """One frame of a video, or a photo.

    Attributes:
        index: its number among the decoded frames, from 0, in order of time.
        time_s: seconds from the start of the video, >= 0.
        image: uint8 `[3, H, W]`, RGB, upright, contiguous.
    """

    index: int
    time_s: float
    image: UInt8[Tensor, "3 h w"]


@dataclass(frozen=True, kw_only=True)
class DecodeReport:
    """Counts and faults of a file that was read to its end.

    Attributes:
        decoded_frames: frames decoded, sampled or not.
        sampled: frames yielded to the caller.
        damaged_frames: of the decoded, those that the decoder had to make up in part, and those predicted
            from them. They are never sampled: a concealed picture is no evidence.
        missing: frames whose data did not decode; and of a file that breaks off, those that it declares besides, where
            it declares a duration alone, an estimate. Beyond a limit in seconds nothing is missed.
        damage: sentences that say what is wrong; empty for a sound file.
    """

    decoded_frames: int
    sampled: int
    damaged_frames: int
    missing: int
    damage: tuple[str, ...]
    last_s: float = field(default=0.0, compare=False)
    """Time of the last frame, seconds."""


@dataclass(kw_only=True)
class DecodeCounter:
    """Counts while a video is read; `result` makes the report. Its size does not grow with the video."""

    declared_frames: int | None = None
    declared_s: float | None = None
    rate: Fraction | None = None
    packets: int = 0
    discarded: int = 0
    failed: int = 0
    cut_off: bool = False
    decoded: int = 0
    sampled: int = 0
    damaged: int = 0
    last_s: float = 0.0
    stopped: str | None = None
    faults: Counter[str] = field(default_factory=Counter)

    def count(self, time_s: float, sound: bool) -> None:
        """Count one decoded frame."""
        self.decoded += 1
        self.damaged += not sound
        self.last_s = time_s

    def result(self) -> DecodeReport:
        """The report, as of now."""
        missing = self._missing()
        return DecodeReport(
            decoded_frames=self.decoded,
            sampled=self.sampled,
            damaged_frames=self.damaged,
            missing=missing,
            damage=tuple(self._damage(missing)),
            last_s=self.last_s,
        )

    def _missing(self) -> int:
        """What the decoder refused; beyond it headers are believed of a file alone that breaks off.

        Else they prove nothing: a packet may hold half a picture (fields) or a hidden one, a count may be that of the
        screen's refreshes, a duration that of the sound.
        """
        if self.stopped:
            return 0
        if not self.cut_off:
            return self.failed
        # Frames that an edit list cuts away are declared, decoded and dropped: nobody misses them.
        expected = (self.declared_frames or self.packets) - self.discarded
        return max(self.failed, expected - self.decoded, self._missing_by_time())

    def _missing_by_time(self) -> int:
        """Frames between the last one and the declared end, where no number of frames is declared.

        Stated durations are sloppy by a frame or two: less than a second, or than a twentieth, is no loss.
        """
        if self.declared_frames or self.declared_s is None or not self.rate or not self.decoded:
            return 0
        gap = self.declared_s - self.last_s - float(1 / self.rate)
        return round(gap * self.rate) if gap > max(1.0, 0.05 * self.declared_s) else 0

    def _damage(self, missing: int) -> list[str]:
        faults = self.faults.most_common(8)
        damage = [f"{fault} ({times} times)" if times > 1 else fault for fault, times in faults]
        if self._nothing_came_out():
            damage.append(f"of {self.packets} packets of pictures only {self.decoded} gave one")
        if self.damaged:
            damage.append(f"{self.damaged} of {self.decoded} frames came out damaged and were passed over")
        if missing:
            damage.append(f"{missing} of {self.decoded + missing} frames are missing")
        elif self.cut_off and not self.stopped:
            damage.append("the file breaks off before its end")
        if self.stopped:
            damage.append(self.stopped)
        return damage

    def _nothing_came_out(self) -> bool:
        """Whether far more went into the decoder than came out: two fields make a picture, but never five packets."""
        shown = self.packets - self.discarded - self.failed
        return not self.stopped and self.decoded > 0 and shown > 5 * self.decoded + 16
