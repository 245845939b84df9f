"""From the p-values of frames to one of a person, and from those to the verdict on a file. Pure functions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from verovolto.calibration.input_domain import Domain, outside_scores
from verovolto.calibration.thresholds import Calibration, needed
from verovolto.core.errors import InputError
from verovolto.faces.crop import NO_FACE, TOO_BRIEF, UNCERTAIN
from verovolto.scanning.result import (
    OUTSIDE_DOMAIN,
    TOO_MANY,
    VERDICTS,
    FileResult,
    Rule,
    TrackResult,
    Verdict,
)

_ROUNDING = 1e-9
"""Share by which a mean of p-values may lie above the rate that it equals: that of three times 0.05 does."""

LEAST_S = 0.4
"""Seconds for which a person of a video must be seen to be judged: pieces of background pass for a face in a frame or
two. At 2 frames a second that is two frames in a row, whose distance may fall short of half a second."""

APART_PER_S = 2
"""Frames of a second that count as frames of their own."""

SURE = 0.5
"""The face detector must be sure of a person in more than this share of the frames where it sees one. On the four
clips of FaceForensics++, at 2 to 25 frames a second, it is of a person in all, of background in at most half."""


def sighting_reasons(*, seen: int, sure: int, sure_s: float, sampled_s: float) -> tuple[str, ...]:
    """Why a track is not judged though some of its faces are good: it may be none. Empty when it is judged.

    Nothing in it counts frames, so that a verdict does not hang on how many are looked at. A photo, or a video of which
    a single frame is looked at, has no other frame that could confirm its faces.

    Args:
        seen: frames with the face.
        sure: of them, those in which the face detector is sure of it.
        sure_s: seconds from the first to the last of the latter.
        sampled_s: seconds from the first to the last frame looked at; of a short video half of it is enough.
    """
    if sure <= SURE * seen:
        return (UNCERTAIN,)
    return (TOO_BRIEF,) if sure_s < min(LEAST_S, sampled_s / 2) else ()


def twice_the_mean(p_values: Sequence[float]) -> float:
    """A p-value of several, valid however they depend on each other: `min(1, 2 * mean)`.

    Vovk & Wang, "Combining p-values via averaging", Biometrika 107(4), 2020, proposition 1 (r = 1). No smaller factor
    will do, and frames of one video do depend on each other. A single one is a p-value as it is.

    >>> twice_the_mean([0.01, 0.03])
    0.04
    """
    if not p_values:
        raise InputError("there are no p-values to merge")
    if len(p_values) == 1:
        return float(p_values[0])
    return min(1.0, 2.0 * float(np.mean(p_values)))


def bonferroni(p_value: float, tests: int) -> float:
    """The p-value of one of several people, given that any of them would have been reported: `min(1, tests * p)`."""
    return min(1.0, tests * p_value)


def rule_for(frames: int, calibration: Calibration, false_alarm: float) -> Rule:
    """The rule for a track of so many scored frames: videos where enough of them were calibrated on.

    A mean over frames spreads less than single frames do, so that it seldom lies where one in twenty single faces lies:
    set against single faces of several sources, one of them video, it is careful, the less so where it is known how
    much frames have in common. Twice the mean of the p-values, which holds whatever that is, hardly ever finds a
    forgery.
    """
    if frames == 1:
        return "one face"
    if calibration.videos is not None and len(calibration.videos) >= needed(false_alarm):
        return "videos"
    return "mean score" if calibration.sources else "twice the mean"


def track_p_value(
    scores: Sequence[float], p_values: Sequence[float], calibration: Calibration, rule: Rule, *, apart: int
) -> float:
    """p-value in (0, 1] of a track.

    Args:
        scores: of its scored frames.
        p_values: of the same frames, each alone.
        calibration: with videos, where the rule is `videos`.
        rule: as of `rule_for`.
        apart: how many of the frames lie apart from each other (see `frames_apart`).
    """
    if rule == "videos":
        assert calibration.videos is not None, "chosen where there are videos"
        return float(calibration.videos.p_values(np.mean(scores)))
    if rule == "mean score":
        return calibration.p_value_of_mean(float(np.mean(scores)), apart)
    return twice_the_mean(p_values)


def frames_apart(times_s: Sequence[float]) -> int:
    """How many frames count, of which the first and the last are so far apart: two a second at most.

    Closer ones show nearly the same picture, and what frames have in common was measured at two a second.

    >>> frames_apart([0.0, 0.04, 0.08]), frames_apart([0.0, 0.5, 1.0]), frames_apart([2.0, 9.0])
    (1, 3, 2)
    """
    return min(len(times_s), 1 + int(APART_PER_S * (times_s[-1] - times_s[0]) + _ROUNDING))


def smallest_p_value(calibration: Calibration, rule: Rule) -> float:
    """The least that a track's p-value can be: with few held-out faces no anomaly is rare enough."""
    if rule == "videos":
        assert calibration.videos is not None, "chosen where there are videos"
        return 1.0 / (len(calibration.videos) + 1)
    return (2.0 if rule == "twice the mean" else 1.0) / (calibration.smallest + 1)


