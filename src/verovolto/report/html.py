"""Pages of HTML and what they show: templates, numbers as text, figures in the house style, galleries of faces.

A card of a gallery is the input, its reconstruction and the error, one above the other.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined
from PIL import Image

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


CELL = 112  # pixels a side
MOSAIC = 7  # tiles a side of a face that must not be recognised


@dataclass(frozen=True, kw_only=True)
class Face:
    """One face of a gallery.

    Attributes:
        image: uint8 `[H, W, 3]`.
        reconstruction: uint8 `[H, W, 3]`, or None.
        error: Float `[h, w]`, not negative, or None.
        caption: The text below it.
    """

    image: np.ndarray
    reconstruction: np.ndarray | None
    error: np.ndarray | None
    caption: str


@dataclass(frozen=True, kw_only=True)
class Gallery:
    """Faces shown together, under a title and a sentence on how they were picked."""

    name: str
    title: str
    text: str
    faces: Sequence[Face]


@dataclass(frozen=True, kw_only=True)
class Pick:
    """Rows picked for a gallery, reals first."""

    name: str
    title: str
    text: str
    rows: np.ndarray


def pick(scores: np.ndarray, fake: np.ndarray, threshold: float, *, each: int = 4) -> list[Pick]:
    """Choose the faces of three galleries: the best, the worst and the most confused.

    Best: the lowest-scoring reals and highest-scoring fakes. Worst: the opposite. Most confused: nearest to
    the threshold.

    Args:
        scores: `[n]`.
        fake: Boolean `[n]`.
        threshold: Where the score is cut; infinite: the median score stands in.
        each: Number of faces of either class.
    """
    classes = (np.flatnonzero(~fake), np.flatnonzero(fake))
    reals, fakes = (rows[np.argsort(scores[rows], kind="stable")] for rows in classes)
    middle = threshold if np.isfinite(threshold) else float(np.median(scores))
    near = [rows[np.argsort(np.abs(scores[rows] - middle), kind="stable")][:each] for rows in (reals, fakes)]
    galleries = (
        ("best", "Best", "The reals that score lowest and the fakes that score highest: where the score works.",
         [reals[:each], fakes[::-1][:each]]),
        ("worst", "Worst", "The reals that score highest and the fakes that score lowest: where the score fails.",
         [reals[::-1][:each], fakes[:each]]),
        ("confused", "Most confused", "The faces nearest to the threshold.", near),
    )  # fmt: skip
    return [
        Pick(name=name, title=title, text=text, rows=np.concatenate(rows))
        for name, title, text, rows in galleries
    ]


def strip(face: Face, *, top_error: float, hide: bool = False) -> np.ndarray:
    """A card: uint8 `[rows * CELL, CELL, 3]`. `top_error` is the brightest end of the error's colour scale.

    With `hide`, each picture is a mosaic of 7 x 7 tiles in which nobody can be recognised.
    """
    cells = [face.image]
    if face.reconstruction is not None:
        cells.append(face.reconstruction)
    if face.error is not None:
        cells.append(anomaly_map(face.error, top_error))
    return np.concatenate([framed(cell, hide=hide) for cell in cells])


def strips(gallery: Gallery, *, hide: bool = False) -> list[np.ndarray]:
    """The cards of a gallery, their errors on one scale (99th percentile of the gallery's)."""
    top = top_of([face.error for face in gallery.faces if face.error is not None])
    return [strip(face, top_error=top, hide=hide) for face in gallery.faces]


def top_of(errors: Sequence[np.ndarray]) -> float:
    """The brightest end of a colour scale shared by maps `[h, w]` (their 99th percentile); 1 without any."""
    return float(np.quantile(np.concatenate([error.ravel() for error in errors]), 0.99)) if errors else 1.0


def anomaly_map(error: np.ndarray, top: float) -> np.ndarray:
    """A map `[h, w]` in colours, uint8 `[h, w, 3]`: dark at 0, brightest from `top` up."""
    from matplotlib import colormaps  # slow to import, and a scan without a report draws nothing

    scaled = np.clip(error / max(top, 1e-12), 0.0, 1.0)
    return np.asarray((colormaps["inferno"](scaled)[..., :3] * 255).round().astype(np.uint8))


def side_by_side(cards: Sequence[np.ndarray], gap: int = 6) -> np.ndarray:
    """Cards of one height as one image, uint8 `[h, w, 3]`, white between them."""
    height = max(len(card) for card in cards)
    columns: list[np.ndarray] = []
    for card in cards:
        padded = np.full((height, card.shape[1], 3), 255, np.uint8)
        padded[: len(card)] = card
        columns += [padded, np.full((height, gap, 3), 255, np.uint8)]
    return np.concatenate(columns[:-1], axis=1)


def png(image: np.ndarray) -> bytes:
    """PNG bytes of a uint8 image `[H, W, 3]`."""
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, format="PNG", optimize=True)
    return buffer.getvalue()


def framed(image: np.ndarray, *, hide: bool, size: tuple[int, int] = (CELL, CELL)) -> np.ndarray:
    """A picture brought to `size` (width, height), uint8 `[height, width, 3]`; with `hide` as 7 x 7 tiles."""
    picture = Image.fromarray(np.ascontiguousarray(image)).convert("RGB")
    if hide:
        picture = picture.resize((MOSAIC, MOSAIC), Image.Resampling.BOX)
        return np.asarray(picture.resize(size, Image.Resampling.NEAREST))
    return np.asarray(picture.resize(size, Image.Resampling.BICUBIC))
