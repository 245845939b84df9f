"""The evaluation of one table of scores: from a `ScoreTable` to the figures of `metrics.json`.

Pure functions of the table, the thresholds and a seed. The keys of the result are the schema documented in
`docs/metrics-schema.md`; every figure is `{"value", "low", "high"}`. Positive is fake; scores are read in
their declared direction.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pyarrow as pa
from scipy.stats import spearmanr
from sklearn.isotonic import IsotonicRegression

from verovolto.calibration.likelihood_ratio import of_faces
from verovolto.calibration.thresholds import (
    FALSE_ALARMS,
    Calibration,
    Threshold,
    flagged,
    pooled_percentile,
    refused_rates,
)
from verovolto.core.errors import CalibrationError
from verovolto.data.score_table import ScoreTable
from verovolto.data.splits import video_keys
from verovolto.evaluation.bootstrap import Estimate, Resamples, Statistics, draw_resamples, with_intervals
from verovolto.evaluation.groups import (
    Sample,
    by_video,
    class_counts,
    clusters_of,
    coverage,
    find_pairs,
    scored_rows,
)
from verovolto.evaluation.metrics import (
    Positive,
    counts,
    decision_rates,
    divide,
    in_blocks,
    ranking_statistics,
)

Protocol = Literal["sound", "thesis"]
SCHEMA_VERSION = 1
NOMINAL_RATES = (0.01, 0.02, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5)
LIKELIHOOD_RATE = 0.05
"""False-alarm rate at which likelihood ratios are stated for the cost of them."""
UNKNOWN_VIDEOS = "the source videos are not known, so there is no video level"
GROUPS = ("method", "compression", "dataset")


def evaluate_scores(
    scores: ScoreTable,
    *,
    thresholds: Sequence[Threshold] = (),
    calibration: Mapping[str, Calibration] | None = None,
    score: str | None = None,
    protocol: Protocol = "sound",
    positive: Positive = "fake",
    strict: bool = False,
    resamples: int = 1000,
    seed: int = 0,
) -> dict[str, Any]:
    """All figures of a table of scores, as `metrics.json` holds them.

    Args:
        scores: The table; faces without a label or score are counted and left out.
        thresholds: Thresholds of any of its scores, chosen elsewhere.
        calibration: Held-out real scores, by score.
        score: The score that is evaluated first; None: the table's default.
        protocol: `sound`, or `thesis`: with the 80th percentile of the evaluated scores as one more threshold, which
            is chosen on the very faces that it is evaluated on.
        positive: Orients the counts and the `precision`, `recall`, `f1` of the thresholds, nothing else.
        strict: Flag a face that scores exactly the threshold.
        resamples: Bootstrap resamples behind each interval.
        seed: Seed of the resamples.

    Raises:
        DataError: When a class is missing.
        InputError: For an unknown score.
    """
    score = score or scores.scores[0]
    sample = Sample.of(scores, score, resamples=resamples, seed=seed)
    calibration = calibration or {}
    evaluator = _Evaluator(
        sample=sample, thresholds=thresholds, protocol=protocol, positive=positive, strict=strict
    )
    return {
        "schema_version": SCHEMA_VERSION,
        "score": score,
        "faces": sample.class_counts(),
        "coverage": coverage(scores),
        "interval": sample.resamples.metadata(),
        **evaluator.score(score),
        **_likelihood(sample, score, calibration.get(score)),
        "calibration": _calibration(sample, score, calibration.get(score), strict),
        "levels": video_level(sample, score, resamples, seed),
        "other_scores": {name: evaluator.score(name) for name in scores.scores if name != score},
        "baselines": {name: evaluator.score(name) for name in scores.baselines if name != score},
        **{f"by_{group}": _groups(sample, score, group) for group in GROUPS},
    }


def correlations(scores: ScoreTable, score: str) -> dict[str, float | None]:
    """Spearman's correlation of a score with each trivial statistic that all scored faces have."""
    kept = scores.take(scored_rows(scores, score))
    columns = {name: kept.values(name) for name in scores.baselines if name != score}
    return {
        name: spearman(kept.values(score), column)
        for name, column in columns.items()
        if np.isfinite(column).all()
    }


def spearman(a: np.ndarray, b: np.ndarray) -> float | None:
    """Spearman's rank correlation of two arrays `[n]`; None when one is constant or n < 3.

    >>> spearman(np.array([1.0, 2.0, 3.0]), np.array([9.0, 4.0, 1.0]))
    -1.0
    """
    if len(a) < 3 or (a == a[0]).all() or (b == b[0]).all():
        return None
    return float(spearmanr(a, b).statistic)


