"""Time stamps of a video, and which of its frames are sampled: exact arithmetic on whole ticks, for any frame rate.

A time stamp is a whole number of ticks; a tick is `time_base` seconds.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Protocol

from verovolto.core.errors import InputError

JITTER = Fraction(1, 1000)
"""Seconds by which a time stamp may fall short of the instant asked for: Matroska rounds to milliseconds."""


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """Which frames to take: all of them, or so many a second, or so many in all. The first is always taken.

    Attributes:
        fps: frames a second, > 0. Time is cut into slots of 1 / fps seconds from the first frame on, and the
            first frame of each slot is taken; a slot without one, where the rate varies, gives none.
        count: frames in all, >= 1, evenly spread over the video's time (see `evenly_spaced`).
    """

    fps: float | Fraction | None = None
    count: int | None = None

    def __post_init__(self) -> None:
        if self.fps is not None and self.count is not None:
            raise InputError("frames are sampled by fps or by count, not by both", hint="leave one out")
        if self.fps is not None and not (math.isfinite(self.fps) and self.fps > 0):
            raise InputError(f"frames a second must be above 0, not {self.fps}")
        if self.count is not None and self.count < 1:
            raise InputError(f"the number of frames must be at least 1, not {self.count}")


class FrameSelector(Protocol):
    """Selects among frames that come one by one, in order of time."""

    def take(self, tick: int) -> bool:
        """Whether to take the frame at `tick`; ticks never decrease."""
        ...


class EveryFrame:
    """Takes all."""

    def take(self, tick: int) -> bool:
        """Always true."""
        return True


class FirstOfSlot:
    """Takes the first frame of each slot of 1 / fps seconds, counted from the first frame offered."""

    def __init__(self, fps: Fraction, time_base: Fraction) -> None:
        self._fps, self._time_base = fps, time_base
        self._start: int | None = None
        self._slot = -1

    def take(self, tick: int) -> bool:
        """Whether the frame is the first of its slot."""
        if self._start is None:
            self._start = tick
        slot = slot_of(tick - self._start, self._fps, self._time_base)
        new = slot > self._slot
        self._slot = max(slot, self._slot)
        return new


class FromTicks:
    """Takes the first frame at or after each of `ticks`; one frame may serve several, where others are lost."""

    def __init__(self, ticks: Sequence[int]) -> None:
        self._ticks, self._next = ticks, 0

    def take(self, tick: int) -> bool:
        """Whether one of the ticks has been reached since the last frame taken."""
        reached = self._next
        while reached < len(self._ticks) and self._ticks[reached] <= tick:
            reached += 1
        new = reached > self._next
        self._next = reached
        return new


def selector_of(sampling: Sampling, time_base: Fraction, ticks: Callable[[], Sequence[int]]) -> FrameSelector:
    """What selects the frames of a video.

    `ticks` gives the time stamps of all its frames, and is called where a number of them is asked for.
    """
    if sampling.fps is not None:
        return FirstOfSlot(Fraction(sampling.fps), time_base)
    if sampling.count is not None:
        return FromTicks(evenly_spaced(ticks(), sampling.count))
    return EveryFrame()


def slot_of(ticks: int, fps: Fraction, time_base: Fraction) -> int:
    """Number of the slot of 1 / fps seconds in which a frame lies, `ticks` >= 0 after the first; from 0.

    A stamp up to one tick short of a slot's beginning (at most `JITTER`) counts as in it: at 30 frames/s in
    milliseconds, frame 1 stands at 33 and not at 33.3, and would be lost otherwise.
    """
    short = min(time_base, JITTER) if ticks else Fraction(0)
    return math.floor((ticks * time_base + short) * fps)


def evenly_spaced(ticks: Sequence[int], count: int) -> list[int]:
    """Choose exactly `min(count, len(ticks))` of the frames, evenly spread in time.

    The time from the first frame to the end is cut into `count` equal parts, and the first frame of each is
    taken; where a part has none, the next one free. Thus the first frame is in and the last is not unless it
    begins a part: last frames are often black.

    Args:
        ticks: time stamps of all frames, strictly increasing.
        count: >= 1.

    Returns:
        The chosen stamps, strictly increasing.
    """
    total = len(ticks)
    if count >= total:
        return list(ticks)
    # The last frame lasts as long as a frame does on average.
    span = (ticks[-1] - ticks[0]) * total // (total - 1)
    chosen: list[int] = []
    at = 0
    for part in range(count):
        begin = ticks[0] + -(-part * span // count)  # rounded up
        # Leave one frame for each part still to come, though time may be unevenly filled.
        at = min(bisect_left(ticks, begin, at), total - (count - part))
        chosen.append(ticks[at])
        at += 1
    return chosen


class Timestamps:
    """Turns a stream's time stamps into whole ticks that always go up.

    A stamp that is missing, or that goes back (damage, a splice), is put one frame after the last.

    Args:
        time_base: seconds a tick, > 0.
        rate: frames a second, for stamps that have to be made up; None where unknown: one tick.
        start: stamp at which the stream says it begins; None where unknown.
    """

    def __init__(self, *, time_base: Fraction, rate: Fraction | None, start: int | None) -> None:
        self.time_base = time_base
        self._period = max(1, round(1 / (rate * time_base))) if rate else 1
        self._start = start
        self._last: int | None = None

    def tick(self, stamp: int | None) -> int:
        """The next frame's time in ticks, above all before."""
        if self._last is None:
            tick = stamp if stamp is not None else self._start or 0
            # A start after the first frame is wrong; times are never negative.
            self._start = tick if self._start is None else min(self._start, tick)
        elif stamp is None or stamp <= self._last:
            tick = self._last + self._period
        else:
            tick = stamp
        self._last = tick
        return tick

    def seconds(self, tick: int) -> float:
        """Seconds from the stream's start, >= 0."""
        return float((tick - (self._start or 0)) * self.time_base)

    def tick_at(self, seconds: float) -> int:
        """The last tick not after `seconds` from the stream's start."""
        return (self._start or 0) + math.floor(Fraction(seconds) / self.time_base)
