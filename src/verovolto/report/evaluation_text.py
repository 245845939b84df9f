"""The report as text, derived from the figures of `metrics.json` and from nothing else.

No sentence ever says that a face is real: what is not flagged has shown no sign, no more.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from verovolto.evaluation.paired import NO_DIFFERENCE
from verovolto.report.html import environment, estimate, percent

Tone = Literal["good", "fair", "poor"]

_STRENGTHS = ((0.9, "very well"), (0.8, "well"), (0.7, "moderately"), (0.0, "weakly"))
"""The word for an AUROC from a value on (Hosmer & Lemeshow, Applied Logistic Regression, sec. 5.2.4)."""
FOLLOWS = 0.5
"""|Spearman's rho| from which a score is reported to follow a statistic."""
_UNKNOWN: Mapping[str, float | None] = {"value": None, "low": None, "high": None}


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """One headline, and the sentences below it."""

    headline: str
    tone: Tone
    sentences: list[str]


def verdict(metrics: Mapping[str, Any], *, false_alarm: float = 0.1, also: Sequence[str] = ()) -> Verdict:
    """What the figures mean, in plain sentences.

    `false_alarm` selects the threshold that they report; `also` are sentences on what else was measured.
    """
    headline, tone = _headline(metrics)
    sentences = [
        _pairs(metrics),
        _baselines(metrics),
        _follows(metrics),
        _operating(metrics, false_alarm),
        _video(metrics),
        *also,
        "A face that is not flagged is not shown to be real: no sign was found, no more.",
    ]
    return Verdict(headline=headline, tone=tone, sentences=list(filter(None, sentences)))


def threshold_at(metrics: Mapping[str, Any], false_alarm: float) -> Mapping[str, Any] | None:
    """The one-class threshold of the default score at a false-alarm rate, if there is one."""
    at_rate = (
        t for t in metrics["thresholds"] if (t["kind"], t["false_alarm"]) == ("one-class", false_alarm)
    )
    return next(at_rate, None)


def side(value: Mapping[str, float | None]) -> Literal["above", "below", "around", "unknown"]:
    """Where the interval of an AUROC lies with respect to chance, 0.5."""
    if value["value"] is None or value["low"] is None or value["high"] is None:
        return "unknown"
    if value["low"] > 0.5:
        return "above"
    return "below" if value["high"] < 0.5 else "around"


def _headline(metrics: Mapping[str, Any]) -> tuple[str, Tone]:
    auroc, score = metrics["auroc"], metrics["score"]
    shown = f"AUROC {estimate(auroc)}"
    where = side(auroc)
    if where == "above":
        strength = next(word for least, word in _STRENGTHS if auroc["value"] >= least)
        tone: Tone = "good" if auroc["value"] >= 0.8 else "fair"
        return f"The score “{score}” separates fakes from reals {strength}: {shown}.", tone
    if where == "below":
        return (
            f"The score “{score}” is worse than chance: {shown}. The real faces look more anomalous than the "
            "fakes.",
            "poor",
        )
    if where == "around":
        return f"The score “{score}” cannot be told from chance: {shown} holds 0.5.", "poor"
    return f"The score “{score}”: {shown}; there are too few groups of faces for an interval.", "poor"


def _pairs(metrics: Mapping[str, Any]) -> str:
    if not metrics.get("pairs"):
        return ""
    return (
        f"Of {metrics['pairs']} fakes set beside the real face they were made from, "
        f"{percent(metrics['pairs_ordered'])} score higher than it (half would be chance)."
    )


def _baselines(metrics: Mapping[str, Any]) -> str:
    rows = {name: row["auroc"] for name, row in metrics["baselines"].items()}
    aurocs = {name: value for name, value in rows.items() if value["value"] is not None}
    if not aurocs:
        return ""
    listed = ", ".join(f"{name} {estimate(value)}" for name, value in aurocs.items())
    sentence = f"Trivial statistics of the same faces, taken as scores: {listed}."
    if side(aurocs.get("sharpness", _UNKNOWN)) == "below":
        sentence += " The fakes here are smoother than the reals."
    highest = max(aurocs, key=lambda name: float(aurocs[name]["value"] or 0))
    low, best = metrics["auroc"]["low"], aurocs[highest]["high"]
    if side(metrics["auroc"]) == "above" and low is not None and best is not None:
        if low > best:
            sentence += " The score clears all of them."
        else:
            sentence += f" The score does not clearly beat {highest}."
    return sentence


