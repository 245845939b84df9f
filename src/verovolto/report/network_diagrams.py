"""Diagrams and tables of the networks, drawn from the networks themselves (`networks.summary`).

A box stands for what a stage gives: its height follows the side of the feature maps, its width their number; a vector
is a narrow bar. Above it stands the shape, below it what the stage does and how many parameters it has.
"""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from dataclasses import replace

from matplotlib.axes import Axes
from matplotlib.patches import Circle, FancyArrowPatch, Rectangle
from PIL import Image

from verovolto.networks.registry import Architecture, entry, has_bottlenecks
from verovolto.networks.summary import NetworkSummary, Role, in_words, summarize
from verovolto.report.diagram_boxes import LETTER, TALLEST, Box, boxes, count, face, head_of, shape_in_lines
from verovolto.report.html import GRID, INK, MUTED, Canvas

COLUMNS = ("part", "layers", "input", "output", "parameters", "module")
"""Of the rows of `table`."""

# Neither blue nor orange, which mean real and fake in every other figure.
_FILLS = {
    "image": "#ffffff",
    "convolution": "#b2dfd5",
    "transposed convolution": "#b2dfd5",
    "residual": "#cfc3ea",
    "linear": "#f1c9d9",
    "pooling": "#dbe1ea",
    "resize": "#dbe1ea",
    "reshape": "#ffffff",
}
_BOTTLENECK = "#fbe9a9"

# In pixels of a picture 1,100 wide.
_WIDTH, _MARGIN, _FONT, _LINE = 1100.0, 14.0, 10.0, 12.5
_MIDDLE = 150.0  # of the boxes, above the lower edge of their lane
_LANE = 314.0
_SECOND_LANE = 265.0
_FOOT = 24.0  # the legend, at the foot of the picture
_DPI_OF_LAYOUT = 100.0


def diagram(architecture: Architecture) -> bytes:
    """PNG of a network, from the face on the left to its reconstruction on the right, to be seen 1,100 px wide.

    A second encoder of its own stands in a lane below; where the first one encodes the reconstruction again, as
    the latent score asks, an arrow leads back. Raises `InputError` where there is no such network.
    """
    body = summarize(architecture)
    drawing = _Drawing(architecture, body)
    with Canvas(drawing.width / _DPI_OF_LAYOUT, drawing.height / _DPI_OF_LAYOUT) as canvas:
        canvas.figure.set_layout_engine("none")
        canvas.axes.set_position((0.0, 0.0, 1.0, 1.0))
        canvas.axes.set(xlim=(0, drawing.width), ylim=(0, drawing.height))
        canvas.axes.set_axis_off()
        drawing.draw(canvas.axes)
    return _few_colours(canvas.png)


def table(architecture: Architecture) -> list[tuple[str, ...]]:
    """The stages of a network as rows of text, one cell for each of `COLUMNS`."""
    return [
        (
            stage.role,
            stage.layers,
            in_words(stage.input),
            in_words(stage.output),
            f"{stage.parameters:,}",
            stage.modules[0] if stage.modules else "–",
        )
        for stage in summarize(architecture).stages
    ]


def title(architecture: Architecture, body: NetworkSummary) -> str:
    """The name of a network with what sets it apart from others of its model."""
    parts = [f"{architecture.model} at {architecture.size} px"]
    if has_bottlenecks(architecture.model):
        parts.append(f"bottleneck {architecture.bottleneck}")
    if body.of("second encoder"):
        parts.append("separate second encoder")
    return ", ".join([*parts, f"{body.parameters:,} parameters"])


def _few_colours(png: bytes) -> bytes:
    """The same picture with a palette: a drawing has few colours, and its file is a third as large."""
    out = io.BytesIO()
    with Image.open(io.BytesIO(png)) as image:
        image.convert("RGB").quantize(64, dither=Image.Dither.NONE).save(out, "PNG", optimize=True)
    return out.getvalue()


