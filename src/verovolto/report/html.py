"""Pages of HTML and the house style of figures: templates, numbers as text, a canvas that becomes PNG bytes."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from verovolto.core.files import atomic_path, write_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes

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


@dataclass(frozen=True, kw_only=True)
class Page:
    """A finished report: HTML text, and the figures that it embeds, PNG bytes by name."""

    html: str
    figures: dict[str, bytes] = field(default_factory=dict)

    def write(self, folder: Path) -> Path:
        """Write `report.html` and `figures/NAME.png` into `folder`; each file appears whole."""
        for name, png in self.figures.items():
            with atomic_path(folder / "figures" / f"{name}.png") as part:
                part.write_bytes(png)
        write_text(folder / "report.html", self.html)
        return folder / "report.html"


def data_uri(image: bytes, kind: str = "png") -> str:
    """The bytes of a picture as a `data:` address, so that the page needs no other file."""
    return f"data:image/{kind};base64," + base64.b64encode(image).decode("ascii")


def environment() -> Environment:
    """The templates: every value is escaped, and one that is missing is an error."""
    templates = Environment(
        loader=PackageLoader("verovolto.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    templates.filters.update(figure=estimate, percent=percent, change=change)
    templates.filters.update(number=_number, plain=_plain)
    return templates


def estimate(value: Mapping[str, float | None] | None, digits: int = 3) -> str:
    """`0.612 [0.570, 0.651]`; without an interval the value alone; a dash where the figure is undefined."""
    return _with_interval(value, digits=digits)


def percent(value: Mapping[str, float | None] | None) -> str:
    """`12.5 % [9.1, 16.0]`, as `estimate`."""
    return _with_interval(value, digits=1, scale=100, unit=" %")


def _with_interval(
    value: Mapping[str, float | None] | None, *, digits: int, scale: int = 1, unit: str = ""
) -> str:
    ends = [None if value is None else value[name] for name in ("value", "low", "high")]
    shown, low, high = ("" if end is None else f"{scale * end:.{digits}f}" for end in ends)
    if not shown:
        return "–"
    return f"{shown}{unit} [{low}, {high}]" if low and high else f"{shown}{unit}"


def change(value: Mapping[str, float | None]) -> str:
    """`+0.073 [+0.040, +0.109]`, as `estimate`; what rounds to nothing is +0.000."""
    if value["value"] is None:
        return "–"
    numbers = [value[name] for name in ("value", "low", "high")]
    shown = [f"{round(number, 3) + 0.0:+.3f}" for number in numbers if number is not None]
    return shown[0] if len(shown) < 3 else f"{shown[0]} [{shown[1]}, {shown[2]}]"


def _number(value: Any) -> str:
    """A threshold: four significant digits; infinity comes as text."""
    return f"{value:.4g}" if isinstance(value, int | float) else str(value)


def _plain(value: Any) -> str:
    """A value of the provenance in one line."""
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_plain(one)}" for key, one in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(_plain(one) for one in value)
    return "–" if value is None else str(value)


class Canvas:
    """A figure in the house style: draw on `axes` within `with Canvas() as canvas`, then take `png`."""

    def __init__(self, width: float = 6.0, height: float = 3.9, columns: int = 1, rows: int = 1) -> None:
        # Slow to import, and a scan without a report draws nothing.
        from matplotlib import rc_context
        from matplotlib.figure import Figure

        self._style, self._new_figure = rc_context(_STYLE), Figure
        self._size = (width, height)
        self._grid = (rows, columns)
        self.png = b""

    def __enter__(self) -> Canvas:
        self._style.__enter__()
        self.figure = self._new_figure(figsize=self._size, dpi=DPI, layout="constrained")
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
