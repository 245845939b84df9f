"""How `forgeries` is shown: AUROC, ordered pairs and fakes missed of every model on every kind of forgery."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from verovolto.report.evaluation_text import estimate, side
from verovolto.thesis.experiments.forgeries.figures import FEW, forgery_matrix

TITLE = "Every model against every forgery"
HEADS = {"found": "Forgeries of the set", "made": "Forgeries made of the test's own reals"}
SHOWN = {"auroc": ("AUROC", "figure"), "pairs_ordered": ("pairs ordered rightly", "percent"),
         "missed_fakes": ("fakes missed at the threshold", "percent"),
         "false_alarm_rate": ("reals flagged at the threshold", "percent")}  # fmt: skip
_NAMED = 3


def figures(found: Mapping[str, Any]) -> dict[str, bytes]:
    """A table of colours of the forgeries found and of those made, where there is more than one kind."""
    rows = {name: found[name]["rows"] for name in HEADS if "rows" in found[name]}
    return {name: forgery_matrix(one) for name, one in rows.items() if len(next(iter(one.values()))) > 1}


def shown(part: Mapping[str, Any]) -> dict[str, tuple[str, str]]:
    """The figures that any row of a part has: heading and how a value is written."""
    there = {key for rows in part["rows"].values() for row in rows for key in row}
    return {key: metadata for key, metadata in SHOWN.items() if key in there}


def findings(found: Mapping[str, Any]) -> list[str]:
    """What each model's AUROC shows on the forgeries of the set and on those made, and what could not be done."""
    return [" ".join(_of_part(found, name)) for name in HEADS]


def _of_part(found: Mapping[str, Any], name: str) -> Iterator[str]:
    part = found[name]
    if "why_not" in part:
        yield f"{part['why_not'][0].upper()}{part['why_not'][1:]}."
        return
    forgeries = next(iter(part["rows"].values()))
    if name == "made":
        yield f"Of {len(forgeries)} kinds of forgery made of the test's own reals ({part['each']} of each):"
    else:
        yield f"Forgeries of the set ({', '.join(row['forgery'] for row in forgeries)}):"
    models = [one["name"] for one in found["contestants"] if not one["trivial"]]
    whose: dict[str, list[str]] = {}
    for model in models:
        rows = part["rows"][model]
        name = f"{model} (AUROC {estimate(rows[0]['auroc'])})" if len(rows) == 1 else model
        whose.setdefault(_ranks(rows), []).append(name)
    yield "; ".join(f"{', '.join(names)}: {said}" for said, names in whose.items()) + "."


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


_WHERE = {
    "above": "ranked above the reals", "below": "ranked below the reals (the wrong way round)",
    "around": "ranked no differently from chance as far as is shown",
    "unknown": "ranked in a way that too few people leave open",
}  # fmt: skip
