"""Time stamps as a stream has them, made fit to order frames by."""

from __future__ import annotations

import math
from fractions import Fraction


class Clock:
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
