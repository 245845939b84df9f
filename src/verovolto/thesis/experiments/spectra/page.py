"""How the power spectra of the errors are shown: effect sizes by band, mean spectra, and the score made of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from matplotlib.axes import Axes

from verovolto.evaluation.bootstrap import Estimate
from verovolto.report.canvas import INK, MUTED, Canvas
from verovolto.report.html import change, estimate
from verovolto.thesis.experiments.spectra.bands import ERROR, IMAGE, SpectralComparison
from verovolto.thesis.experiments.spectra.statistics import GIVEN, TYPICALITY
from verovolto.thesis.figures import CYCLES, radial_spectra

TITLE = "Power spectra of the errors"
_VERDICTS = {"better": "better than", "worse": "worse than"}
_COLOURS = (INK, "#6b46c1", "#2f855a", "#b83280", "#8895a7")


def figures(result: Mapping[str, Any]) -> dict[str, bytes]:
    """Mean spectra and effect sizes of each network."""
    drawn = {}
    for one in _measured(result):
        compared = {name: SpectralComparison.from_dict(of) for name, of in one["comparisons"].items()}
        drawn[f"radial-{one['network']}"] = radial_spectra(one["radial"])
        drawn[f"effects-{one['network']}"] = band_effects(compared)
    return drawn


def findings(result: Mapping[str, Any]) -> list[str]:
    """How many bands differ and the worth of the score, two sentences a network; the verdict stands in the section."""
    sentences = [f"{one['network']}: {_of_bands(one)} {_of_score(one)}" for one in _measured(result)]
    missing = [one for one in result["networks"] if "why_not" in one]
    return sentences + [f"{one['network']}: not measured, {one['why_not']}." for one in missing]


def _measured(result: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [one for one in result["networks"] if "why_not" not in one]


def _of_bands(one: Mapping[str, Any]) -> str:
    counted = {
        name: len(SpectralComparison.from_dict(of).differing) for name, of in one["comparisons"].items()
    }
    bands = len(one["edges"]) - 1
    return (
        f"of {bands} bands of the error {counted[ERROR]} differ between real and fake, of the pictures' own "
        f"{counted[IMAGE]}, and of the error's once the picture's are allowed for {counted[GIVEN]}."
    )


def _of_score(one: Mapping[str, Any]) -> str:
    name = TYPICALITY.format(GIVEN)
    made, own = one["scores"][name], next(iter(one["scores"]))
    difference = made["difference"]
    beyond = _VERDICTS.get(one["beyond_input"]["verdict"], "not shown to differ from")
    worth = _VERDICTS.get(difference["verdict"], "not shown to differ from")
    return (
        f"As a score, the {name}, has an AUROC of {estimate(made['auroc'])}, {worth} the model's own {own} of "
        f"{estimate(one['scores'][own]['auroc'])} (difference {change(difference)}), {beyond} the same "
        f"score of the pictures alone, without a network (difference {change(one['beyond_input'])})."
    )


def band_effects(comparisons: Mapping[str, SpectralComparison]) -> bytes:
    """Hedges' g of each band with its interval, one series a comparison (at most five, of the same bands).

    Filled marks: corrected p <= 0.05. Above 0 the fakes hold more power.
    """
    with Canvas(6.6, 3.9) as canvas:
        axes = canvas.axes
        axes.axhline(0, color=MUTED, linestyle=":", linewidth=1.2)
        for place, (name, comparison) in enumerate(comparisons.items()):
            colour = _COLOURS[place % len(_COLOURS)]
            for band in comparison.bands:
                share = (place + 1) / (len(comparisons) + 1)
                _mark(axes, band.low + share * (band.high - band.low), band.g, colour, filled=band.differs)
            axes.plot([], [], marker="o", color=colour, linestyle="none", label=name)
        edges = sorted({edge for c in comparisons.values() for b in c.bands for edge in (b.low, b.high)})
        axes.set_xticks(edges, [f"{edge:.3g}" for edge in edges])
        axes.set(xlabel=f"band, {CYCLES}", ylabel="Hedges' g (filled: corrected p ≤ 0.05)")
        axes.set(xlim=(edges[0], edges[-1]))
        canvas.figure.legend(loc="outside upper center", ncols=len(comparisons))
    return canvas.png


def _mark(axes: Axes, place: float, figure: Estimate, colour: str, *, filled: bool) -> None:
    if figure.value is None:
        return
    if figure.low is not None and figure.high is not None:
        axes.plot([place, place], [figure.low, figure.high], color=colour, linewidth=1.4)
    face = colour if filled else "white"
    axes.plot([place], [figure.value], marker="o", color=colour, markerfacecolor=face, markersize=5)
