"""The figures of a scan's report, pure functions like those of `report.figures`."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from verovolto.report.figures import GRID, INK, MUTED, REAL, Canvas
from verovolto.report.scan_text import clock, percent
from verovolto.scanning.result import OperatingPoint, TrackResult

COLOURS = ("#1a202c", "#6b46c1", "#b83280", "#0f766e", "#975a16", "#2b6cb0")
"""Of the tracks, in turn; orange and red are left to the verdicts."""
MARKERS = "osD^vP"
SHOWN = 12
"""Tracks drawn with a colour of their own and a name; the rest are thin and grey."""


def timeline(
    tracks: Sequence[TrackResult], operating_point: OperatingPoint, duration_s: float | None = None
) -> bytes:
    """The score of every judged frame against seconds, a line a track, broken where the track was not seen.

    Behind them the range of the held-out real faces, and the threshold for a single face. `tracks` come with those
    that matter most first; of those that have a score but no p-value the lines are dotted.
    """
    with Canvas(8.6, 3.0) as canvas:
        axes = canvas.axes
        axes.axhspan(
            operating_point.low,
            operating_point.high,
            color=REAL,
            alpha=0.09,
            linewidth=0,
            label="held-out real faces",
        )
        rate = percent(operating_point.false_alarm)
        axes.axhline(
            operating_point.threshold,
            color=INK,
            linestyle="--",
            linewidth=1.2,
            label=f"{rate} threshold, one face",
        )
        for place, track in enumerate(tracks):
            times, scores = with_gaps(track)
            named = place < SHOWN
            axes.plot(
                times,
                scores,
                color=COLOURS[place % len(COLOURS)] if named else MUTED,
                marker=MARKERS[(place // len(COLOURS)) % len(MARKERS)],
                markersize=3.2 if named else 1.5,
                linewidth=1.3 if named else 0.6,
                linestyle="-" if track.p_value is not None else ":",
                label=f"face {track.id}" if named else None,
            )
        if duration_s:
            axes.set_xlim(-0.02 * duration_s, 1.02 * duration_s)
        axes.xaxis.set_major_formatter(lambda seconds, _: clock(seconds, tenths=(duration_s or 0) < 8))
        axes.grid(color=GRID)
        axes.set(xlabel="time", ylabel=f"{operating_point.score}\n(higher = more likely fake)")
        canvas.figure.legend(loc="outside upper left", ncols=6)
    return canvas.png


def with_gaps(track: TrackResult) -> tuple[np.ndarray, np.ndarray]:
    """Seconds and scores `[n]` of a track, NaN between two frames that lie three usual steps apart or more."""
    times = np.array([frame_score.time_s for frame_score in track.frame_scores])
    scores = np.array([frame_score.score for frame_score in track.frame_scores])
    steps = np.diff(times)
    if not steps.size:
        return times, scores
    gaps = np.flatnonzero(steps > 3 * np.median(steps)) + 1
    return np.insert(times, gaps, np.nan), np.insert(scores, gaps, np.nan)
