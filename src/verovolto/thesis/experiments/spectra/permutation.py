"""Permutation tests that never break up a cluster, of several figures of the same faces at once.

Faces of one person, or frames of one video, are not independent: exchanging them one by one would take what differs
between persons for what differs between classes. Where fakes have their real counterparts, the differences within
pairs change their sign, all those of a cluster together (`sign_flips`); elsewhere whole clusters of one class exchange
their labels, and clusters of both swap them (`label_swaps`). The statistic is a t whose standard error is that of
clusters, so that it stays valid where one class varies more (Chung & Romano, Ann. Statist. 41, 2013). `corrected` gives
p-values that hold for all figures together and knows how they correlate (Westfall & Young, Resampling-Based Multiple
Testing, 1993, algorithm 2.8, with t for p: Ge, Dudoit & Speed, Test 12, 2003, box 2).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from verovolto.evaluation.metrics import divide

# Equal statistics may differ by rounding: a permutation that is the data itself has to count.
_SLACK = 1e-9
_CHUNK = 2_000_000


@dataclass(frozen=True, kw_only=True)
class Differences:
    """Sums of the differences within pairs, a row a cluster, `[C, K]`, and how many faces are in them."""

    sums: np.ndarray
    faces: int


def pair_differences(
    values: np.ndarray, fake: np.ndarray, cluster_of: np.ndarray, pairs: np.ndarray | None
) -> Differences | None:
    """Each fake minus the mean of its counterparts, by cluster; None when less than half of the fakes have one.

    Clusters that a pair ties together count as one.

    Args:
        values: figures of the faces `[n, K]`.
        fake: which of them are fakes `[n]`.
        cluster_of: the number of each face's cluster `[n]`.
        pairs: a key each `[n]`, None where there is no pair; None where there are no pairs at all.
    """
    if pairs is None:
        return None
    keyed = np.flatnonzero([key is not None for key in pairs])
    _, key = np.unique(np.asarray(pairs[keyed], dtype=str), return_inverse=True)
    size = int(key.max()) + 1 if len(keyed) else 0
    of_fake, of_real = keyed[fake[keyed]], keyed[~fake[keyed]]
    key_fake, key_real = key[fake[keyed]], key[~fake[keyed]]
    real_sums, real_count = _sums(values[of_real], key_real, size)
    matched = real_count[key_fake] > 0
    of_fake, key_fake = of_fake[matched], key_fake[matched]
    if len(of_fake) < fake.sum() / 2:
        return None
    differences = values[of_fake] - real_sums[key_fake] / real_count[key_fake, None]
    used = np.isin(key_real, key_fake)
    cluster = _tied(cluster_of, np.r_[of_fake, of_real[used]], np.r_[key_fake, key_real[used]])[of_fake]
    sums, _ = _sums(differences, np.unique(cluster, return_inverse=True)[1], len(np.unique(cluster)))
    return Differences(sums=sums, faces=len(of_fake) + int(used.sum()))


@dataclass(frozen=True, kw_only=True)
class Parts:
    """Sums `[C, K]` (of centred figures) and numbers `[C]` of the fakes and of the reals of each cluster."""

    fakes: np.ndarray
    reals: np.ndarray
    fake_count: np.ndarray
    real_count: np.ndarray

    @staticmethod
    def of(values: np.ndarray, fake: np.ndarray, cluster_of: np.ndarray) -> Parts:
        """From `values` `[n, K]`, `fake` `[n]` boolean and the number of each face's cluster, `[n]`."""
        centred = values - values.mean(axis=0)
        _, cluster = np.unique(cluster_of, return_inverse=True)
        (fakes, fake_count), (reals, real_count) = (
            _sums(centred[of], cluster[of], int(cluster.max()) + 1) for of in (fake, ~fake)
        )
        return Parts(fakes=fakes, reals=reals, fake_count=fake_count, real_count=real_count)


