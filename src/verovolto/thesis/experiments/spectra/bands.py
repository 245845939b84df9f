"""The power of errors in bands of frequency: measured, and compared between real and fake, all bands together.

The thesis conjectures, from a few pictures, that real and fake reconstruction errors differ in their power spectrum.
Here each face gives the log power of K bands, and each band

- an effect size with its interval: Hedges' g (J. Educational Statistics 6, 1981), the difference of the means in
  standard deviations, and the difference in decibels; intervals resample clusters (`evaluation.bootstrap`);
- a p-value, corrected for the K bands, of a permutation test that never breaks up a cluster (`permutation`).

Fake minus real everywhere: above 0 the fakes hold more power.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np

from verovolto.core.errors import DataError, InputError
from verovolto.data.faceset import FaceSet
from verovolto.detectors.vae.detector import VAEDetector
from verovolto.evaluation.bootstrap import Estimate, Resamples, with_intervals
from verovolto.evaluation.groups import class_counts
from verovolto.evaluation.metrics import divide
from verovolto.features.spectrum import Region, band_energies, linear_bands, luma_plane
from verovolto.thesis.error_spectra import errors_of, rings
from verovolto.thesis.experiments.spectra.permutation import (
    Parts,
    corrected,
    label_swaps,
    pair_differences,
    sign_flips,
)

ALPHA = 0.05
# What |g| is called (Cohen, Statistical Power Analysis, 1988, sec. 2.2).
STRENGTHS = ((0.8, "large"), (0.5, "medium"), (0.2, "small"), (0.0, "very small"))
PAIRED = "sign flips of the differences within pairs, by cluster"
UNPAIRED = "labels exchanged between clusters of one class, swapped within clusters of both"
CORRECTION = "step-down maximum over the bands (Westfall & Young, 1993)"
ERROR, IMAGE = "error", "input"
_REGIONS: tuple[Region, ...] = ("inner", "surround")
_COLOURS = ("red", "green", "blue")
_BANDS = 8
_PLACES = 2  # frequencies along an axis that a band spans at least: else the lowest would be empty


@dataclass(frozen=True, kw_only=True)
class MeasuredBands:
    """Of the faces at `rows` `[n]` of the set, those that could be read.

    `bands`: log10 powers `[n, K]` by what was measured (`ERROR`, `IMAGE`, ...); of the error's luma in rings,
    `frequency` and `radial` as in `ErrorSpectra`.
    """

    rows: np.ndarray
    bands: dict[str, np.ndarray]
    frequency: np.ndarray
    radial: np.ndarray


def bands_for(size: int) -> tuple[float, ...]:
    """Edges of bands of equal width for images of `size` pixels a side.

    8 bands, fewer below 32 pixels, where 8 would leave the lowest without a frequency.
    """
    return linear_bands(max(1, min(_BANDS, size // (2 * _PLACES))))


def measure_bands(
    detector: VAEDetector, faces: FaceSet, edges: tuple[float, ...], *, detail: bool = False
) -> MeasuredBands:
    """Band energies of the luma of the error and of the input. Each face depends on itself alone.

    Args:
        detector: whose errors.
        faces: to measure.
        edges: of the bands `[K + 1]` in cycles per pixel.
        detail: whether to measure also the error in the inner face, in what surrounds it and in each colour.

    Raises:
        InputError: for bands that images of this size do not have.
        DataError: where no face can be read.
    """
    kept: list[int] = []
    parts: list[dict[str, np.ndarray]] = []
    radial: list[np.ndarray] = []
    frequency = np.zeros(0)
    for rows, image, error in errors_of(detector, faces):
        kept += rows
        plane = luma_plane(error)
        bands = {ERROR: band_energies(plane, edges), IMAGE: band_energies(luma_plane(image), edges)}
        if detail:
            bands |= {f"{ERROR}, {name}": band_energies(plane, edges, region=name) for name in _REGIONS}
            bands |= {
                f"{ERROR}, {name}": band_energies(error[:, i], edges) for i, name in enumerate(_COLOURS)
            }
        parts.append({name: values.numpy() for name, values in bands.items()})
        frequency, powers = rings(plane)
        radial.append(powers)
    if not kept:
        raise DataError(f"none of the {len(faces)} faces to measure can be read", hint="mend the data")
    return MeasuredBands(
        rows=np.array(kept),
        bands={name: np.concatenate([part[name] for part in parts]) for name in parts[0]},
        frequency=frequency,
        radial=np.concatenate(radial),
    )


@dataclass(frozen=True, kw_only=True)
class Band:
    """The difference in one band, from `low` to `high` cycles per pixel.

    `g`: Hedges' g; `decibel`: difference of the mean log powers; `p_corrected`: for all bands of the comparison.
    """

    low: float
    high: float
    g: Estimate
    decibel: Estimate
    p_corrected: float

    @property
    def differs(self) -> bool:
        """Whether the corrected p-value is small enough."""
        return self.p_corrected <= ALPHA

    @property
    def strength(self) -> str:
        """`large`, `medium`, `small` or `very small`, by |g|."""
        size = abs(self.g.value or 0.0)
        return next(word for least, word in STRENGTHS if size >= least)

    @staticmethod
    def from_dict(value: Mapping[str, Any]) -> Band:
        """Back from `SpectralComparison.to_dict`."""
        estimates = {name: Estimate(**value[name]) for name in ("g", "decibel")}
        return Band(low=value["low"], high=value["high"], p_corrected=value["p_corrected"], **estimates)


@dataclass(frozen=True, kw_only=True)
class SpectralComparison:
    """Bands, lowest first; `test` and `interval` say how they were compared, `faces` how many of each class."""

    bands: tuple[Band, ...]
    faces: dict[str, int]
    test: dict[str, Any]
    interval: dict[str, Any]

    @property
    def differing(self) -> tuple[Band, ...]:
        """The bands that differ."""
        return tuple(band for band in self.bands if band.differs)

    def to_dict(self) -> dict[str, Any]:
        """As JSON holds it."""
        return {**asdict(self), "bands": [asdict(band) for band in self.bands]}

    @staticmethod
    def from_dict(value: Mapping[str, Any]) -> SpectralComparison:
        """Back from `to_dict`."""
        bands = tuple(Band.from_dict(one) for one in value["bands"])
        rest = {name: dict(value[name]) for name in ("faces", "test", "interval")}
        return SpectralComparison(bands=bands, **rest)


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
    """Compare the log10 powers of reals and fakes, band by band. The same arguments give the same result.

    The test is of pairs when at least half of the fakes have a counterpart.

    Args:
        energies: log10 powers `[n, K]`.
        fake: which faces are fakes `[n]`.
        edges: of the bands `[K + 1]` in cycles per pixel.
        resamples: of the faces; they also say which are of one cluster.
        pairs: a key `[n]` where a fake and its real counterparts share one, None elsewhere; see `pair_keys`.
        permutations: of the test.
        seed: of the permutations.

    Raises:
        InputError: for numbers that are not finite or do not fit together.
        DataError: when a class is missing or there is only one cluster.
    """
    energies = _checked(energies, fake, edges, resamples)
    g, decibel = (
        with_intervals(partial(statistic, energies, fake), resamples) for statistic in (_hedges, _decibels)
    )
    differences = pair_differences(energies, fake, resamples.cluster_of, pairs)
    rng = np.random.default_rng(seed)
    if differences is not None:
        design, clusters, used = PAIRED, len(differences.sums), differences.faces
        observed, drawn = sign_flips(differences.sums, permutations, rng)
    else:
        parts = Parts.of(energies, fake, resamples.cluster_of)
        design, clusters, used = UNPAIRED, len(parts.fakes), len(fake)
        observed, drawn = label_swaps(parts, permutations, rng)
    p = corrected(observed, drawn)
    return SpectralComparison(
        bands=tuple(
            Band(low=float(low), high=float(high), g=g[str(k)], decibel=decibel[str(k)], p_corrected=float(p[k]))
            for k, (low, high) in enumerate(pairwise(edges))
        ),
        faces=class_counts(fake),
        test={
            "design": design, "clusters": clusters, "faces_left_out": len(fake) - used, "permutations": permutations,
            "seed": seed, "correction": CORRECTION, "alpha": ALPHA,
        },
        interval=resamples.metadata(),
    )  # fmt: skip


def unexplained(
    energies: np.ndarray, controls: np.ndarray, *, real_energies: np.ndarray, real_controls: np.ndarray
) -> np.ndarray:
    """What of the energies cannot be foretold from the controls: residuals `[n, K]` of least squares.

    Each control enters with its square. The fit is to other faces, all real, so that nothing is learned from those that
    are compared: a residual is what a real face of the same controls would not have, as far as that relation is of
    second order.

    Args:
        energies: of the faces that are compared `[n, K]`.
        controls: of the same faces `[n, L]`.
        real_energies: of the faces to fit on `[m, K]`.
        real_controls: of the same faces `[m, L]`.

    Raises:
        InputError: for fewer than 4 real faces a control.
    """
    faces, numbers = real_controls.shape
    if faces < 4 * numbers:
        raise InputError(
            f"{faces} real faces are too few to explain by {numbers} numbers",
            hint=f"fit on at least {4 * numbers}",
        )
    middle = real_controls.mean(axis=0)  # squares of what lies far from zero are hardly anything new
    design, fitted_on = (
        np.c_[np.ones(len(part)), part - middle, np.square(part - middle)]
        for part in (controls, real_controls)
    )
    curve, *_ = np.linalg.lstsq(fitted_on, real_energies, rcond=None)
    return np.asarray(energies - design @ curve)


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
    moments = []
    for of in (~fake, fake):
        part, values = weights[:, of], centred[of]
        count = part.sum(axis=1, keepdims=True)
        mean = divide(part @ values, count)
        moments.append((count, mean, part @ np.square(values) - count * np.square(mean)))
    numbers, means, squares = (np.stack(parts) for parts in zip(*moments, strict=True))
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
