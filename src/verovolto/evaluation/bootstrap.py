"""Intervals: percentile bootstrap over clusters.

Faces of one person, or frames of one video, are not independent: resampling them one by one would give
intervals that are far too narrow. Whole clusters are drawn with replacement (Davison & Hinkley, Bootstrap
Methods and their Application, 1997, sec. 3.8), so a face's weight is how often its cluster was drawn.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np

from verovolto.core.parallel import cores
from verovolto.data.splits import numbered

LEVEL = 0.95
UNDEFINED = 0.5
"""An interval is not shown when the figure is undefined in more than this share of the resamples."""
_CHUNK = 1 << 17
_TRIES = 100

Statistics = Callable[[np.ndarray], dict[str, np.ndarray]]


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A figure with its interval; None stands for an undefined value and for an interval not shown."""

    value: float | None
    low: float | None = None
    high: float | None = None

    def to_dict(self) -> dict[str, float | None]:
        """`{"value", "low", "high"}`, as `metrics.json` holds it."""
        return {"value": self.value, "low": self.low, "high": self.high}


@dataclass(frozen=True, kw_only=True)
class Resamples:
    """How often each cluster is drawn in each resample.

    Attributes:
        counts: `[R, C]`, whole numbers of the smallest type that holds them: most are a byte.
        cluster_of: `[n]`, number of each face's cluster.
        kind: Kind of the clusters.
        seed: Seed of the draw.
        redrawn: Number of resamples that held only one class and were drawn again; when that goes on for `_TRIES`
            rounds (a class lives in very few clusters), R shrinks to those that succeeded.
    """

    counts: np.ndarray
    cluster_of: np.ndarray
    kind: str
    seed: int
    redrawn: int

    @property
    def clusters(self) -> int:
        """Number of clusters."""
        return int(self.counts.shape[1])

    def weights(self, rows: np.ndarray | None = None) -> Iterator[np.ndarray]:
        """Weights `[r, n]` (float64) of the faces, or of those at `rows`, in chunks that fit in memory."""
        yield from map(*self._weigh(rows))

    def each(self, statistics: Statistics, rows: np.ndarray | None = None) -> list[dict[str, np.ndarray]]:
        """The statistics of these faces in all resamples, a chunk of them after another; computed by all cores."""
        weights, parts = self._weigh(rows)
        with ThreadPoolExecutor(cores()) as pool:  # NumPy lets other threads run while it computes
            return list(pool.map(lambda part: statistics(weights(part)), parts))

    def _weigh(self, rows: np.ndarray | None) -> tuple[Callable[[slice], np.ndarray], Iterator[slice]]:
        cluster_of = self.cluster_of if rows is None else self.cluster_of[rows]

        def weights(part: slice) -> np.ndarray:
            return self.counts[part].take(cluster_of, axis=1).astype(np.float64)

        return weights, _parts(len(self.counts), len(cluster_of))

    def metadata(self) -> dict[str, Any]:
        """How the intervals were made, as `metrics.json` holds it."""
        return {
            "level": LEVEL,
            "method": "percentile bootstrap over clusters",
            "cluster": self.kind,
            "clusters": self.clusters,
            "resamples": len(self.counts),
            "redrawn": self.redrawn,
            "seed": self.seed,
        }


def draw_resamples(
    clusters: np.ndarray, fake: np.ndarray, *, kind: str, resamples: int, seed: int
) -> Resamples:
    """Draw bootstrap resamples of clusters; those without both classes are drawn again and counted.

    A function of its arguments alone: clusters are numbered in sorted order of their names.

    Args:
        clusters: `[n]`, name of each face's cluster.
        fake: Boolean `[n]`.
        kind: Kind of the clusters.
        resamples: Number of resamples.
        seed: Seed of the draw.

    >>> fake = np.array([False, True, False, True])
    >>> resamples = draw_resamples(np.array(["ann", "ann", "bob", "bob"]), fake, kind="identity", resamples=30, seed=0)
    >>> with_intervals(lambda weights: {"share of fakes": weights @ fake / weights.sum(axis=1)}, resamples)
    {'share of fakes': Estimate(value=0.5, low=0.5, high=0.5)}
    """
    names, cluster_of = numbered(np.asarray(clusters, dtype=str))
    size = len(names)
    has_fake = np.bincount(cluster_of, weights=fake, minlength=size) > 0
    has_real = np.bincount(cluster_of, weights=~fake, minlength=size) > 0
    rng = np.random.default_rng(seed)
    kept: list[np.ndarray] = []
    missing, redrawn = resamples, 0
    for _ in range(_TRIES):
        if missing <= 0 or size < 2:
            break
        lacking = 0
        for part in _parts(missing, size):
            drawn = rng.multinomial(size, np.full(size, 1 / size), size=part.stop - part.start)
            both = (drawn @ has_fake > 0) & (drawn @ has_real > 0)
            kept.append(drawn[both].astype(np.min_scalar_type(drawn.max())))
            lacking += int((~both).sum())
        missing = lacking
        redrawn += missing
    counts = np.concatenate(kept) if kept else np.zeros((0, size), dtype=np.int32)
    return Resamples(counts=counts, cluster_of=cluster_of, kind=kind, seed=seed, redrawn=redrawn)


def _parts(resamples: int, columns: int) -> Iterator[slice]:
    """The resamples in parts of few numbers `[r, columns]`: they stay in the processor's cache as far as they fit."""
    step = max(1, _CHUNK // max(1, columns))
    for start in range(0, resamples, step):
        yield slice(start, min(start + step, resamples))


def with_intervals(
    statistics: Statistics, resamples: Resamples, rows: np.ndarray | None = None
) -> dict[str, Estimate]:
    """Every statistic of the faces (or of those at positions `rows`) with its 95 % interval.

    `statistics` maps weights `[R, n]` to named arrays `[R]`; it is called once with all weights one for the
    value, then on the resamples.
    """
    n = len(resamples.cluster_of) if rows is None else len(rows)
    values = {name: float(value[0]) for name, value in statistics(np.ones((1, n))).items()}
    drawn = resamples.each(statistics, rows)
    return {
        name: interval(value, np.concatenate([part[name] for part in drawn]) if drawn else np.zeros(0))
        for name, value in values.items()
    }


def interval(value: float, drawn: np.ndarray) -> Estimate:
    """A figure from its value and its resampled values `[R]`, of which undefined ones (NaN) are left out.

    No interval when fewer than 20 resamples, or less than half of them, define the figure.
    """
    if np.isnan(value):
        return Estimate(value=None)
    defined = drawn[~np.isnan(drawn)]
    if len(defined) < max(20, UNDEFINED * len(drawn)):
        return Estimate(value=value)
    low, high = np.quantile(defined, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Estimate(value=value, low=float(low), high=float(high))