def sign_flips(
    sums: np.ndarray, permutations: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """|t| of cluster sums of differences `[C, K]`, `[K]`, and under random signs of whole clusters, `[R, K]`.

    `t = sum / sqrt(sum of squares)`, whose denominator no sign changes. Exact where a cluster's difference is as
    likely as its negative.
    """
    scale = np.sqrt(np.square(sums).sum(axis=0))
    signs = rng.integers(0, 2, (permutations, len(sums))) * 2.0 - 1.0
    observed, drawn = (
        np.nan_to_num(divide(np.abs(part), scale)) for part in (sums.sum(axis=0), signs @ sums)
    )
    return observed, drawn


def label_swaps(parts: Parts, permutations: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """|t| of the difference of class means `[K]`, and under exchanged labels `[R, K]`, clusters kept whole.

    Clusters of both classes swap their labels at random; labels of clusters of one class are dealt out anew. Exact
    where clusters are exchangeable, and approximately so where their sizes or spreads differ.
    """
    both = (parts.fake_count > 0) & (parts.real_count > 0)
    is_fake = (parts.fake_count > 0) & ~both
    swapped = rng.integers(0, 2, (permutations, len(both))).astype(bool)
    dealt = rng.permuted(np.tile(is_fake[~both], (permutations, 1)), axis=1)
    swapped[:, ~both] = dealt != is_fake[~both]
    observed = _studentised(parts, np.zeros((1, len(both)), dtype=bool))[0]
    step = max(1, _CHUNK // parts.fakes.size)
    drawn = [_studentised(parts, swapped[i : i + step]) for i in range(0, permutations, step)]
    return observed, np.concatenate(drawn)


def corrected(observed: np.ndarray, drawn: np.ndarray) -> np.ndarray:
    """Corrected p-values `[K]` from statistics `[K]` and their permutations `[R, K]` (large = telling).

    The band with the largest statistic is set against the largest of all bands in each permutation, the next against
    the largest of the rest, and so on; p never falls along that order. `p = (1 + #{permuted >= observed}) / (R + 1)`.
    """
    order = np.argsort(-observed, kind="stable")
    largest = np.maximum.accumulate(drawn[:, order[::-1]], axis=1)[:, ::-1]
    reached = (largest >= observed[order] * (1 - _SLACK)).sum(axis=0)
    p = np.empty(len(observed))
    p[order] = np.maximum.accumulate((1 + reached) / (len(drawn) + 1))
    return p


def _studentised(parts: Parts, swapped: np.ndarray) -> np.ndarray:
    """|difference of class means| over its standard error by clusters, `[R, K]`, with clusters swapped `[R, C]`."""
    swap = swapped[..., None]
    fakes, reals = np.where(swap, parts.reals, parts.fakes), np.where(swap, parts.fakes, parts.reals)
    n_fake = np.where(swapped, parts.real_count, parts.fake_count)[..., None]
    n_real = np.where(swapped, parts.fake_count, parts.real_count)[..., None]
    total_fake, total_real = n_fake.sum(axis=1, keepdims=True), n_real.sum(axis=1, keepdims=True)
    mean_fake = divide(fakes.sum(axis=1, keepdims=True), total_fake)
    mean_real = divide(reals.sum(axis=1, keepdims=True), total_real)
    # What each cluster contributes to the difference beyond the means: its influence.
    of_fakes, of_reals = fakes - n_fake * mean_fake, reals - n_real * mean_real
    influence = divide(of_fakes, total_fake) - divide(of_reals, total_real)
    error = np.sqrt(np.square(influence).sum(axis=1))
    return np.asarray(np.nan_to_num(divide(np.abs(mean_fake - mean_real)[:, 0], error)))


def _tied(cluster_of: np.ndarray, rows: np.ndarray, keys: np.ndarray) -> np.ndarray:
    """Clusters `[n]` with those joined into one that share a key; `keys` are of the faces at `rows`."""
    clusters = int(cluster_of.max()) + 1
    nodes = clusters + int(keys.max()) + 1
    links = coo_array((np.ones(len(rows)), (cluster_of[rows], clusters + keys)), shape=(nodes, nodes))
    _, component = connected_components(links, directed=False)
    return np.asarray(component[cluster_of])


def _sums(values: np.ndarray, group: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Sums `[size, K]` and numbers `[size]` of the rows of each group."""
    sums = np.zeros((size, values.shape[1]))
    np.add.at(sums, group, values)
    return sums, np.bincount(group, minlength=size).astype(np.float64)
