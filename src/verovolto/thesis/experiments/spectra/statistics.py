"""Do spectra differ between real and fake? Effect sizes a band, with one test for all bands together.

The thesis conjectures, from a few pictures, that real and fake reconstruction errors differ in their power spectrum.
Here each face gives the log power of K bands, and each band

- an effect size with its interval: Hedges' g (J. Educational Statistics 6, 1981), the difference of the means in
  standard deviations, and the difference in decibels; intervals resample clusters (`intervals`);
- a p-value, corrected for the K bands, of a permutation test that never breaks up a cluster (`permutation`).

Fake minus real everywhere: above 0 the fakes hold more power.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np

from verovolto.core.errors import DataError, InputError
from verovolto.data.score_table import ScoreTable
from verovolto.evaluation.bootstrap import Estimate, Resamples, with_intervals
from verovolto.evaluation.groups import SEPARATOR
from verovolto.evaluation.metrics import divide
from verovolto.thesis.permutation import Parts, corrected, label_swaps, pair_differences, sign_flips

ALPHA = 0.05
# What |g| is called (Cohen, Statistical Power Analysis, 1988, sec. 2.2).
STRENGTHS = ((0.8, "large"), (0.5, "medium"), (0.2, "small"), (0.0, "very small"))
PAIRED = "sign flips of the differences within pairs, by cluster"
UNPAIRED = "labels exchanged between clusters of one class, swapped within clusters of both"
# By whether the errors differ, and whether they do beyond what the images explain.
_CONCLUSIONS = {
    (False, False): "These faces do not support the conjecture.",
    (False, True): "So the errors' spectra differ only once the images' own are allowed for.",
    (True, False): "So the errors' spectra differ, but show nothing that the images' own do not.",
    (
        True,
        True,
    ): "So the errors' spectra differ, and beyond what the images' own explain by {most:.2g} dB at most.",
}
CORRECTION = "step-down maximum over the bands (Westfall & Young, 1993)"


@dataclass(frozen=True, kw_only=True)
class Band:
    """What is known of one band, from `low` to `high` cycles per pixel.

    `g`: Hedges' g; `decibel`: difference of the mean log powers; `p`: corrected for all bands of the comparison.
    """

    low: float
    high: float
    g: Estimate
    decibel: Estimate
    p: float

    @property
    def differs(self) -> bool:
        return self.p <= ALPHA

    @property
    def strength(self) -> str:
        """`large`, `medium`, `small` or `very small`, by |g|."""
        size = abs(self.g.value or 0.0)
        return next(word for least, word in STRENGTHS if size >= least)

    def to_dict(self) -> dict[str, Any]:
        return {
            "low": self.low,
            "high": self.high,
            "g": self.g.to_dict(),
            "decibel": self.decibel.to_dict(),
            "p_corrected": self.p,
        }

    @staticmethod
    def from_dict(value: Mapping[str, Any]) -> Band:
        """Back from `to_dict`."""
        return Band(
            low=value["low"], high=value["high"], g=Estimate(**value["g"]), decibel=Estimate(**value["decibel"]),
            p=value["p_corrected"],
        )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class SpectralComparison:
    """Bands, lowest first; `test` and `interval` say how they were judged, `faces` how many of each class."""

    bands: tuple[Band, ...]
    faces: dict[str, int]
    test: dict[str, Any]
    interval: dict[str, Any]

    @property
    def differing(self) -> tuple[Band, ...]:
        return tuple(band for band in self.bands if band.differs)

    def to_dict(self) -> dict[str, Any]:
        """As JSON holds it."""
        return {
            "bands": [band.to_dict() for band in self.bands],
            "faces": self.faces,
            "test": self.test,
            "interval": self.interval,
        }

    @staticmethod
    def from_dict(value: Mapping[str, Any]) -> SpectralComparison:
        """Back from `to_dict`."""
        bands = tuple(Band.from_dict(one) for one in value["bands"])
        return SpectralComparison(
            bands=bands,
            faces=dict(value["faces"]),
            test=dict(value["test"]),
            interval=dict(value["interval"]),
        )


def compare_bands(
    energies: np.ndarray,
    fake: np.ndarray,
    *,
    edges: Sequence[float],
    resamples: Resamples,
    pairs: np.ndarray | None = None,
    permutations: int = 9999,
    seed: int = 0,
) -> SpectralComparison:
    """Compare the log10 powers `energies` `[n, K]` of reals and fakes, `fake` `[n]` boolean, band by band.

    `edges` `[K + 1]` in cycles per pixel; `resamples` (see `evaluation.bootstrap`) also says which faces are of one
    cluster; `pairs` `[n]` holds a key where a fake and its real counterparts share one, None elsewhere
    (`pair_keys`). The test is of pairs when at least half of the fakes have a counterpart. The same arguments give
    the same result.

    Raises InputError for numbers that are not finite or do not fit together, DataError when a class is missing or
    there is only one cluster.
    """
    energies = _checked(energies, fake, edges, resamples)
    g, decibel = (
        with_intervals(partial(statistic, energies, fake), resamples) for statistic in (_hedges, _decibels)
    )
    differences = pair_differences(energies, fake, resamples.cluster_of, pairs)
    rng = np.random.default_rng(seed)
    if differences is not None:
        design, units, used = PAIRED, len(differences.sums), differences.faces
        observed, drawn = sign_flips(differences.sums, permutations, rng)
    else:
        parts = Parts.of(energies, fake, resamples.cluster_of)
        design, units, used = UNPAIRED, len(parts.fakes), len(fake)
        observed, drawn = label_swaps(parts, permutations, rng)
    p = corrected(observed, drawn)
    return SpectralComparison(
        bands=tuple(
            Band(low=float(low), high=float(high), g=g[str(k)], decibel=decibel[str(k)], p=float(p[k]))
            for k, (low, high) in enumerate(pairwise(edges))
        ),
        faces={"real": int((~fake).sum()), "fake": int(fake.sum())},
        test={
            "design": design,
            "clusters": units,
            "faces_left_out": len(fake) - used,
            "permutations": permutations,
            "seed": seed,
            "correction": CORRECTION,
            "alpha": ALPHA,
        },
        interval=resamples.metadata(),
    )


def pair_keys(scores: ScoreTable) -> np.ndarray:
    """Key of the pair of each face `[n]`, None where there is none: data set, compression, pair and frame."""
    columns = [scores.strings(name) for name in ("dataset", "compression", "pair", "frame")]
    keys = [
        None if row[2] is None else SEPARATOR.join(part or "" for part in row)
        for row in zip(*columns, strict=True)
    ]
    return np.array([*keys, None], dtype=object)[:-1]


def unexplained(
    energies: np.ndarray, controls: np.ndarray, *, real_energies: np.ndarray, real_controls: np.ndarray
) -> np.ndarray:
    """What of `energies` `[n, K]` cannot be foretold from `controls` `[n, L]`: residuals `[n, K]` of least squares.

    Each control enters with its square. The fit is to other faces, all real (`[m, K]`, `[m, L]`), so that nothing is
    learned from those that are judged: a residual is what a real face of the same controls would not have, as far as
    that relation is of second order. Raises InputError for fewer than 4 real faces a control.
    """
    faces, numbers = real_controls.shape
    if faces < 4 * numbers:
        raise InputError(
            f"{faces} real faces are too few to explain by {numbers} numbers",
            hint=f"fit on at least {4 * numbers}",
        )
    middle = real_controls.mean(axis=0)  # squares of what lies far from zero are hardly anything new
    design, known = (
        np.c_[np.ones(len(part)), part - middle, np.square(part - middle)]
        for part in (controls, real_controls)
    )
    curve, *_ = np.linalg.lstsq(known, real_energies, rcond=None)
    return np.asarray(energies - design @ curve)


def verdict(
    error: SpectralComparison,
    *,
    image: SpectralComparison | None = None,
    given: SpectralComparison | None = None,
) -> str:
    """What the comparison says of the conjecture, in words.

    `image` is the same comparison of the input itself, `given` that of what the input's bands do not explain of the
    error's (`unexplained`). Only corrected p-values count.
    """
    words = [
        f"Reconstruction errors of {error.faces['real']} real and {error.faces['fake']} fake faces, "
        f"{error.test['clusters']} clusters, {error.test['design']}: {_what_differs(error)}."
    ]
    if image is not None:
        words.append(f"The images themselves: {_what_differs(image)}.")
    if given is not None:
        words.append(f"Errors, beyond what the image's own spectrum explains: {_what_differs(given)}.")
        most = max((abs(band.decibel.value or 0.0) for band in given.differing), default=0.0)
        words.append(_CONCLUSIONS[bool(error.differing), bool(given.differing)].format(most=most))
    return " ".join(words)


def _what_differs(comparison: SpectralComparison) -> str:
    bands, differing = comparison.bands, comparison.differing
    if not differing:
        smallest = min(band.p for band in bands)
        return (
            f"none of {len(bands)} bands is shown to differ (smallest corrected p {smallest:.2g}), which is no proof "
            f"that they are equal: the intervals leave room for |g| up to {_room(bands):.2f}"
        )
    parts = []
    for word, side in (("less", [b for b in differing if (b.decibel.value or 0.0) < 0]),
                       ("more", [b for b in differing if (b.decibel.value or 0.0) >= 0])):  # fmt: skip
        if side:
            top = max(side, key=lambda band: abs(band.g.value or 0.0))
            parts.append(
                f"fakes hold {word} power at {_ranges(side)} cycles/pixel (strongest: g {top.g.value:+.2f}, "
                f"{top.decibel.value:+.2g} dB, {top.strength}, at {top.low:.3g}-{top.high:.3g})"
            )
    return f"{len(differing)} of {len(bands)} bands differ (corrected p <= {ALPHA:g}): " + "; ".join(parts)


def _room(bands: Sequence[Band]) -> float:
    ends = [end for band in bands for end in (band.g.low, band.g.high, band.g.value) if end is not None]
    return max((abs(end) for end in ends), default=float("nan"))


def _ranges(bands: Sequence[Band]) -> str:
    """Neighbouring bands as one range: `0.06-0.19, 0.44-0.5`."""
    joined: list[list[float]] = []
    for band in bands:
        if joined and joined[-1][1] == band.low:
            joined[-1][1] = band.high
        else:
            joined.append([band.low, band.high])
    return ", ".join(f"{low:.2g}-{high:.2g}" for low, high in joined)


def _checked(
    energies: np.ndarray, fake: np.ndarray, edges: Sequence[float], resamples: Resamples
) -> np.ndarray:
    energies = np.asarray(energies, dtype=np.float64)
    if energies.ndim != 2 or len(energies) != len(fake) or len(fake) != len(resamples.cluster_of):
        raise InputError(
            f"{energies.shape} energies, {len(fake)} labels and {len(resamples.cluster_of)} clusters do not fit"
        )
    if energies.shape[1] != len(edges) - 1:
        raise InputError(f"{energies.shape[1]} bands need {energies.shape[1] + 1} edges, not {len(edges)}")
    if not np.isfinite(energies).all():
        raise InputError("some band energies are not finite", hint="leave out the faces that have none")
    if not fake.any() or fake.all():
        raise DataError("a comparison of spectra needs real and fake faces")
    if resamples.clusters < 2:
        raise DataError(
            f"all faces are of one {resamples.kind}: nothing can be said of others",
            hint="add faces of other people or videos",
        )
    return energies


def _moments(
    energies: np.ndarray, fake: np.ndarray, weights: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Weighted numbers `[R, 1]`, means and sums of squares about them `[R, K]`, each stacked for (real, fake)."""
    centred = energies - energies.mean(axis=0)  # else the sums of squares lose digits
    found = []
    for of in (~fake, fake):
        part, values = weights[:, of], centred[of]
        count = part.sum(axis=1, keepdims=True)
        mean = divide(part @ values, count)
        found.append((count, mean, part @ np.square(values) - count * np.square(mean)))
    numbers, means, squares = (np.stack(parts) for parts in zip(*found, strict=True))
    return numbers, means, squares


def _hedges(energies: np.ndarray, fake: np.ndarray, weights: np.ndarray) -> dict[str, np.ndarray]:
    """Hedges' g of each band: fake minus real over the pooled standard deviation, corrected for small samples."""
    numbers, means, squares = _moments(energies, fake, weights)
    freedom = numbers.sum(axis=0) - 2
    spread = np.sqrt(np.maximum(divide(squares.sum(axis=0), freedom), 0.0))
    g = (1 - 3 / (4 * freedom - 1)) * divide(means[1] - means[0], spread)
    return {str(k): g[:, k] for k in range(g.shape[1])}


def _decibels(energies: np.ndarray, fake: np.ndarray, weights: np.ndarray) -> dict[str, np.ndarray]:
    _, means, _ = _moments(energies, fake, weights)
    return {str(k): 10 * (means[1] - means[0])[:, k] for k in range(means.shape[2])}
