"""The thesis's own evaluation, kept exactly, so that its figures can be set beside those of sound protocols.

Malgeri (University of Florence, 2023-24), section 5: a face is called real when `score < s`, real is the positive
class, `s` is the 80th percentile of the pooled *test* scores or the threshold of largest F1 on validation faces, and
the epoch is the one of largest area under precision and recall on the test set. What is wrong with each is measured in
`thesis.ablation`. Scores: higher = more likely fake. Everywhere else in the package, positive is fake.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.metrics import average_precision_score

from verovolto.calibration.thresholds import Threshold, flagged, pooled_percentile
from verovolto.core.errors import DataError
from verovolto.evaluation.bootstrap import Resamples, with_intervals
from verovolto.evaluation.metrics import counts, decision_rates


@dataclass(frozen=True, kw_only=True)
class Published:
    """A row of a published table (real is positive); a figure that was not published is None."""

    table: str
    model: str
    rule: str
    threshold: float | None
    precision: float | None
    recall: float | None
    accuracy: float | None
    data: str = "FaceForensics++ Deepfakes, 250 + 250 frames"


STRICT, SOUND = "real if score < s", "real if score <= s"
POOLED, MAX_F1 = "p80 of the pooled test scores", "largest F1 on validation"
_KHALID = "FaceForensics++ Deepfakes, as OC-FakeDect's authors report it (other images)"
PUBLISHED = (
    Published(table="1", model="oc-ae", rule="p80", threshold=0.017, precision=0.492, recall=0.492, accuracy=0.492,
              data=_KHALID),
    Published(table="1", model="oc-fakedect1", rule="p80", threshold=0.012, precision=0.860, recall=0.864,
              accuracy=0.862, data=_KHALID),
    Published(table="1", model="resnet-ocvae1", rule=POOLED, threshold=0.383, precision=0.519, recall=0.828,
              accuracy=0.528),
    Published(table="1", model="resnet-ocvae2", rule=POOLED, threshold=0.242, precision=0.604, recall=0.964,
              accuracy=0.664),
    Published(table="2", model="resnet-ocvae2", rule=MAX_F1, threshold=0.180, precision=0.910, recall=0.888,
              accuracy=0.900),
    Published(table="-", model="oc-fakedect2", rule="as published", threshold=None, precision=None, recall=None,
              accuracy=0.884, data=_KHALID),
)  # fmt: skip
"""The thesis's Tables 1 and 2, and OC-FakeDect2's accuracy on Deepfakes (Khalid & Woo 2020). Thresholds are of
scores of other networks, other sizes and perhaps other units: they are shown, and never applied."""


def area_under_pr(values: np.ndarray, fake: np.ndarray) -> float:
    """Average precision of the *real* faces `[n]` under falling score: what the thesis chooses its epoch by."""
    return float(average_precision_score(~fake, -values))


def chosen_on_test(areas: Mapping[int, float]) -> int:
    """The epoch of largest area under PR on the test set, the earliest of equals.

    Raises:
        DataError: for none.
    """
    return _first_best(areas, sign=1.0)


def chosen_on_reals(losses: Mapping[int, float]) -> int:
    """The epoch of least loss on validation reals, the earliest of equals.

    Raises:
        DataError: for none.
    """
    return _first_best(losses, sign=-1.0)


def pooled(values: np.ndarray, *, score: str) -> Threshold:
    """The 80th percentile of the pooled test scores: four fifths of all faces are called real, whatever they are."""
    return pooled_percentile(values, score=score, chosen_on="the judged faces, real and fake pooled")


def largest_f1(values: np.ndarray, fake: np.ndarray, *, score: str, chosen_on: str) -> Threshold:
    """The threshold of largest F1 of the reals, `score < s` called real, s among the scores given.

    Since s is a score, the highest-scoring face can never be accepted, real or not. Ties go to the lowest s.

    Args:
        values: scores `[n]`.
        fake: which of them are of fakes `[n]`.
        score: name of the score.
        chosen_on: the faces in words.

    Raises:
        DataError: without both classes.
    """
    if not fake.any() or fake.all():
        raise DataError(f"the largest F1 of {score} needs real and fake faces")
    candidates = np.unique(values)
    accepted = np.searchsorted(np.sort(values[~fake]), candidates, side="left")
    spurious = np.searchsorted(np.sort(values[fake]), candidates, side="left")
    f1 = 2 * accepted / (accepted + spurious + int((~fake).sum()))
    return Threshold(
        name="max_f1_real_strict", score=score, value=float(candidates[np.argmax(f1)]), kind="supervised",
        chosen_on=chosen_on,
    )  # fmt: skip


# What the thesis reports, then what it does not: the other class, and figures that prevalence does not move.
_REPORTED = {
    "precision": "precision_real", "recall": "recall_real", "accuracy": "accuracy", "f1": "f1_real",
    "precision_fake": "precision_fake", "recall_fake": "recall_fake", "f1_fake": "f1_fake",
    "balanced_accuracy": "balanced_accuracy", "false_alarm_rate": "false_alarm_rate",
    "missed_fakes": "missed_fakes",
}  # fmt: skip


def evaluate_threshold(
    values: np.ndarray, fake: np.ndarray, threshold: Threshold, resamples: Resamples, *, strict: bool
) -> dict[str, Any]:
    """What a threshold does to faces, with 95 % intervals over the clusters of `resamples`: a row of the tables.

    Args:
        values: scores `[n]`.
        fake: which of them are of fakes `[n]`.
        threshold: stays as it is in all resamples, also where it was chosen on these faces.
        resamples: of the faces.
        strict: whether a face is accepted below the threshold alone.

    Returns:
        `threshold`, `rule`, `counts` and the figures reported, as JSON holds them. `counts` and `precision`, `recall`,
        `accuracy`, `f1` take real as positive.
    """
    flags = flagged(values, threshold.value, strict=strict)
    rates = with_intervals(lambda weights: decision_rates(flags, fake, weights), resamples)
    return {
        "threshold": threshold.to_dict(),
        "rule": STRICT if strict else SOUND,
        "counts": counts(flags, fake, "real"),
        **{name: rates[key].to_dict() for name, key in _REPORTED.items()},
    }


def _first_best(values: Mapping[int, float], *, sign: float) -> int:
    finite = {epoch: value for epoch, value in values.items() if np.isfinite(value)}
    if not finite:
        raise DataError("no checkpoint to choose from", hint="train for at least --every epochs")
    return max(sorted(finite), key=lambda epoch: sign * finite[epoch])
