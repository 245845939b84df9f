"""Likelihood ratios: what shares make of them, never beyond what so many people support, and what they cost."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from verovolto.calibration.likelihood_ratio import LikelihoodRatio, of_faces, of_others, of_suspects
from verovolto.calibration.thresholds import Calibration
from verovolto.evaluation.evaluate import cllr_statistics, least_cllr


def known(fakes: list[float], *, faces: int = 199, people: int = 199) -> Calibration:
    by_method = {"a": fakes[::2], "b": fakes[1::2]}
    values = np.arange(faces, dtype=float)
    return Calibration.of(values, score="s", clusters=people, cluster="identity", fakes=by_method)


def test_the_ratio_of_shares() -> None:
    calibration = known([198.5] * 30 + [10.0] * 70)
    suspect = of_suspects(calibration, 0.05)
    other = of_others(calibration, 0.05)
    assert suspect is not None and other is not None
    assert suspect.value == pytest.approx(30.5 / 101 / 0.05) and suspect.known == 100
    assert other.value == pytest.approx(70.5 / 101 / 0.95)
    assert suspect.low < suspect.value < suspect.high
    assert suspect.words == "weak support for a forgery" and other.words == "no support for either"


def test_without_fakes_there_is_none() -> None:
    calibration = Calibration.of([1.0, 2.0], score="s", clusters=2, cluster="face")
    assert of_suspects(calibration, 0.5) is None and of_others(calibration, 0.5) is None
    assert of_faces(calibration, np.array([1.0]), 0.5) is None


@given(
    p_value=st.floats(1e-6, 1.0), people=st.integers(1, 300), tests=st.integers(1, 20),
    fakes=st.lists(st.floats(-10, 300), min_size=1, max_size=30),
)  # fmt: skip
def test_never_beyond_what_so_many_people_support(
    p_value: float, people: int, tests: int, fakes: list[float]
) -> None:
    calibration = known(fakes, people=people)
    ratio = of_suspects(calibration, p_value, tests)
    assert ratio is not None
    assert 0 < ratio.low <= ratio.value <= ratio.high
    assert ratio.value <= min(people, 199) + 1
    several = of_suspects(calibration, p_value, tests + 1)
    assert (
        several is not None and several.value <= ratio.value
    )  # of more people one is sooner suspect by chance
    assert LikelihoodRatio.from_dict(ratio.to_dict()).words == ratio.words


@pytest.mark.parametrize(
    ("value", "low", "high", "words"),
    [
        (1.5, 0.9, 2.5, "no support for either"),
        (4.8, 2.1, 12.0, "weak support for a forgery"),
        (4.8, 1.4, 17.0, "weak support for a forgery at most"),
        (20.0, 4.0, 90.0, "moderate support for a forgery at most"),
        (0.2, 0.1, 0.4, "weak support against a forgery"),
        (0.2, 0.03, 1.2, "weak support against a forgery at most"),
        (500.0, 200.0, 900.0, "moderately strong support for a forgery"),
    ],
)
def test_in_words(value: float, low: float, high: float, words: str) -> None:
    ratio = LikelihoodRatio(
        value=value, low=low, high=high, fakes=0.5, reals=0.5, known=9, people=9, people_of_fakes=9
    )
    assert ratio.words == words


def test_what_saying_nothing_costs() -> None:
    fake = np.array([True, True, False])
    [cost] = cllr_statistics(np.ones(3), fake)(np.ones((1, 3)))["cllr"]
    assert cost == pytest.approx(1.0)
    [better] = cllr_statistics(np.array([4.0, 4.0, 0.25]), fake)(np.ones((1, 3)))["cllr"]
    assert better == pytest.approx(np.log2(1.25))
    [worse] = cllr_statistics(np.array([0.25, 0.25, 4.0]), fake)(np.ones((1, 3)))["cllr"]
    assert worse == pytest.approx(np.log2(5))


@given(st.lists(st.tuples(st.integers(0, 9), st.booleans()), min_size=4, max_size=40))
def test_no_rising_function_costs_less(rows: list[tuple[int, bool]]) -> None:
    scores, fake = np.array([float(row[0]) for row in rows]), np.array([row[1] for row in rows])
    if fake.all() or not fake.any():
        return
    least = least_cllr(scores, fake)
    assert -1e-9 <= least <= 1 + 1e-9
    ratios = np.exp(scores - 4.5)
    [cost] = cllr_statistics(ratios, fake)(np.ones((1, len(rows))))["cllr"]
    assert least <= cost + 1e-9


def test_faces_get_the_ratio_of_their_verdict() -> None:
    calibration = known([198.5] * 30 + [10.0] * 70)
    ratios = of_faces(calibration, np.array([10.0, 250.0]), 0.05)
    other, suspect = of_others(calibration, 0.05), of_suspects(calibration, 1 / 200)
    assert ratios is not None and other is not None and suspect is not None
    assert ratios.tolist() == [other.value, suspect.value]


def test_the_interval_counts_the_people_behind_the_fakes_and_behind_the_worst_source() -> None:
    """Four hundred faces of many people, and fifty of three, two of which are those that score highest."""
    many, few = np.arange(400.0), np.r_[np.arange(48.0), 500.0, 501.0]
    calibration = replace(
        Calibration.of(
            np.r_[many, few], score="s", clusters=403, cluster="identity", fakes={"a": [600.0] * 90 + [1.0] * 10},
            sources={"many": many, "few": few},
        ),
        source_clusters={"many": 400, "few": 3},
        fake_clusters=10,
    )  # fmt: skip
    usual, rare = of_suspects(calibration, 0.3), of_suspects(calibration, 0.04)
    assert usual is not None and (usual.people, usual.people_of_fakes) == (400, 10)
    assert rare is not None and rare.people == 3 and rare.reals == pytest.approx(1 / 4)
    independent = of_suspects(replace(calibration, fake_clusters=None), 0.3)
    assert independent is not None and independent.low > usual.low and independent.high < usual.high
