"""What a network says of faces of videos that it learned from and of others, over several trainings. Pure functions.

Trainings and people are crossed: each training scores each person's faces. An interval that is to hold for another
training *and* other people resamples both (Owen, "The pigeonhole bootstrap", Annals of Applied Statistics 1, 2007).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise, product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from verovolto.evaluation.bootstrap import draw_resamples, interval
from verovolto.evaluation.metrics import Ranking, auroc, curves
from verovolto.report.html import estimate, percent
from verovolto.thesis.experiments.memorisation.draw import SEEN, UNSEEN

PUBLISHED_ACCURACY = 0.900
"""Of ResNetOCVAE2 at the threshold of largest F1 (Malgeri 2024, Table 2)."""
PAIRINGS = tuple(product((SEEN, UNSEEN), (SEEN, UNSEEN)))
"""Reals of the first side against fakes of the second."""

Array = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Scored:
    """What one training scored: `values`, `fake`, `seen` and `people`, `[n]` each."""

    values: Array
    fake: NDArray[np.bool_]
    seen: NDArray[np.bool_]
    people: NDArray[np.str_]


def evaluate(trainings: Sequence[Scored], *, resamples: int, seed: int) -> dict[str, Any]:
    """The four pairings and the mean errors, means over trainings with 95 % intervals over trainings and people.

    Args:
        trainings: what each scored.
        resamples: how often both are resampled.
        seed: of the resamples.

    Returns:
        `pairings`, by `seen-unseen` (reals, fakes): `auroc`, `accuracy` at the best threshold for these very faces,
        mean of both classes, and `share`, of what the published accuracy has above chance; `errors`, mean scores by
        `real-seen` and so on, and `memorised`, of the reals unseen minus seen; `moves` and `adds`, what memory does to
        the AUROC and to the share of known reals against unknown fakes: half of the difference to the same with the
        roles exchanged; `trainings`, `people`.
    """
    people = np.concatenate([one.people for one in trainings])
    fake = np.concatenate([one.fake for one in trainings])
    drawn = draw_resamples(people, fake, kind="person", resamples=resamples, seed=seed)
    starts = np.cumsum([0, *(len(one.people) for one in trainings)])
    rows = [np.arange(start, stop) for start, stop in pairwise(starts)]
    plain = [_figures(one, np.ones((1, len(one.values)))) for one in trainings]
    resampled = []
    for one, of_training in zip(trainings, rows, strict=True):
        parts = [_figures(one, weights) for weights in drawn.weights(of_training)]
        resampled.append(
            {name: np.concatenate([part[name] for part in parts]) for name in plain[0]} if parts else {}
        )
    picked = np.random.default_rng(seed).integers(len(trainings), size=(len(drawn.counts), len(trainings)))
    found = {
        name: interval(
            float(np.mean([of[name][0] for of in plain])),
            _over_trainings(np.array([of[name] for of in resampled]), picked)
            if resampled[0]
            else np.zeros(0),
        ).to_dict()
        for name in plain[0]
    }
    return {
        "pairings": {
            f"{of_reals}-{of_fakes}": {
                name: found[f"{name} {of_reals} {of_fakes}"] for name in ("auroc", "accuracy", "share")
            }
            for of_reals, of_fakes in PAIRINGS
        },
        "errors": {
            name.removeprefix("error "): of for name, of in found.items() if name.startswith("error ")
        },
        "memorised": found["memorised"],
        "moves": found["moves"],
        "adds": found["adds"],
        "by_training": [{f"{a}-{b}": float(of[f"auroc {a} {b}"][0]) for a, b in PAIRINGS} for of in plain],
        "trainings": len(trainings),
        "people": drawn.clusters,
        "faces": {
            f"{label}-{side}": int(((one.fake == (label == "fake")) & (one.seen == (side == SEEN))).sum())
            for one in trainings[:1]
            for label, side in product(("real", "fake"), (SEEN, UNSEEN))
        },
    }


def _over_trainings(values: Array, picked: NDArray[np.int64]) -> Array:
    """The mean of the trainings picked, of values `[T, R]` and picks `[R, T]`."""
    return np.asarray(values[picked, np.arange(values.shape[1])[:, None]].mean(axis=1))


def _figures(one: Scored, weights: Array) -> dict[str, Array]:
    """All figures of a training, `[R]` each, from weights `[R, n]`."""
    found: dict[str, Array] = {}
    sides = {SEEN: one.seen, UNSEEN: ~one.seen}
    for of_reals, of_fakes in PAIRINGS:
        rows = np.flatnonzero((~one.fake & sides[of_reals]) | (one.fake & sides[of_fakes]))
        curve = curves(Ranking.of(one.values[rows], one.fake[rows]), weights[:, rows])
        threshold = best_threshold(one.values[rows], one.fake[rows])  # stays as it is in all resamples
        accuracy = balanced_accuracy(one.values[rows], one.fake[rows], threshold, weights[:, rows])
        name = f"{of_reals} {of_fakes}"
        found |= {
            f"auroc {name}": auroc(curve), f"accuracy {name}": accuracy,
            f"share {name}": (accuracy - 0.5) / (PUBLISHED_ACCURACY - 0.5),
        }  # fmt: skip
    for label, (side, of_side) in product(("real", "fake"), sides.items()):
        rows = np.flatnonzero((one.fake == (label == "fake")) & of_side)
        found[f"error {label}-{side}"] = _mean(one.values[rows], weights[:, rows])
    found["memorised"] = found[f"error real-{UNSEEN}"] - found[f"error real-{SEEN}"]
    # Reals and fakes of different videos are told apart more easily or less by chance alone: the same with the roles
    # exchanged, where memory works the other way, has as much of that.
    found["adds"] = (found[f"share {SEEN} {UNSEEN}"] - found[f"share {UNSEEN} {SEEN}"]) / 2
    found["moves"] = (found[f"auroc {SEEN} {UNSEEN}"] - found[f"auroc {UNSEEN} {SEEN}"]) / 2
    return found


def best_threshold(values: Array, fake: NDArray[np.bool_]) -> float:
    """Where the mean of both classes' accuracies is largest, faces up to it being accepted; the lowest of equals.

    Args:
        values: scores `[n]`.
        fake: which are of fakes `[n]`.

    >>> best_threshold(np.array([1.0, 3.0, 2.0, 4.0]), np.array([False, False, True, True]))
    1.0
    """
    candidates = np.append(-np.inf, np.unique(values))
    accepted = np.searchsorted(np.sort(values[~fake]), candidates, side="right") / max(1, (~fake).sum())
    passed = np.searchsorted(np.sort(values[fake]), candidates, side="right") / max(1, fake.sum())
    return float(candidates[np.argmax(accepted - passed)])


def balanced_accuracy(values: Array, fake: NDArray[np.bool_], threshold: float, weights: Array) -> Array:
    """The mean of both classes' accuracies at a threshold, `[R]`.

    Args:
        values: scores `[n]`.
        fake: which are of fakes `[n]`.
        threshold: scores up to it are accepted.
        weights: `[R, n]`, not negative.

    >>> fake = np.array([False, False, True, True])
    >>> balanced_accuracy(np.array([1.0, 3.0, 2.0, 4.0]), fake, 1.0, np.ones((1, 4))).tolist()
    [0.75]
    """
    right = (values <= threshold) != fake
    return (_mean(right[~fake], weights[:, ~fake]) + _mean(right[fake], weights[:, fake])) / 2


def _mean(values: Array | NDArray[np.bool_], weights: Array) -> Array:
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray((weights @ values) / weights.sum(axis=1))


def sentence(model: str, result: Mapping[str, Any]) -> str:
    """What came out for a model, in words."""
    pairings, memorised = result["pairings"], result["memorised"]
    best = pairings["seen-unseen"]
    auroc = {name: estimate(of["auroc"]) for name, of in pairings.items()}
    return (
        f"{model}: reals of videos trained on have a mean error smaller by {estimate(memorised)} than others. AUROC "
        f"{auroc['unseen-unseen']} where neither reals nor fakes are known, {auroc['seen-seen']} where "
        f"both are, {auroc['seen-unseen']} where the reals alone are, {auroc['unseen-seen']} where the "
        f"fakes alone are. Known reals against unknown fakes reach an accuracy of {estimate(best['accuracy'])} at the "
        f"best threshold, {percent(best['share'])} of what the published {PUBLISHED_ACCURACY:.2f} has above chance. "
        f"Memory moves that AUROC by {estimate(result['moves'])} and adds {percent(result['adds'])} of that share."
    )
