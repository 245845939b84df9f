"""Other forgeries in training: what happens when some of the faces that a network learns as real are fakes.

By the honest split, with 1, 5 and 10 % of the training faces replaced where they stand, everything else equal; the
network without any is the one that the protocol trained already. The epoch and the thresholds come from validation
reals, as always, and the test faces are the same. A sham network, with other reals in the places of the largest level,
shows how much any other training changes.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from verovolto.thesis.plan import network_of

if TYPE_CHECKING:
    from verovolto.core.workdir import Done
    from verovolto.thesis.context import Context
    from verovolto.thesis.experiments.contamination.mix import Contamination
    from verovolto.thesis.experiments.contamination.statistics import Level
    from verovolto.training.config import TrainConfig
    from verovolto.training.data import TrainingData

SHARES = (0.01, 0.05, 0.1)


def run(context: Context) -> dict[str, Any]:
    """Train and judge each level of each network; with `why_not` in place of figures where that cannot be done."""
    if "honest" not in context.arms:
        return {"why_not": "it needs the honest networks to set against (--protocol honest or both)"}
    from verovolto.thesis.splits import cut_of

    plan, cut = context.plan, cut_of(context.splits, "honest")
    drawn = context.steps.take(
        "contamination-draw",
        lambda _: _draw(context),
        inputs={"method": plan.method, "seed": plan.seed, "shares": list(SHARES)},
        after=(cut,),
    )
    metadata = {name: value for name, value in drawn.result.items() if name != "levels"}
    mixed = [_mixed(level) for level in drawn.result["levels"]]
    if not mixed:
        return {**metadata, "why_not": "there is no fake to train on: " + "; ".join(metadata["notes"])}
    scored = {
        network: [_train_and_score(context, network, one, drawn) for one in mixed]
        for network in plan.networks
    }
    models = [_judge(context, model, mixed, scored[network_of(model)]).result for model in plan.models]
    return {**metadata, "models": models}


def _mixed(level: dict[str, Any]) -> Contamination:
    from verovolto.thesis.experiments.contamination.mix import Contamination

    return Contamination(share=level["share"], swaps=level["swaps"])


def _draw(context: Context) -> dict[str, Any]:
    """Which faces take whose places, in a sham and at each level; where they are from, and what cannot be done."""
    from collections import Counter

    from verovolto.data.faceset import FaceSet
    from verovolto.thesis.experiments.contamination.mix import (
        contaminations,
        counts_of,
        forgeries_to_mix_in,
        sham_of,
    )
    from verovolto.thesis.splits import split_file

    plan, train = context.plan, int(context.splits.result["train"])
    table = FaceSet.open(split_file(context.splits.folder, "honest")).columns()
    forgeries = forgeries_to_mix_in(table, seed=plan.seed, method=plan.method)
    there = len(forgeries.rows)
    counts, notes = counts_of(SHARES, train=train, there=there)
    drawn = contaminations(table, forgeries, counts, seed=plan.seed)
    sham = [sham_of(table, one, seed=plan.seed) for one in drawn[-1:]]
    return {
        "train": train, "there": there, "notes": notes,
        "sources": {f"{len(one.swaps)}": dict(Counter(forgeries.sources[: len(one.swaps)])) for one in drawn},
        "levels": [{"share": one.share, "swaps": dict(one.swaps)} for one in (*sham, *drawn)],
    }  # fmt: skip


def _train_and_score(context: Context, network: str, level: Contamination, drawn: Done) -> tuple[int, Done]:
    """The epoch that validation reals choose of a network that learned from a level's fakes, and what it scored."""
    from verovolto.thesis import metrics as thesis
    from verovolto.thesis.networks import noise_of, score_run
    from verovolto.thesis.splits import cut_of, split_file

    data = split_file(context.splits.folder, "honest")
    name = f"contaminated-{len(level.swaps) if level.share else 'sham'}-{network}"
    trained = context.steps.take(
        f"train-{name}",
        lambda _: _train(context, network, level, name),
        inputs={**context.plan.training(), "noise": noise_of(context.plan, "honest")},
        after=(cut_of(context.splits, "honest"), drawn),
    )
    losses = {int(epoch): float(loss) for epoch, loss in trained.result["losses"].items()}
    epoch = thesis.chosen_on_reals(losses)
    scored = context.steps.take(
        f"score-{name}",
        lambda folder: score_run(context.plan.out / "runs" / name, epoch, data, folder, metadata={}),
        inputs={"epoch": epoch},
        after=(trained,),
    )
    return epoch, scored


