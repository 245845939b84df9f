"""Who is swapped with whom."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from verovolto.core.errors import InputError
from verovolto.synthesis.face_swap import all_others, partners, plan_swaps, shuffled

seeds = st.integers(0, 2**32)


def people(n: int) -> list[str]:
    return [f"p{i}" for i in range(n)]


def photos(n: int) -> dict[str, list[str]]:
    return {person: [f"{person}-{i}" for i in range(3)] for person in people(n)}


@given(st.integers(2, 12), seeds)
def test_every_photograph_gets_one_donor_who_is_someone_else(n: int, seed: int) -> None:
    swaps = plan_swaps(photos(n), all_others(people(n)), seed=seed)
    assert [swap.target for swap in swaps] == [name for names in photos(n).values() for name in names]
    for swap in swaps:
        assert swap.target_identity != swap.donor_identity
        assert swap.target in photos(n)[swap.target_identity]
        assert swap.donor in photos(n)[swap.donor_identity]


@given(st.integers(2, 13))
def test_partners_form_small_closed_rings(n: int) -> None:
    lends = partners(people(n))
    assert set(lends) == set(people(n))
    for person in people(n):
        ring = [person]
        while lends[ring[-1]][0] != person:
            ring.append(lends[ring[-1]][0])
        assert 2 <= len(ring) <= 3


@given(seeds)
def test_plans_repeat_with_the_seed(seed: int) -> None:
    names = people(20)
    assert shuffled(names, seed) == shuffled(names[::-1], seed)
    assert sorted(shuffled(names, seed)) == sorted(names)
    plan = plan_swaps(photos(5), all_others(people(5)), seed=seed)
    assert plan == plan_swaps(photos(5), all_others(people(5)), seed=seed)


def test_other_seeds_give_other_plans() -> None:
    assert shuffled(people(20), 0) != shuffled(people(20), 1)
    assert plan_swaps(photos(5), all_others(people(5)), seed=0) != plan_swaps(
        photos(5), all_others(people(5)), seed=1
    )


def test_one_person_cannot_be_swapped() -> None:
    with pytest.raises(InputError, match="nobody else"):
        plan_swaps(photos(1), all_others(people(1)), seed=0)
    with pytest.raises(InputError, match="nobody else"):
        plan_swaps(photos(2), {"p0": ["p0"], "p1": ["p0"]}, seed=0)
    with pytest.raises(InputError, match="two people"):
        partners(people(1))
