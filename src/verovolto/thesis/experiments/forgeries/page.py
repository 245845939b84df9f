"""How `forgeries` is shown: AUROC, ordered pairs and fakes missed of every model on every kind of forgery."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from verovolto.report.canvas import INK, Canvas
from verovolto.report.evaluation_text import side
from verovolto.report.html import estimate

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
