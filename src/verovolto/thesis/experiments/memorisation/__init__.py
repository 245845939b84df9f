"""What it is worth to have frames of one video on both sides of the split, apart from detecting anything.

The thesis draws frames at random, so nearly every test real shows a video that was trained on, and an auto-encoder
reconstructs what it has seen better. A small network is trained on half of the people's videos, and scores held-out
frames of these and of the other half, real and fake: four pairings of reals and fakes, over several trainings. Where
known reals against *unknown* fakes do better than unknown reals against *known* fakes, memory passes for detection.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from verovolto.core.workdir import Done
from verovolto.data.faceset import FaceSet
from verovolto.data.splits import cluster_ids
from verovolto.data.storage import write_split_file
from verovolto.detectors.score_faces import score_faces
from verovolto.evaluation.groups import scored_rows
from verovolto.report.html import FAKE, INK, MUTED, REAL, Canvas
from verovolto.thesis.estimate import Trainings
from verovolto.thesis.experiments.memorisation.draw import (
    FEWEST_FRAMES,
    FEWEST_PEOPLE,
    SEEN,
    UNSEEN,
    Fold,
    draw_folds,
)
from verovolto.thesis.experiments.memorisation.statistics import PAIRINGS, Scored, evaluate, sentence
from verovolto.thesis.networks import checkpoint_detector, noise_of, run_config, scores, train
from verovolto.thesis.plan import Context, network_of
from verovolto.training.fit import resolved

TITLE = "What known videos are worth"
NAMES = {
    "unseen-unseen": "neither known", "seen-seen": "both known", "seen-unseen": "reals known",
    "unseen-seen": "fakes known",
}  # fmt: skip


def run(context: Context) -> dict[str, Any]:
    """Train and evaluate the folds of each network; with `why_not` in place of figures where that cannot be done."""
    plan = context.plan
    table = FaceSet.open(plan.data).columns()
    folds = draw_folds(table, seed=plan.seed, method=plan.method)
    if not folds:
        return {
            "why_not": f"it needs {FEWEST_FRAMES} frames a video and {FEWEST_PEOPLE} people (`frame`, `source_video`)"
        }
    scored = {
        network: [_train_and_score(context, network, fold) for fold in folds] for network in plan.networks
    }
    models = [_evaluate(context, model, scored[network_of(model)]) for model in plan.models]
    return {"epochs": plan.epochs, "counts": _counts(folds[0]), "folds": len(folds), "models": models}


def planned(context: Context) -> Iterator[Trainings]:
    """The trainings that are not done yet; their networks are deleted once they have scored."""
    plan = context.plan
    folds = draw_folds(FaceSet.open(plan.data).columns(), seed=plan.seed, method=plan.method)
    counts = _counts(folds[0]) if folds else {}
    for network in plan.networks if folds else ():
        todo = [fold for fold in folds if not context.steps.has(f"memorisation-{fold.name}-{network}")]
        yield Trainings(
            what="of halves of the videos",
            config=resolved(run_config(plan, context.best, network, plan.data)),
            count=len(todo), images=plan.epochs * counts["train"], scored=counts[SEEN] + counts[UNSEEN],
        )  # fmt: skip


def _counts(fold: Fold) -> dict[str, int]:
    names = np.asarray(fold.split.to_pylist(), dtype=object)
    return {name: int((names == name).sum()) for name in ("train", SEEN, UNSEEN)}


def _train_and_score(context: Context, network: str, fold: Fold) -> Done:
    """Train a network on a fold, and score the faces of both sides by its last epoch; its run is deleted then."""
    plan = context.plan

    def take(folder: Path) -> dict[str, Any]:
        faces = FaceSet.open(plan.data)
        data = folder / "split.parquet"
        recipe = {"kind": "memorisation", "seed": plan.seed, "fold": fold.number}
        write_split_file(data, plan.data, faces.columns("face")["face"], fold.split, recipe=recipe)
        out = plan.out / "runs" / f"memorisation-{fold.name}-{network}"
        train(run_config(plan, context.best, network, data, out), leaky=True)
        detector, known = checkpoint_detector(out, plan.checkpoints[-1]), FaceSet.open(data)
        counted = {}
        for side in (SEEN, UNSEEN):
            table = score_faces(detector, known.select(split=side), quiet=True)
            table.write(folder / f"{side}.parquet")
            counted[side] = len(table)
        shutil.rmtree(out)
        return {"faces": counted}

    return context.steps.take(
        f"memorisation-{fold.name}-{network}",
        take,
        inputs={
            **plan.training_settings, "noise": noise_of(plan, context.best), "method": plan.method,
            "data": context.splits.result["fingerprint"],
        },
    )  # fmt: skip


def _evaluate(context: Context, model: str, folds: list[Done]) -> dict[str, Any]:
    """The figures of a model, of the folds of its network."""
    plan, score = context.plan, context.plan.score_of(context.best, model)
    done = context.steps.take(
        f"memorisation-{model}",
        lambda _: evaluate([_read(fold.folder, score) for fold in folds], **plan.bootstrap),
        inputs={
            **plan.bootstrap,
            "score": score,
            "memory": "half of the difference to the roles exchanged",
            "threshold": "best for the faces, kept in resamples",
        },
        after=tuple(folds),
    )
    return {"model": model, "score": score, **done.result}


def _read(folder: Path, score: str) -> Scored:
    """The scores of both sides that a fold's step wrote."""
    tables = [(side == SEEN, scores(folder, side)) for side in (SEEN, UNSEEN)]
    kept = [(seen, table.take(scored_rows(table, score))) for seen, table in tables]
    return Scored(
        values=np.concatenate([table.values(score) for _, table in kept]).astype(np.float64),
        fake=np.concatenate([table.strings("label") == "fake" for _, table in kept]),
        seen=np.concatenate([np.full(len(table), seen) for seen, table in kept]),
        people=np.concatenate([cluster_ids(table.table) for _, table in kept]),
    )


