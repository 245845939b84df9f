"""The steps of `verovolto reproduce`, in the order in which they are taken, each passed over where it is done."""

from __future__ import annotations

import sys
from functools import partial
from itertools import product
from pathlib import Path

from verovolto.core.workdir import Done, Steps
from verovolto.data.faceset import FaceSet
from verovolto.thesis import figures
from verovolto.thesis.ablation import ABLATED, ablate
from verovolto.thesis.estimate import estimate, missing_space
from verovolto.thesis.experiments import load
from verovolto.thesis.networks import check_networks, noise_of, run_folder, score_run, train_network
from verovolto.thesis.page import write_document
from verovolto.thesis.plan import Context, Evaluated, Plan, Protocol, ProtocolRun, network_of
from verovolto.thesis.protocols import OF_THRESHOLDS, ModelScores, choose_epoch, tabulate
from verovolto.thesis.splits import make_protocol_splits


def run_reproduction(plan: Plan) -> Path | None:
    """Reproduce the thesis, or go on with it; returns the report, None of a dry run.

    Raises:
        VerovoltoError: for whatever a user can mend.
    """
    check_networks(plan)
    steps = Steps(folder=plan.out / "steps")
    settings = {
        "data": FaceSet.open(plan.data).fingerprint(), "protocols": list(plan.protocols), "method": plan.method,
        "limit": plan.limit, "seed": plan.seed, "quirks": plan.kept("thesis", "leak"),
    }  # fmt: skip
    splits = steps.take("splits", partial(make_protocol_splits, plan), inputs=settings)
    context = Context(plan=plan, steps=steps, splits=splits)
    _say_what_it_takes(context)
    if plan.dry_run:
        return None
    for protocol in plan.protocols:
        context.runs[protocol] = _train_and_score(context, protocol)
    for model, protocol in product(plan.models, plan.protocols):
        context.evaluated[protocol, model] = _evaluate(context, protocol, model)
    ablations = [_ablate(context, model) for model in plan.models if "thesis" in plan.protocols]
    parts = {name: load(name).run(context) for name in plan.parts}
    return write_document(context, ablations, parts)


def _say_what_it_takes(context: Context) -> None:
    """Print what is to be trained, how long it takes and what it needs of the disk."""
    if (found := estimate(context)) is None:
        return
    print(found.text(), flush=True)
    if (warning := missing_space(found, context.plan.out)) is not None:
        print(f"warning: {warning}", file=sys.stderr)


def _train_and_score(context: Context, protocol: Protocol) -> ProtocolRun:
    """Train the networks of a protocol and score its faces by every checkpoint."""
    plan, steps = context.plan, context.steps
    data, split = context.data(protocol), context.split(protocol)

    def train(network: str) -> Done:
        return steps.take(
            f"train-{protocol}-{network}",
            lambda _: train_network(context, protocol, network),
            inputs={**plan.training_settings, "noise": noise_of(plan, protocol)},
            after=(split,),
        )

    def score(network: str, epoch: int, trained: Done) -> Done:
        run, metadata = run_folder(plan, protocol, network), {"protocol": protocol}
        return steps.take(
            f"score-{protocol}-{network}-{epoch:04d}",
            lambda folder: score_run(run, epoch, data, folder, metadata=metadata),
            inputs={"epoch": epoch},
            after=(split, trained),
        )

    trained: dict[str, Done] = {}
    scored: dict[str, dict[int, Done]] = {}
    for network in plan.networks:
        trained[network] = train(network)
        scored[network] = {epoch: score(network, epoch, trained[network]) for epoch in plan.checkpoints}
    return ProtocolRun(trained=trained, scored=scored)


def _evaluate(context: Context, protocol: Protocol, model: str) -> Evaluated:
    """Choose the epoch of a model, fill its rows of the tables, draw its figures."""
    plan, steps, data = context.plan, context.steps, context.data(protocol)
    scores, trained = _scores(context, protocol, model), context.runs[protocol].trained[network_of(model)]
    choice = steps.take(
        f"choose-{protocol}-{model}",
        lambda _: choose_epoch(scores, trained),
        inputs={**plan.evaluation_settings, "score": scores.score, "quirks": scores.kept("test-epoch")},
        after=(trained, *scores.scored.values()),
    )
    table = steps.take(
        f"table-{protocol}-{model}",
        lambda _: tabulate(scores, choice.result),
        inputs={
            **plan.evaluation_settings,
            "quirks": scores.kept(*OF_THRESHOLDS),
            "levels": ["frame", "video"],
        },
        after=(choice,),
    )
    drawn = steps.take(
        f"draw-{protocol}-{model}",
        lambda folder: figures.model_figures(scores, data, choice.result, table.result, folder),
        inputs={"no_faces": plan.no_faces, "quirks": scores.kept("3d-spectrum")},
        after=(context.split(protocol), table),
    )
    return Evaluated(choice=choice, table=table, figures=drawn)


def _ablate(context: Context, model: str) -> Done:
    """Measure each shortcut of a model as published, beside the sound protocol where it was asked for."""
    splits, choice = context.splits, context.evaluated["thesis", model].choice
    published = _scores(context, "thesis", model)
    sound = _scores(context, "honest", model) if "honest" in context.runs else None
    return context.steps.take(
        f"ablate-{model}",
        lambda _: ablate(published, sound, choice.result, splits.result),
        inputs={**context.plan.evaluation_settings, "quirks": published.kept(*ABLATED)},
        after=(splits, choice, *published.scored.values(), *(sound.scored.values() if sound else ())),
    )


def _scores(context: Context, protocol: Protocol, model: str) -> ModelScores:
    scored = context.runs[protocol].scored[network_of(model)]
    return ModelScores(plan=context.plan, protocol=protocol, model=model, scored=scored)