def _follows(metrics: Mapping[str, Any]) -> str:
    """Whether the score follows detail rather than forgery, which can explain an AUROC below 0.5."""
    rho = (metrics.get("correlations") or {}).get("sharpness")
    if rho is None or abs(rho) < FOLLOWS:
        return ""
    kind = "sharper" if rho > 0 else "smoother"
    sentence = f"The score largely follows sharpness (Spearman's rho {rho:+.2f}): {kind} faces score higher"
    smoother = side(metrics["baselines"].get("sharpness", {}).get("auroc", _UNKNOWN)) == "below"
    if smoother and rho > 0 and side(metrics["auroc"]) != "above":
        sentence += ", which puts the smoother fakes on the wrong side"
    return sentence + "."


def _operating(metrics: Mapping[str, Any], false_alarm: float) -> str:
    chosen = threshold_at(metrics, false_alarm)
    if chosen is None:
        return ""
    realised = chosen["false_alarm_rate"]
    sentence = (
        f"At the threshold set for {100 * false_alarm:g} % false alarms (chosen on {chosen['chosen_on']}), "
        f"{percent(realised)} of these reals are flagged and {percent(chosen['missed_fakes'])} of the fakes "
        "are missed"
    )
    if realised["low"] is None or realised["high"] is None:
        return sentence + "."
    if realised["low"] <= false_alarm <= realised["high"]:
        return sentence + "; the promised rate lies within the interval."
    more = "more" if realised["low"] > false_alarm else "fewer"
    held_out = metrics.get("calibration") or {}
    few = (
        f"the {held_out['clusters']} clusters calibrated on are few, or " if held_out.get("clusters") else ""
    )
    return (
        sentence
        + f"; that is {more} false alarms than promised: {few}these reals differ from those calibrated on."
    )


def _video(metrics: Mapping[str, Any]) -> str:
    video = metrics["levels"]["video"]
    if video is None:
        return ""
    videos = metrics["levels"]["videos"]
    return f"By video (mean of its frames) the AUROC is {estimate(video['auroc'])}, over {videos} videos."


def render_comparison(comparison: Mapping[str, Any], command: str) -> str:
    """The page of a comparison; `command` makes it again."""
    return environment().get_template("compare.html.j2").render(c=comparison, command=command)


def comparison_markdown(comparison: Mapping[str, Any]) -> str:
    """A comparison as two Markdown tables that read well as plain text."""
    results, interval, faces = comparison["results"], comparison["interval"], comparison["faces"]
    keys = list(results[0]["figures"])
    figures = [
        [row["name"], row["score"], *(estimate(row["figures"][key]) for key in keys)] for row in results
    ]
    changes = [[row["name"], *(_difference(row["differences"][key]) for key in keys)] for row in results[1:]]
    return "\n".join(
        [
            *_table(["result", "score", *keys], figures),
            "",
            f"Differences to {comparison['reference']} (lower is better for eer and fpr_at_95_tpr):",
            "",
            *_table(["result", *keys], changes),
            "",
            f"{faces['real']} real and {faces['fake']} fake faces that all of them scored; 95 % intervals "
            f"over {interval['clusters']} clusters ({interval['cluster']}), {interval['resamples']} resamples, seed "
            f"{interval['seed']}.",
        ]
    )


def _difference(difference: Mapping[str, Any]) -> str:
    value, low, high = (difference[name] for name in ("value", "low", "high"))
    if value is None or low is None:
        return "–" if value is None else f"{value:+.3f}"
    verdict = "" if difference["verdict"] == NO_DIFFERENCE else f" {difference['verdict']}"
    return f"{value:+.3f} [{low:+.3f}, {high:+.3f}]{verdict}"


def _table(head: list[str], rows: list[list[str]]) -> list[str]:
    widths = [max(len(row[i]) for row in [head, *rows]) for i in range(len(head))]
    lines = [[cell.ljust(width) for cell, width in zip(row, widths, strict=True)] for row in [head, *rows]]
    rule = ["-" * width for width in widths]
    return ["| " + " | ".join(line) + " |" for line in [lines[0], rule, *lines[1:]]]
