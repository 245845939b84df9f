"""Merging p-values: what comes out is one again, whatever the frames have to do with each other."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm

from verovolto.calibration.thresholds import Calibration, needed
from verovolto.core.errors import InputError
from verovolto.scanning.verdict import (
    Rule,
    bonferroni,
    rule_for,
    smallest_p_value,
    track_p_value,
    twice_the_mean,
)

p_values = st.floats(1e-6, 1.0)
several = st.lists(p_values, min_size=1, max_size=60)
scores = st.lists(st.floats(-50, 150), min_size=1, max_size=12)


def calibration(faces: int, videos: int | None = None) -> Calibration:
    """Scores 0 to 99 of so many faces, and of so many videos."""
    return Calibration(
        score="rmse",
        values=np.linspace(0, 99, faces),
        clusters=faces,
        cluster="face",
        videos=None if videos is None else calibration(videos),
    )


@given(several)
def test_twice_the_mean_is_a_p_value(values: list[float]) -> None:
    merged = twice_the_mean(values)
    assert 0 < merged <= 1
    assert merged >= min(values) * (1 - 1e-12), "frames together never say more than the most telling of them"


@given(p_values)
def test_one_p_value_is_left_alone(value: float) -> None:
    assert twice_the_mean([value]) == value


@given(several, st.randoms())
def test_the_order_of_frames_does_not_matter(values: list[float], random: object) -> None:
    shuffled = list(values)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert twice_the_mean(shuffled) == pytest.approx(twice_the_mean(values), rel=1e-12)


@given(several, st.data())
def test_a_larger_p_value_never_makes_the_merged_one_smaller(
    values: list[float], data: st.DataObject
) -> None:
    at = data.draw(st.integers(0, len(values) - 1))
    larger = [*values]
    larger[at] = data.draw(st.floats(values[at], 1.0))
    assert twice_the_mean(larger) >= twice_the_mean(values)


def test_nothing_is_not_merged() -> None:
    with pytest.raises(InputError, match="no p-values"):
        twice_the_mean([])


Draw = Callable[[np.random.Generator, int], np.ndarray]


def _identical(random: np.random.Generator, frames: int) -> np.ndarray:
    return np.repeat(random.random(), frames)


def _independent(random: np.random.Generator, frames: int) -> np.ndarray:
    return random.random(frames)


def _antithetic(random: np.random.Generator, frames: int) -> np.ndarray:
    u = random.random()
    return np.array([u if i % 2 else 1 - u for i in range(frames)])


def _alike(random: np.random.Generator, frames: int) -> np.ndarray:
    """Gaussian, correlated by 0.9: as the frames of one person are."""
    common, own = random.standard_normal(), random.standard_normal(frames)
    return np.asarray(norm.cdf(math.sqrt(0.9) * common + math.sqrt(0.1) * own))


def _walking(random: np.random.Generator, frames: int) -> np.ndarray:
    """Frames like their neighbours: a walk on the circle, each step uniform on it."""
    return np.asarray((random.random() + np.cumsum(random.normal(0, 0.05, frames))) % 1.0)


def _worst(random: np.random.Generator, frames: int) -> np.ndarray:
    """Uniform each, and their mean is exactly half of 0.1 with probability 0.1: no factor below two would do."""
    u = random.random()
    if random.random() >= 0.1:
        return 0.1 + 0.9 * _antithetic(random, frames)
    return np.array([0.1 * u if i % 2 else 0.1 * (1 - u) for i in range(frames)])


@pytest.mark.parametrize("frames", [1, 2, 10])
@pytest.mark.parametrize("draw", [_identical, _independent, _antithetic, _alike, _walking, _worst])
def test_a_real_person_is_below_a_level_no_more_often_than_it_says(draw: Draw, frames: int) -> None:
    random = np.random.default_rng(7)
    trials = 2000
    merged = np.array([twice_the_mean(draw(random, frames).tolist()) for _ in range(trials)])
    for level in (0.01, 0.05, 0.1, 0.3, 0.8):
        allowed = trials * level + 4 * math.sqrt(trials * level * (1 - level))
        assert (merged <= level * (1 + 1e-9)).sum() <= allowed


def test_no_smaller_factor_than_two_would_do() -> None:
    random = np.random.default_rng(7)
    means = np.array([_worst(random, 10).mean() for _ in range(4000)])
    assert (2 * means <= 0.1 + 1e-9).mean() == pytest.approx(0.1, abs=0.02)
    assert (1.5 * means <= 0.075 + 1e-9).mean() > 0.085, "below 0.075 more often than it says"


@given(p_values, st.integers(1, 50), st.integers(1, 50))
def test_bonferroni(value: float, few: int, more: int) -> None:
    adjusted = bonferroni(value, few)
    assert value <= adjusted <= 1 and bonferroni(value, 1) == value
    assert adjusted in (1.0, few * value)
    assert bonferroni(value, few + more) >= adjusted


def test_one_of_several_people_is_below_a_level_no_more_often_than_it_says() -> None:
    random = np.random.default_rng(3)
    trials, level = 2000, 0.1
    for people, draw in itertools.product((2, 7), (_independent, _identical, _antithetic)):
        least = [min(bonferroni(float(p), people) for p in draw(random, people)) for _ in range(trials)]
        assert sum(p <= level for p in least) <= trials * level + 4 * math.sqrt(trials * level * (1 - level))


@given(
    st.integers(1, 100), st.integers(1, 200), st.one_of(st.none(), st.integers(1, 200)), st.floats(0.005, 0.5)
)
def test_videos_judge_where_enough_of_them_were_calibrated_on(
    frames: int, faces: int, videos: int | None, rate: float
) -> None:
    rule = rule_for(frames, calibration(faces, videos), rate)
    if frames == 1:
        assert rule == "one face"
    else:
        assert rule == ("videos" if videos is not None and videos >= needed(rate) else "twice the mean")


@pytest.mark.parametrize(
    ("videos", "rule"), [(None, "twice the mean"), (18, "twice the mean"), (19, "videos")]
)
def test_nineteen_videos_support_one_in_twenty(videos: int | None, rule: Rule) -> None:
    assert rule_for(5, calibration(500, videos), 0.05) == rule
    assert rule_for(1, calibration(500, videos), 0.05) == "one face"


def _rules(known: Calibration, frames: int) -> list[Rule]:
    many: list[Rule] = ["twice the mean", *(["videos"] if known.videos else [])]  # type: ignore[list-item]
    return ["one face"] if frames == 1 else many


@given(scores, st.integers(1, 60), st.one_of(st.none(), st.integers(1, 60)))
def test_the_smallest_p_value_is_never_undercut(
    given_scores: list[float], faces: int, videos: int | None
) -> None:
    known = calibration(faces, videos)
    for rule in _rules(known, len(given_scores)):
        found = track_p_value(
            given_scores, known.p_values(given_scores).tolist(), known, rule, apart=len(given_scores)
        )
        assert smallest_p_value(known, rule) * (1 - 1e-12) <= found <= 1 or found == 1


@given(st.integers(1, 60), st.integers(2, 300), st.one_of(st.none(), st.integers(1, 60)))
def test_the_smallest_p_value_is_reached(frames: int, faces: int, videos: int | None) -> None:
    known = calibration(faces, videos)
    high = [1e6] * frames
    for rule in _rules(known, frames):
        found = track_p_value(high, known.p_values(high).tolist(), known, rule, apart=frames)
        assert found == pytest.approx(smallest_p_value(known, rule), rel=1e-12)


@given(scores.filter(lambda values: len(values) > 1))
def test_videos_judge_the_mean_score(given_scores: list[float]) -> None:
    known = calibration(50, 40)
    assert known.videos is not None
    at_least = sum(value >= np.mean(given_scores) for value in known.videos.values)
    found = track_p_value(given_scores, [1.0] * len(given_scores), known, "videos", apart=1)
    assert found == pytest.approx((1 + at_least) / 41)