def decide_tracks(
    tracks: Sequence[TrackResult], calibration: Calibration, domain: Domain, false_alarm: float
) -> tuple[TrackResult, ...]:
    """The tracks with their p-values and verdicts; those of which nothing can be told have reasons.

    A person is suspect when their p-value, times the number of people scored in the same file (Bonferroni), is
    at most `false_alarm`: a real file is then called suspect with at most that probability, however many are in it.

    Args:
        tracks: of one file; one that has reasons already (`sighting_reasons`) is not judged.
        calibration: of the score that the frames have.
        domain: conditions among the faces calibrated on.
        false_alarm: share of real files that may be called suspect, in (0, 1).
    """
    described = [_described(track, calibration, domain) for track in tracks]
    people = sum(not track.reasons for track in described)
    return tuple(_decided(track, people, calibration, false_alarm) for track in described)


def decide_file(result: FileResult) -> FileResult:
    """The file with the verdict that follows from its tracks."""
    of_tracks = {track.verdict for track in result.tracks}
    verdict: Verdict = next((each for each in VERDICTS if each in of_tracks), "cannot tell")
    reasons = _reasons(result.tracks) if verdict == "cannot tell" else ()
    p_values = [track.p_adjusted for track in result.tracks if track.p_adjusted is not None]
    return replace(result, verdict=verdict, reasons=reasons, p_value=min(p_values, default=None))


def _described(track: TrackResult, calibration: Calibration, domain: Domain) -> TrackResult:
    """With its score, and the reasons against a verdict, where there are any."""
    if not track.frame_scores:
        return replace(track, reasons=_most_common(Counter(track.rejected)) or (NO_FACE,))
    score = sum(frame_score.score for frame_score in track.frame_scores) / len(track.frame_scores)
    if track.reasons:
        return replace(track, score=score)
    outside = (*domain.outside(track.conditions), *outside_scores(score, calibration))
    return replace(track, score=score, reasons=tuple(f"{OUTSIDE_DOMAIN}: {why}" for why in outside))


def _decided(track: TrackResult, people: int, calibration: Calibration, false_alarm: float) -> TrackResult:
    """With p-values and verdict, unless there are reasons against it."""
    if track.reasons:
        return track
    scores = [frame_score.score for frame_score in track.frame_scores]
    p_values = [frame_score.p_value for frame_score in track.frame_scores]
    rate = false_alarm * (1 + _ROUNDING)
    # A rule that could never reach the rate, with so many people, is not taken where another can.
    rule = rule_for(len(scores), calibration, false_alarm / people)
    apart = frames_apart([frame_score.time_s for frame_score in track.frame_scores])
    p_value = track_p_value(scores, p_values, calibration, rule, apart=apart)
    adjusted = bonferroni(p_value, people)
    decided = replace(track, rule=rule, p_value=p_value, p_adjusted=adjusted)
    if people * smallest_p_value(calibration, rule) > rate:
        return replace(decided, reasons=(TOO_MANY,))
    return replace(decided, verdict="suspect" if adjusted <= rate else "no sign found")


def _reasons(tracks: Sequence[TrackResult]) -> tuple[str, ...]:
    """The reasons of the tracks, the most frequent first; those of doubtful tracks only where there are no others."""
    sure = [track for track in tracks if not track.doubtful]
    return _most_common(Counter(reason for track in sure or tracks for reason in track.reasons)) or (NO_FACE,)


def _most_common(counted: Counter[str]) -> tuple[str, ...]:
    return tuple(reason for reason, _ in counted.most_common())
