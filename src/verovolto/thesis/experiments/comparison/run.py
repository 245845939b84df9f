"""The models set against each other: all of them, and the trivial statistics, on the same faces and resamples."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from verovolto.thesis.networks import scores
from verovolto.thesis.plan import Protocol

if TYPE_CHECKING:
    from verovolto.core.workdir import Done
    from verovolto.evaluation.paired import Candidate
    from verovolto.thesis.context import Context


def run(context: Context) -> dict[str, Any]:
    """What `tables.json` holds: by protocol what `compare` finds. `verovolto compare` on the same tables of scores
    (`test.parquet` of each `score-...` step), resamples and seed gives the same numbers."""
    return {"protocols": {protocol: _step(context, protocol).result for protocol in context.plan.protocols}}


def _step(context: Context, protocol: Protocol) -> Done:
    models = context.plan.models
    return context.steps.take(
        f"compare-{protocol}",
        lambda _: compare(context, protocol),
        inputs={**context.plan.judging(), "models": list(models)},
        after=tuple(
            done
            for model in models
            for done in (context.chosen(protocol, model), context.judged[protocol, model][1])
        ),
    )


def compare(context: Context, protocol: Protocol) -> dict[str, Any]:
    """All models of a protocol, each at its chosen epoch and its first threshold, and the trivial statistics.

    As `evaluation.paired.compare_all` returns it, without pairs of two trivial statistics; `models` and `trivial` name
    the contestants, each of `results` says its `epoch` (None of a statistic) and its `threshold`.
    """
    from verovolto.evaluation.paired import compare_all

    plan = context.plan
    tables = {model: context.judged[protocol, model][1].result for model in plan.models}
    models = [_contestant(context, protocol, model, tables[model]["score"]) for model in plan.models]
    first = plan.models[0]
    names = list(dict.fromkeys(row["score"] for row in tables[first]["rows"]))
    trivial = [name for name in names if name != tables[first]["score"]]
    statistics = [_contestant(context, protocol, first, name, name=name) for name in trivial]
    found = compare_all([*models, *statistics], resamples=plan.resamples, seed=plan.seed)
    for result, one in zip(found["results"], [*models, *statistics], strict=True):
        result["epoch"] = tables[one.name]["epoch"] if one.name in tables else None
        result["threshold"] = None if one.threshold is None else one.threshold.to_dict()
    found["pairs"] = [pair for pair in found["pairs"] if pair["name"] in plan.models]
    return {"models": list(plan.models), "trivial": trivial, **found}


def _contestant(
    context: Context, protocol: Protocol, model: str, score: str, *, name: str | None = None
) -> Candidate:
    """A score of the faces that a model's chosen epoch scored, at the first threshold of the protocol's table."""
    from verovolto.calibration.thresholds import Threshold
    from verovolto.evaluation.paired import Candidate
    from verovolto.thesis.metrics import STRICT

    rows = context.judged[protocol, model][1].result["rows"]
    first = next(row for row in rows if row["score"] == score)
    return Candidate(
        name=name or model,
        table=scores(context.chosen(protocol, model).folder, "test"),
        score=score,
        threshold=Threshold.from_dict(first["threshold"]),
        strict=first["rule"] == STRICT,
    )
