"""A table of models and forgeries as a picture: a pure function from figures to PNG bytes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from verovolto.report.figures import INK, Canvas

FEW = 10
"""Clusters below which an interval that resamples them is too narrow to say anything from."""
_SPAN = 0.5  # AUROC runs from 0 to 1, about the 0.5 of chance
_DARK = 0.3  # so far from there, dark letters cannot be read


def forgery_matrix(rows: Mapping[str, Sequence[Mapping[str, Any]]]) -> bytes:
    """AUROC of every contestant (a row) on every forgery (a column), as
    `thesis.experiments.forgeries.statistics.matrix` gives it.

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
                shown = "–" if np.isnan(values[i, j]) else f"{values[i, j]:.2f}"
                weight = "bold" if _clear(one) else "normal"
                colour = "white" if abs(values[i, j] - 0.5) > _DARK else INK
                axes.text(
                    j, i, shown, ha="center", va="center", color=colour, fontsize=8.5, fontweight=weight
                )
        axes.set_xticks(range(len(forgeries)), forgeries, rotation=30, ha="right", rotation_mode="anchor")
        axes.set_yticks(range(len(names)), names)
        axes.grid(visible=False)
        axes.tick_params(length=0)
    return canvas.png


def _clear(row: Mapping[str, Any]) -> bool:
    low, high = row["auroc"]["low"], row["auroc"]["high"]
    return row["clusters"] >= FEW and low is not None and high is not None and not low <= 0.5 <= high
