"""How many real faces a detector flags in truth, beside what it promises: of all, of a source, of a group of people."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from verovolto.calibration.thresholds import FALSE_ALARMS, Calibration, flagged, share_interval
from verovolto.core.errors import InputError
from verovolto.data.faceset import FaceSet
from verovolto.data.score_table import METADATA_COLUMNS, ScoreTable
from verovolto.data.splits import cluster_ids
from verovolto.data.tables import read_csv

MOST_GROUPS = 30
"""Values of a column beyond which it names people or files rather than groups of them."""

Groups = Mapping[str, NDArray[Any]]
_KEYS = ("video", "source_video", "face")
_NO_GROUPS = {"path", "video", "identity", *METADATA_COLUMNS}


def read_groups(path: Path, faces: FaceSet) -> dict[str, NDArray[Any]]:
    """The groups that a table puts each face into, by the table's columns: `{"gender": ["Male", ...]}`, "" if unknown.

    Args:
        path: CSV with a column `path`, which names faces of the set or the photographs and videos that they are cut
            out of, and columns with few values, such as `gender` or `age`.
        faces: N of them.

    Raises:
        InputError: there is no such column, no column of groups, or no row is of any of the faces.
        DataError: the table cannot be read.
    """
    table = read_csv(path)
    if "path" not in table.column_names:
        raise InputError(f"{path} has no column path", hint="it names the photograph or video of each row")
    columns = {
        name: table[name].fill_null("").to_pylist()
        for name in table.column_names
        if name not in _NO_GROUPS and len(table[name].unique()) <= MOST_GROUPS
    }
    if not columns:
        raise InputError(
            f"{path} has no column of groups",
            hint=f"a column with {MOST_GROUPS} values at most: gender, age, …",
        )
    rows = {name: row for row, name in enumerate(table["path"].to_pylist())}
    known = faces.columns()
    names = (known[key].to_pylist() for key in _KEYS if key in known.column_names)
    best = max(
        ([rows.get(name, -1) for name in of] for of in names),
        key=lambda found: sum(row >= 0 for row in found),
    )
    if max(best) < 0:
        raise InputError(
            f"no row of {path} is of a face in {faces.path}",
            hint=f"its column path names photographs and videos as the set does: {known['face'][0]}",
        )
    return {name: np.asarray([of[row] if row >= 0 else "" for row in best]) for name, of in columns.items()}


def false_alarm_rates(
    table: ScoreTable, score: str, known: Calibration, asked: float, *, groups: Groups | None = None
) -> list[dict[str, Any]]:
    """What share of the real faces lies above each threshold, for all, by source and by group.

    Args:
        table: scores of N faces; those that are not real, or have no score, play no part.
        score: the column.
        known: the calibration that gives the thresholds.
        asked: a rate besides the usual ones that `known` supports.
        groups: columns of groups `[N]`, see `read_groups`.

    Returns:
        An object a rate and group, as `metrics.json` holds it. Its interval (95 %, Clopper and Pearson) counts people,
        as if all faces of one person said the same.
    """
    rows = np.flatnonzero((table.strings("label") == "real") & np.isfinite(table.values(score)))
    values, people = table.values(score)[rows], np.asarray(cluster_ids(table.table))[rows]
    sources = np.asarray([str(name or "") for name in table.strings("dataset")[rows]])
    parts = {("", "all"): np.ones(len(rows), dtype=bool)}
    if len(np.unique(sources)) > 1:
        parts |= {("dataset", str(name)): sources == name for name in np.unique(sources)}
    for column, of_face in (groups or {}).items():
        of = of_face[rows]
        parts |= {(column, str(name)): of == name for name in np.unique(of) if name}
    rates = sorted({asked, *(each for each in FALSE_ALARMS if each * (known.smallest + 1) >= 1)})
    return [
        each
        for rate in rates
        if len(rows)
        for each in _at(rate, known.threshold(rate), values, people, parts)
    ]


def _at(
    rate: float,
    threshold: float,
    values: NDArray[np.float64],
    people: NDArray[Any],
    parts: Mapping[tuple[str, str], NDArray[np.bool_]],
) -> Iterator[dict[str, Any]]:
    above = flagged(values, threshold)
    for (column, name), part in parts.items():
        count, number = int(part.sum()), len(np.unique(people[part]))
        share = float(above[part].mean())
        low, high = share_interval(share * number, number)
        yield {
            "promised": rate, "threshold": threshold, "faces_of": name, "column": column,
            "flagged": int(above[part].sum()), "of": count, "people": number, "share": share, "low": low, "high": high,
        }  # fmt: skip


def text(rates: list[dict[str, Any]], promised: float | None = None) -> list[str]:
    """The rates as lines for people; of one promise, or of all."""
    return [
        f"{each['share']:.1%} [{each['low']:.1%}, {each['high']:.1%}] flagged where {each['promised']:.0%} are promised"
        f" ({each['flagged']} of {each['of']}{_whose(each)})"
        for each in rates
        if promised in (None, each["promised"])
    ]


def _whose(rate: Mapping[str, Any]) -> str:
    if rate["faces_of"] == "all":
        return ""
    return (
        f" of {rate['faces_of']}" if rate["column"] == "dataset" else f", {rate['column']} {rate['faces_of']}"
    )
