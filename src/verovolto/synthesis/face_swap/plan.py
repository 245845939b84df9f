"""Who is swapped with whom: pure functions of names and a seed."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from verovolto.core.errors import InputError


@dataclass(frozen=True, kw_only=True, order=True)
class Swap:
    """One forgery to make: the face of photograph `donor` goes into photograph `target`."""

    target: str
    donor: str
    target_identity: str
    donor_identity: str


def shuffled(names: Sequence[str], seed: int) -> list[str]:
    """The names in an order that depends on their set and `seed` alone, alike in every Python version."""
    source = random.Random(seed)  # .random() is promised to be reproducible, .shuffle() is not
    return [name for _, name in sorted((source.random(), name) for name in sorted(names))]


def all_others(people: Sequence[str]) -> dict[str, list[str]]:
    """Everybody may lend a face to everybody else."""
    return {person: [other for other in people if other != person] for person in people}


def partners(people: Sequence[str]) -> dict[str, list[str]]:
    """Swaps within couples of neighbours in the list only; of an odd number the last three swap in a ring.

    A fake belongs to two people, so swaps between all of a group would tie all of it together; couples can
    still be divided, for instance into faces to choose a model on and faces to calibrate it on.
    """
    if len(people) < 2:
        raise InputError(f"a swap needs two people, not {len(people)}")
    couples = [list(people[i : i + 2]) for i in range(0, len(people) - len(people) % 2, 2)]
    if len(people) % 2:
        couples[-1].append(people[-1])
    return {one: [ring[(i + 1) % len(ring)]] for ring in couples for i, one in enumerate(ring)}


def plan_swaps(
    photos: Mapping[str, Sequence[str]], donors: Mapping[str, Sequence[str]], *, seed: int
) -> list[Swap]:
    """One swap for every photograph: a donor and one of their photographs, drawn by `seed`.

    Args:
        photos: person -> names of their photographs.
        donors: person -> the people who may lend them a face, never themselves.
        seed: of the draw; the plan depends on nothing else.

    Returns:
        Swaps in the order of `photos`.

    Raises:
        InputError: a person has no donor with a photograph, or would be their own.
    """
    source = random.Random(seed)
    swaps = []
    for person, own in photos.items():
        lenders = [other for other in donors.get(person, []) if photos.get(other)]
        if not lenders or person in lenders:
            raise InputError(f"nobody else can lend {person} a face", hint="give photographs of more people")
        for target in own:
            lender = lenders[int(source.random() * len(lenders))]
            donor = photos[lender][int(source.random() * len(photos[lender]))]
            swaps.append(Swap(target=target, donor=donor, target_identity=person, donor_identity=lender))
    return swaps
