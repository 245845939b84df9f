"""Pairs of a real face and a forgery of it, as many as are wanted, each a function of its number alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, UInt8
from torch import Tensor

from verovolto.core.errors import InputError
from verovolto.synthesis.pseudo_fakes.corruptions import compress, draw_compression
from verovolto.synthesis.pseudo_fakes.face_pool import FacePool
from verovolto.synthesis.pseudo_fakes.methods import PSEUDO_FAKE_METHODS, make_pseudo_fake

_ORDER = 1  # keeps the generators that order faces apart from those of the pairs themselves


@dataclass(frozen=True, kw_only=True, eq=False)
class PseudoPair:
    """A forgery and its own untouched source, after one and the same compression pipeline.

    Attributes:
        index: of the face in the face pool.
        method: of the forgery, one of `PSEUDO_FAKE_METHODS`.
        real: uint8 `[3, S, S]`.
        fake: uint8 `[3, S, S]`.
        mask: float32 `[S, S]`, 0 to 1: how much of the forgery is new at each place, before compression.
    """

    index: int
    method: str
    real: UInt8[Tensor, "3 s s"]
    fake: UInt8[Tensor, "3 s s"]
    mask: Float[Tensor, "s s"]


def pairs(
    face_pool: FacePool,
    count: int,
    *,
    seed: int,
    methods: Sequence[str] = PSEUDO_FAKE_METHODS,
    start: int = 0,
) -> Iterator[PseudoPair]:
    """Make the pairs `start` to `start + count - 1` of a seed.

    The number n and the seed alone decide pair n, so that processes can share the work, and a stopped one go on.
    Methods come in turn. Faces come in a random order that holds each once before any comes again.

    Args:
        face_pool: real faces.
        count: pairs to make, >= 0.
        seed: of all draws, >= 0.
        methods: of forgery, in turn.
        start: number of the first pair, >= 0.

    Raises:
        InputError: unknown methods, none, or numbers below 0.
    """
    _check(methods, seed=seed, start=start, count=count)
    return (pair(face_pool, n, seed=seed, methods=methods) for n in range(start, start + count))


def pair(
    face_pool: FacePool, number: int, *, seed: int, methods: Sequence[str] = PSEUDO_FAKE_METHODS
) -> PseudoPair:
    """Make one pair of those of a seed.

    Args:
        face_pool: real faces.
        number: of the pair, >= 0.
        seed: as for `pairs`.
        methods: as for `pairs`.
    """
    _check(methods, seed=seed, number=number)
    index, method = drawn_face(face_pool, number, seed=seed), methods[number % len(methods)]
    rng = np.random.default_rng([seed, number])
    parameters = draw_compression(rng, int(face_pool.native[index]), side=face_pool.side)
    fake, mask = make_pseudo_fake(face_pool, index, method, rng)
    return PseudoPair(
        index=index,
        method=method,
        real=compress(face_pool.pixels(index), parameters),
        fake=compress(fake, parameters),
        mask=mask,
    )


def drawn_face(face_pool: FacePool, number: int, *, seed: int) -> int:
    """The face of the pair `number`: its place in the random order of the round it belongs to."""
    turn, place = divmod(number, len(face_pool.targets))
    order = np.random.default_rng([seed, turn, _ORDER]).permutation(len(face_pool.targets))
    return int(face_pool.targets[order[place]])


def _check(methods: Sequence[str], **numbers: int) -> None:
    unknown = [method for method in methods if method not in PSEUDO_FAKE_METHODS]
    if unknown or not methods:
        raise InputError(
            f"there is no kind of forgery {unknown[0]!r}" if unknown else "no kind of forgery is named",
            hint=f"there are: {', '.join(PSEUDO_FAKE_METHODS)}",
        )
    for name, number in numbers.items():
        if number < 0:
            raise InputError(f"the {name} of pairs is {number}", hint="give 0 or more")