class _Drawing:
    """Where everything stands, and the strokes that draw it; units are pixels, y grows upwards."""

    def __init__(self, architecture: Architecture, body: NetworkSummary) -> None:
        self._architecture, self._body = architecture, body
        self._encoder = [face(body.image), *boxes(body.of("encoder"), ends_in_change=False)]
        *decoder, output = boxes(body.of("decoder"), ends_in_change=True)
        self._decoder = [*decoder, replace(output, symbol="$\\hat{x}$")]
        self._second = boxes(body.of("second encoder"), ends_in_change=False)
        self._again = entry(architecture.model).score == "latent"
        heads = LETTER * max(len(line) for line in head_of(body, body.mu).above) + 34
        self._sampling = 0.0 if body.logvar is None else 84.0
        self._heads = max(heads, 146.0 - self._sampling)  # there is room for the heading
        needed = sum(box.room for box in (*self._encoder, *self._decoder)) + self._heads + self._sampling
        columns = len(self._encoder) + len(self._decoder)
        self._spare = max(0.0, (_WIDTH - 2 * _MARGIN - needed) / columns)
        self.width = needed + self._spare * columns + 2 * _MARGIN
        self._floor = (_SECOND_LANE if self._second else 28.0 if self._again else 0.0) + _FOOT
        self.height = self._floor + _LANE

    def draw(self, axes: Axes) -> None:
        middle = self._floor + _MIDDLE
        _text(
            axes,
            _MARGIN,
            self.height - 16,
            title(self._architecture, self._body),
            size=11.5,
            left=True,
            bold=True,
        )
        places = self._row(axes, self._encoder, _MARGIN, middle)
        left = places[-1][1]
        self._brace(axes, _MARGIN, left, "encoder")
        right = left + self._heads + self._sampling
        enters = self._latent(axes, self._edge(places[-1], self._encoder[-1]), left, middle)
        self._brace(axes, left, right, "bottleneck")
        after = self._row(axes, self._decoder, right, middle)
        self._brace(axes, right, after[-1][1], "decoder")
        _arrow(axes, enters, (after[0][0] - self._decoder[0].width / 2, middle))
        if self._second:
            self._second_lane(axes, places, after[-1][0])
        elif self._again:
            self._lead_back(axes, places[0][0], after[-1][0], self._floor + 6)
        self._legend(axes)

    @staticmethod
    def _edge(place: tuple[float, float], box: Box) -> float:
        return place[0] + box.width / 2

    def _row(
        self, axes: Axes, boxes: Sequence[Box], start: float, middle: float
    ) -> list[tuple[float, float]]:
        """Draw boxes from left to right; the centre and right end of each column."""
        places: list[tuple[float, float]] = []
        for box in boxes:
            room = box.room + self._spare
            centre = start + room / 2
            self._box(axes, box, centre, middle)
            if places:
                before = self._edge(places[-1], boxes[len(places) - 1])
                _arrow(axes, (before, middle), (centre - box.width / 2, middle))
            start += room
            places.append((centre, start))
        return places

    def _box(self, axes: Axes, box: Box, centre: float, middle: float) -> None:
        height = box.height(self._body.image[1])
        _rectangle(axes, centre, middle, box.width, height, _FILLS.get(box.kind, GRID), box.kind == "reshape")
        _lines(axes, centre, middle + height / 2 + 5, box.above, up=True)
        last = _lines(axes, centre, middle - height / 2 - 6, box.below)
        if box.parameters:
            _text(axes, centre, last, count(box.parameters), colour=MUTED)
        if box.symbol:
            _text(axes, centre, middle, box.symbol, size=12)

    def _latent(self, axes: Axes, before: float, left: float, middle: float) -> tuple[float, float]:
        """Mu, logvar, the noise and z; returns where z leaves."""
        body, x = self._body, left + self._heads / 2
        if body.logvar is None:
            end = self._code(axes, x, middle, "z", head_of(body, body.mu))
            _arrow(axes, (before, middle), (x - 15, middle))
            return end
        z = left + self._heads + self._sampling / 2 - 6
        for y, symbol, place in ((middle + 52, "μ", body.mu), (middle - 52, "log σ²", body.logvar)):
            end = self._code(axes, x, y, symbol, head_of(body, place))
            _arrow(axes, (before, middle), (2 * x - end[0], y))
            _arrow(axes, end, (z - 14, middle + math.copysign(6, y - middle)))
        _rectangle(axes, z, middle, 28, 28, _BOTTLENECK)
        _text(axes, z, middle, "z", size=11, bold=True)
        _lines(axes, z, middle + 20, shape_in_lines(body.stages[body.z].output), up=True)
        axes.add_patch(Circle((z, middle - 62), 11, facecolor="white", edgecolor=INK, linewidth=0.9))
        _text(axes, z, middle - 62, "ε", size=11)
        _arrow(axes, (z, middle - 51), (z, middle - 14))
        _lines(axes, z, middle - 79, ("ε ~ N(0, I)", "z = μ + σ · ε", "scores: z = μ"))
        return z + 14, middle

    @staticmethod
    def _code(axes: Axes, x: float, y: float, symbol: str, head: Box) -> tuple[float, float]:
        """A head of an encoder with its shape above and its layer below; returns its right end."""
        half = 15.0 if len(symbol) == 1 else 20.0
        _rectangle(axes, x, y, 2 * half, 28, _BOTTLENECK)
        _text(axes, x, y, symbol, size=10, bold=True)
        _lines(axes, x, y + 18, head.above, up=True)
        _text(axes, x, _lines(axes, x, y - 19, head.below), count(head.parameters), colour=MUTED)
        return x + half, y

    def _second_lane(self, axes: Axes, above: Sequence[tuple[float, float]], output: float) -> None:
        """The second encoder below the first, its columns under those of the first."""
        middle = _FOOT + 146.0
        *body, head = self._second
        start = above[0][1]
        lane = self._floor + 2
        self._lead_back(axes, above[0][0], output, lane, to=middle)
        _arrow(axes, (above[0][0], middle), (above[1][0] - body[0].width / 2, middle))
        places = self._row(axes, body, start, middle)
        x = places[-1][1] + self._heads / 2
        self._code(axes, x, middle, "μ($\\hat{x}$)", head)
        _arrow(axes, (self._edge(places[-1], body[-1]), middle), (x - 20, middle))

    def _lead_back(
        self, axes: Axes, start: float, output: float, lane: float, to: float | None = None
    ) -> None:
        """The reconstruction's way from the output to what encodes it again."""
        low = self._floor + _MIDDLE - TALLEST / 2 - 58
        axes.plot([output, output, start], [low, lane, lane], color=MUTED, linewidth=1, linestyle="--")
        _arrow(axes, (start, lane), (start, low + 20 if to is None else to), colour=MUTED, dashed=True)
        by = "the same encoder"
        if self._second:
            by = f"a second encoder ({count(sum(box.parameters for box in self._second))} parameters)"
        label = f"$\\hat{{x}}$ encoded again by {by}; score: RMSE between μ(x) and μ($\\hat{{x}}$)"
        _text(axes, (start + output) / 2, lane + 11, label, colour=INK, box=True)

    def _brace(self, axes: Axes, left: float, right: float, role: Role) -> None:
        parameters = sum(stage.parameters for stage in self._body.of(role))
        y = self.height - 42
        axes.plot([left + 4, right - 4], [y - 9, y - 9], color=MUTED, linewidth=1)
        _text(axes, (left + right) / 2, y, f"{role}, {count(parameters)}")

    def _legend(self, axes: Axes) -> None:
        shown = {box.kind for box in (*self._encoder, *self._decoder, *self._second)}
        fills = (
            ("convolution", "convolution"),
            ("residual", "residual blocks"),
            ("linear", "fully connected"),
            ("pooling", "pooling, resizing"),
            ("reshape", "same values, other shape"),
        )
        x = _MARGIN
        for kind, label in fills:
            if kind not in shown and not (kind == "pooling" and "resize" in shown):
                continue
            _rectangle(axes, x + 6, 13, 12, 10, _FILLS[kind], kind == "reshape")
            _text(axes, x + 17, 13, label, colour=MUTED, left=True)
            x += 17 + 5.6 * len(label) + 20
        note = "T: transposed; BN: batch norm; ↓2, ↑2: half, twice the side"
        _text(axes, x, 13, note, colour=MUTED, left=True)


