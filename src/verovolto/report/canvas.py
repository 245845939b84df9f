"""The house style of figures: colours and a canvas that becomes PNG bytes."""

from __future__ import annotations

import io
from typing import Any

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

REAL, FAKE, INK, MUTED, GRID = "#2b6cb0", "#dd6b20", "#1a202c", "#718096", "#e2e8f0"
DPI = 144

_STYLE: Any = {
    "font.size": 9.5,
    "axes.edgecolor": MUTED,
    "axes.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 10.5,
    "axes.titlelocation": "left",
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": GRID,
    "grid.linewidth": 0.7,
    "xtick.color": INK,
    "ytick.color": INK,
    "legend.frameon": False,
    "legend.fontsize": 8.5,
    "lines.linewidth": 1.8,
}


class Canvas:
    """A figure in the house style: draw on `axes` within `with Canvas() as canvas`, then take `png`."""

    def __init__(self, width: float = 6.0, height: float = 3.9, columns: int = 1, rows: int = 1) -> None:
        self._style = rc_context(_STYLE)
        self._size = (width, height)
        self._grid = (rows, columns)
        self.png = b""

    def __enter__(self) -> Canvas:
        self._style.__enter__()
        self.figure = Figure(figsize=self._size, dpi=DPI, layout="constrained")
        rows, columns = self._grid
        self.all_axes = [self.figure.add_subplot(rows, columns, i + 1) for i in range(rows * columns)]
        self.axes: Axes = self.all_axes[0]
        return self

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        if kind is None:
            buffer = io.BytesIO()
            # No date and no version in the file: the same figures give the same bytes.
            self.figure.savefig(buffer, format="png", metadata={"Software": None})
            self.png = buffer.getvalue()
        self._style.__exit__(kind, error, trace)
