"""How much of a published figure comes from each shortcut: the same faces evaluated with and without it.

A shortcut is taken away alone, all else kept, and the difference has a 95 % interval of its own: both ways are
evaluated on the same resamples of the same clusters. Differences are *as published minus as it should be*: above 0, the
shortcut flatters a figure of which more is better.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from verovolto.calibration.thresholds import Threshold, flagged
from verovolto.core.errors import DataError
from verovolto.data.score_table import ScoreTable
from verovolto.evaluation.bootstrap import Resamples, Statistics, with_intervals
from verovolto.evaluation.groups import Sample, on_shared_faces, rows_by_face
from verovolto.evaluation.metrics import decision_rates, ranking_statistics
from verovolto.thesis.metrics import evaluate_threshold
from verovolto.thesis.plan import Deviation
from verovolto.thesis.protocols import OF_THRESHOLDS, ModelScores, percentile_of_reals

RANKING = ("auroc", "ap_real", "ap_fake")
DECISION = ("accuracy", "balanced_accuracy", "precision_real", "recall_real", "f1_real")
PREVALENCES = (0.5, 0.1, 0.01)
ABLATED: tuple[Deviation, ...] = ("leak", "uniform-noise", "test-epoch", *OF_THRESHOLDS)
"""The deviations that `ablate` sees, besides the score."""
RANDOM_FRAMES = "of the thesis's random test frames"
_CUT_BY_PEOPLE = "of the thesis's test split, cut by people"

Figures = dict[str, dict[str, Any]]


@dataclass(frozen=True, kw_only=True)
class Shortcut:
    """One shortcut, measured.

    `figures` maps a metric to `{"published", "honest", "difference"}`, each an estimate with its interval; `published`
    and `sound` are the two ways in words.
    """

    name: str
    published: str
    sound: str
    judged_on: str
    figures: Mapping[str, Mapping[str, Any]]
    interval: Mapping[str, Any]
    note: str = ""

    def to_dict(self) -> dict[str, Any]:
        """As JSON holds it."""
        return {
            "name": self.name, "published": self.published, "honest": self.sound, "judged_on": self.judged_on,
            "figures": {key: dict(value) for key, value in self.figures.items()},
            "interval": dict(self.interval), "note": self.note,
        }  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class SharedFaces:
    """The faces that two tables scored: `sample` of the first, and both scores `[n]`."""

    sample: Sample
    published: np.ndarray
    sound: np.ndarray

    @staticmethod
    def of(published: ScoreTable, sound: ScoreTable, score: str, **bootstrap: int) -> SharedFaces:
        """Join two tables by face; `bootstrap`: number and seed of the resamples, as `Sample.of` takes them.

        Raises:
            DataError: where the tables share no face, or a class is missing.
        """
        first, second = shared_faces([published, sound], score)
        sample = Sample.of(first, score, **bootstrap)
        return SharedFaces(sample=sample, published=sample.scores.values(score), sound=second.values(score))

    def figures(self) -> Figures:
        """Areas under the ROC and PR curves of both scores, and their differences."""
        return of_rankings(self.published, self.sound, self.sample.fake, self.sample.resamples)


def shared_faces(tables: list[ScoreTable], score: str) -> list[ScoreTable]:
    """The faces that all tables scored, in one order.

    Raises:
        DataError: where there is none.
    """
    shared = on_shared_faces(tables, [rows_by_face(table, score) for table in tables])
    if not len(shared[0]):
        raise DataError("the networks scored no face in common")
    return shared


def paired(
    published: Statistics, sound: Statistics, resamples: Resamples, metrics: tuple[str, ...]
) -> dict[str, dict[str, Any]]:
    """Each metric under both ways and its difference.

    Args:
        published: the figures of one way under weights `[R, n]`.
        sound: those of the other.
        resamples: on which both are evaluated.
        metrics: names of figures that both have.

    Returns:
        `published`, `honest` and `difference` by metric, each with its interval.
    """

    def statistics(weights: np.ndarray) -> dict[str, np.ndarray]:
        first, second = published(weights), sound(weights)
        ways = {
            "published": first,
            "honest": second,
            "difference": {metric: first[metric] - second[metric] for metric in metrics},
        }
        return {f"{way} {metric}": of[metric] for way, of in ways.items() for metric in metrics}

    estimates, ways = with_intervals(statistics, resamples), ("published", "honest", "difference")
    return {metric: {way: estimates[f"{way} {metric}"].to_dict() for way in ways} for metric in metrics}


def of_rankings(published: np.ndarray, sound: np.ndarray, fake: np.ndarray, resamples: Resamples) -> Figures:
    """Areas under the ROC and PR curves.

    Args:
        published: one score `[n]`.
        sound: another score of the same faces `[n]`.
        fake: which of them are fakes `[n]`.
        resamples: of the faces.
    """
    return paired(ranking_statistics(published, fake), ranking_statistics(sound, fake), resamples, RANKING)


def of_thresholds(
    values: np.ndarray,
    fake: np.ndarray,
    published: tuple[Threshold, bool],
    sound: tuple[Threshold, bool],
    resamples: Resamples,
) -> Figures:
    """What two thresholds of one score decide.

    Args:
        values: scores `[n]`.
        fake: which of them are of fakes `[n]`.
        published: a threshold, and whether its rule is strict.
        sound: another.
        resamples: of the faces.
    """
    first, second = (flagged(values, one.value, strict=strict) for one, strict in (published, sound))
    return paired(
        lambda weights: decision_rates(first, fake, weights),
        lambda weights: decision_rates(second, fake, weights),
        resamples,
        DECISION,
    )


def leak(shared: SharedFaces, *, share: float, faces: int, uniform: bool = False) -> Shortcut:
    """Frames at random against people kept apart: two networks on the faces that both scored.

    Args:
        shared: scores of the leaky network and of the sound one.
        share: part in [0, 1] of the faces whose person (or video) the leaky one saw in training.
        faces: reals that each was trained on.
        uniform: whether the leaky one was trained with uniform noise besides; the two are then measured as one, since
            to part them would take a third network.
    """
    seen = f"trained on frames drawn at random: {share:.0%} of the judged faces show someone trained on"
    return _of_trainings(
        shared, faces, name="leak and uniform noise" if uniform else "leak",
        published=f"{seen}; with uniform noise" if uniform else seen,
        sound="trained on other people's frames alone" + (", with normal noise" if uniform else ""),
    )  # fmt: skip


def noise(shared: SharedFaces, *, faces: int) -> Shortcut:
    """Uniform noise in the reparametrisation against normal noise: two networks trained on the same `faces` reals."""
    return _of_trainings(
        shared, faces, name="uniform noise", published="trained with noise drawn uniformly from [0, 1)",
        sound="trained with noise from N(0, 1)",
    )  # fmt: skip


def _of_trainings(shared: SharedFaces, faces: int, *, name: str, published: str, sound: str) -> Shortcut:
    kept_out = "kept out of both trainings, of the identity-disjoint test split"
    return Shortcut(
        name=name, published=published, sound=sound, judged_on=_counted(shared.sample, kept_out),
        figures=shared.figures(), interval=shared.sample.resamples.metadata(),
        note=f"both trained once on {faces:,} reals with the same settings and seed, and taken at the same epoch; the "
        "interval is of other faces, not of other trainings: other reals alone can change a network as much",
    )  # fmt: skip


def selection(
    shared: SharedFaces, *, on_test: int, on_reals: int, checkpoints: int, judged: str = RANDOM_FRAMES
) -> Shortcut:
    """The epoch chosen on the test set against that of least loss on validation reals, on that test set.

    Args:
        shared: scores by the two epochs.
        on_test: the epoch that the test set chooses.
        on_reals: the epoch that validation reals choose.
        checkpoints: how many there are to choose from.
        judged: which faces the test set holds.
    """
    return Shortcut(
        name="selection",
        published=f"epoch {on_test}: largest area under PR on the test set",
        sound=f"epoch {on_reals}: least loss on validation reals",
        judged_on=_counted(shared.sample, judged),
        figures=shared.figures(),
        interval=shared.sample.resamples.metadata(),
        note="both ways chose the same epoch, so nothing was gained" if on_test == on_reals else
        f"chosen among {checkpoints} checkpoints; the more there are, the more a choice on the test set gains",
    )  # fmt: skip


def _counted(sample: Sample, which: str) -> str:
    counts = sample.class_counts()
    return f"{counts['real']} real and {counts['fake']} fake faces {which}"


def orientation(row: Mapping[str, Any]) -> dict[str, Any]:
    """What of a row is owed to the class called positive, and to as many fakes as reals.

    The same decision seen from both classes; the figures of calling every face real, which needs no detector; and the
    precision of an alarm where fakes are a given share of all faces, from the same rates (Bayes).
    """
    c = row["counts"]  # real is positive
    reals, fakes = c["tp"] + c["fn"], c["tn"] + c["fp"]
    caught, alarms = c["tn"] / fakes, c["fn"] / reals
    at = {}
    for share in PREVALENCES:
        flags = share * caught + (1 - share) * alarms
        at[f"{share:g}"] = share * caught / flags if flags else None
    return {
        "precision_real": row["precision"],
        "precision_fake": row["precision_fake"],
        "f1_real": row["f1"],
        "f1_fake": row["f1_fake"],
        "balanced_accuracy": row["balanced_accuracy"],
        "all_called_real": {
            "precision_real": reals / (reals + fakes), "recall_real": 1.0, "f1_real": 2 * reals / (2 * reals + fakes),
            "f1_fake": 0.0, "balanced_accuracy": 0.5,
        },
        "precision_of_an_alarm": at,
    }  # fmt: skip


def ablate(
    published: ModelScores, sound: ModelScores | None, choice: Mapping[str, Any], splits: Mapping[str, Any]
) -> dict[str, Any]:
    """Take the shortcuts away one by one from a model as published: those deviations that it keeps.

    Args:
        published: what the model scored by the protocol as published.
        sound: what it scored by the sound one; None where that was not asked for.
        choice: the epoch chosen, as `protocols.choose_epoch` returns it.
        splits: what `splits.make_protocol_splits` returns.
    """
    epoch, score = choice["epoch"], published.score
    sample = published.plan.sample(published.table(epoch), score)
    own = published.thresholds(epoch, score)
    shortcuts = [
        *_training_shortcuts(published, sound, epoch, splits),
        *_selection_shortcut(published, choice),
        *_threshold_shortcuts(published, epoch, sample, own),
    ]
    strict, values = bool(published.kept("strict")), sample.scores.values(score)
    rows = [evaluate_threshold(values, sample.fake, one, sample.resamples, strict=strict) for one in own]
    return {
        "model": published.model, "score": score, "epoch": epoch,
        "shortcuts": [one.to_dict() for one in shortcuts],
        "orientation": {row["threshold"]["name"]: orientation(row) for row in rows},
    }  # fmt: skip


def _training_shortcuts(
    published: ModelScores, sound: ModelScores | None, epoch: int, splits: Mapping[str, Any]
) -> list[Shortcut]:
    """What the networks differ in, which takes those of the sound protocol beside these."""
    kept, faces = published.kept("leak", "uniform-noise"), splits["train"]
    if sound is None or not kept:
        return []
    ours = published.table(epoch, "probe" if "leak" in kept else "test")
    shared = SharedFaces.of(ours, sound.table(epoch), published.score, **published.plan.bootstrap)
    if "leak" not in kept:
        return [noise(shared, faces=faces)]
    share = splits["cuts"]["thesis"]["met"]["probe"]
    return [leak(shared, share=share, faces=faces, uniform="uniform-noise" in kept)]


def _selection_shortcut(published: ModelScores, choice: Mapping[str, Any]) -> list[Shortcut]:
    if not published.kept("test-epoch"):
        return []
    by_test, by_reals = published.table(choice["epoch"]), published.table(choice["on_reals"])
    shared = SharedFaces.of(by_test, by_reals, published.score, **published.plan.bootstrap)
    return [
        selection(
            shared, on_test=choice["epoch"], on_reals=choice["on_reals"], checkpoints=len(published.scored),
            judged=_judged(published),
        )
    ]  # fmt: skip


def _threshold_shortcuts(
    published: ModelScores, epoch: int, sample: Sample, own: list[Threshold]
) -> list[Shortcut]:
    """Each published threshold against the same of held-out reals; the strict rule alone, where it is all there is."""
    score, kept = published.score, published.kept(*OF_THRESHOLDS)
    held_out = percentile_of_reals(published.held_out(epoch), score)
    sound, strict = f"80th percentile of {held_out.chosen_on}", "strict" in kept
    pooled, largest = own
    shown: list[tuple[str, Threshold, str]] = []
    if "pooled" in kept:
        shown.append(("pooled threshold", pooled, "80th percentile of the test faces, real and fake pooled"))
    if "max-f1" in kept:
        shown.append(("threshold chosen with fakes", largest, f"largest F1 on {largest.chosen_on}"))
    if kept == ["strict"]:
        shown.append(("strict rule", held_out, f"{sound}, a face that scores as much flagged"))
    values = sample.scores.values(score)
    return [
        Shortcut(
            name=name, published=text, sound=sound, judged_on=_counted(sample, _judged(published)),
            figures=of_thresholds(
                values, sample.fake, (threshold, strict), (held_out, False), sample.resamples
            ),
            interval=sample.resamples.metadata(), note="the thresholds stay as they are in all resamples",
        )
        for name, threshold, text in shown
    ]  # fmt: skip


def _judged(published: ModelScores) -> str:
    return RANDOM_FRAMES if published.kept("leak") else _CUT_BY_PEOPLE
