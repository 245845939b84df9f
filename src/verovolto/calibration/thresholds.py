"""Split-conformal calibration on held-out real faces, and thresholds that state what they promise.

One-class thresholds need real faces alone: the threshold at a stated false-alarm rate, and the conformal
p-value of a face, come from the scores of real faces that neither training nor any selection has used.
Supervised thresholds (largest F1, Youden, equal error rate) need fakes as well, and that of the protocol `thesis` (a
percentile of the pooled test scores) needs the test set itself; each carries its kind and what it was chosen on.

Throughout, higher = more likely fake, and a face is flagged unless `score <= threshold`.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike

from verovolto.calibration.frame_correlation import as_single_face, spread_of_mean
from verovolto.core.errors import CalibrationError

Kind = Literal["one-class", "supervised", "thesis"]
POSITIVES: tuple[Literal["fake"], Literal["real"]] = ("fake", "real")
FALSE_ALARMS = (0.1, 0.05, 0.01)

_log = logging.getLogger(__name__)
# 0.29 * 100 is 28.999999999999996 in binary: a rate is read as the decimal number that was meant.
_ROUNDING = 1e-9


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """Held-out real faces by their score, from which thresholds and p-values follow.

    Attributes:
        score: Name of the score.
        values: float64 `[n]`, ascending: the score of each held-out real face.
        clusters: Number of independent groups of these faces: many faces of few people say less about a new person
            than their number suggests.
        cluster: Kind of these groups: "identity", "source video" or "face".
        fakes: Scores of known fakes by method, ascending, on which no one-class threshold depends.
        videos: The same for videos, where some have several frames: each value is the mean over the frames of one.
        sources: The scores of the real faces of each collection, ascending, where there are several: what is promised
            then holds for each of them alone, so for the worst. Empty where all are of one.
        source_clusters: Number of independent groups of each source's faces; empty where it was not recorded.
        fake_clusters: Number of independent groups of the fakes; None where it was not recorded.
        frame_correlation: Bound of the share of variance that the frames of a real video have in common, in [0, 1] (see
            `calibration.frame_correlation`); None where there were too few videos.

    Raises:
        CalibrationError: When values are missing, not one-dimensional, not sorted or not finite.

    >>> scores_of_reals = np.arange(99.0)  # of 99 real faces that the detector has not learned from
    >>> calibration = Calibration.of(scores_of_reals, score="rmse", clusters=99, cluster="face")
    >>> calibration.threshold(0.05)  # at most 5 % of real faces score above it
    94.0
    >>> calibration.p_values([50.0, 120.0])  # how often a real face scores as high: not rare, rare
    array([0.5 , 0.01])
    """

    score: str
    values: np.ndarray
    clusters: int
    cluster: str
    fakes: Mapping[str, np.ndarray] = field(default_factory=dict)
    videos: Calibration | None = None
    sources: Mapping[str, np.ndarray] = field(default_factory=dict)
    source_clusters: Mapping[str, int] = field(default_factory=dict)
    fake_clusters: int | None = None
    frame_correlation: float | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "values", self._checked(self.values))
        if not self.values.size:
            raise CalibrationError(f"no held-out real scores of {self.score!r} to calibrate on")
        for name in ("fakes", "sources"):
            checked = {key: self._checked(values) for key, values in getattr(self, name).items()}
            object.__setattr__(self, name, checked)

    def _checked(self, values: ArrayLike) -> np.ndarray:
        values = np.asarray(values, dtype=np.float64)
        if values.ndim != 1 or not np.isfinite(values).all():
            raise CalibrationError(f"the calibration scores of {self.score!r} are not all finite numbers")
        if (np.diff(values) < 0).any():
            raise CalibrationError(f"the calibration scores of {self.score!r} are not sorted")
        return values

    @staticmethod
    def of(
        scores: ArrayLike,
        *,
        score: str,
        clusters: int,
        cluster: str,
        fakes: Mapping[str, ArrayLike] | None = None,
        sources: Mapping[str, ArrayLike] | None = None,
    ) -> Calibration:
        """Calibration from scores in any order.

        Args:
            scores: Of held-out real faces, `[n]`.
            score: Name of the score.
            clusters: Number of independent groups of these faces.
            cluster: Kind of these groups.
            fakes: Scores of known fakes by method.
            sources: Scores of these faces by their collection.
        """
        by_method, by_source = (
            {key: _ascending(values) for key, values in (of or {}).items()} for of in (fakes, sources)
        )
        return Calibration(
            score=score, values=_ascending(scores), clusters=clusters, cluster=cluster, fakes=by_method,
            sources=by_source,
        )  # fmt: skip

    def __len__(self) -> int:
        return int(self.values.size)

    @property
    def smallest(self) -> int:
        """How many faces the smallest source has; all, where there is but one."""
        return min(map(len, self._each))

    @property
    def _each(self) -> tuple[np.ndarray, ...]:
        """The scores of which each alone must keep a promise."""
        return tuple(self.sources.values()) or (self.values,)

    def threshold(self, false_alarm: float) -> float:
        r"""Score above which a real face falls with probability at most `false_alarm`, in (0, 1).

        The k-th largest of the n values, the split-conformal quantile (Lei et al., J. Am. Stat. Assoc. 113, 2018,
        sec. 2.2),

        .. math:: k = \lfloor \alpha (n + 1) \rfloor,

        exact for exchangeable faces whatever their
        distribution. Of several sources the largest such score: the rate then holds in each.

        Raises:
            CalibrationError: When k is 0, with the n that the rate would need.
        """
        if not 0.0 < false_alarm < 1.0:
            raise CalibrationError(f"a false-alarm rate lies between 0 and 1, not {false_alarm:g}")
        n = self.smallest
        of_source = " of a source" if self.sources else ""
        if math.floor(false_alarm * (n + 1) + _ROUNDING) == 0:
            raise CalibrationError(
                f"{n} held-out real faces{of_source} cannot support a false-alarm rate of {false_alarm:g}",
                hint=f"it needs at least {needed(false_alarm)} of them, or ask for a rate of at least "
                f"{1 / (n + 1):.3g}",
            )
        return max(_quantile(values, false_alarm) for values in self._each)

    def at_rate(self, false_alarm: float, chosen_on: str = "held-out real faces") -> Threshold:
        """The threshold of a false-alarm rate as a `Threshold`. Raises as `threshold`."""
        return Threshold(
            name=f"far_{false_alarm:g}",
            score=self.score,
            value=self.threshold(false_alarm),
            kind="one-class",
            chosen_on=chosen_on,
            false_alarm=false_alarm,
        )

    def p_values(self, scores: ArrayLike) -> np.ndarray:
        r"""Conformal p-values, float64 in (0, 1], of scores of any shape.

        .. math:: p(s) = \frac{1 + |\{i : v_i \ge s\}|}{n + 1}

        P(p <= a) <= a for a real face exchangeable with the calibration's (Vovk et al., Algorithmic Learning
        in a Random World, 2005, prop. 2.4). Of several sources the largest p-value. NaN stays NaN: no score, no
        p-value.
        """
        scores = np.asarray(scores, dtype=np.float64)
        largest = np.zeros(scores.shape)
        for values in self._each:
            at_least = len(values) - np.searchsorted(values, scores, side="left")
            largest = np.maximum(largest, (1.0 + at_least) / (len(values) + 1.0))
        return np.asarray(np.where(np.isnan(scores), np.nan, largest))

    def p_value_of_mean(self, mean: float, frames: int) -> float:
        """p-value in (0, 1] of the mean score of so many frames of one video, set against single faces.

        It is that of the single face that lies as many standard deviations from the middle of real faces, where the
        mean's is smaller by what frames do not have in common. Without `frame_correlation`, or of a single frame, that
        of a face with this score, which is careful. Of several sources the largest.
        """
        if self.frame_correlation is None:
            return float(self.p_values(mean))
        spread = spread_of_mean(frames, self.frame_correlation)
        found = []
        for values in self._each:
            score = as_single_face(mean, float(np.median(values)), spread)
            found.append((1.0 + float((values >= score).sum())) / (len(values) + 1.0))
        return max(found)

    def missed(self, false_alarm: float) -> dict[str, Missed]:
        """How many of the known fakes pass at the threshold of `false_alarm`, by method. Raises as `threshold`."""
        threshold = self.threshold(false_alarm)
        return {
            method: Missed(missed=int((~flagged(values, threshold)).sum()), of=len(values))
            for method, values in self.fakes.items()
        }


@dataclass(frozen=True, kw_only=True)
class Missed:
    """How many known fakes score no higher than a threshold: `missed` out of `of`."""

    missed: int
    of: int

    @property
    def share(self) -> float:
        """In [0, 1]."""
        return self.missed / self.of


@dataclass(frozen=True, kw_only=True)
class Threshold:
    """A threshold of one score, and what it is.

    Attributes:
        name: `far_0.1` for a false-alarm rate of 10 %, or a rule.
        score: The score that it cuts.
        value: Where; infinite: every face passes.
        kind: What choosing it needs: real faces alone, fakes as well, or the test set itself.
        chosen_on: The data it was chosen on.
        false_alarm: The rate that it promises on real faces; None: it promises none.
    """

    name: str
    score: str
    value: float
    kind: Kind
    chosen_on: str
    false_alarm: float | None = None

    def __post_init__(self) -> None:
        if math.isnan(self.value):
            raise CalibrationError(f"the threshold {self.name!r} of {self.score!r} is not a number")

    def to_dict(self) -> dict[str, Any]:
        """As JSON can hold it: an infinite value becomes the text "inf" or "-inf"."""
        return {
            "name": self.name,
            "score": self.score,
            "value": self.value if math.isfinite(self.value) else str(self.value),
            "kind": self.kind,
            "chosen_on": self.chosen_on,
            "false_alarm": self.false_alarm,
        }

    @staticmethod
    def from_dict(written: dict[str, Any]) -> Threshold:
        """The inverse of `to_dict`."""
        return Threshold(**{**written, "value": float(written["value"])})


def _quantile(values: np.ndarray, false_alarm: float) -> float:
    """The k-th largest of ascending values, k = floor(rate * (n + 1)); -inf where all may lie above."""
    k = math.floor(false_alarm * (len(values) + 1) + _ROUNDING)
    return float(values[len(values) - k]) if k <= len(values) else -math.inf


def _ascending(scores: ArrayLike) -> np.ndarray:
    return np.sort(np.asarray(scores, dtype=np.float64).ravel())


def needed(false_alarm: float) -> int:
    """Fewest held-out real faces that support a false-alarm rate: the least n with rate * (n + 1) >= 1."""
    wanted = min(1.0 / false_alarm, 1e18)  # of the smallest numbers that there are the inverse is none
    return max(1, math.ceil(wanted - _ROUNDING) - 1)


def flagged(scores: ArrayLike, threshold: float, *, strict: bool = False) -> np.ndarray:
    """Boolean array: which scores, none of them NaN, are flagged as suspect.

    A face passes iff `score <= threshold`; with `strict`, the thesis's rule, iff `score < threshold`.

    >>> flagged([1.0, 2.0, 3.0], 2.0)
    array([False, False,  True])
    """
    scores = np.asarray(scores, dtype=np.float64)
    return np.asarray(scores >= threshold if strict else scores > threshold)


def find_threshold(thresholds: Iterable[Threshold], score: str, false_alarm: float) -> Threshold | None:
    """The threshold of a score at a false-alarm rate; None where there is no such one."""
    return next((t for t in thresholds if (t.score, t.false_alarm) == (score, false_alarm)), None)


def refused_rates(calibration: Calibration, false_alarms: Sequence[float] = FALSE_ALARMS) -> dict[float, int]:
    """The rates that the sample cannot support, each with the number of real faces it would need."""
    return {rate: needed(rate) for rate in false_alarms if calibration.smallest < needed(rate)}


def one_class_thresholds(
    calibration: Calibration,
    false_alarms: Sequence[float] = FALSE_ALARMS,
    chosen_on: str = "held-out real faces",
) -> list[Threshold]:
    """Thresholds that need real faces only: one a supported rate, and the 80th percentile of reals.

    Rates that the sample cannot support are logged as a warning.
    """
    refused = refused_rates(calibration, false_alarms)
    for rate, size in refused.items():
        _log.warning(
            "no threshold of %s at a false-alarm rate of %g: it needs %d held-out real faces, there are %d",
            calibration.score,
            rate,
            size,
            calibration.smallest,
        )
    at_rates = [calibration.at_rate(rate, chosen_on) for rate in false_alarms if rate not in refused]
    p80 = Threshold(
        name="p80_reals",
        score=calibration.score,
        value=float(np.percentile(calibration.values, 80)),
        kind="one-class",
        chosen_on=chosen_on,
    )
    return [*at_rates, p80]


def supervised_thresholds(
    real_scores: ArrayLike,
    fake_scores: ArrayLike,
    *,
    score: str,
    chosen_on: str,
    positive: Literal["fake", "real"] = "fake",
) -> list[Threshold]:
    """Thresholds that need fakes too, so no longer one-class: largest F1, Youden's J, equal error rate.

    Youden (Cancer 3, 1950): largest detection rate minus false-alarm rate. EER: least |false-alarm rate - share
    of fakes missed|. Ties go to the higher threshold, the one with fewer false alarms.

    Args:
        real_scores: Scores of real faces, `[n]`.
        fake_scores: Scores of fakes, `[m]`.
        score: Name of the score.
        chosen_on: What these faces are.
        positive: Class whose F1 is largest ("real" is the thesis's orientation; for a weak score it degenerates to
            letting everything pass: value +inf).

    Raises:
        CalibrationError: When a class is empty or a score is not finite.
    """
    real = np.sort(np.asarray(real_scores, dtype=np.float64).ravel())
    fake = np.sort(np.asarray(fake_scores, dtype=np.float64).ravel())
    if not real.size or not fake.size:
        raise CalibrationError(f"supervised thresholds of {score!r} need real and fake scores")
    if not (np.isfinite(real).all() and np.isfinite(fake).all()):
        raise CalibrationError(f"the scores of {score!r} are not all finite numbers")
    candidates = _candidates(real, fake)
    false_alarms = real.size - np.searchsorted(real, candidates, side="right")
    caught = fake.size - np.searchsorted(fake, candidates, side="right")
    if positive == "fake":
        hits, spurious, lost = caught, false_alarms, fake.size - caught
    else:
        hits, spurious, lost = real.size - false_alarms, fake.size - caught, false_alarms
    f1 = 2 * hits / (2 * hits + spurious + lost)
    far, missed = false_alarms / real.size, 1 - caught / fake.size
    rules = {
        "max_f1" if positive == "fake" else "max_f1_real": f1,
        "youden": 1 - missed - far,
        "eer": -np.abs(far - missed),
    }
    return [
        Threshold(
            name=name, score=score, value=_best(candidates, gain), kind="supervised", chosen_on=chosen_on
        )
        for name, gain in rules.items()
    ]


def every_supervised_threshold(
    real_scores: ArrayLike, fake_scores: ArrayLike, *, score: str, chosen_on: str
) -> list[Threshold]:
    """`supervised_thresholds` with fake as positive, and the thesis's: the largest F1 of the reals.

    Args:
        real_scores: Scores of real faces, `[n]`.
        fake_scores: Scores of fakes, `[m]`.
        score: Name of the score.
        chosen_on: What these faces are.
    """
    of_fake, of_real = (
        supervised_thresholds(real_scores, fake_scores, score=score, chosen_on=chosen_on, positive=positive)
        for positive in POSITIVES
    )
    return [*of_fake, of_real[0]]  # Youden's and the EER's do not depend on which class is positive


def pooled_percentile(
    scores: ArrayLike,
    q: float = 80,
    *,
    score: str,
    chosen_on: str = "the evaluated faces, real and fake pooled",
) -> Threshold:
    """The thesis's threshold: the q-th percentile of the pooled test scores, chosen on the test itself.

    By construction (100 - q) % of all faces are flagged, whatever their labels.

    Args:
        scores: Scores of the evaluated faces, `[n]`.
        q: The percentile, in [0, 100].
        score: Name of the score.
        chosen_on: What these faces are.
    """
    value = float(np.percentile(np.asarray(scores, dtype=np.float64), q))
    return Threshold(name=f"p{q:g}_pooled", score=score, value=value, kind="thesis", chosen_on=chosen_on)


def _candidates(real: np.ndarray, fake: np.ndarray) -> np.ndarray:
    """Every threshold that flags a different set: below all, each distinct score, +inf for flagging none."""
    distinct = np.unique(np.concatenate([real, fake]))
    return np.concatenate([[np.nextafter(distinct[0], -np.inf)], distinct[:-1], [np.inf]])


def _best(candidates: np.ndarray, gain: np.ndarray) -> float:
    """The highest candidate of largest gain (gains that differ by rounding alone are equal)."""
    return float(candidates[np.flatnonzero(gain >= gain.max() - 1e-12)[-1]])


def share_interval(hits: float, of: int) -> tuple[float, float]:
    """95 % interval of a share, exact (Clopper & Pearson, Biometrika 26, 1934).

    Of faces of fewer people both numbers are those of people: each counts once, so `hits` need not be whole.

    >>> [round(end, 3) for end in share_interval(0, 10)]
    [0.0, 0.308]
    """
    from scipy.special import betaincinv  # slow to import, and a single photo needs none

    low = 0.0 if hits <= 0 else float(betaincinv(hits, of - hits + 1, 0.025))
    high = 1.0 if hits >= of else float(betaincinv(hits + 1, of - hits, 0.975))
    return low, high