@dataclass(frozen=True, kw_only=True)
class _Evaluator:
    sample: Sample
    thresholds: Sequence[Threshold]
    protocol: Protocol
    positive: Positive
    strict: bool

    def score(self, name: str) -> dict[str, Any]:
        """Ranking metrics, pairwise accuracy and the outcome at each threshold, of one score."""
        values = self.sample.scores.values(name)
        rows = np.flatnonzero(np.isfinite(values))
        values, fake = values[rows], self.sample.fake[rows]
        if not fake.any() or fake.all():
            return {"auroc": Estimate(value=None).to_dict(), "thresholds": []}
        pairs = find_pairs(self.sample.scores.take(rows), values, fake)
        figures = ranking_figures(values, fake, self.sample.resamples, rows)
        if len(pairs.rows):
            figures |= with_intervals(pairs.pairwise_accuracy, self.sample.resamples, rows)
        chosen = [threshold for threshold in self.thresholds if threshold.score == name]
        if self.protocol == "thesis":
            chosen.append(pooled_percentile(values, score=name))
        return {
            **_to_dicts(figures),
            "pairs": len(pairs.rows),
            "thresholds": [self._threshold(threshold, values, rows) for threshold in chosen],
        }

    def _threshold(self, threshold: Threshold, values: np.ndarray, rows: np.ndarray) -> dict[str, Any]:
        fake = self.sample.fake[rows]
        flags = flagged(values, threshold.value, strict=self.strict)
        rates = with_intervals(lambda w: decision_rates(flags, fake, w), self.sample.resamples, rows)
        oriented = {name: rates[f"{name}_{self.positive}"] for name in ("precision", "recall", "f1")}
        return {
            **threshold.to_dict(),
            "rule": "flagged unless score " + ("< value" if self.strict else "<= value"),
            "positive": self.positive,
            **counts(flags, fake, self.positive),
            **_to_dicts(rates | oriented),
        }


def ranking_figures(
    values: np.ndarray, fake: np.ndarray, resamples: Resamples, rows: np.ndarray
) -> dict[str, Estimate]:
    """All metrics of a ranking with their intervals.

    Args:
        values: Scores `[n]`.
        fake: Boolean `[n]`.
        resamples: Of a sample that holds these faces.
        rows: Their positions in it, `[n]`.
    """
    order = np.concatenate(in_blocks(values, fake))  # weights then come in the order in which the curve runs
    return with_intervals(ranking_statistics(values[order], fake[order]), resamples, rows[order])


def _to_dicts(figures: Mapping[str, Estimate]) -> dict[str, dict[str, float | None]]:
    return {name: figure.to_dict() for name, figure in figures.items()}


def _likelihood(sample: Sample, score: str, calibration: Calibration | None) -> dict[str, Any]:
    """The cost of the likelihood ratios that a scan would state, and the least that this ranking allows."""
    values = sample.scores.values(score)
    rows = np.flatnonzero(np.isfinite(values))
    values, fake = values[rows], sample.fake[rows]
    if not fake.any() or fake.all():
        return {name: Estimate(value=None).to_dict() for name in ("cllr", "cllr_min")}
    ratios = None if calibration is None else of_faces(calibration, values, LIKELIHOOD_RATE)
    stated = Estimate(value=None)
    if ratios is not None:
        stated = with_intervals(cllr_statistics(ratios, fake), sample.resamples, rows)["cllr"]
    return {"cllr": stated.to_dict(), "cllr_min": Estimate(value=least_cllr(values, fake)).to_dict()}


def _calibration(
    sample: Sample, score: str, calibration: Calibration | None, strict: bool
) -> dict[str, Any] | None:
    """Nominal against realised false-alarm rate on the evaluated reals, and the rates that were refused."""
    if calibration is None:
        return None
    refused = refused_rates(calibration, FALSE_ALARMS)
    nominal = [rate for rate in NOMINAL_RATES if _supported(calibration, rate)]
    cuts = [calibration.threshold(rate) for rate in nominal]
    real = np.flatnonzero(~sample.fake)
    values = sample.scores.values(score)[real]
    flags = np.stack([flagged(values, cut, strict=strict) for cut in cuts], axis=1).astype(np.float64)

    def realised(weights: np.ndarray) -> dict[str, np.ndarray]:
        rates = divide(weights @ flags, weights.sum(axis=1, keepdims=True))
        return {str(i): rates[:, i] for i in range(len(cuts))}

    figures = with_intervals(realised, sample.resamples, real) if cuts else {}
    return {
        "real_faces": len(calibration),
        "clusters": calibration.clusters,
        "cluster": calibration.cluster,
        "curve": [
            {"nominal": rate, "threshold": cut, "realised": figures[str(i)].to_dict()}
            for i, (rate, cut) in enumerate(zip(nominal, cuts, strict=True))
        ],
        "refused": [
            {"false_alarm": rate, "needed": size, "real_faces": len(calibration)}
            for rate, size in refused.items()
        ],
    }


