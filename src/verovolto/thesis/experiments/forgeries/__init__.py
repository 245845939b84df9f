"""Every model against every kind of forgery: those that the set records, and those made of the test's own reals."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from verovolto.calibration.thresholds import Threshold
from verovolto.core.workdir import Done
from verovolto.data.score_table import ScoreTable
from verovolto.report.evaluation_text import side
from verovolto.report.html import INK, Canvas, estimate
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
    "with the sound protocol alone (--protocol sound or both)"
)
NO_LANDMARKS = (
    "no forgery was made: landmarks were found in {found} of {reals} test reals, and two are needed"
)
TITLE = "Every model against every forgery"
HEADS = {"found": "Forgeries of the set", "made": "Forgeries made of the test's own reals"}
SHOWN = {"auroc": ("AUROC", "figure"), "pairs_ordered": ("pairs ordered rightly", "percent"),
         "missed_fakes": ("fakes missed at the threshold", "percent"),
         "false_alarm_rate": ("reals flagged at the threshold", "percent")}  # fmt: skip
FEW = 10
"""Clusters below which an interval that resamples them is too narrow to say anything from."""
_NAMED = 3
_SPAN = 0.5  # AUROC runs from 0 to 1, about the 0.5 of chance
_DARK = 0.3  # so far from there, dark letters cannot be read
_WHERE = {
    "above": "ranked above the reals", "below": "ranked below the reals (the wrong way round)",
    "around": "ranked no differently from chance as far as is shown",
    "unknown": "ranked in a way that too few people leave open",
}  # fmt: skip


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


def figures(result: Mapping[str, Any]) -> dict[str, bytes]:
    """A table of colours of the forgeries found and of those made, where there is more than one kind."""
    rows = {name: result[name]["rows"] for name in HEADS if "rows" in result[name]}
    return {name: forgery_matrix(one) for name, one in rows.items() if len(next(iter(one.values()))) > 1}


def shown(part: Mapping[str, Any]) -> dict[str, tuple[str, str]]:
    """The figures that any row of a part has: heading and how a value is written."""
    there = {key for rows in part["rows"].values() for row in rows for key in row}
    return {key: metadata for key, metadata in SHOWN.items() if key in there}


def findings(result: Mapping[str, Any]) -> list[str]:
    """What each model's AUROC shows on the forgeries of the set and on those made, and what could not be done."""
    return [" ".join(_of_part(result, name)) for name in HEADS]


def _of_part(result: Mapping[str, Any], name: str) -> Iterator[str]:
    part = result[name]
    if "why_not" in part:
        yield f"{part['why_not'][0].upper()}{part['why_not'][1:]}."
        return
    forgeries = next(iter(part["rows"].values()))
    if name == "made":
        yield f"Of {len(forgeries)} kinds of forgery made of the test's own reals ({part['each']} of each):"
    else:
        yield f"Forgeries of the set ({', '.join(row['forgery'] for row in forgeries)}):"
    models = [one["name"] for one in result["contestants"] if not one["trivial"]]
    whose: dict[str, list[str]] = {}
    for model in models:
        rows = part["rows"][model]
        name = f"{model} (AUROC {estimate(rows[0]['auroc'])})" if len(rows) == 1 else model
        whose.setdefault(_ranks(rows), []).append(name)
    yield "; ".join(f"{', '.join(names)}: {where}" for where, names in whose.items()) + "."


def _ranks(rows: list[Mapping[str, Any]]) -> str:
    """Where a model ranks the forgeries, in words."""
    if len(rows) == 1:
        return str(_WHERE[_side(rows[0])])
    parts = []
    for where in _WHERE:
        there = [row["forgery"] for row in rows if _side(row) == where]
        if there:
            few = ", ".join(there) if len(there) <= _NAMED else f"{len(there)} kinds"
            every = few if len(there) < len(rows) else "all"
            parts.append(f"{every} {_WHERE[where]}")
    return ", and ".join(parts)


def _side(row: Mapping[str, Any]) -> str:
    return side(row["auroc"]) if row["clusters"] >= FEW else "unknown"


def forgery_matrix(rows: Mapping[str, Sequence[Mapping[str, Any]]]) -> bytes:
    """AUROC of every contestant (a row) on every forgery (a column), as `statistics.matrix` gives it.

    Orange above chance, purple below it, white at 0.5; a number in bold has an interval, of `FEW` clusters at
    least, that leaves out 0.5.
    """
    names, forgeries = list(rows), [one["forgery"] for one in next(iter(rows.values()))]
    values = np.array([[one["auroc"]["value"] for one in rows[name]] for name in names], dtype=np.float64)
    with Canvas(2.0 + 0.85 * len(forgeries), 1.2 + 0.34 * len(names)) as canvas:
        axes = canvas.axes
        axes.imshow(values, cmap="PuOr_r", vmin=0.5 - _SPAN, vmax=0.5 + _SPAN, aspect="auto")
        for i, name in enumerate(names):
            for j, one in enumerate(rows[name]):
                text = "–" if np.isnan(values[i, j]) else f"{values[i, j]:.2f}"
                weight = "bold" if _clear(one) else "normal"
                colour = "white" if abs(values[i, j] - 0.5) > _DARK else INK
                at = axes.text(j, i, text, ha="center", va="center", color=colour)
                at.set(fontsize=8.5, fontweight=weight)
        axes.set_xticks(range(len(forgeries)), forgeries, rotation=30, ha="right", rotation_mode="anchor")
        axes.set_yticks(range(len(names)), names)
        axes.grid(visible=False)
        axes.tick_params(length=0)
    return canvas.png


def _clear(row: Mapping[str, Any]) -> bool:
    low, high = row["auroc"]["low"], row["auroc"]["high"]
    return row["clusters"] >= FEW and low is not None and high is not None and not low <= 0.5 <= high