def figures(result: Mapping[str, Any]) -> dict[str, bytes]:
    """The four pairings of every model, with intervals and a dot for each training."""
    return {"pairings": _pairings(result["models"])} if result.get("models") else {}


def findings(result: Mapping[str, Any]) -> list[str]:
    """A sentence or two a model."""
    if "why_not" in result:
        return [f"Not measured: {result['why_not']}."]
    return [sentence(one["model"], one) for one in result["models"]]


def _pairings(models: list[Mapping[str, Any]]) -> bytes:
    """AUROC of each pairing, a panel a model."""
    colours = {"unseen-unseen": INK, "seen-seen": MUTED, "seen-unseen": REAL, "unseen-seen": FAKE}
    columns, rows = min(3, len(models)), -(-len(models) // 3)
    with Canvas(3.4 * columns, 3.2 * rows, columns=columns, rows=rows) as canvas:
        for axes in canvas.all_axes[len(models) :]:
            axes.axis("off")
        for axes, one in zip(canvas.all_axes, models, strict=False):
            axes.axhline(0.5, color=MUTED, linestyle=":", linewidth=1.2)
            for place, name in enumerate(NAMES):
                auroc = one["pairings"][name]["auroc"]
                dots = [of[name] for of in one["by_training"]]
                axes.plot([place + 0.15] * len(dots), dots, ".", color=MUTED, markersize=4)
                axes.plot(place, auroc["value"], marker="o", color=colours[name])
                if auroc["low"] is not None:
                    axes.plot(
                        [place, place], [auroc["low"], auroc["high"]], color=colours[name], linewidth=1.4
                    )
            axes.set_xticks(range(len(NAMES)), [text.replace(" ", "\n") for text in NAMES.values()])
            axes.set(title=one["model"], ylabel="AUROC")
    return canvas.png


__all__ = ["NAMES", "PAIRINGS", "TITLE", "figures", "findings", "run"]