def _train(context: Context, network: str, level: Contamination, name: str) -> dict[str, Any]:
    """Train exactly as the honest network was, but for the faces that are replaced; returns losses by epoch."""
    from verovolto.thesis.checkpoints import validation_losses
    from verovolto.thesis.networks import run_folder
    from verovolto.training.run_metadata import stored_config

    plan = context.plan
    config = replace(stored_config(run_folder(plan, "honest", network)), out=plan.out / "runs" / name)
    train_contaminated(config, level)
    losses = validation_losses(config.out)
    return {"losses": {str(epoch): losses[epoch] for epoch in plan.checkpoints}}


def contaminated(config: TrainConfig, level: Contamination) -> TrainingData:
    """The data of a run with the named training reals replaced; the order of the epochs is as without."""
    from verovolto.data.faceset import FaceSet
    from verovolto.training.data import load_training_data

    data = load_training_data(config)
    mixed = level.applied(FaceSet.open(config.data), data.train)
    return replace(data, train=mixed, order=data.train, made_with={"contaminated_with": level.digest})


def train_contaminated(config: TrainConfig, level: Contamination) -> Path:
    """Train on fakes among the reals, or go on; the run and its detector say so. No command trains so."""
    from verovolto.training.fit import run

    return run(config, data=contaminated(config, level), tags={"contaminated": level.share})


def _judge(context: Context, model: str, mixed: list[Contamination], scored: list[tuple[int, Done]]) -> Done:
    """Each level of a model against none and the sham, which is the first of `mixed`; beside them what the trivial
    statistics give on the same faces."""
    from verovolto.thesis.experiments.contamination.statistics import evaluate_levels

    plan, clean = context.plan, context.chosen("honest", model)
    chosen, table, _ = context.judged["honest", model]

    def judge() -> dict[str, Any]:
        sham, *levels = (
            _level(context, one.share, len(one.swaps), epoch, done)
            for one, (epoch, done) in zip(mixed, scored, strict=True)
        )
        found = evaluate_levels(
            _level(context, 0.0, 0, chosen.result["epoch"], clean),
            sham,
            levels,
            chosen.result["score"],
            false_alarm=plan.false_alarm,
            resamples=plan.resamples,
            seed=plan.seed,
        )
        return {"model": model, **found, "trivial": _trivial(table.result)}

    return context.steps.take(
        f"contaminated-{model}",
        lambda _: judge(),
        inputs=plan.judging(),
        after=(clean, table, *(done for _, done in scored)),
    )


def _level(context: Context, share: float, faces: int, epoch: int, done: Done) -> Level:
    from verovolto.thesis import protocols as arms
    from verovolto.thesis.experiments.contamination.statistics import Level
    from verovolto.thesis.networks import scores

    reals = arms.calibrate_half(scores(done.folder, "val"), seed=context.plan.seed)
    return Level(share=share, faces=faces, epoch=epoch, test=scores(done.folder, "test"), reals=reals)


def _trivial(table: dict[str, Any]) -> dict[str, Any]:
    """AUROC and rates at the threshold of the trivial statistics, from the honest table of the model."""
    rates = {
        row["score"]: row for row in reversed(table["rows"])
    }  # the first row of a score is the conformal one
    return {
        name: {
            "auroc": ranked["auroc"],
            "missed_fakes": rates[name]["missed_fakes"],
            "false_alarm_rate": rates[name]["false_alarm_rate"],
        }
        for name, ranked in table["ranking"].items()
        if name != table["score"]
    }
