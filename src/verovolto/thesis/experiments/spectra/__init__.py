"""The thesis's second future work: do the power spectra of the errors tell real from fake, and does a score of them?

For the network of each model, by the protocol that experiments build on, at the epoch it chose. What is fitted is
fitted on the validation reals that chose nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from verovolto.core.errors import DataError, InputError
from verovolto.core.workdir import Done
from verovolto.data.splits import halve
from verovolto.evaluation.bootstrap import Estimate
from verovolto.report.html import INK, MUTED, Canvas, change, estimate
from verovolto.thesis.experiments.spectra.bands import (
    ERROR,
    IMAGE,
    SpectralComparison,
    bands_for,
    measure_bands,
)
from verovolto.thesis.experiments.spectra.statistics import GIVEN, TYPICALITY, evaluate_spectra
from verovolto.thesis.figures import CYCLES, radial_spectra
from verovolto.thesis.networks import checkpoint_detector, run_folder, scores
from verovolto.thesis.plan import Context, network_of

TITLE = "Power spectra of the errors"
_VERDICTS = {"better": "better than", "worse": "worse than"}
_COLOURS = (INK, "#6b46c1", "#2f855a", "#b83280", "#8895a7")


def run(context: Context) -> dict[str, Any]:
    """A step a network. A network of which nothing can be said has `why_not` in place of figures."""
    steps = [_step(context, network) for network in context.plan.networks]
    return {"protocol": context.best, "networks": [done.result for done in steps]}


def _step(context: Context, network: str) -> Done:
    protocol, models = context.best, _models(context, network)
    return context.steps.take(
        f"spectra-{protocol}-{network}",
        lambda _: _of_network(context, network),
        inputs={**context.plan.bootstrap, "scores": _own_scores(context, models)},
        after=(context.split(protocol), context.chosen(protocol, models[0])),
    )


def _models(context: Context, network: str) -> list[str]:
    """The models asked for that are this network with one score or another."""
    return [model for model in context.plan.models if network_of(model) == network]


def _own_scores(context: Context, models: list[str]) -> list[str]:
    """What the protocol evaluates the models by."""
    return [context.evaluated[context.best, model].score for model in models]


def _of_network(context: Context, network: str) -> dict[str, Any]:
    """Measure the reals to fit on and the test faces, and evaluate them."""
    plan, protocol, models = context.plan, context.best, _models(context, network)
    epoch = context.evaluated[protocol, models[0]].epoch
    about = {"network": network, "models": models, "epoch": epoch}
    detector = checkpoint_detector(run_folder(plan, protocol, network), epoch)
    edges = bands_for(detector.preprocessing.size)
    faces = context.faces(protocol)
    val = faces.select(split="val")
    held_out = val.take(np.flatnonzero(~halve(val.columns(), seed=plan.seed))).select(label="real")
    table = scores(context.chosen(protocol, models[0]).folder, "test")
    own = tuple(dict.fromkeys(_own_scores(context, models)))
    try:
        reference = measure_bands(detector, held_out, edges)
        evaluated = measure_bands(detector, faces.select(split="test"), edges)
        result = evaluate_spectra(
            reference, evaluated, table.take(evaluated.rows), own=own, edges=edges, **plan.bootstrap
        )
    except (DataError, InputError) as error:  # too few reals, or all of one person
        return {**about, "why_not": str(error)}
    return {**about, "size": detector.preprocessing.size, **result}


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
