"""The models set against each other: all of them, and the trivial statistics, on the same faces and resamples."""

from __future__ import annotations

from typing import Any

from verovolto.calibration.thresholds import Threshold
from verovolto.core.workdir import Done
from verovolto.evaluation.paired import Candidate, compare_all
from verovolto.thesis.metrics import STRICT
from verovolto.thesis.networks import scores
from verovolto.thesis.plan import Context, Protocol


def run(context: Context) -> dict[str, Any]:
    """What `tables.json` holds: by protocol what `compare` returns.

    `verovolto compare` on the same tables of scores (`test.parquet` of each `score-...` step), resamples and seed gives
    the same numbers.
    """
    return {"protocols": {protocol: _step(context, protocol).result for protocol in context.plan.protocols}}


def _step(context: Context, protocol: Protocol) -> Done:
    models = context.plan.models
    read = [(context.chosen(protocol, model), context.evaluated[protocol, model].table) for model in models]
    return context.steps.take(
        f"compare-{protocol}",
        lambda _: compare(context, protocol),
        inputs={**context.plan.evaluation_settings, "models": list(models)},
        after=tuple(done for pair in read for done in pair),
    )


def compare(context: Context, protocol: Protocol) -> dict[str, Any]:
    """All models of a protocol, each at its chosen epoch and its first threshold, and the trivial statistics.

    As `evaluation.paired.compare_all` returns it, without pairs of two trivial statistics; `models` and `trivial` name
    the contestants, each of `results` says its `epoch` (None of a statistic) and its `threshold`.
    """
    plan, first = context.plan, context.plan.models[0]
    tables = {model: context.evaluated[protocol, model].table.result for model in plan.models}
    names = dict.fromkeys(row["score"] for row in tables[first]["rows"])
    trivial = [name for name in names if name != tables[first]["score"]]
    contestants = [
        *(_contestant(context, protocol, model, tables[model]["score"], model) for model in plan.models),
        *(_contestant(context, protocol, first, name, name) for name in trivial),
    ]
    comparison = compare_all(contestants, **plan.bootstrap)
    for result, one in zip(comparison["results"], contestants, strict=True):
        result["epoch"] = tables[one.name]["epoch"] if one.name in tables else None
        result["threshold"] = None if one.threshold is None else one.threshold.to_dict()
    comparison["pairs"] = [pair for pair in comparison["pairs"] if pair["name"] in plan.models]
    return {"models": list(plan.models), "trivial": trivial, **comparison}


def _contestant(context: Context, protocol: Protocol, model: str, score: str, name: str) -> Candidate:
    """A score of the faces that a model's chosen epoch scored, at the first threshold of the protocol's table."""
    rows = context.evaluated[protocol, model].table.result["rows"]
    first = next(row for row in rows if row["score"] == score)
    return Candidate(
        name=name,
        table=scores(context.chosen(protocol, model).folder, "test"),
        score=score,
        threshold=Threshold.from_dict(first["threshold"]),
        strict=first["rule"] == STRICT,
    )