def _supported(calibration: Calibration, rate: float) -> bool:
    try:
        return math.isfinite(calibration.threshold(rate))
    except CalibrationError:
        return False


def video_level(sample: Sample, score: str, resamples: int, seed: int) -> dict[str, Any]:
    """The video level, where some video has more than one frame; else a note that both levels coincide.

    Args:
        sample: of frames.
        score: its name; a video's is the mean over its frames.
        resamples: number of bootstrap resamples.
        seed: their seed.
    """
    videos = len(pa.array(video_keys(sample.scores.table)).unique())
    frames = len(sample.scores)
    metadata = {"videos": videos, "frames": frames, "frames_per_video": frames / videos}
    if videos == frames:
        known = any(video is not None for video in sample.scores.strings("source_video"))
        note = "one frame a video: frame and video level coincide"
        return {**metadata, "video": None, "note": note if known else UNKNOWN_VIDEOS}
    table, values = by_video(sample.scores, score)
    fake = table.strings("label") == "fake"
    clusters, kind = clusters_of(table)
    drawn = draw_resamples(clusters, fake, kind=kind, resamples=resamples, seed=seed)
    figures = ranking_figures(values, fake, drawn, np.arange(len(fake)))
    note = (
        "a video's score is the mean over its frames; thresholds are calibrated on frames and hold for those"
    )
    return {**metadata, "video": {"faces": class_counts(fake), **_to_dicts(figures)}, "note": note}


def _groups(sample: Sample, score: str, group: str) -> dict[str, Any]:
    """Ranking metrics within each value of a column that holds more than one; empty otherwise.

    A forgery method is evaluated against all reals (a real face has no method); a compression or a data set
    against the reals of the same one.
    """
    column = sample.scores.strings(group)
    names = sorted({str(value) for value in column[sample.fake] if value is not None})
    if len(names) < 2:
        return {}
    values = sample.scores.values(score)
    results: dict[str, Any] = {}
    for name in names:
        member = column == name
        rows = np.flatnonzero((sample.fake & member) | (~sample.fake & (member | (group == "method"))))
        fake = sample.fake[rows]
        if fake.all():
            results[name] = {"faces": class_counts(fake), "auroc": Estimate(value=None).to_dict()}
            continue
        figures = ranking_figures(values[rows], fake, sample.resamples, rows)
        results[name] = {"faces": class_counts(fake), **_to_dicts(figures)}
    return results


def cllr_statistics(ratios: np.ndarray, fake: np.ndarray) -> Statistics:
    """`cllr` of likelihood ratios `[n]` under weightings `[R, n]` of the faces.

    Half the mean of log2(1 + 1/LR) over fakes and of log2(1 + LR) over reals (Brümmer & du Preez,
    "Application-independent evaluation of speaker detection", Computer Speech & Language 20, 2006): 0 is perfect, 1 is
    what saying nothing (LR = 1) costs, above 1 the ratios mislead.
    """
    cost = np.where(fake, np.log2(1 + 1 / ratios), np.log2(1 + ratios))

    def statistics(weights: np.ndarray) -> dict[str, np.ndarray]:
        of_fakes = divide(weights @ (cost * fake), weights @ fake.astype(np.float64))
        of_reals = divide(weights @ (cost * ~fake), weights @ (~fake).astype(np.float64))
        return {"cllr": (of_fakes + of_reals) / 2}

    return statistics


def least_cllr(scores: np.ndarray, fake: np.ndarray) -> float:
    """The least that any rising function from scores to likelihood ratios costs on these faces (same source).

    The pool-adjacent-violators fit to these very faces: what is lost by the ranking alone.

    >>> least_cllr(np.array([1.0, 2.0, 3.0]), np.array([False, False, True]))
    0.0
    """
    fit = IsotonicRegression(y_min=0.0, y_max=1.0)
    classes = np.array([(~fake).sum(), fake.sum()], dtype=np.float64)
    weights = np.where(fake, 1 / classes[1], 1 / classes[0])  # both classes count alike
    share = fit.fit_transform(scores, fake.astype(np.float64), sample_weight=weights)
    with np.errstate(divide="ignore"):
        cost = np.where(fake, -np.log2(share), -np.log2(1 - share))
    return float((cost[fake].mean() + cost[~fake].mean()) / 2)
