"""What degradation does to a detector, in words: derived from `robustness` in `metrics.json` and nothing else."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from verovolto.report.evaluation_text import figure, percent, side

BROKEN = 2.0
"""A threshold's promise is called broken where it flags more than so many times the reals it promised."""
BLIND = 0.5
"""A detector is said to pass fakes where it flags less than this part of those that it flags undegraded."""

Level = Mapping[str, Any]


def change(value: Mapping[str, float | None]) -> str:
    """`+0.073 [+0.040, +0.109]`, as `evaluation_text.figure`; what rounds to nothing is +0.000."""
    if value["value"] is None:
        return "–"
    known = [value[name] for name in ("value", "low", "high")]
    shown = [f"{round(one, 3) + 0.0:+.3f}" for one in known if one is not None]
    return shown[0] if len(shown) < 3 else f"{shown[0]} [{shown[1]}, {shown[2]}]"


def robustness_sentences(metrics: Mapping[str, Any]) -> list[str]:
    """Sentences on what breaks the calibration, what blinds the detector and what costs it its ranking.

    Empty where nothing was tried.
    """
    robustness = metrics.get("robustness")
    if not robustness:
        return []
    said = [_false_alarms(robustness), _blind(robustness), _ranking(robustness)]
    return [one for one in said if one]


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

    found = _where(robustness, broken, rate)
    if broken(robustness["none"]):
        return (
            f"Of the reals tried degraded, {threshold} flags more than twice as many as promised even undegraded "
            f"({percent(robustness['none']['false_alarm_rate'])}), so it cannot be said what degradation adds."
        )
    if not found:
        return f"No degradation tried makes {threshold} flag more than twice the promised share of the reals."
    return (
        f"Degradation breaks the calibration: {threshold} flags more than twice as many reals as promised under "
        f"{found}; undegraded, {percent(robustness['none']['false_alarm_rate'])}."
    )


def _blind(robustness: Mapping[str, Any]) -> str:
    if robustness["threshold"] is None or robustness["none"]["missed_fakes"]["value"] is None:
        return ""
    caught = 1 - robustness["none"]["missed_fakes"]["value"]

    def blind(level: Level) -> bool:
        missed = level["missed_fakes"]["value"]
        return missed is not None and 1 - missed < BLIND * caught

    found = _where(robustness, blind, lambda level: f"{percent(level['missed_fakes'])} of the fakes missed")
    return f"The threshold flags less than half as many fakes as undegraded under {found}." if found else ""


def _ranking(robustness: Mapping[str, Any]) -> str:
    plain = robustness["none"]["auroc"]
    if side(plain) != "above":
        return (
            f"On the undegraded faces the score does not rank fakes above reals (AUROC {figure(plain)}), so there is "
            "no ranking that degradation could cost."
        )

    def worse(level: Level) -> bool:
        high = level["auroc_change"]["high"]
        return high is not None and high < 0

    found = _where(robustness, worse, lambda level: f"AUROC {figure(level['auroc'])}", last=True)
    if not found:
        return f"No degradation tried shows a loss of ranking (AUROC {figure(plain)} undegraded)."
    return f"The AUROC, {figure(plain)} undegraded, is lower under {found}."


def _where(
    robustness: Mapping[str, Any],
    holds: Callable[[Level], bool],
    say: Callable[[Level], str],
    *,
    last: bool = False,
) -> str:
    """Each degradation under which something holds, from which level on, and its figure there (or at the last)."""
    found = []
    for one in robustness["degradations"]:
        levels: Sequence[Level] = one["levels"]
        at = [place for place, level in enumerate(levels) if holds(level)]
        if not at:
            continue
        first, shown = levels[at[0]], levels[at[-1] if last else at[0]]
        onwards = len(at) > 1 and at == list(range(at[0], len(levels)))  # from there to the worst
        value = one["phrase"].format(f"{first['level']:g}")
        value = f"from {value} on" if onwards else f"at {value}"
        there = f" at {shown['level']:g}" if last and len(at) > 1 else ""
        found.append(f"{_in_a_sentence(one['title'])} ({value}: {say(shown)}{there})")
    return ", ".join(found)


def _in_a_sentence(title: str) -> str:
    """`Low light` as `low light`, `JPEG` as it is."""
    return title[:1].lower() + title[1:] if title[1:2].islower() else title
