"""The thesis's second future work: do the power spectra of the errors tell real from fake, and does a score of them?

For the network of each model, by the protocol that parts build on, at the epoch it chose: see
`thesis.experiments.spectra.error_statistics`. What is fitted is fitted on the `calibrate` half of the
validation reals, which chose nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from verovolto.thesis.plan import network_of

if TYPE_CHECKING:
    from verovolto.thesis.context import Context


def run(context: Context) -> dict[str, Any]:
    """A step a network. A network of which nothing can be said has `why_not` in place of figures."""
    from verovolto.thesis.splits import cut_of

    protocol = context.best
    found = [
        context.steps.take(
            f"spectra-{protocol}-{network}",
            lambda _, network=network: _of_network(context, network),  # type: ignore[misc]
            inputs={
                "resamples": context.plan.resamples,
                "seed": context.plan.seed,
                "scores": [_own_score(context, model) for model in _models(context, network)],
            },
            after=(cut_of(context.splits, protocol), context.chosen(protocol, _models(context, network)[0])),
        ).result
        for network in context.plan.networks
    ]
    return {"protocol": protocol, "networks": found}


def _models(context: Context, network: str) -> list[str]:
    """The models asked for that are this network with one score or another."""
    return [model for model in context.plan.models if network_of(model) == network]


def _own_score(context: Context, model: str) -> str:
    """What the protocol judges a model by."""
    return str(context.judged[context.best, model][0].result["score"])


def _of_network(context: Context, network: str) -> dict[str, Any]:
    """Measure the reals to fit on and the test faces, and judge them."""
    import numpy as np

    from verovolto.core.errors import DataError, InputError
    from verovolto.data.faceset import FaceSet
    from verovolto.data.splits import halve
    from verovolto.thesis.checkpoints import checkpoint_detector
    from verovolto.thesis.experiments.spectra.error_spectra import bands_for, measure_bands
    from verovolto.thesis.experiments.spectra.error_statistics import evaluate_spectra
    from verovolto.thesis.networks import run_folder, scores
    from verovolto.thesis.splits import split_file

    plan, protocol, models = context.plan, context.best, _models(context, network)
    chosen = context.chosen(protocol, models[0])
    epoch = int(context.judged[protocol, models[0]][0].result["epoch"])
    metadata = {"network": network, "models": models, "epoch": epoch}
    detector = checkpoint_detector(run_folder(plan, protocol, network), epoch)
    edges = bands_for(detector.preprocessing.size)
    faces = FaceSet.open(split_file(context.splits.folder, protocol))
    val = faces.select(split="val")
    held_out = val.take(np.flatnonzero(~halve(val.columns(), seed=plan.seed))).select(label="real")
    try:
        known = measure_bands(detector, held_out, edges)
        judged = measure_bands(detector, faces.select(split="test"), edges)
        found = evaluate_spectra(
            known,
            judged,
            scores(chosen.folder, "test").take(judged.rows),
            own=tuple(dict.fromkeys(_own_score(context, model) for model in models)),
            edges=edges,
            resamples=plan.resamples,
            seed=plan.seed,
        )
    except (DataError, InputError) as error:  # too few reals, or all of one person
        return {**metadata, "why_not": str(error)}
    return {**metadata, "size": detector.preprocessing.size, **found}
