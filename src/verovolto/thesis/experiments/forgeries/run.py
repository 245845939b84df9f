"""Every model against every kind of forgery: those that the set records, and those made of the test's own reals."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from verovolto.thesis.experiments.forgeries.pseudo_fake_scores import draw_face_pool, made_file, score_made
from verovolto.thesis.networks import scores
from verovolto.thesis.other_fakes import cut_others, score_others
from verovolto.thesis.plan import network_of

if TYPE_CHECKING:
    from verovolto.calibration.thresholds import Threshold
    from verovolto.core.workdir import Done
    from verovolto.data.score_table import ScoreTable
    from verovolto.thesis.context import Context
    from verovolto.thesis.experiments.forgeries.statistics import Forgery

THESIS_ALONE = (
    "only the fakes of the thesis's test frames are judged here: which others show nobody of training is known "
    "with the honest protocol alone (--protocol honest or both)"
)
NO_LANDMARKS = (
    "no forgery was made: landmarks were found in {found} of {reals} test reals, and two are needed"
)


def run(context: Context) -> dict[str, Any]:
    """What `tables.json` holds: `contestants` and, of forgeries `found` in the set and `made` here, rows, or
    `why_not` in their place."""
    others = _others(context)
    scored = {} if others is None or not others.result["faces"] else _scored_others(context, others)
    found = context.steps.take(
        "forgeries-found",
        lambda _: _judge_found(context, scored),
        inputs=_inputs(context),
        after=(*_tables(context), *_chosen(context), *scored.values()),
    )
    metadata: dict[str, Any] = {"note": THESIS_ALONE} if others is None else {"others": others.result}
    return {
        "protocol": context.best,
        "method": context.plan.method,
        "contestants": _contestants(context),
        "found": {**metadata, **found.result},
        "made": _made(context),
    }


def _made(context: Context) -> dict[str, Any]:
    plan, best = context.plan, context.best
    face_pool = context.steps.take(
        "forgeries-crowd",
        lambda folder: draw_face_pool(plan, best, context.splits, folder),
        inputs={"seed": plan.seed, "protocol": best},
        after=(context.splits,),
    )
    metadata = {"reals": len(face_pool.result["rows"]), "landmarks": face_pool.result["found"]}
    if face_pool.result["found"] < 2:
        return {
            **metadata,
            "why_not": NO_LANDMARKS.format(found=metadata["landmarks"], reals=metadata["reals"]),
        }
    networks = list(dict.fromkeys(_network(context, model) for model in plan.models))
    scored = context.steps.take(
        "forgeries-made",
        lambda folder: score_made(plan, best, context.splits, face_pool, networks, folder),
        inputs={"seed": plan.seed, "protocol": best, "networks": [list(one) for one in networks]},
        after=(face_pool, *_chosen(context)),
    )
    judged = context.steps.take(
        "forgeries-judged",
        lambda _: _judge_made(context, scored),
        inputs=_inputs(context),
        after=(scored, *_tables(context)),
    )
    return {**metadata, "each": scored.result["each"], "kinds": scored.result["kinds"], **judged.result}


def _others(context: Context) -> Done | None:
    """The fakes of the test's people that no split holds; None where people were not kept apart."""
    if context.best != "honest":
        return None
    plan = context.plan
    return context.steps.take(
        "splits-others",
        lambda folder: cut_others(plan, context.splits, folder),
        inputs={"method": plan.method, "seed": plan.seed},
        after=(context.splits,),
    )


def _scored_others(context: Context, others: Done) -> dict[tuple[str, int], Done]:
    """The scores of these fakes by network and epoch."""
    plan, best = context.plan, context.best
    return {
        (network, epoch): context.steps.take(
            f"score-others-{best}-{network}-{epoch:04d}",
            lambda folder, network=network, epoch=epoch: score_others(  # type: ignore[misc]
                plan, best, network, epoch, others.folder, folder
            ),
            inputs={"epoch": epoch},
            after=(others, context.arms[best].scored[network][epoch]),
        )
        for network, epoch in (_network(context, model) for model in plan.models)
    }


def _judge_found(context: Context, scored: dict[tuple[str, int], Done]) -> dict[str, Any]:
    from verovolto.thesis.experiments.forgeries.statistics import by_method, joined

    def table(model: str) -> ScoreTable:
        found = [scores(context.chosen(context.best, model).folder, "test")]
        if _network(context, model) in scored:
            found.append(scores(scored[_network(context, model)].folder, "others"))
        return joined(found)

    tables = {model: table(model) for model in context.plan.models}
    return _matrix(context, tables, by_method(tables[context.plan.models[0]]))


def _judge_made(context: Context, scored: Done) -> dict[str, Any]:
    from verovolto.data.score_table import ScoreTable
    from verovolto.thesis.experiments.forgeries.statistics import by_pair

    tables = {
        model: ScoreTable.read(made_file(scored.folder, *_network(context, model)))
        for model in context.plan.models
    }
    return _matrix(context, tables, by_pair(tables[context.plan.models[0]], scored.result["kinds"]))


def _matrix(context: Context, tables: dict[str, ScoreTable], forgeries: Sequence[Forgery]) -> dict[str, Any]:
    """The rows of every contestant, a row a forgery."""
    from verovolto.calibration.thresholds import Threshold
    from verovolto.thesis.experiments.forgeries.statistics import matrix

    plan, judged = context.plan, {}
    for one in _contestants(context):
        table = tables[one["name"] if not one["trivial"] else plan.models[0]]
        threshold: Threshold = Threshold.from_dict(one["threshold"])
        judged[one["name"]] = (table, threshold, one["strict"])
    return {"rows": matrix(judged, forgeries, resamples=plan.resamples, seed=plan.seed)}


def _contestants(context: Context) -> list[dict[str, Any]]:
    """The models and the trivial statistics, each with the first threshold of the protocol's table."""
    from verovolto.thesis.metrics import STRICT

    found: dict[str, dict[str, Any]] = {}
    for model, table in zip(context.plan.models, _tables(context), strict=True):
        for row in table.result["rows"]:
            own = row["score"] == table.result["score"]
            one = {
                "name": model if own else row["score"], "trivial": not own, "score": row["score"],
                "epoch": table.result["epoch"] if own else None, "threshold": row["threshold"],
                "strict": row["rule"] == STRICT,
            }  # fmt: skip
            found.setdefault(one["name"], one)
    return sorted(found.values(), key=lambda one: bool(one["trivial"]))


def _tables(context: Context) -> list[Done]:
    return [context.judged[context.best, model][1] for model in context.plan.models]


def _chosen(context: Context) -> list[Done]:
    return [context.chosen(context.best, model) for model in context.plan.models]


def _network(context: Context, model: str) -> tuple[str, int]:
    """The network behind a model, and the epoch that was chosen for it."""
    return network_of(model), int(context.judged[context.best, model][0].result["epoch"])


def _inputs(context: Context) -> dict[str, Any]:
    return {**context.plan.judging(), "models": list(context.plan.models)}
