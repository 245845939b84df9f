"""How much of a published figure comes from each shortcut: the same faces judged with and without it.

A shortcut is taken away alone, all else kept, and the difference has a 95 % interval of its own: both ways are judged
on the same resamples of the same clusters. Differences are *as published minus as it should be*: above 0, the
shortcut flatters a figure of which more is better.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from verovolto.calibration.thresholds import Threshold, flagged
from verovolto.evaluation.bootstrap import Resamples, Statistics, interval
from verovolto.evaluation.metrics import decision_rates, ranking_statistics
from verovolto.thesis.metrics import Row

RANKING = ("auroc", "ap_real", "ap_fake")
DECISION = ("accuracy", "balanced_accuracy", "precision_real", "recall_real", "f1_real")
PREVALENCES = (0.5, 0.1, 0.01)


@dataclass(frozen=True, kw_only=True)
class Shortcut:
    """One shortcut, measured. `figures` maps a metric to `{"published", "honest", "difference"}`, each a figure with
    its interval (`difference` under the key of the same name)."""

    name: str
    published: str
    honest: str
    judged_on: str
    figures: Mapping[str, Mapping[str, Any]]
    interval: Mapping[str, Any]
    note: str = ""

    def to_dict(self) -> dict[str, Any]:
        """As JSON holds it."""
        return {
            "name": self.name,
            "published": self.published,
            "honest": self.honest,
            "judged_on": self.judged_on,
            "figures": {key: dict(value) for key, value in self.figures.items()},
            "interval": dict(self.interval),
            "note": self.note,
        }


def paired(
    published: Statistics, honest: Statistics, resamples: Resamples, metrics: tuple[str, ...]
) -> dict[str, dict[str, Any]]:
    """Each metric under both ways and its difference, on the same resamples."""
    ones = np.ones((1, len(resamples.cluster_of)))
    values = [statistics(ones) for statistics in (published, honest)]
    chunks: list[tuple[dict[str, np.ndarray], dict[str, np.ndarray]]] = [
        (published(weights), honest(weights)) for weights in resamples.weights()
    ]
    found = {}
    for metric in metrics:
        drawn = [
            np.concatenate([chunk[i][metric] for chunk in chunks]) if chunks else np.zeros(0) for i in (0, 1)
        ]
        first, second = (float(value[metric][0]) for value in values)
        found[metric] = {
            "published": interval(first, drawn[0]).to_dict(),
            "honest": interval(second, drawn[1]).to_dict(),
            "difference": interval(first - second, drawn[0] - drawn[1]).to_dict(),
        }
    return found


def of_rankings(
    published: np.ndarray, honest: np.ndarray, fake: np.ndarray, resamples: Resamples
) -> dict[str, dict[str, Any]]:
    """Two scores `[n]` of the same faces, labels `fake` `[n]`: areas under the ROC and PR curves."""
    return paired(ranking_statistics(published, fake), ranking_statistics(honest, fake), resamples, RANKING)


def of_thresholds(
    values: np.ndarray,
    fake: np.ndarray,
    published: tuple[Threshold, bool],
    honest: tuple[Threshold, bool],
    resamples: Resamples,
) -> dict[str, dict[str, Any]]:
    """Two thresholds of one score `[n]`, each with whether its rule is strict: what they decide."""
    first, second = (flagged(values, one.value, strict=strict) for one, strict in (published, honest))
    return paired(
        lambda weights: decision_rates(first, fake, weights),
        lambda weights: decision_rates(second, fake, weights),
        resamples,
        DECISION,
    )


def orientation(row: Row) -> dict[str, Any]:
    """What of a row is owed to the class called positive, and to as many fakes as reals.

    The same decision seen from both classes; the figures of calling every face real, which needs no detector; and the
    precision of an alarm where fakes are a given share of all faces, from the same rates (Bayes).
    """
    c = row.counts  # real is positive
    reals, fakes = c["tp"] + c["fn"], c["tn"] + c["fp"]
    caught, alarms = c["tn"] / fakes, c["fn"] / reals
    at = {}
    for share in PREVALENCES:
        flags = share * caught + (1 - share) * alarms
        at[f"{share:g}"] = share * caught / flags if flags else None
    return {
        "precision_real": row.figures["precision"],
        "precision_fake": row.figures["precision_fake"],
        "f1_real": row.figures["f1"],
        "f1_fake": row.figures["f1_fake"],
        "balanced_accuracy": row.figures["balanced_accuracy"],
        "all_called_real": {
            "precision_real": reals / (reals + fakes),
            "recall_real": 1.0,
            "f1_real": 2 * reals / (2 * reals + fakes),
            "f1_fake": 0.0,
            "balanced_accuracy": 0.5,
        },
        "precision_of_an_alarm": at,
    }
