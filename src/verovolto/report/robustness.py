"""A detector under corruptions of its input, in words and figures: made of `robustness` in `metrics.json` alone."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from verovolto.report.evaluation_text import side
from verovolto.report.figures import BASELINE_GREYS
from verovolto.report.html import FAKE, INK, MUTED, REAL, Canvas, estimate, percent

BROKEN = 2.0
"""The promise of a threshold is broken where it flags more than so many times the share of reals it promised."""
BLIND = 0.5
"""A detector passes fakes where it flags less than this part of those that it flags without corruption."""
COLUMNS = 3

Band = tuple[np.ndarray, np.ndarray, np.ndarray]
"""Value, low and high of a figure along the levels of a corruption, `[levels + 1]` each."""
Level = Mapping[str, Any]


def robustness_sentences(metrics: Mapping[str, Any]) -> list[str]:
    """Sentences on corruptions that break the calibration, let fakes pass or cost ranking."""
    robustness = metrics.get("robustness")
    if not robustness:
        return []
    return [*filter(None, (_false_alarms(robustness), _blind(robustness), _ranking(robustness)))]


def _false_alarms(robustness: Mapping[str, Any]) -> str:
    if robustness["threshold"] is None:
        return ""
    promised = robustness["threshold"]["false_alarm"]
    threshold = f"the threshold for {100 * promised:g} % false alarms"

    def broken(level: Level) -> bool:
        rate = level["false_alarm_rate"]["value"]
        return rate is not None and rate > BROKEN * promised

    def rate(level: Level) -> str:
        return f"{percent(level['false_alarm_rate'])} of the reals flagged"

    broken_under = _where(robustness, broken, rate)
    if broken(robustness["none"]):
        return (
            f"Of the reals tried degraded, {threshold} flags more than twice as many as promised even undegraded "
            f"({percent(robustness['none']['false_alarm_rate'])}), so it cannot be said what degradation adds."
        )
    if not broken_under:
        return f"No degradation tried makes {threshold} flag more than twice the promised share of the reals."
    return (
        f"Degradation breaks the calibration: {threshold} flags more than twice as many reals as promised under "
        f"{broken_under}; undegraded, {percent(robustness['none']['false_alarm_rate'])}."
    )


def _blind(robustness: Mapping[str, Any]) -> str:
    if robustness["threshold"] is None or robustness["none"]["missed_fakes"]["value"] is None:
        return ""
    caught = 1 - robustness["none"]["missed_fakes"]["value"]

    def blind(level: Level) -> bool:
        missed = level["missed_fakes"]["value"]
        return missed is not None and 1 - missed < BLIND * caught

    blind_under = _where(
        robustness, blind, lambda level: f"{percent(level['missed_fakes'])} of the fakes missed"
    )
    return (
        f"The threshold flags less than half as many fakes as undegraded under {blind_under}."
        if blind_under
        else ""
    )


def _ranking(robustness: Mapping[str, Any]) -> str:
    plain = robustness["none"]["auroc"]
    if side(plain) != "above":
        return (
            f"On the undegraded faces the score does not rank fakes above reals (AUROC {estimate(plain)}), so there is "
            "no ranking that degradation could cost."
        )

    def worse(level: Level) -> bool:
        high = level["auroc_change"]["high"]
        return high is not None and high < 0

    worse_under = _where(robustness, worse, lambda level: f"AUROC {estimate(level['auroc'])}", last=True)
    if not worse_under:
        return f"No degradation tried shows a loss of ranking (AUROC {estimate(plain)} undegraded)."
    return f"The AUROC, {estimate(plain)} undegraded, is lower under {worse_under}."


def _where(
    robustness: Mapping[str, Any],
    holds: Callable[[Level], bool],
    say: Callable[[Level], str],
    *,
    last: bool = False,
) -> str:
    """Each corruption under which something holds, from which level on, and its figure there (or at the last)."""
    phrases = []
    for corruption in robustness["degradations"]:
        levels: Sequence[Level] = corruption["levels"]
        at = [place for place, level in enumerate(levels) if holds(level)]
        if not at:
            continue
        first, shown = levels[at[0]], levels[at[-1] if last else at[0]]
        onwards = len(at) > 1 and at == list(range(at[0], len(levels)))  # from there to the worst
        value = corruption["phrase"].format(f"{first['level']:g}")
        value = f"from {value} on" if onwards else f"at {value}"
        there = f" at {shown['level']:g}" if last and len(at) > 1 else ""
        phrases.append(f"{_in_a_sentence(corruption['title'])} ({value}: {say(shown)}{there})")
    return ", ".join(phrases)


def _in_a_sentence(title: str) -> str:
    """`Low light` as `low light`, `JPEG` as it is."""
    return title[:1].lower() + title[1:] if title[1:2].islower() else title


def auroc_against_level(robustness: Mapping[str, Any]) -> bytes:
    """AUROC with its interval; the trivial statistics of the same pictures thin and grey."""
    trivial = list(robustness["none"]["baselines"])

    def panel(axes: Axes, ladder: Sequence[Level]) -> None:
        axes.axhline(0.5, color=MUTED, linestyle=":", linewidth=1)
        for place, name in enumerate(trivial):
            value = _band([level["baselines"][name] for level in ladder])[0]
            if np.isfinite(value).sum() > 1:  # JPEG alone has file bytes
                grey = BASELINE_GREYS[place % len(BASELINE_GREYS)]
                axes.plot(value, color=grey, linewidth=1.0, linestyle="--", label=name)
        _draw(axes, _band([level["auroc"] for level in ladder]), INK, robustness["score"])

    levels = _all_levels(robustness)
    bounds = [bound for level in levels for bound in _bounds([level["auroc"], *level["baselines"].values()])]
    limits = (min([0.4, *bounds]) - 0.02, max([0.6, *bounds]) + 0.02)
    return _panels(robustness, panel, "AUROC", limits)


def flagged_against_level(robustness: Mapping[str, Any]) -> bytes | None:
    """Share of reals and of fakes flagged at the detector's threshold; None without a threshold.

    Dotted: the false-alarm rate that the threshold promises on reals without corruption.
    """
    if robustness["threshold"] is None:
        return None
    promised = robustness["threshold"]["false_alarm"]

    def panel(axes: Axes, ladder: Sequence[Level]) -> None:
        axes.axhline(
            promised, color=INK, linestyle=":", linewidth=1.2, label=f"promised: {100 * promised:g} %"
        )
        missed = _band([level["missed_fakes"] for level in ladder])
        _draw(axes, (1 - missed[0], 1 - missed[2], 1 - missed[1]), FAKE, "of the fakes")
        _draw(axes, _band([level["false_alarm_rate"] for level in ladder]), REAL, "of the reals")

    levels = _all_levels(robustness)
    tops = [1 - bound for level in levels for bound in _bounds([level["missed_fakes"]])]
    tops += [bound for level in levels for bound in _bounds([level["false_alarm_rate"]])]
    top = max([0.2, 2 * promised, *tops])
    return _panels(robustness, panel, "share flagged", (-0.03 * top, 1.03 * top))


def _panels(
    robustness: Mapping[str, Any],
    panel: Callable[[Axes, Sequence[Level]], None],
    label: str,
    limits: tuple[float, float],
) -> bytes:
    """Small multiples with one vertical axis; the legend stands in the first."""
    corruptions = robustness["degradations"]
    rows = math.ceil(len(corruptions) / COLUMNS)
    with Canvas(9.2, 2.65 * rows, columns=COLUMNS, rows=rows) as canvas:
        for axes, corruption in zip(canvas.all_axes, corruptions, strict=False):
            panel(axes, [robustness["none"], *corruption["levels"]])
            ticks = ["none", *(f"{level['level']:g}" for level in corruption["levels"])]
            axes.set_xticks(range(len(ticks)), ticks)
            axes.set(title=corruption["title"], xlabel=corruption["parameter"], ylim=limits)
        for axes in canvas.all_axes[len(corruptions) :]:
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
    value = np.array([math.nan if figure["value"] is None else figure["value"] for figure in figures])
    ends = [[figure[end] for figure in figures] for end in ("low", "high")]
    low, high = (
        np.array([at if bound is None else bound for at, bound in zip(value, end, strict=True)], float)
        for end in ends
    )
    return value, low, high


def _all_levels(robustness: Mapping[str, Any]) -> list[Level]:
    return [robustness["none"], *(level for each in robustness["degradations"] for level in each["levels"])]


def _bounds(figures: Sequence[Mapping[str, float | None]]) -> list[float]:
    return [bound for figure in figures for bound in figure.values() if bound is not None]
