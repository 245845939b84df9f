"""Figures of comparisons, each a pure function from figures with intervals to PNG bytes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from verovolto.report.figures import FAKE, INK, MUTED, REAL, Canvas


def difference_forest(pairs: Sequence[Mapping[str, Any]], key: str, *, label: str) -> bytes:
    """One figure's difference of every pair with its 95 % interval, as `evaluation.paired.compare_all` gives them.

    Blue: the first of the pair is better, orange: it is worse, black: no difference shown.
    """
    colours = {"better": REAL, "worse": FAKE}
    with Canvas(6.8, 1.0 + 0.3 * len(pairs)) as canvas:
        axes = canvas.axes
        axes.axvline(0, color=MUTED, linestyle=":", linewidth=1.2)
        for place, pair in enumerate(pairs):
            found = pair["differences"][key]
            if found["value"] is None:
                continue
            colour = colours.get(found["verdict"], INK)
            if found["low"] is not None:
                axes.plot([found["low"], found["high"]], [place, place], color=colour, linewidth=2.2)
            axes.plot([found["value"]], [place], marker="o", color=colour, markersize=5)
        names = [f"{pair['name']} minus {pair['against']}" for pair in pairs]
        axes.set_yticks(range(len(pairs)), names)
        axes.set(xlabel=label, ylim=(len(pairs) - 0.5, -0.5))
        axes.grid(axis="y", visible=False)
    return canvas.png
