"""Pairs of a real face and a forgery of it, as many as are wanted, each a function of its number alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, UInt8
from torch import Tensor

from verovolto.core.errors import InputError
from verovolto.synthesis.pseudo_fakes.compression_pipeline import compress, draw_compression
from verovolto.synthesis.pseudo_fakes.face_pool import FacePool
from verovolto.synthesis.pseudo_fakes.methods import KINDS, forge_with_mask

_ORDER = 1  # keeps the generators that order faces apart from those of the pairs themselves


@dataclass(frozen=True, kw_only=True, eq=False)
class PseudoPair:
    """A forgery and its own untouched source, after one and the same chain.

    Attributes:
        index: number of the face in the crowd.
        kind: of the forgery, one of `KINDS`.
        real: uint8 `[3, S, S]`.
        fake: uint8 `[3, S, S]`.
        mask: float32 `[S, S]`, 0 to 1: how much of the forgery is new at each place, before the chain.
    """

    index: int
    kind: str
    real: UInt8[Tensor, "3 s s"]
    fake: UInt8[Tensor, "3 s s"]
    mask: Float[Tensor, "s s"]


def pairs(
    face_pool: FacePool, count: int, *, seed: int, kinds: Sequence[str] = KINDS, start: int = 0
) -> Iterator[PseudoPair]:
    """The pairs `start` to `start + count - 1` of a seed.

    The number n and the seed alone decide over pair n, so that processes can share the work, and a stopped one go
    on. Kinds come in turn. Faces come in a random order that holds each once before any comes again.

    Raises `InputError` for unknown kinds, none, or numbers below 0.
    """
    _check(kinds, seed=seed, start=start, count=count)
    return (pair(face_pool, n, seed=seed, kinds=kinds) for n in range(start, start + count))


def pair(face_pool: FacePool, number: int, *, seed: int, kinds: Sequence[str] = KINDS) -> PseudoPair:
    """One pair of those of a seed, by its number; see `pairs`."""
    _check(kinds, seed=seed, number=number)
    index, kind = drawn_face(face_pool, number, seed=seed), kinds[number % len(kinds)]
    rng = np.random.default_rng([seed, number])
    parameters = draw_compression(rng, int(face_pool.native[index]), side=face_pool.side)
    forged, mask = forge_with_mask(face_pool, index, kind, rng)
    return PseudoPair(
        index=index,
        kind=kind,
        real=compress(face_pool.pixels(index), parameters),
        fake=compress(forged, parameters),
        mask=mask,
    )


def drawn_face(face_pool: FacePool, number: int, *, seed: int) -> int:
    """The face of the pair `number`: its place in the random order of the round it belongs to."""
    turn, place = divmod(number, len(face_pool.targets))
    order = np.random.default_rng([seed, turn, _ORDER]).permutation(len(face_pool.targets))
    return int(face_pool.targets[order[place]])


def _check(kinds: Sequence[str], **numbers: int) -> None:
    unknown = [kind for kind in kinds if kind not in KINDS]
    if unknown or not kinds:
        raise InputError(
            f"there is no kind of forgery {unknown[0]!r}" if unknown else "no kind of forgery is named",
            hint=f"there are: {', '.join(KINDS)}",
        )
    for name, number in numbers.items():
        if number < 0:
            raise InputError(f"the {name} of pairs is {number}", hint="give 0 or more")
