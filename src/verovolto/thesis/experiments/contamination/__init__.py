"""Other forgeries in training: networks that learned some fakes as if they were real; never a detector for use.

By the sound split, with 1, 5 and 10 % of the training faces replaced where they stand, everything else equal: as many
faces, in the same order. The network without any is the one that the protocol trained already. The fakes show nobody
who is in the test split; the epoch and the thresholds come from validation reals, as always. A placebo network, with
other training reals in the places of the largest level, shows how much any other training changes.
"""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from verovolto.core.workdir import Done
from verovolto.data.faceset import FaceSet
from verovolto.detectors.fitting import TrainingData
from verovolto.detectors.registry import TrainConfig
from verovolto.report.html import FAKE, INK, MUTED, REAL, Canvas, change, estimate
from verovolto.thesis.estimate import Trainings, faces_scored
from verovolto.thesis.experiments.contamination.draw import (
    Contamination,
    candidate_fakes,
    contaminations,
    counts_of,
    placebo_of,
)
from verovolto.thesis.experiments.contamination.statistics import Level, evaluate_levels
from verovolto.thesis.metrics import chosen_on_reals
from verovolto.thesis.networks import (
    keep_weights_alone,
    kept_epochs,
    kept_losses,
    noise_of,
    run_config,
    run_folder,
    score_run,
    scores,
)
from verovolto.thesis.plan import Context, network_of
from verovolto.thesis.protocols import calibration_split
from verovolto.training import fit
from verovolto.training.data import load_training_data
from verovolto.training.fit import resolved
from verovolto.training.run_metadata import stored_config

SHARES = (0.01, 0.05, 0.1)
TITLE = "Forged faces among the training reals"
SHOWN = {
    "auroc": "AUROC", "error_real": "mean error, reals", "error_fake": "mean error, fakes",
    "error_gap": "fakes minus reals", "missed_fakes": "fakes missed", "false_alarm_rate": "reals flagged",
}  # fmt: skip


def run(context: Context) -> dict[str, Any]:
    """Train and evaluate each level of each network; with `why_not` in place of figures where that cannot be done."""
    if "honest" not in context.runs:
        return {"why_not": "it needs the sound networks to set against (--protocol sound or both)"}
    plan = context.plan
    drawn = context.steps.take(
        "contamination-draw",
        lambda _: _draw(context),
        inputs={"method": plan.method, "seed": plan.seed, "shares": list(SHARES)},
        after=(context.split("honest"),),
    )
    result = {name: value for name, value in drawn.result.items() if name != "levels"}
    levels = [Contamination(share=one["share"], swaps=one["swaps"]) for one in drawn.result["levels"]]
    if not levels:
        return {**result, "why_not": "there is no fake to train on: " + "; ".join(result["notes"])}
    scored = {
        network: [_train_and_score(context, network, level, drawn) for level in levels]
        for network in plan.networks
    }
    models = [_evaluate(context, model, levels, scored[network_of(model)]).result for model in plan.models]
    return {**result, "models": models}


def planned(context: Context) -> Iterator[Trainings]:
    """The trainings that are not done yet; their networks are deleted once they have scored."""
    plan = context.plan
    if "honest" not in context.splits.result["cuts"]:
        return
    train = int(context.splits.result["train"])
    counts, _ = counts_of(SHARES, train=train, available=train)  # how many fakes there are is not drawn yet
    for network in plan.networks:
        names = [_name(count, network) for count in (None, *counts)]
        todo = [name for name in names if not context.steps.has(f"score-{name}")]
        yield Trainings(
            what="with forged faces among the reals",
            config=resolved(run_config(plan, "honest", network, context.data("honest"))),
            count=len(todo), images=plan.epochs * train, scored=faces_scored(context, "honest"),
        )  # fmt: skip


def _draw(context: Context) -> dict[str, Any]:
    """Which faces take whose places, in a placebo and at each level; where they are from, and what cannot be done."""
    plan, train = context.plan, int(context.splits.result["train"])
    table = context.faces("honest").columns()
    fakes = candidate_fakes(table, seed=plan.seed, method=plan.method)
    available = len(fakes.rows)
    counts, notes = counts_of(SHARES, train=train, available=available)
    drawn = contaminations(table, fakes, counts, seed=plan.seed)
    placebo = [placebo_of(table, one, seed=plan.seed) for one in drawn[-1:]]
    return {
        "train": train, "there": available, "notes": notes,
        "sources": {f"{len(one.swaps)}": dict(Counter(fakes.sources[: len(one.swaps)])) for one in drawn},
        "levels": [{"share": one.share, "swaps": dict(one.swaps)} for one in (*placebo, *drawn)],
    }  # fmt: skip


