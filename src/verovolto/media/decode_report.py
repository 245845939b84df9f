"""What came of reading a video: how many frames, how many are missing, and why."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from fractions import Fraction


@dataclass(frozen=True, kw_only=True)
class Decoded:
    """What a file gave once it was read to its end.

    Attributes:
        decoded_frames: frames decoded, sampled or not.
        sampled: frames handed on.
        damaged_frames: of the decoded, those that the decoder had to make up in part, and those predicted
            from them. They are never sampled: a patched-up picture is no evidence.
        missing: frames that the file declares, or holds data of, and that could not be decoded; where it
            declares a duration alone, an estimate. Beyond a limit in seconds nothing is missed.
        damage: sentences that say what is wrong; empty for a sound file.
    """

    decoded_frames: int
    sampled: int
    damaged_frames: int
    missing: int
    damage: tuple[str, ...]


@dataclass(kw_only=True)
class Tally:
    """Counts while a video is read; `result` closes it. Its size does not grow with the video."""

    declared_frames: int | None
    declared_s: float | None
    rate: Fraction | None
    packets: int = 0
    discarded: int = 0
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

    def result(self) -> Decoded:
        """The outcome, as of now."""
        missing = self._missing()
        return Decoded(
            decoded_frames=self.decoded,
            sampled=self.sampled,
            damaged_frames=self.damaged,
            missing=missing,
            damage=tuple(self._damage(missing)),
        )

    def _missing(self) -> int:
        if self.stopped:
            return 0
        # Frames that an edit list cuts away are declared, decoded and dropped: nobody misses them.
        expected = (self.declared_frames or self.packets) - self.discarded
        return max(0, expected - self.decoded, self._missing_by_time())

    def _missing_by_time(self) -> int:
        """Frames between the last one and the declared end, where no number of frames is declared.

        Stated durations are sloppy by a frame or two, so that less than a second, or than a twentieth, is
        no loss.
        """
        if self.declared_frames or self.declared_s is None or not self.rate or not self.decoded:
            return 0
        gap = self.declared_s - self.last_s - float(1 / self.rate)
        return round(gap * self.rate) if gap > max(1.0, 0.05 * self.declared_s) else 0

    def _damage(self, missing: int) -> list[str]:
        said = [
            f"{what} ({times} times)" if times > 1 else what for what, times in self.faults.most_common(8)
        ]
        if self.damaged:
            said.append(f"{self.damaged} of {self.decoded} frames came out damaged and were passed over")
        if missing:
            said.append(f"{missing} of {self.decoded + missing} frames are missing")
        if self.stopped:
            said.append(self.stopped)
        return said
