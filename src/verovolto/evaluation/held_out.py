"""Calibration and thresholds out of a table of scores that holds its own held-out rows.

A table made by another program may carry a column `split`: rows of the judged split are judged, and rows of
`calibrate` (or `val`) set the thresholds, as a detector's own calibration would.
"""

from __future__ import annotations

import numpy as np

from verovolto.errors import CalibrationError, InputError
from verovolto.evaluation.protocol import clusters_of
from verovolto.scoring.calibration import Calibration, Threshold, one_class_thresholds, supervised_thresholds
from verovolto.scoring.table import ScoreTable

HELD_OUT = ("calibrate", "val")  # the first that is there


def split_table(table: ScoreTable, split: str) -> tuple[ScoreTable, dict[str, Calibration], list[Threshold]]:
    """Rows of the asked split, and what the `calibrate` (else `val`) rows of the table give.

    A table without splits is judged whole; its supervised thresholds are then chosen on the very faces that
    they judge, and say so.
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
        ours = supervised_thresholds(real, fake, score=score, chosen_on=chosen_on)
        of_real = supervised_thresholds(real, fake, score=score, chosen_on=chosen_on, positive="real")[0]
    except CalibrationError:
        return []  # one class only: what is missing is said where the faces are judged
    return [*ours, of_real]