def _name(fakes: int | None, network: str) -> str:
    """Of the run of a level with so many fakes, None for the placebo; steps and folders are called so."""
    return f"contaminated-{'sham' if fakes is None else fakes}-{network}"


def _train_and_score(context: Context, network: str, level: Contamination, drawn: Done) -> tuple[int, Done]:
    """The epoch that validation reals choose of a network that learned from a level's fakes, and what it scored."""
    plan, split = context.plan, context.split("honest")
    name = _name(len(level.swaps) if level.share else None, network)
    folder = plan.out / "runs" / name

    def train() -> dict[str, Any]:
        """Exactly as the sound network was, but for the faces that are replaced."""
        config = replace(stored_config(run_folder(plan, "honest", network)), out=folder)
        train_contaminated(config, level)
        keep_weights_alone(folder)
        return kept_losses(plan, folder)

    trained = context.steps.take(
        f"train-{name}",
        lambda _: train(),
        inputs={**plan.training_settings, "noise": noise_of(plan, "honest")},
        after=(split, drawn),
    )
    epoch = chosen_on_reals({int(epoch): float(loss) for epoch, loss in trained.result["losses"].items()})

    def score(place: Path) -> dict[str, Any]:
        if not kept_epochs(folder):  # deleted after an earlier scoring
            shutil.rmtree(folder, ignore_errors=True)
            train()
        return score_run(folder, epoch, context.data("honest"), place, metadata={})

    scored = context.steps.take(f"score-{name}", score, inputs={"epoch": epoch}, after=(trained,))
    # Scored, the network is of no more use to anybody: those of all levels would take tens of gigabytes.
    for part in ("checkpoints", "detector"):
        shutil.rmtree(folder / part, ignore_errors=True)
    return epoch, scored


def contaminated(config: TrainConfig, level: Contamination) -> TrainingData:
    """The data of a run with the named training reals replaced; the order of the epochs is as without."""
    data = load_training_data(config)
    mixed = level.applied(FaceSet.open(config.data), data.train)
    return replace(data, train=mixed, order=data.train, made_with={"contaminated_with": level.digest})


def train_contaminated(config: TrainConfig, level: Contamination) -> Path:
    """Train on fakes among the reals, or go on; the run and its detector say so. No command trains so."""
    return fit.run(config, data=contaminated(config, level), tags={"contaminated": level.share})


def _evaluate(
    context: Context, model: str, levels: list[Contamination], scored: list[tuple[int, Done]]
) -> Done:
    """Each level of a model against none and the placebo, which is the first of `levels`.

    Beside them what the trivial statistics give on the same faces.
    """
    plan, sound, clean = context.plan, context.evaluated["honest", model], context.chosen("honest", model)

    def evaluate() -> dict[str, Any]:
        placebo, *mixed = (
            _level(context, one.share, len(one.swaps), epoch, done)
            for one, (epoch, done) in zip(levels, scored, strict=True)
        )
        none = _level(context, 0.0, 0, sound.epoch, clean)
        result = evaluate_levels(
            none, placebo, mixed, sound.score, false_alarm=plan.false_alarm, **plan.bootstrap
        )
        return {"model": model, **result, "trivial": _trivial(sound.table.result)}

    return context.steps.take(
        f"contaminated-{model}",
        lambda _: evaluate(),
        inputs=plan.evaluation_settings,
        after=(clean, sound.table, *(done for _, done in scored)),
    )


def _level(context: Context, share: float, faces: int, epoch: int, done: Done) -> Level:
    reals = calibration_split(scores(done.folder, "val"), seed=context.plan.seed)
    return Level(share=share, faces=faces, epoch=epoch, test=scores(done.folder, "test"), reals=reals)


def _trivial(table: Mapping[str, Any]) -> dict[str, Any]:
    """AUROC and rates at the threshold of the trivial statistics, from the sound table of the model."""
    first = {
        row["score"]: row for row in reversed(table["rows"])
    }  # the first row of a score is the conformal one
    return {
        name: {
            "auroc": ranked["auroc"],
            **{rate: first[name][rate] for rate in ("missed_fakes", "false_alarm_rate")},
        }
        for name, ranked in table["ranking"].items()
        if name != table["score"]
    }


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
