from __future__ import annotations

import itertools
import math
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from verovolto.core.errors import InputError
from verovolto.media.sampling import FirstOfSlot, FromTicks, Sampling, Timestamps, evenly_spaced, slot_of

MS = Fraction(1, 1000)
stamps = st.lists(st.integers(-5000, 10**6), min_size=1, max_size=200, unique=True).map(sorted)
rates = st.fractions(min_value=Fraction(1, 100), max_value=240, max_denominator=1001)
bases = st.sampled_from([MS, Fraction(1, 25), Fraction(1, 90000), Fraction(1001, 30000)])


def taken(ticks: list[int], fps: Fraction, time_base: Fraction) -> list[int]:
    selector = FirstOfSlot(fps, time_base)
    return [tick for tick in ticks if selector.take(tick)]


@given(stamps, rates, bases)
def test_by_rate_never_more_than_asked_and_the_first_is_in(
    ticks: list[int], fps: Fraction, time_base: Fraction
) -> None:
    chosen = taken(ticks, fps, time_base)
    assert chosen[0] == ticks[0] and set(chosen) <= set(ticks)
    span = (ticks[-1] - ticks[0]) * time_base
    assert len(chosen) <= math.floor((span + MS) * fps) + 1


@given(stamps, rates, bases)
def test_by_rate_each_slot_that_has_a_frame_gives_its_first(
    ticks: list[int], fps: Fraction, time_base: Fraction
) -> None:
    slots = [slot_of(tick - ticks[0], fps, time_base) for tick in ticks]
    first = {slot: tick for tick, slot in reversed(list(zip(ticks, slots, strict=True)))}
    assert taken(ticks, fps, time_base) == [first[slot] for slot in sorted(first)]


@given(st.integers(1, 120), st.integers(1, 400))
def test_by_the_videos_own_rate_all_frames_are_taken_in_rounded_milliseconds(rate: int, frames: int) -> None:
    for rounding in (math.floor, round):
        ticks = [rounding(Fraction(1000 * i, rate)) for i in range(frames)]
        assert taken(ticks, Fraction(rate), MS) == ticks


def test_by_rate_at_a_constant_rate_the_frames_stand_evenly() -> None:
    assert taken(list(range(100)), Fraction(5), Fraction(1, 25)) == list(range(0, 100, 5))


def test_by_rate_a_pause_gives_no_frame_twice() -> None:
    ticks = [0, 40, 80, 5000, 5040, 5500]
    assert taken(ticks, Fraction(2), MS) == [0, 5000, 5500]


@given(stamps, st.integers(1, 250))
def test_by_count_as_many_as_asked_or_as_there_are(ticks: list[int], count: int) -> None:
    chosen = evenly_spaced(ticks, count)
    assert len(chosen) == min(count, len(ticks))
    assert chosen[0] == ticks[0] and set(chosen) <= set(ticks)
    assert all(a < b for a, b in itertools.pairwise(chosen))


@given(st.integers(1, 500), st.integers(1, 500), st.integers(1, 4000), st.integers(-100, 100))
def test_by_count_gaps_differ_by_a_frame_at_most_at_a_constant_rate(
    frames: int, count: int, period: int, start: int
) -> None:
    chosen = evenly_spaced([start + period * i for i in range(frames)], count)
    gaps = {(b - a) // period for a, b in itertools.pairwise(chosen)}
    assert not gaps or max(gaps) - min(gaps) <= 1


@given(stamps, st.integers(1, 60))
def test_by_count_each_part_of_the_time_that_has_a_frame_is_seen(ticks: list[int], count: int) -> None:
    chosen = evenly_spaced(ticks, count)
    if count >= len(ticks):
        assert chosen == ticks
        return
    # The k-th choice never lies before its part, unless frames had to be left for the parts after it.
    span = (ticks[-1] - ticks[0]) * len(ticks) // (len(ticks) - 1)
    for part, tick in enumerate(chosen):
        early = tick < ticks[0] + Fraction(part * span, count)
        assert not early or len(ticks) - 1 - ticks.index(tick) == count - 1 - part


def test_by_count_follows_time_where_the_rate_varies() -> None:
    dense, sparse = list(range(0, 1000, 10)), list(range(1000, 3000, 200))
    chosen = evenly_spaced(dense + sparse, 3)
    # Thirds of 2,825 ms; by number it would be 0, 360, 720 and nothing of the last two seconds.
    assert chosen == [0, 950, 2000]


@given(stamps, st.integers(1, 50), st.data())
def test_what_is_lost_is_replaced_by_what_comes_next(
    ticks: list[int], count: int, data: st.DataObject
) -> None:
    wanted = evenly_spaced(ticks, count)
    left = [tick for tick in ticks if data.draw(st.booleans())]
    selector = FromTicks(wanted)
    chosen = [tick for tick in left if selector.take(tick)]
    assert len(chosen) <= count
    assert set(wanted) & set(left) <= set(chosen)


@given(st.lists(st.none() | st.integers(-(10**6), 10**6), min_size=1, max_size=60), st.none() | st.integers())
def test_the_clock_only_goes_up(found: list[int | None], start: int | None) -> None:
    timestamps = Timestamps(time_base=MS, rate=Fraction(25), start=start)
    ticks = [timestamps.tick(stamp) for stamp in found]
    assert all(a < b for a, b in itertools.pairwise(ticks))
    assert all(timestamps.seconds(tick) >= 0 for tick in ticks)


def test_a_missing_stamp_is_one_frame_on() -> None:
    timestamps = Timestamps(time_base=MS, rate=Fraction(25), start=100)
    assert [timestamps.seconds(timestamps.tick(stamp)) for stamp in (140, None, 200, 90)] == [
        0.04,
        0.08,
        0.1,
        0.14,
    ]


@pytest.mark.parametrize(
    "asked",
    [{"fps": 0.0}, {"fps": -1.0}, {"fps": math.nan}, {"fps": math.inf}, {"count": 0}, {"fps": 2, "count": 3}],
)
def test_what_cannot_be_sampled_is_refused(asked: dict[str, float]) -> None:
    with pytest.raises(InputError):
        Sampling(**asked)
