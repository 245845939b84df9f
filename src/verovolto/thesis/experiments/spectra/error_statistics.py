"""The thesis's conjecture on one detector: do the spectra of its errors tell real from fake, and does a score of them?

Whatever is fitted is fitted on reals alone, of other people than those judged. Everything is judged on the same
resamples of the same clusters, so that each score stands beside the detector's own with a paired difference.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
import torch

from verovolto.data.score_table import ScoreTable
from verovolto.evaluation.bootstrap import Resamples, with_intervals
from verovolto.evaluation.groups import Sample, scored_rows
from verovolto.evaluation.metrics import divide
from verovolto.evaluation.paired import compare_scores
from verovolto.features.spectrum import fit_typicality
from verovolto.thesis.experiments.spectra.error_spectra import ERROR, IMAGE, MeasuredBands
from verovolto.thesis.experiments.spectra.statistics import compare_bands, pair_keys, unexplained, verdict

GIVEN = "error given input"
"""What the bands of the input do not explain of those of the error."""
TYPICALITY = "typicality of {}"
BAND = "band {}"


@dataclass(frozen=True, kw_only=True)
class Curve:
    """A mean at each frequency `[F]` with its 95 % interval; NaN where there is none."""

    value: np.ndarray
    low: np.ndarray
    high: np.ndarray

    def to_dict(self) -> dict[str, list[float | None]]:
        """As JSON holds it: None for NaN."""
        return {
            name: [None if np.isnan(one) else float(one) for one in getattr(self, name)]
            for name in ("value", "low", "high")
        }

    @staticmethod
    def from_dict(value: Mapping[str, Sequence[float | None]]) -> Curve:
        """Back from `to_dict`."""
        parts = {
            name: np.array([np.nan if one is None else one for one in part]) for name, part in value.items()
        }
        return Curve(value=parts["value"], low=parts["low"], high=parts["high"])


@dataclass(frozen=True, kw_only=True)
class MeanSpectra:
    """Mean radial log10 power of reals and fakes at `frequency` `[F]` (cycles per pixel), and fake minus real, each
    with an interval by cluster that holds for each frequency by itself; `faces` how many of each class."""

    frequency: np.ndarray
    real: Curve
    fake: Curve
    difference: Curve
    faces: dict[str, int]

    def to_dict(self) -> dict[str, Any]:
        """As JSON holds it."""
        curves = {name: getattr(self, name).to_dict() for name in ("real", "fake", "difference")}
        return {"frequency": self.frequency.tolist(), **curves, "faces": self.faces}

    @staticmethod
    def from_dict(value: Mapping[str, Any]) -> MeanSpectra:
        """Back from `to_dict`."""
        real, fake, difference = (Curve.from_dict(value[name]) for name in ("real", "fake", "difference"))
        return MeanSpectra(
            frequency=np.array(value["frequency"]), real=real, fake=fake, difference=difference,
            faces=dict(value["faces"]),
        )  # fmt: skip


def mean_spectra(
    frequency: np.ndarray, log_power: np.ndarray, fake: np.ndarray, resamples: Resamples
) -> MeanSpectra:
    """From `log_power` `[n, F]`, `fake` `[n]` boolean. The difference is taken within each resample, since the classes
    share people."""
    return MeanSpectra(
        frequency=frequency,
        real=_curve(log_power, resamples, ~fake),
        fake=_curve(log_power, resamples, fake),
        difference=_curve(log_power, resamples, fake, ~fake),
        faces={"real": int((~fake).sum()), "fake": int(fake.sum())},
    )


def evaluate_spectra(
    known: MeasuredBands,
    judged: MeasuredBands,
    scores: ScoreTable,
    *,
    own: Sequence[str],
    edges: Sequence[float],
    resamples: int,
    seed: int,
) -> dict[str, Any]:
    """Everything that is said of the spectra of one detector, as JSON holds it.

    `known`: reals to fit on, of other people; `judged`: the faces of `scores`, row by row; `own`: the detector's own
    scores in it, of which the first is the one that others are set against. Keys: `verdict`, `comparisons` (by what
    was measured, see `statistics.compare_bands`), `scores` (see `_ranked`), `beyond_input` (see `_beyond`),
    `error_over_input_db` by class and band, `radial` (`MeanSpectra`), `fitted_on`, `edges`, `interval`.

    Raises `InputError` for too few reals to fit on, `DataError` for faces of one class or of one cluster.
    """
    kept = scored_rows(scores, own[0])
    bands = {name: part[kept] for name, part in judged.bands.items()}
    whole, fitted = ({**part, GIVEN: _given(part, known.bands)} for part in (bands, known.bands))
    made = {TYPICALITY.format(name): _typicality(fitted[name], whole[name]) for name in (GIVEN, ERROR, IMAGE)}
    made |= {BAND.format(k + 1): bands[ERROR][:, k] for k in range(len(edges) - 1)}
    table = _with(scores.take(kept), made, own)
    sample = Sample.of(table, own[0], resamples=resamples, seed=seed)
    pairs = pair_keys(sample.scores)
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
        "radial": mean_spectra(judged.frequency, judged.radial[kept], sample.fake, sample.resamples).to_dict(),
        "fitted_on": len(known.rows),
        "edges": [float(edge) for edge in edges],
        "interval": sample.resamples.metadata(),
    }  # fmt: skip


def _given(bands: Mapping[str, np.ndarray], known: Mapping[str, np.ndarray]) -> np.ndarray:
    return unexplained(bands[ERROR], bands[IMAGE], real_energies=known[ERROR], real_controls=known[IMAGE])


def _typicality(known: np.ndarray, judged: np.ndarray) -> np.ndarray:
    """How unlike the bands `[m, K]` of known reals those of each face `[n, K]` are, `[n]`."""
    return fit_typicality(torch.from_numpy(known)).score(torch.from_numpy(judged)).numpy()


def _with(scores: ScoreTable, made: Mapping[str, np.ndarray], own: Sequence[str]) -> ScoreTable:
    """The table with the scores `made` of the spectra after the detector's own; trivial statistics that every face
    has stay beside them."""
    table = scores.table
    for name, values in made.items():
        table = table.append_column(name, pa.array(np.asarray(values, dtype=np.float64)))
    known = tuple(name for name in scores.baselines if np.isfinite(scores.values(name)).all())
    return replace(scores, table=table, scores=(*own, *made), baselines=known)


def _ranked(scores: ScoreTable, *, resamples: int, seed: int) -> dict[str, dict[str, Any]]:
    """By score: `auroc` and, where there are pairs, `pairs_ordered` with intervals; `difference`, that of the AUROC to
    the first score, with its `verdict` (None of the first itself)."""
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
    """Difference of the AUROC, with its `verdict`: the score made of the errors minus the same of the pictures alone,
    which needs no network."""
    names = [TYPICALITY.format(name) for name in (IMAGE, GIVEN)]
    compared = compare_scores([(name, scores, name) for name in names], resamples=resamples, seed=seed)
    return dict(compared["results"][1]["differences"]["auroc"])


def _curve(values: np.ndarray, resamples: Resamples, of: np.ndarray, less: np.ndarray | None = None) -> Curve:
    """Mean of the rows `of` `[n]` (boolean) of `values` `[n, F]`; less the mean of the rows `less` where given."""

    def statistics(weights: np.ndarray) -> dict[str, np.ndarray]:
        mean = _mean(weights * of, values)
        mean = mean if less is None else mean - _mean(weights * less, values)
        return {str(k): mean[:, k] for k in range(mean.shape[1])}

    figures = with_intervals(statistics, resamples).values()
    columns = [(f.value, f.low, f.high) for f in figures]
    value, low, high = (np.array(part, dtype=np.float64) for part in zip(*columns, strict=True))
    return Curve(value=value, low=low, high=high)


def _mean(weights: np.ndarray, values: np.ndarray) -> np.ndarray:
    return divide(weights @ values, weights.sum(axis=1, keepdims=True))
