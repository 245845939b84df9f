"""The models set against each other: all of them, and the trivial statistics, on the same faces and resamples."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from verovolto.calibration.thresholds import Threshold
from verovolto.core.workdir import Done
from verovolto.evaluation.paired import Candidate, compare_all
from verovolto.report.evaluation_text import side
from verovolto.report.figures import forest
from verovolto.report.html import FAKE, INK, REAL, change
from verovolto.thesis.metrics import STRICT
from verovolto.thesis.networks import scores
from verovolto.thesis.page import TITLES
from verovolto.thesis.plan import Context, Protocol

TITLE = "The models against each other"
SHOWN = {
    "auroc": "AUROC", "ap_real": "PR area, real", "ap_fake": "PR area, fake", "accuracy": "accuracy at the threshold",
    "balanced_accuracy": "balanced accuracy",
}  # fmt: skip


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


def figures(result: Mapping[str, Any]) -> dict[str, bytes]:
    """By protocol, the differences in AUROC of all pairs."""
    return {
        f"auroc-{protocol}": difference_forest(one["pairs"], "auroc", label="difference in AUROC")
        for protocol, one in result["protocols"].items()
        if one["pairs"]
    }


def difference_forest(pairs: Sequence[Mapping[str, Any]], key: str, *, label: str) -> bytes:
    """One figure's difference of every pair with its 95 % interval, as `evaluation.paired.compare_all` gives them.

    Blue: the first of the pair is better, orange: it is worse, black: no difference shown.
    """
    colours = {"better": REAL, "worse": FAKE}
    differences = [(f"{pair['name']} minus {pair['against']}", pair["differences"][key]) for pair in pairs]
    return forest(((name, one, colours.get(one["verdict"], INK)) for name, one in differences), label=label)


def findings(result: Mapping[str, Any]) -> list[str]:
    """A sentence or two on each protocol: whom the paired interval of the AUROC calls better."""
    return [
        f"{TITLES[protocol].capitalize()}: {'; '.join(_clauses(one))}."
        for protocol, one in result["protocols"].items()
    ]


def shown(pairs: list[Mapping[str, Any]]) -> dict[str, str]:
    """The figures of `SHOWN` that the pairs have, and their headings."""
    return {key: name for key, name in SHOWN.items() if pairs and key in pairs[0]["differences"]}


def shown_to_differ(pairs: list[Mapping[str, Any]]) -> tuple[int, int]:
    """How many of the differences shown leave out 0, and how many there are."""
    verdicts = [pair["differences"][key]["verdict"] for pair in pairs for key in shown(pairs)]
    return sum(verdict != "no difference shown" for verdict in verdicts), len(verdicts)


def _clauses(one: Mapping[str, Any]) -> Iterator[str]:
    models = [pair for pair in one["pairs"] if pair["against"] in one["models"]]
    better = [pair for pair in models if _verdict(pair) == "better"]
    better += [_reversed(pair) for pair in models if _verdict(pair) == "worse"]
    for name in dict.fromkeys(pair["name"] for pair in better):
        where = "" if _above(one, name) else ", though its own AUROC is not shown to be above 0.5"
        worse = [f"{pair['against']} ({change(_auroc(pair))})" for pair in better if pair["name"] == name]
        yield f"by AUROC {name} is better than {_and(worse)}{where}"
    if not models:
        yield "one model alone, so there is no other to set it against"
    elif len(better) < len(models):
        yield f"no {'other ' if better else ''}two models can be told apart by AUROC"
    unproven = [model for model in one["models"] if not _above(one, model)]
    if unproven:
        whose = "any model" if len(unproven) == len(one["models"]) > 1 else _and(unproven)
        yield f"not shown to be above 0.5: the AUROC of {whose}"
    for model in (model for model in one["models"] if model not in unproven):
        trivial = [
            pair for pair in one["pairs"] if pair["name"] == model and pair["against"] in one["trivial"]
        ]
        beaten = [pair["against"] for pair in trivial if _verdict(pair) == "better"]
        alone = f"{' and '.join(beaten)} alone" if beaten else "none of the trivial statistics"
        which = "every trivial statistic" if beaten and len(beaten) == len(trivial) else alone
        yield f"{model} is shown to be better than {which}"


def _and(names: list[str]) -> str:
    *first, last = names
    return f"{', '.join(first)} and {last}" if first else last


def _auroc(pair: Mapping[str, Any]) -> dict[str, Any]:
    return dict(pair["differences"]["auroc"])


def _verdict(pair: Mapping[str, Any]) -> str:
    return str(_auroc(pair)["verdict"])


def _above(one: Mapping[str, Any], name: str) -> bool:
    result = next(result for result in one["results"] if result["name"] == name)
    return side(result["figures"]["auroc"]) == "above"


def _reversed(pair: Mapping[str, Any]) -> dict[str, Any]:
    """The same pair with the other one first."""
    was = _auroc(pair)
    auroc = {"value": -was["value"], "low": -was["high"], "high": -was["low"], "verdict": "better"}
    return {"name": pair["against"], "against": pair["name"], "differences": {"auroc": auroc}}
