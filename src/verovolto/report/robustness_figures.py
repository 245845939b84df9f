"""Figures of a detector under degradation: a panel a degradation, from the undegraded faces on the left to the worst.

They draw the dictionary that `metrics.json` holds under `robustness`, and compute nothing.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from verovolto.report.figures import BASELINE_GREYS, FAKE, INK, MUTED, REAL, Canvas

COLUMNS = 3

Band = tuple[np.ndarray, np.ndarray, np.ndarray]
"""Value, low and high of a figure along a ladder, `[levels + 1]` each."""


def auroc_against_level(robustness: Mapping[str, Any]) -> bytes:
    """AUROC with its interval; the trivial statistics of the same pictures thin and grey."""
    trivial = list(robustness["none"]["baselines"])

    def panel(axes: Axes, ladder: Sequence[Mapping[str, Any]]) -> None:
        axes.axhline(0.5, color=MUTED, linestyle=":", linewidth=1)
        for place, name in enumerate(trivial):
            value = _band([one["baselines"][name] for one in ladder])[0]
            if np.isfinite(value).sum() > 1:  # a file's bytes are known along one ladder alone
                grey = BASELINE_GREYS[place % len(BASELINE_GREYS)]
                axes.plot(value, color=grey, linewidth=1.0, linestyle="--", label=name)
        _draw(axes, _band([one["auroc"] for one in ladder]), INK, robustness["score"])

    levels = _all_levels(robustness)
    bounds = [bound for one in levels for bound in _bounds([one["auroc"], *one["baselines"].values()])]
    limits = (min([0.4, *bounds]) - 0.02, max([0.6, *bounds]) + 0.02)
    return _panels(robustness, panel, "AUROC", limits)


def flagged_against_level(robustness: Mapping[str, Any]) -> bytes | None:
    """Share of reals and of fakes flagged at the detector's threshold; None without a threshold.

    Dotted: the false-alarm rate that the threshold promises on undegraded reals.
    """
    if robustness["threshold"] is None:
        return None
    promised = robustness["threshold"]["false_alarm"]

    def panel(axes: Axes, ladder: Sequence[Mapping[str, Any]]) -> None:
        axes.axhline(
            promised, color=INK, linestyle=":", linewidth=1.2, label=f"promised: {100 * promised:g} %"
        )
        missed = _band([one["missed_fakes"] for one in ladder])
        _draw(axes, (1 - missed[0], 1 - missed[2], 1 - missed[1]), FAKE, "of the fakes")
        _draw(axes, _band([one["false_alarm_rate"] for one in ladder]), REAL, "of the reals")

    levels = _all_levels(robustness)
    tops = [1 - bound for one in levels for bound in _bounds([one["missed_fakes"]])]
    tops += [bound for one in levels for bound in _bounds([one["false_alarm_rate"]])]
    top = max([0.2, 2 * promised, *tops])
    return _panels(robustness, panel, "share flagged", (-0.03 * top, 1.03 * top))


def _panels(
    robustness: Mapping[str, Any],
    panel: Callable[[Axes, Sequence[Mapping[str, Any]]], None],
    label: str,
    limits: tuple[float, float],
) -> bytes:
    """Small multiples with one vertical axis; the legend stands in the first."""
    degradations = robustness["degradations"]
    rows = math.ceil(len(degradations) / COLUMNS)
    with Canvas(9.2, 2.65 * rows, columns=COLUMNS, rows=rows) as canvas:
        for axes, one in zip(canvas.all_axes, degradations, strict=False):
            panel(axes, [robustness["none"], *one["levels"]])
            ticks = ["none", *(f"{level['level']:g}" for level in one["levels"])]
            axes.set_xticks(range(len(ticks)), ticks)
            axes.set(title=one["title"], xlabel=one["parameter"], ylim=limits)
        for axes in canvas.all_axes[len(degradations) :]:
            axes.set_axis_off()
        for axes in canvas.all_axes[::COLUMNS]:
            axes.set_ylabel(label)
        lines, names = canvas.all_axes[0].get_legend_handles_labels()
        canvas.figure.legend(lines, names, loc="outside lower center", ncols=len(names))
    return canvas.png


def _draw(axes: Axes, band: Band, colour: str, label: str) -> None:
    value, low, high = band
    axes.fill_between(np.arange(len(value)), low, high, color=colour, alpha=0.16, linewidth=0)
    axes.plot(value, color=colour, marker="o", markersize=4, label=label)


def _band(figures: Sequence[Mapping[str, float | None]]) -> Band:
    """Undefined values are gaps; without an interval the band has no width."""
    value = np.array([math.nan if one["value"] is None else one["value"] for one in figures])
    low, high = (
        np.array(
            [at if one[end] is None else one[end] for at, one in zip(value, figures, strict=True)], float
        )
        for end in ("low", "high")
    )
    return value, low, high


def _all_levels(robustness: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [robustness["none"], *(level for one in robustness["degradations"] for level in one["levels"])]


def _bounds(figures: Sequence[Mapping[str, float | None]]) -> list[float]:
    return [bound for one in figures for bound in one.values() if bound is not None]