def _rectangle(
    axes: Axes, x: float, y: float, width: float, height: float, fill: str, dashed: bool = False
) -> None:
    axes.add_patch(
        Rectangle(
            (x - width / 2, y - height / 2), width, height, facecolor=fill, edgecolor=INK, linewidth=0.9,
            linestyle=(0, (3, 2)) if dashed else "-", zorder=3,
        )
    )  # fmt: skip


def _arrow(
    axes: Axes, start: tuple[float, float], end: tuple[float, float], colour: str = INK, dashed: bool = False
) -> None:
    axes.add_patch(
        FancyArrowPatch(
            start, end, arrowstyle="-|>", mutation_scale=6, linewidth=0.9, color=colour, shrinkA=1, shrinkB=1,
            linestyle="--" if dashed else "-", zorder=2,
        )
    )  # fmt: skip


def _lines(axes: Axes, x: float, y: float, lines: Sequence[str], *, up: bool = False) -> float:
    """Lines of text below a point, or above it; returns the place of the line that would follow."""
    for number, line in enumerate(reversed(lines) if up else lines):
        _text(axes, x, y + (number * _LINE + 5) if up else y - number * _LINE - 5, line)
    return y - len(lines) * _LINE - 5


def _text(
    axes: Axes, x: float, y: float, text: str, *, size: float = _FONT, colour: str = INK, left: bool = False,
    bold: bool = False, box: bool = False,
) -> None:  # fmt: skip
    """Text of `size` pixels."""
    axes.text(
        x, y, text, fontsize=size * 72 / _DPI_OF_LAYOUT, color=colour, ha="left" if left else "center",
        va="center", fontweight="bold" if bold else "normal", zorder=4,
        bbox={"facecolor": "white", "edgecolor": "none", "pad": 1.5} if box else None,
    )  # fmt: skip
