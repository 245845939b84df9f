"""Fisher's discriminant against its definition, and what it must see and must not."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from verovolto.core.errors import InputError
from verovolto.detectors.region_discriminant.fisher import _solve, fisher


def unworn(width: int) -> np.ndarray:
    """Wear that changes nothing."""
    return np.zeros((1, width), dtype=np.float32)


def drawn(seed: int, count: int, width: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(count, width)).astype(np.float32)


@given(
    seed=st.integers(0, 1000),
    count=st.integers(2, 30),
    width=st.integers(2, 30),
    shrinkage=st.floats(0.1, 10),
)
def test_both_ways_of_solving_are_the_definition(seed: int, count: int, width: int, shrinkage: float) -> None:
    rows, target = drawn(seed, count, width), drawn(seed + 1, 1, width)[0]
    moment = rows.T.astype(np.float64) @ rows + shrinkage * np.eye(width)
    np.testing.assert_allclose(moment @ _solve(rows, target, shrinkage), target, rtol=1e-3, atol=1e-4)


def test_it_finds_the_direction_that_forging_moves_faces_in() -> None:
    reals = drawn(0, 400, 20)
    moved = drawn(1, 60, 20) * 0.1
    moved[:, 3] += 1
    found = fisher(reals, moved, ["swap"] * 60, unworn(20))
    assert int(np.abs(found.slope).argmax()) == 3 and found.slope[3] > 0
    scores = (reals - found.origin) @ found.slope
    assert abs(scores.mean()) < 1e-3 and abs(scores.std() - 1) < 1e-3


def test_a_direction_in_which_people_differ_counts_less() -> None:
    # Two columns move together under forging; along their sum people differ a lot, along their difference hardly.
    random = np.random.default_rng(0)
    shared = random.normal(size=(500, 1)) * 3
    reals = np.concatenate([shared, shared], 1) + random.normal(size=(500, 2)) * 0.3
    moved = np.tile([[1.0, 0.5]], (20, 1)) + random.normal(size=(20, 2)) * 0.01
    found = fisher(
        reals.astype(np.float32), moved.astype(np.float32), ["swap"] * 20, unworn(2), shrinkage=0.01
    )
    assert found.slope[0] > 0 > found.slope[1], "it looks at how the columns differ"


def test_kinds_count_alike_however_many_there_are_of_each() -> None:
    reals = drawn(0, 300, 6)
    one, other = np.eye(6, dtype=np.float32)[[0]], np.eye(6, dtype=np.float32)[[1]]
    few = fisher(
        reals, np.concatenate([one.repeat(2, 0), other.repeat(2, 0)]), ["a"] * 2 + ["b"] * 2, unworn(6)
    )
    many = fisher(
        reals, np.concatenate([one.repeat(200, 0), other.repeat(2, 0)]), ["a"] * 200 + ["b"] * 2, unworn(6)
    )
    assert abs(few.slope[0] / few.slope[1] - many.slope[0] / many.slope[1]) < 0.05


def test_what_wear_does_to_a_face_is_no_sign_of_forgery() -> None:
    reals = drawn(0, 300, 6)
    moved = np.tile(np.array([[1, 1, 0, 0, 0, 0]], np.float32), (30, 1))
    wear = np.tile(np.array([[3, 0, 0, 0, 0, 0]], np.float32), (50, 1))
    blind = fisher(reals, moved, ["swap"] * 30, unworn(6))
    taught = fisher(reals, moved, ["swap"] * 30, wear)
    assert abs(blind.slope[0] / blind.slope[1] - 1) < 0.3
    assert abs(taught.slope[0]) < 0.4 * taught.slope[1], "a mean shift by wear counts, not only its spread"
    careless = fisher(reals, moved, ["swap"] * 30, wear, wear=0.0)
    np.testing.assert_allclose(careless.slope, blind.slope, rtol=1e-4)


def test_wear_of_another_width_is_refused() -> None:
    with pytest.raises(InputError, match="corrupted faces of shape"):
        fisher(drawn(0, 5, 3), drawn(0, 2, 3), ["a", "a"], drawn(0, 2, 4))


@pytest.mark.parametrize(
    ("reals", "differences", "kinds", "shrinkage"),
    [
        (drawn(0, 1, 3), drawn(0, 2, 3), ["a", "a"], 1.0),
        (drawn(0, 5, 3), drawn(0, 2, 4), ["a", "a"], 1.0),
        (drawn(0, 5, 3), drawn(0, 0, 3), [], 1.0),
        (drawn(0, 5, 3), drawn(0, 2, 3), ["a"], 1.0),
        (drawn(0, 5, 3), drawn(0, 2, 3), ["a", "a"], 0.0),
    ],
)
def test_what_cannot_be_fitted_is_refused(
    reals: np.ndarray, differences: np.ndarray, kinds: list[str], shrinkage: float
) -> None:
    with pytest.raises(InputError):
        fisher(reals, differences, kinds, unworn(3), shrinkage=shrinkage)


class TestSources:
    """Reals of several collections."""

    def made(self, n: int = 40) -> tuple[np.ndarray, list[str], np.ndarray, np.ndarray]:
        random = np.random.default_rng(0)
        reals = random.normal(size=(n, 6)).astype(np.float32)
        sources = ["a"] * (n // 2) + ["b"] * (n // 2)
        reals[n // 2 :, 0] += 5  # one column tells the sources apart
        moves = (random.normal(size=(30, 6)) * 0.3 + [3, 3, 0, 0, 0, 0]).astype(np.float32)
        corrupted = (random.normal(size=(20, 6)) * 0.1).astype(np.float32)
        return reals, sources, moves, corrupted

    def test_what_tells_sources_apart_weighs_less(self) -> None:
        reals, sources, moves, corrupted = self.made()
        with_sources = fisher(reals, moves, ["k"] * 30, corrupted, sources=sources, source_weight=10.0).slope
        without = fisher(reals, moves, ["k"] * 30, corrupted, sources=sources, source_weight=0.0).slope
        assert abs(with_sources[0] / with_sources[1]) < 0.5 * abs(without[0] / without[1])

    def test_a_source_counts_the_same_whatever_its_number(self) -> None:
        reals, sources, moves, corrupted = self.made()
        thrice = np.concatenate([reals, reals[20:], reals[20:]])
        once = fisher(reals, moves, ["k"] * 30, corrupted, sources=sources)
        more = fisher(thrice, moves, ["k"] * 30, corrupted, sources=[*sources, *["b"] * 40])
        np.testing.assert_allclose(more.origin, once.origin, rtol=1e-4, atol=1e-4)
        direction = [each.slope / np.linalg.norm(each.slope) for each in (once, more)]
        assert direction[0] @ direction[1] > 0.99

    def test_one_source_is_as_none(self) -> None:
        reals, _, moves, corrupted = self.made()
        one = fisher(reals, moves, ["k"] * 30, corrupted, sources=["a"] * 40)
        none = fisher(reals, moves, ["k"] * 30, corrupted)
        assert (one.slope == none.slope).all() and (one.origin == none.origin).all()
