"""From judged faces to verdicts. Pure functions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from verovolto.calibration.input_domain import Domain, outside_scores
from verovolto.calibration.thresholds import Calibration
from verovolto.scanning.aggregate import bonferroni, rule_for, smallest_p_value, track_p_value
from verovolto.scanning.result import (
    NO_FACE,
    OUTSIDE_DOMAIN,
    TOO_MANY,
    VERDICTS,
    FileResult,
    TrackResult,
    Verdict,
)

_ROUNDING = 1e-9
"""Share by which a mean of p-values may lie above the rate that it equals: that of three times 0.05 does."""


def decide_tracks(
    tracks: Sequence[TrackResult], known: Calibration, domain: Domain, false_alarm: float
) -> tuple[TrackResult, ...]:
    """The tracks with their p-values and verdicts; those of which nothing can be told say why.

    A person is suspect when their p-value, times the number of people judged in the same medium (Bonferroni), is
    at most `false_alarm`: a real medium is then called suspect with at most that probability, however many are in it.
    """
    described = [_described(track, known, domain) for track in tracks]
    people = sum(not track.reasons for track in described)
    return tuple(_decided(track, people, known, false_alarm) for track in described)


def decide_file(found: FileResult) -> FileResult:
    """The medium with the verdict that follows from its tracks."""
    of_tracks = {track.verdict for track in found.tracks}
    verdict: Verdict = next((one for one in VERDICTS if one in of_tracks), "cannot tell")  # the gravest first
    reasons = _why_nothing(found.tracks) if verdict == "cannot tell" else ()
    known = [track.p_adjusted for track in found.tracks if track.p_adjusted is not None]
    return replace(found, verdict=verdict, reasons=reasons, p_value=min(known, default=None))


def _described(track: TrackResult, known: Calibration, domain: Domain) -> TrackResult:
    """With its score, and why it cannot be judged, where that is so."""
    if not track.frame_scores:
        return replace(track, reasons=_most_common(Counter(track.rejected)) or (NO_FACE,))
    score = sum(frame_score.score for frame_score in track.frame_scores) / len(track.frame_scores)
    outside = (*domain.outside(track.conditions), *outside_scores(score, known))
    return replace(track, score=score, reasons=tuple(f"{OUTSIDE_DOMAIN}: {why}" for why in outside))


def _decided(track: TrackResult, people: int, known: Calibration, false_alarm: float) -> TrackResult:
    """With p-values and verdict, unless there are reasons against it."""
    if track.reasons:
        return track
    scores, p_values = (
        [getattr(frame_score, what) for frame_score in track.frame_scores] for what in ("score", "p_value")
    )
    rate = false_alarm * (1 + _ROUNDING)
    # A rule that could never reach the rate, with so many people, is not taken where another can.
    rule = rule_for(len(scores), known, false_alarm / people)
    p_value = track_p_value(scores, p_values, known, rule)
    adjusted = bonferroni(p_value, people)
    judged = replace(track, rule=rule, p_value=p_value, p_adjusted=adjusted)
    if people * smallest_p_value(known, rule) > rate:
        return replace(judged, reasons=(TOO_MANY,))
    return replace(judged, verdict="suspect" if adjusted <= rate else "no sign found")


def _why_nothing(tracks: Sequence[TrackResult]) -> tuple[str, ...]:
    """The reasons of the tracks, the most frequent first; what may be no face speaks only where nothing else does."""
    sure = [track for track in tracks if not track.doubtful]
    counted = Counter(reason for track in sure or tracks for reason in track.reasons)
    return _most_common(counted) or (NO_FACE,)


def _most_common(counted: Counter[str]) -> tuple[str, ...]:
    return tuple(reason for reason, _ in counted.most_common())
