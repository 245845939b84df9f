"""From the p-values of frames to one of a person, and from those to one of a video. Pure functions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np

from verovolto.calibration.thresholds import Calibration, needed
from verovolto.core.errors import InputError

Rule = Literal["one face", "twice the mean", "videos"]
"""How the frames of a track become one p-value: there is but one; twice their mean; the mean score of the frames
against those of held-out real videos."""


def twice_the_mean(p_values: Sequence[float]) -> float:
    """A p-value of several, valid however they depend on each other: `min(1, 2 * mean)`.

    Vovk & Wang, "Combining p-values via averaging", Biometrika 107(4), 2020, proposition 1 (r = 1). No smaller factor
    will do, and frames of one video do depend on each other. A single one is a p-value as it is.
    """
    if not p_values:
        raise InputError("there are no p-values to merge")
    if len(p_values) == 1:
        return float(p_values[0])
    return min(1.0, 2.0 * float(np.mean(p_values)))


def bonferroni(p_value: float, tests: int) -> float:
    """The p-value of one of several people, given that any of them would have been reported: `min(1, tests * p)`."""
    return min(1.0, tests * p_value)


def rule_for(frames: int, known: Calibration, false_alarm: float) -> Rule:
    """The rule for a track of so many judged frames: videos where enough of them were calibrated on."""
    if frames == 1:
        return "one face"
    if known.videos is not None and len(known.videos) >= needed(false_alarm):
        return "videos"
    return "twice the mean"


def track_p_value(
    scores: Sequence[float], p_values: Sequence[float], known: Calibration, rule: Rule
) -> float:
    """p-value in (0, 1] of a track from the scores and p-values of its judged frames."""
    if rule == "videos":
        assert known.videos is not None, "chosen where there are videos"
        return float(known.videos.p_values(np.mean(scores)))
    return twice_the_mean(p_values)


def smallest_p_value(known: Calibration, rule: Rule) -> float:
    """The least that a track's p-value can be: with few held-out faces no anomaly is rare enough."""
    if rule == "videos":
        assert known.videos is not None, "chosen where there are videos"
        return 1.0 / (len(known.videos) + 1)
    return (1.0 if rule == "one face" else 2.0) / (len(known) + 1)
