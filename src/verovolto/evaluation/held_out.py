"""Calibration and thresholds out of a table of scores that holds its own held-out rows.

A table made by another program may carry a column `split`: rows of the judged split are judged, and rows of
`calibrate` (or `val`) set the thresholds, as a detector's own calibration would.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from verovolto.calibration.thresholds import (
    Calibration,
    Threshold,
    every_supervised_threshold,
    one_class_thresholds,
)
from verovolto.core.errors import CalibrationError, InputError
from verovolto.data.score_table import ScoreTable
from verovolto.data.splits import check_disjoint
from verovolto.evaluation.groups import clusters_of

HELD_OUT = ("calibrate", "val")  # the first that is there


def split_table(table: ScoreTable, split: str) -> tuple[ScoreTable, dict[str, Calibration], list[Threshold]]:
    """Rows of the asked split, and what the `calibrate` (else `val`) rows of the table give.

    A table without splits is judged whole; its supervised thresholds are then chosen on the very faces that
    they judge, and say so. Raises InputError for a split that is not there, and SplitError where the held-out
    rows share a person or a video with the judged ones.
    """
    score = table.scores[0]
    splits = table.strings("split")
    known = {str(one) for one in splits if one is not None}
    if not known or split == "all":
        return table, {}, _supervised(table, score, "the evaluated faces themselves (optimistic)")
    if split not in known:
        raise InputError(
            f"no row of the table has the split {split!r}", hint=f"there is: {', '.join(sorted(known))}"
        )
    judged = table.take(np.flatnonzero(splits == split))
    held_out = next((one for one in HELD_OUT if one in known and one != split), None)
    if held_out is None:
        return judged, {}, _supervised(judged, score, "the evaluated faces themselves (optimistic)")
    # The rows that are judged must share nobody with those that set the thresholds; other splits do not matter.
    check_disjoint(table.table.filter(pc.is_in(table.table["split"], pa.array([split, held_out]))))
    rest = table.take(np.flatnonzero(splits == held_out))
    calibration, thresholds = _calibrate(rest, score, held_out)
    return judged, calibration, [*thresholds, *_supervised(rest, score, f"{held_out}, real and fake")]


def _calibrate(
    table: ScoreTable, score: str, held_out: str
) -> tuple[dict[str, Calibration], list[Threshold]]:
    values = table.values(score)
    reals = table.take(np.flatnonzero((table.strings("label") == "real") & np.isfinite(values)))
    if not len(reals):
        return {}, []
    clusters, kind = clusters_of(reals)
    calibration = Calibration.of(
        reals.values(score), score=score, clusters=len(np.unique(clusters)), cluster=kind
    )
    return {score: calibration}, one_class_thresholds(calibration, chosen_on=f"{held_out} reals")


def _supervised(table: ScoreTable, score: str, chosen_on: str) -> list[Threshold]:
    values, label = table.values(score), table.strings("label")
    scored = np.isfinite(values)
    real, fake = values[scored & (label == "real")], values[scored & (label == "fake")]
    try:
        return every_supervised_threshold(real, fake, score=score, chosen_on=chosen_on)
    except CalibrationError:
        return []  # one class only: what is missing is said where the faces are judged
