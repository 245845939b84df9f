"""The thesis's second future work: do the power spectra of the errors tell real from fake, and does a score of them?

For the network of each model, by the protocol that experiments build on, at the epoch it chose. What is fitted is
fitted on the validation reals that chose nothing.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from verovolto.core.errors import DataError, InputError
from verovolto.core.workdir import Done
from verovolto.data.splits import halve
from verovolto.thesis.experiments.spectra.bands import bands_for, measure_bands
from verovolto.thesis.experiments.spectra.statistics import evaluate_spectra
from verovolto.thesis.networks import checkpoint_detector, run_folder, scores
from verovolto.thesis.plan import Context, network_of


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
