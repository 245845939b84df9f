"""The thesis's conjecture on one detector: do the spectra of its errors tell real from fake, and does a score of them?

Whatever is fitted is fitted on reals alone, of other people than those evaluated. Everything is evaluated on the same
resamples of the same clusters, so that each score stands beside the detector's own with a paired difference.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import torch

from verovolto.data.score_table import ScoreTable
from verovolto.data.splits import pair_keys
from verovolto.evaluation.groups import Sample, scored_rows
from verovolto.evaluation.paired import compare_scores
from verovolto.features.spectrum import fit_typicality
from verovolto.thesis.error_spectra import mean_spectra
from verovolto.thesis.experiments.spectra.bands import (
    ALPHA,
    ERROR,
    IMAGE,
    Band,
    MeasuredBands,
    SpectralComparison,
    compare_bands,
    unexplained,
)

GIVEN = "error given input"
"""What the bands of the input do not explain of those of the error."""
TYPICALITY = "typicality of {}"
BAND = "band {}"
# By whether the errors differ, and whether they do beyond what the images explain.
_CONCLUSIONS = {
    (False, False): "These faces do not support the conjecture.",
    (False, True): "So the errors' spectra differ only once the images' own are allowed for.",
    (True, False): "So the errors' spectra differ, but show nothing that the images' own do not.",
    (True, True): "So the errors' spectra differ, and beyond what the images' own explain by {most:.2g} dB at most.",
}  # fmt: skip


def evaluate_spectra(
    reference: MeasuredBands,
    evaluated: MeasuredBands,
    scores: ScoreTable,
    *,
    own: Sequence[str],
    edges: Sequence[float],
    resamples: int,
    seed: int,
) -> dict[str, Any]:
    """Everything that is said of the spectra of one detector, as JSON holds it.

    Args:
        reference: reals to fit on, of other people.
        evaluated: the faces of `scores`, row by row.
        scores: the detector's, of the faces to evaluate.
        own: the detector's own scores in it, of which the first is the one that others are set against.
        edges: of the bands `[K + 1]` in cycles per pixel.
        resamples: number of resamples.
        seed: of the resamples and permutations.

    Returns:
        `verdict`, `comparisons` (by what was measured, see `compare_bands`), `scores` (see `_ranked`), `beyond_input`
        (see `_beyond`), `error_over_input_db` by class and band, `radial` (`mean_spectra`), `fitted_on`, `edges`,
        `interval`.

    Raises:
        InputError: for too few reals to fit on.
        DataError: for faces of one class or of one cluster.
    """
    kept = scored_rows(scores, own[0])
    bands = {name: part[kept] for name, part in evaluated.bands.items()}
    whole, fitted = ({**part, GIVEN: _given(part, reference.bands)} for part in (bands, reference.bands))
    made = {TYPICALITY.format(name): _typicality(fitted[name], whole[name]) for name in (GIVEN, ERROR, IMAGE)}
    made |= {BAND.format(k + 1): bands[ERROR][:, k] for k in range(len(edges) - 1)}
    table = _with(scores.take(kept), made, own)
    sample = Sample.of(table, own[0], resamples=resamples, seed=seed)
    pairs = pair_keys(sample.scores.table)
    compared = {
        name: compare_bands(
            values, sample.fake, edges=edges, resamples=sample.resamples, pairs=pairs, seed=seed
        )
        for name, values in whole.items()
    }
    excess = 10 * (bands[ERROR] - bands[IMAGE])
    return {
        "verdict": verdict(compared[ERROR], image=compared[IMAGE], given=compared[GIVEN]),
        "comparisons": {name: one.to_dict() for name, one in compared.items()},
        "scores": _ranked(table, resamples=resamples, seed=seed),
        "beyond_input": _beyond(table, resamples=resamples, seed=seed),
        "error_over_input_db": {
            label: excess[sample.fake == kind].mean(axis=0).tolist()
            for label, kind in (("real", False), ("fake", True))
        },
        "radial": mean_spectra(evaluated.frequency, evaluated.radial[kept], sample.fake, sample.resamples),
        "fitted_on": len(reference.rows),
        "edges": [float(edge) for edge in edges],
        "interval": sample.resamples.metadata(),
    }  # fmt: skip


def _given(bands: Mapping[str, np.ndarray], reals: Mapping[str, np.ndarray]) -> np.ndarray:
    return unexplained(bands[ERROR], bands[IMAGE], real_energies=reals[ERROR], real_controls=reals[IMAGE])


def _typicality(reals: np.ndarray, values: np.ndarray) -> np.ndarray:
    """How unlike the bands `[m, K]` of reals those of each face `[n, K]` are, `[n]`."""
    return fit_typicality(torch.from_numpy(reals)).score(torch.from_numpy(values)).numpy()


def _with(scores: ScoreTable, made: Mapping[str, np.ndarray], own: Sequence[str]) -> ScoreTable:
    """The table with the scores `made` of the spectra after the detector's own.

    Trivial statistics that every face has stay beside them.
    """
    table = scores.table
    for name, values in made.items():
        table = table.append_column(name, pa.array(np.asarray(values, dtype=np.float64)))
    complete = tuple(name for name in scores.baselines if np.isfinite(scores.values(name)).all())
    return replace(scores, table=table, scores=(*own, *made), baselines=complete)


def _ranked(scores: ScoreTable, *, resamples: int, seed: int) -> dict[str, dict[str, Any]]:
    """By score: `auroc` and, where there are pairs, `pairs_ordered` with intervals.

    `difference` is that of the AUROC to the first score, with its `verdict` (None of the first itself).
    """
    names = (*scores.scores, *scores.baselines)
    compared = compare_scores([(name, scores, name) for name in names], resamples=resamples, seed=seed)
    return {
        one["name"]: {
            **{key: one["figures"][key] for key in ("auroc", "pairs_ordered") if key in one["figures"]},
            "difference": one["differences"].get("auroc"),
        }
        for one in compared["results"]
    }


def _beyond(scores: ScoreTable, *, resamples: int, seed: int) -> dict[str, Any]:
    """Difference of the AUROC: the score made of the errors minus the same of the pictures, which needs no network."""
    names = [TYPICALITY.format(name) for name in (IMAGE, GIVEN)]
    compared = compare_scores([(name, scores, name) for name in names], resamples=resamples, seed=seed)
    return dict(compared["results"][1]["differences"]["auroc"])


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
        smallest = min(band.p_corrected for band in bands)
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
