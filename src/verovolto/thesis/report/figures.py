"""Figures of a reproduction, in the thesis's form: each a pure function from arrays to PNG bytes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from verovolto.evaluation.metrics import Ranking, average_precision, curves
from verovolto.report.figures import CLASSES, FAKE, INK, MUTED, REAL, Canvas

_COLUMNS = 3
_BINS = 30


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """Scores `[n]` of the test faces after `epoch` epochs, and which are of fakes `[n]`."""

    epoch: int
    scores: np.ndarray
    fake: np.ndarray


def checkpoint_histograms(checkpoints: Sequence[Checkpoint], *, name: str, chosen: int) -> bytes:
    """Overlaid densities of the score of reals and fakes at each checkpoint (thesis, figure 9; sum of f_i w_i = 1).

    Each panel has an axis of its own, over the 0.1 to 99.9 % range of its scores; what lies beyond is counted in the
    outermost bins.
    """
    columns, rows = min(_COLUMNS, len(checkpoints)), math.ceil(len(checkpoints) / _COLUMNS)
    with Canvas(3.1 * columns + 0.6, 2.5 * rows + 0.3, columns=columns, rows=rows) as canvas:
        for axes, one in zip(canvas.all_axes, checkpoints, strict=False):
            low, high = np.quantile(one.scores, [0.001, 0.999])
            edges = np.linspace(low, high if high > low else low + 1e-6, _BINS + 1)
            for label, kind, colour in CLASSES:
                of = np.clip(one.scores[one.fake == kind], edges[0], edges[-1])
                axes.hist(
                    of, bins=list(edges), density=True, histtype="stepfilled", color=colour, alpha=0.38,
                    edgecolor=colour, linewidth=1.2, label=label,
                )  # fmt: skip
            axes.set_title(f"epoch {one.epoch}" + (" (chosen)" if one.epoch == chosen else ""))
            axes.set_xlabel(name)
        for axes in canvas.all_axes[len(checkpoints) :]:
            axes.set_visible(False)
        canvas.axes.set_ylabel("density")
        canvas.axes.legend()
    return canvas.png


def checkpoint_precision_recall(checkpoints: Sequence[Checkpoint], *, chosen: int) -> bytes:
    """Precision against recall of the *real* faces at each checkpoint, with the area (thesis, figure 10). Dotted: the
    share of reals, which guessing reaches."""
    with Canvas(5.4, 4.3) as canvas:
        shades = np.linspace(0.25, 0.85, len(checkpoints))
        for one, shade in zip(checkpoints, shades, strict=True):
            curve = curves(Ranking.of(-one.scores, ~one.fake), np.ones((1, len(one.fake))))
            precision, recall = (curve.tp / (curve.tp + curve.fp))[0], curve.tpr[0]
            best = one.epoch == chosen
            canvas.axes.step(
                np.r_[0, recall], np.r_[precision[0], precision], where="pre",
                color=REAL if best else str(0.95 - 0.6 * shade), linewidth=2.2 if best else 1.2,
                zorder=3 if best else 2,
                label=f"epoch {one.epoch}{' (chosen)' if best else ''}: area {average_precision(curve)[0]:.3f}",
            )  # fmt: skip
        share = float((~checkpoints[0].fake).mean())
        canvas.axes.axhline(share, color=MUTED, linestyle=":", linewidth=1.2)
        canvas.axes.set(
            xlabel="recall of reals", ylabel="precision of reals", xlim=(-0.01, 1.01), ylim=(0, 1.02)
        )
        canvas.axes.legend(loc="lower left")
    return canvas.png


def shortcut_forest(shortcuts: Sequence[Mapping[str, Any]], metrics: Mapping[str, str]) -> bytes:
    """What each shortcut adds to a figure, with its 95 % interval: as published minus as it should be.

    `shortcuts` as `thesis.ablation.Shortcut.to_dict` gives them; `metrics` names the metric to show of each
    shortcut's name.
    """
    named = [(one, metrics[one["name"]]) for one in shortcuts]
    shown = [(one["name"], metric, one["figures"][metric]["difference"]) for one, metric in named]
    with Canvas(6.4, 1.0 + 0.42 * len(shown)) as canvas:
        axes = canvas.axes
        axes.axvline(0, color=MUTED, linestyle=":", linewidth=1.2)
        for place, (_, _, figure) in enumerate(shown):
            if figure["value"] is None:
                continue
            colour = FAKE if (figure["low"] or 0) > 0 else INK
            if figure["low"] is not None:
                axes.plot([figure["low"], figure["high"]], [place, place], color=colour, linewidth=2.2)
            axes.plot([figure["value"]], [place], marker="o", color=colour, markersize=6)
        axes.set_yticks(
            range(len(shown)), [f"{name} ({metric.replace('_', ' ')})" for name, metric, _ in shown]
        )
        axes.set(xlabel="as published minus as it should be", ylim=(len(shown) - 0.5, -0.5))
        axes.grid(axis="y", visible=False)
    return canvas.png
