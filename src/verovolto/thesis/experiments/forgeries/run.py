"""Every model against every kind of forgery: those that the set records, and those made of the test's own reals."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from verovolto.calibration.thresholds import Threshold
from verovolto.core.workdir import Done
from verovolto.data.score_table import ScoreTable
from verovolto.thesis.experiments.forgeries.fakes import (
    draw_face_pool,
    score_pseudo_fakes,
    score_unsplit_fakes,
    scores_file,
    split_unsplit_fakes,
)
from verovolto.thesis.experiments.forgeries.statistics import Forgery, by_method, by_pair, joined, matrix
from verovolto.thesis.metrics import STRICT
from verovolto.thesis.networks import checkpoint_detector, run_folder, scores
from verovolto.thesis.plan import Context, network_of

THESIS_ALONE = (
    "only the fakes of the thesis's test frames are judged here: which others show nobody of training is known "
    "with the sound protocol alone (--protocol honest or both)"
)
NO_LANDMARKS = (
    "no forgery was made: landmarks were found in {found} of {reals} test reals, and two are needed"
)


def run(context: Context) -> dict[str, Any]:
    """What `tables.json` holds.

    `contestants` and, of forgeries `found` in the set and `made` here, rows, or `why_not` in their place.
    """
    unsplit = _unsplit(context)
    scored = {} if unsplit is None or not unsplit.result["faces"] else _score_unsplit(context, unsplit)
    found = context.steps.take(
        "forgeries-found",
        lambda _: _evaluate_found(context, scored),
        inputs=_inputs(context),
        after=(*_tables(context), *_chosen(context), *scored.values()),
    )
    about: dict[str, Any] = {"note": THESIS_ALONE} if unsplit is None else {"others": unsplit.result}
    return {
        "protocol": context.best,
        "method": context.plan.method,
        "contestants": _contestants(context),
        "found": {**about, **found.result},
        "made": _made(context),
    }


def _made(context: Context) -> dict[str, Any]:
    plan, best = context.plan, context.best
    face_pool = context.steps.take(
        "forgeries-crowd",
        lambda folder: draw_face_pool(context, folder),
        inputs={"seed": plan.seed, "protocol": best},
        after=(context.splits,),
    )
    reals, landmarks = len(face_pool.result["rows"]), face_pool.result["found"]
    about = {"reals": reals, "landmarks": landmarks}
    if landmarks < 2:
        return {**about, "why_not": NO_LANDMARKS.format(found=landmarks, reals=reals)}
    networks = list(dict.fromkeys(_network(context, model) for model in plan.models))
    scored = context.steps.take(
        "forgeries-made",
        lambda folder: score_pseudo_fakes(context, face_pool, networks, folder),
        inputs={"seed": plan.seed, "protocol": best, "networks": [list(one) for one in networks]},
        after=(face_pool, *_chosen(context)),
    )
    evaluated = context.steps.take(
        "forgeries-judged",
        lambda _: _evaluate_made(context, scored),
        inputs=_inputs(context),
        after=(scored, *_tables(context)),
    )
    return {**about, "each": scored.result["each"], "kinds": scored.result["kinds"], **evaluated.result}


def _unsplit(context: Context) -> Done | None:
    """The fakes of the test's people that no split holds; None where people were not kept apart."""
    if context.best != "honest":
        return None
    plan = context.plan
    return context.steps.take(
        "splits-others",
        lambda folder: split_unsplit_fakes(context, folder),
        inputs={"method": plan.method, "seed": plan.seed},
        after=(context.splits,),
    )


def _score_unsplit(context: Context, unsplit: Done) -> dict[tuple[str, int], Done]:
    """The scores of these fakes by network and epoch."""
    best = context.best

    def score(network: str, epoch: int) -> Done:
        run = run_folder(context.plan, best, network)
        return context.steps.take(
            f"score-others-{best}-{network}-{epoch:04d}",
            lambda folder: score_unsplit_fakes(checkpoint_detector(run, epoch), unsplit.folder, folder),
            inputs={"epoch": epoch},
            after=(unsplit, context.runs[best].scored[network][epoch]),
        )

    networks = dict.fromkeys(_network(context, model) for model in context.plan.models)
    return {(network, epoch): score(network, epoch) for network, epoch in networks}


def _evaluate_found(context: Context, scored: dict[tuple[str, int], Done]) -> dict[str, Any]:
    def table(model: str) -> ScoreTable:
        parts = [scores(context.chosen(context.best, model).folder, "test")]
        if _network(context, model) in scored:
            parts.append(scores(scored[_network(context, model)].folder, "others"))
        return joined(parts)

    tables = {model: table(model) for model in context.plan.models}
    return _matrix(context, tables, by_method(tables[context.plan.models[0]]))


def _evaluate_made(context: Context, scored: Done) -> dict[str, Any]:
    tables = {
        model: ScoreTable.read(scores_file(scored.folder, *_network(context, model)))
        for model in context.plan.models
    }
    return _matrix(context, tables, by_pair(tables[context.plan.models[0]], scored.result["kinds"]))


def _matrix(context: Context, tables: dict[str, ScoreTable], forgeries: Sequence[Forgery]) -> dict[str, Any]:
    """The rows of every contestant, a row a forgery."""
    plan, contestants = context.plan, {}
    for one in _contestants(context):
        table = tables[one["name"] if not one["trivial"] else plan.models[0]]
        threshold: Threshold = Threshold.from_dict(one["threshold"])
        contestants[one["name"]] = (table, threshold, one["strict"])
    return {"rows": matrix(contestants, forgeries, **plan.bootstrap)}


def _contestants(context: Context) -> list[dict[str, Any]]:
    """The models and the trivial statistics, each with the first threshold of the protocol's table."""
    contestants: dict[str, dict[str, Any]] = {}
    for model, table in zip(context.plan.models, _tables(context), strict=True):
        for row in table.result["rows"]:
            own = row["score"] == table.result["score"]
            one = {
                "name": model if own else row["score"], "trivial": not own, "score": row["score"],
                "epoch": table.result["epoch"] if own else None, "threshold": row["threshold"],
                "strict": row["rule"] == STRICT,
            }  # fmt: skip
            contestants.setdefault(one["name"], one)
    return sorted(contestants.values(), key=lambda one: bool(one["trivial"]))


def _tables(context: Context) -> list[Done]:
    return [context.evaluated[context.best, model].table for model in context.plan.models]


def _chosen(context: Context) -> list[Done]:
    return [context.chosen(context.best, model) for model in context.plan.models]


def _network(context: Context, model: str) -> tuple[str, int]:
    """The network behind a model, and the epoch that was chosen for it."""
    return network_of(model), context.evaluated[context.best, model].epoch


def _inputs(context: Context) -> dict[str, Any]:
    return {**context.plan.evaluation_settings, "models": list(context.plan.models)}
