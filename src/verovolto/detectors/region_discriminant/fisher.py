"""Fisher's linear discriminant between real faces and forgeries made of them. Pure functions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from verovolto.core.errors import InputError

Floats = NDArray[np.float32]
SHRINKAGE = 3.0
"""Default of `fisher`: a standardised column of real faces has variance 1."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Discriminant:
    """`score = (x - origin) @ slope`, of mean 0 and standard deviation 1 on the real faces it was fitted on.

    `slope`, `origin`: float32 `[D]`.
    """

    slope: Floats
    origin: Floats


def fisher(
    reals: Floats,
    differences: Floats,
    kinds: Sequence[str],
    corrupted: Floats,
    *,
    sources: Sequence[str] | NDArray[Any] = (),
    shrinkage: float = SHRINKAGE,
    wear: float = 1.0,
    source_weight: float = 1.0,
) -> Discriminant:
    """Direction in which forging moves a face, measured against how real faces differ anyhow.

    With columns standardised on `reals`: `w = (S + shrinkage I)^-1 b` (Fisher, Annals of Eugenics 7, 1936; shrunk as
    in Friedman, J. Am. Stat. Assoc. 84, 1989). `b` is the mean over kinds of forgery of the mean difference between a
    forgery and its own source, so that a person's looks cancel and no kind counts for more than another. `S` is the sum
    of two second moments: of the reals and of what is left of the differences once their kind's mean is taken away (how
    people differ, and how forgeries of a kind do); and of what wear does to a real face, mean and all, since nothing of
    it is a sign of forgery. Where the reals come from several sources (collections), each has the same weight in all
    this, whatever its number, and what leads from one source to another is no sign of forgery either: the distances of
    the sources' means from the mean of all are added to `S`.

    Args:
        reals: features of untouched real faces `[n, D]`.
        differences: features of forgeries minus those of their sources after the same chain `[m, D]`.
        kinds: of each difference, `[m]`.
        corrupted: features of corrupted real faces minus those of the same untouched `[k, D]` (see
            `synthesis.pseudo_fakes.pairs`).
        sources: the collection of each real, `[n]`; empty where all are of one.
        wear: how much of what wear does is counted, 0 or more; at 0 nothing.
        source_weight: how much of what leads from source to source is counted, 0 or more; at 0 nothing.
        shrinkage: above 0; the larger, the less a direction along which reals hardly differ is trusted.

    Raises:
        InputError: fewer than two reals, no difference, shapes that do not fit, or a shrinkage not above 0.
    """
    _check(reals, differences, corrupted, kinds, shrinkage, wear)
    sources = sources if len(sources) else [""] * len(reals)
    weights, shift = source_weights(sources), _shifts(reals, sources)
    origin, scale = _moments(reals, weights)
    standard = (reals - origin) / scale
    moves, names = differences / scale, np.asarray(kinds)
    means = {kind: moves[names == kind].mean(0) for kind in dict.fromkeys(kinds)}
    target = np.mean(list(means.values()), axis=0)
    spread = moves - np.stack([means[kind] for kind in kinds])
    # Every second one, as many as there are untouched reals at most: pairs are to tell how kinds spread, not to rule.
    people = np.concatenate([standard * np.sqrt(weights)[:, None], spread[::2][: len(standard)]])
    rows = np.concatenate(
        [
            people / np.sqrt(len(people)),
            corrupted / scale * np.sqrt(wear / len(corrupted)),
            shift / scale * np.sqrt(source_weight / max(len(shift), 1)),
        ]
    )
    direction = _solve(rows, target, shrinkage)
    slope = direction / scale / max(float((standard @ direction).std()), 1e-12)
    return Discriminant(slope=slope.astype(np.float32), origin=origin.astype(np.float32))


def source_weights(sources: Sequence[str] | NDArray[Any]) -> NDArray[np.float32]:
    """Weights of faces, `[n]` of mean 1, that give all the sources they are of the same."""
    names, of_row, counts = np.unique(np.asarray(sources), return_inverse=True, return_counts=True)
    return np.asarray(len(of_row) / (len(names) * counts[of_row]), dtype=np.float32)


def _shifts(reals: Floats, sources: Sequence[str] | NDArray[Any]) -> Floats:
    """Each source's mean from that of all, `[k, D]`; of one source nothing."""
    names, of_row = np.unique(np.asarray(sources), return_inverse=True)
    if len(names) == 1:
        return np.zeros((0, reals.shape[1]), dtype=np.float32)
    means = np.stack([reals[of_row == number].mean(0) for number in range(len(names))])
    return np.asarray(means - means.mean(0), dtype=np.float32)


def _moments(reals: Floats, weights: NDArray[np.float32]) -> tuple[Floats, Floats]:
    """Weighted mean and standard deviation of each column; the latter a little above 0."""
    if (weights == 1).all():  # to the last digit what the plain ones are
        return reals.mean(0), reals.std(0) + np.float32(1e-3)
    mean = np.average(reals, axis=0, weights=weights)
    spread = np.sqrt(np.average((reals - mean) ** 2, axis=0, weights=weights)) + 1e-3
    return mean.astype(np.float32), spread.astype(np.float32)


def _solve(rows: NDArray[np.floating], target: NDArray[np.floating], shrinkage: float) -> NDArray[np.float64]:
    """`(rows^T rows + shrinkage I)^-1 target`, through the smaller of the two matrices."""
    count, width = rows.shape
    rows64, target64 = rows.astype(np.float64), target.astype(np.float64)
    if count < width:  # Woodbury: an n x n system instead of D x D
        gram = rows64 @ rows64.T + shrinkage * np.eye(count)
        inner = np.linalg.solve(gram, rows64 @ target64)
        return np.asarray((target64 - rows64.T @ inner) / shrinkage)
    moment = rows64.T @ rows64 + shrinkage * np.eye(width)
    return np.asarray(np.linalg.solve(moment, target64))


def _check(
    reals: Floats, differences: Floats, corrupted: Floats, kinds: Sequence[str], shrinkage: float, wear: float
) -> None:
    if reals.ndim != 2 or len(reals) < 2:
        raise InputError("a discriminant needs two real faces or more", hint="give more faces to train on")
    for name, given in (("differences", differences), ("corrupted faces", corrupted)):
        if given.ndim != 2 or not len(given) or given.shape[1] != reals.shape[1]:
            raise InputError(f"{name} of shape {given.shape} do not fit reals of shape {reals.shape}")
    if len(kinds) != len(differences):
        raise InputError(f"{len(differences)} differences cannot be of {len(kinds)} kinds")
    if not shrinkage > 0:
        raise InputError(f"the shrinkage is {shrinkage}", hint="give a number above 0")
    if not wear >= 0:
        raise InputError(f"the weight of wear is {wear}", hint="give 0 or more")
