"""What decoding gives: frames, and a report of how many there were, how many are missing, and why."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from fractions import Fraction

from jaxtyping import UInt8
from torch import Tensor


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
