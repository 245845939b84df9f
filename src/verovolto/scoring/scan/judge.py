"""From judged faces to verdicts. Pure functions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from verovolto.faces.quality import UNCERTAIN
from verovolto.scoring.calibration import Calibration
from verovolto.scoring.domain import Domain, outside_scores
from verovolto.scoring.scan.merge import bonferroni, rule_for, smallest_p_value, track_p_value
from verovolto.scoring.scan.result import (
    NO_FACE,
    OUTSIDE_DOMAIN,
    TOO_MANY,
    VERDICTS,
    MediumResult,
    TrackResult,
    Verdict,
)

_ROUNDING = 1e-9
"""Share by which a mean of p-values may lie above the rate that it equals: that of three times 0.05 does."""


def judge_tracks(
    tracks: Sequence[TrackResult], known: Calibration, domain: Domain, false_alarm: float
) -> tuple[TrackResult, ...]:
    """The tracks with their p-values and verdicts; those of which nothing can be told say why.

    A person is suspect when their p-value, times the number of people judged in the same medium (Bonferroni), is
    at most `false_alarm`: a real medium is then called suspect with at most that probability, however many are in it.
    """
    described = [_described(track, known, domain, false_alarm) for track in tracks]
    people = sum(track.p_value is not None for track in described)
    return tuple(_decided(track, people, known, false_alarm) for track in described)


def judge_medium(found: MediumResult) -> MediumResult:
    """The medium with the verdict that follows from its tracks."""
    of_tracks = {track.verdict for track in found.tracks}
    verdict: Verdict = next((one for one in VERDICTS if one in of_tracks), "cannot tell")  # the gravest first
    reasons = _why_nothing(found.tracks) if verdict == "cannot tell" else ()
    known = [track.p_adjusted for track in found.tracks if track.p_adjusted is not None]
    return replace(found, verdict=verdict, reasons=reasons, p_value=min(known, default=None))


def _described(track: TrackResult, known: Calibration, domain: Domain, false_alarm: float) -> TrackResult:
    """With score and p-value, unless no face of it can be judged."""
    if not track.points:
        return replace(track, reasons=_most_common(Counter(track.passed_over)) or (NO_FACE,))
    scores = [point.score for point in track.points]
    score = sum(scores) / len(scores)
    outside = (*domain.outside(track.conditions), *outside_scores(score, known))
    if outside:
        return replace(track, score=score, reasons=tuple(f"{OUTSIDE_DOMAIN}: {why}" for why in outside))
    rule = rule_for(len(scores), known, false_alarm)
    p_value = track_p_value(scores, [point.p_value for point in track.points], known, rule)
    return replace(track, score=score, rule=rule, p_value=p_value)


def _decided(track: TrackResult, people: int, known: Calibration, false_alarm: float) -> TrackResult:
    if track.p_value is None or track.rule is None:
        return track
    adjusted = bonferroni(track.p_value, people)
    rate = false_alarm * (1 + _ROUNDING)
    if people * smallest_p_value(known, track.rule) > rate:
        return replace(track, p_adjusted=adjusted, reasons=(TOO_MANY,))
    verdict: Verdict = "suspect" if adjusted <= rate else "no sign found"
    return replace(track, p_adjusted=adjusted, verdict=verdict)


def _why_nothing(tracks: Sequence[TrackResult]) -> tuple[str, ...]:
    """The reasons of the tracks, the most frequent first; what may be no face speaks only where nothing else does."""
    sure = [track for track in tracks if track.reasons != (UNCERTAIN,)]
    counted = Counter(reason for track in sure or tracks for reason in track.reasons)
    return _most_common(counted) or (NO_FACE,)


def _most_common(counted: Counter[str]) -> tuple[str, ...]:
    return tuple(reason for reason, _ in counted.most_common())
