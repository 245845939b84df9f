"""How forged faces among the training reals are shown: every level against none and a sham."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from matplotlib.axes import Axes

from verovolto.report.evaluation_text import change, estimate
from verovolto.report.figures import FAKE, INK, MUTED, REAL, Canvas

TITLE = "Forged faces among the training reals"
SHOWN = {
    "auroc": "AUROC", "error_real": "mean error, reals", "error_fake": "mean error, fakes",
    "error_gap": "fakes minus reals", "missed_fakes": "fakes missed", "false_alarm_rate": "reals flagged",
}  # fmt: skip


def figures(found: Mapping[str, Any]) -> dict[str, bytes]:
    """By model, what is ranked, reconstructed and missed at each level."""
    return {one["model"]: _against_level(one["levels"]) for one in found.get("models", ())}


def findings(found: Mapping[str, Any]) -> list[str]:
    """A sentence or two a model on what the largest level does, and whether any is shown to do something."""
    if "why_not" in found:
        return [f"Not measured: {found['why_not']}."]
    return [_said(one) for one in found["models"]]


def label(level: Mapping[str, Any]) -> str:
    """`5 %` of a level with that share of fakes, `sham` of the one with none but other reals in their places."""
    return "sham" if level["faces"] and not level["share"] else f"{round(100 * level['share'], 1):g} %"


def _said(one: Mapping[str, Any]) -> str:
    clean, sham, *levels = one["levels"]
    most, where = levels[-1]["figures"], label(levels[-1])
    told = {
        word: [label(level) for level in levels if level["figures"]["auroc"]["verdict"] == word]
        for word in ("worse", "better")
    }
    shown = " and ".join(f"{word} with {', '.join(at)} forged" for word, at in told.items() if at)
    shown = f"shown to be {shown}" if shown else "not shown to change at any level"
    auroc, missed, fakes = (most[name] for name in ("auroc", "missed_fakes", "error_fake"))
    return (
        f"{one['model']}: AUROC {estimate(clean['figures']['auroc']['value'])} with no training face forged, "
        f"{estimate(auroc['value'])} with {where} (change {change(auroc['to_none'])}; the sham, trained on other reals "
        f"alone, changes it by {change(sham['figures']['auroc']['to_none'])}). Against both it is {shown}. "
        f"With {where} the fakes' mean error changes by {change(fakes['to_none'])} ({fakes['verdict']}), the share of "
        f"fakes missed by {change(missed['to_none'])} ({missed['verdict']})."
    )


def _against_level(levels: list[Mapping[str, Any]]) -> bytes:
    """AUROC, mean error of either class, and fakes missed and reals flagged at the threshold, against the share of
    forged training faces, each with its interval."""
    with Canvas(9.6, 3.3, columns=3) as canvas:
        ranked, errors, rates = canvas.all_axes
        ranked.axhline(0.5, color=MUTED, linestyle=":", linewidth=1.2)
        _series(ranked, levels, "auroc", "AUROC", INK, 0.0)
        _series(errors, levels, "error_real", "reals", REAL, -0.08)
        _series(errors, levels, "error_fake", "fakes", FAKE, 0.08)
        _series(rates, levels, "missed_fakes", "fakes missed", FAKE, 0.08)
        _series(rates, levels, "false_alarm_rate", "reals flagged", REAL, -0.08)
        titles = ("AUROC", "Mean reconstruction error", "At the threshold")
        for axes, title in zip(canvas.all_axes, titles, strict=True):
            axes.set_xticks(range(len(levels)), [label(level) for level in levels])
            axes.set(xlabel="training faces forged", title=title)
        for axes in (errors, rates):
            axes.legend()
    return canvas.png


def _series(
    axes: Axes, levels: list[Mapping[str, Any]], name: str, label: str, colour: str, shift: float
) -> None:
    found = [(place + shift, level["figures"][name]["value"]) for place, level in enumerate(levels)]
    known = [(x, value) for x, value in found if value["value"] is not None]
    axes.plot(
        [x for x, _ in known], [value["value"] for _, value in known], marker="o", color=colour, label=label
    )
    for x, value in known:
        if value["low"] is not None and value["high"] is not None:
            axes.plot([x, x], [value["low"], value["high"]], color=colour, linewidth=1.4)
