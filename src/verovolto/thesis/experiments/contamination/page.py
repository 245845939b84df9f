"""How forged faces among the training reals are shown: every level against none and a placebo."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from verovolto.report.canvas import FAKE, INK, MUTED, REAL, Canvas
from verovolto.report.html import change, estimate

TITLE = "Forged faces among the training reals"
SHOWN = {
    "auroc": "AUROC", "error_real": "mean error, reals", "error_fake": "mean error, fakes",
    "error_gap": "fakes minus reals", "missed_fakes": "fakes missed", "false_alarm_rate": "reals flagged",
}  # fmt: skip


def figures(result: Mapping[str, Any]) -> dict[str, bytes]:
    """By model, what is ranked, reconstructed and missed at each level."""
    return {one["model"]: _against_level(one["levels"]) for one in result.get("models", ())}


def findings(result: Mapping[str, Any]) -> list[str]:
    """A sentence or two a model on what the largest level does, and whether any is shown to do something."""
    if "why_not" in result:
        return [f"Not measured: {result['why_not']}."]
    return [_sentences(one) for one in result["models"]]


def label(level: Mapping[str, Any]) -> str:
    """`5 %` of a level with that share of fakes, `placebo` of the one with none but other reals in their places."""
    return "placebo" if level["faces"] and not level["share"] else f"{round(100 * level['share'], 1):g} %"


def _sentences(one: Mapping[str, Any]) -> str:
    clean, placebo, *levels = one["levels"]
    most, where = levels[-1]["figures"], label(levels[-1])
    verdicts = {
        word: [label(level) for level in levels if level["figures"]["auroc"]["verdict"] == word]
        for word in ("worse", "better")
    }
    shown = " and ".join(f"{word} with {', '.join(at)} forged" for word, at in verdicts.items() if at)
    shown = f"shown to be {shown}" if shown else "not shown to change at any level"
    auroc, missed, fakes = (most[name] for name in ("auroc", "missed_fakes", "error_fake"))
    return (
        f"{one['model']}: AUROC {estimate(clean['figures']['auroc']['value'])} with no training face forged, "
        f"{estimate(auroc['value'])} with {where} (change {change(auroc['to_none'])}; the placebo, trained on other "
        f"reals alone, changes it by {change(placebo['figures']['auroc']['to_none'])}). Against both it is {shown}. "
        f"With {where} the fakes' mean error changes by {change(fakes['to_none'])} ({fakes['verdict']}), the share of "
        f"fakes missed by {change(missed['to_none'])} ({missed['verdict']})."
    )


def _against_level(levels: list[Mapping[str, Any]]) -> bytes:
    """Three panels against the share of forged training faces, each figure with its interval.

    AUROC; mean error of either class; fakes missed and reals flagged at the threshold.
    """
    with Canvas(9.6, 3.3, columns=3) as canvas:
        ranked, errors, rates = canvas.all_axes
        ranked.axhline(0.5, color=MUTED, linestyle=":", linewidth=1.2)
        for axes, name, text, colour, shift in (
            (ranked, "auroc", "AUROC", INK, 0.0),
            (errors, "error_real", "reals", REAL, -0.08),
            (errors, "error_fake", "fakes", FAKE, 0.08),
            (rates, "missed_fakes", "fakes missed", FAKE, 0.08),
            (rates, "false_alarm_rate", "reals flagged", REAL, -0.08),
        ):
            values = [level["figures"][name]["value"] for level in levels]
            defined = [(place + shift, one) for place, one in enumerate(values) if one["value"] is not None]
            places, heights = [x for x, _ in defined], [one["value"] for _, one in defined]
            axes.plot(places, heights, marker="o", color=colour, label=text)
            for x, one in defined:
                if one["low"] is not None and one["high"] is not None:
                    axes.plot([x, x], [one["low"], one["high"]], color=colour, linewidth=1.4)
        titles = ("AUROC", "Mean reconstruction error", "At the threshold")
        for axes, title in zip(canvas.all_axes, titles, strict=True):
            axes.set_xticks(range(len(levels)), [label(level) for level in levels])
            axes.set(xlabel="training faces forged", title=title)
        for axes in (errors, rates):
            axes.legend()
    return canvas.png
