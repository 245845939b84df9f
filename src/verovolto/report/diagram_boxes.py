"""The boxes of a network's diagram: what stands for a stage, how large it is, and the text beside it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from verovolto.networks.summary import NetworkSummary, Shape, Stage

LETTER = 6.0
"""Width of a letter of the text beside a box, in pixels of the diagram, as all lengths here."""
TALLEST = 150.0
"""Height of the box of the face."""
_VECTOR, _GAP = 9.0, 7.0
_SHORT = {"convolution": "conv", "transposed convolution": "conv T", "pooling": "pool", "resize": "bilinear"}


@dataclass(frozen=True, kw_only=True)
class Box:
    """What is drawn of one stage, or of several residual blocks that work at one size."""

    kind: str
    shape: Shape
    below: tuple[str, ...]
    parameters: int
    symbol: str = ""

    @property
    def above(self) -> tuple[str, ...]:
        """Lines of text above the box."""
        return shape_in_lines(self.shape)

    @property
    def width(self) -> float:
        """Width of the box."""
        return _VECTOR if len(self.shape) == 1 else 8 + 4 * math.log2(self.shape[0])

    def height(self, side: int) -> float:
        """Of an image of `side` pixels as tall as a box can be; roots, so that 7 of 224 can still be seen."""
        if len(self.shape) == 1:
            return 12 + 6 * math.log2(self.shape[0])
        return TALLEST * math.sqrt(self.shape[1] / side)

    @property
    def room(self) -> float:
        """Width of the column: of the box or of the longest line beside it."""
        lines = (*self.above, *self.below, count(self.parameters))
        return max(self.width, LETTER * max(len(line) for line in lines)) + _GAP


def boxes(stages: Sequence[Stage], *, ends_in_change: bool) -> list[Box]:
    """A box for every stage, but one for a run of residual blocks at one size.

    A block that changes the size begins a run in an encoder, and ends one in a decoder, its mirror image.
    """
    runs: list[list[Stage]] = []
    for stage in stages:
        edge = (runs[-1][-1] if ends_in_change else stage) if runs else stage
        joins = bool(runs) and runs[-1][-1].kind == stage.kind == "residual" and edge.input == edge.output
        if joins:
            runs[-1].append(stage)
        else:
            runs.append([stage])
    return [_box_of(run) for run in runs]


def _box_of(run: Sequence[Stage]) -> Box:
    """What a run gives, with its name, its filters and scale, and what follows the layer, a line each."""
    first, last = run[0], run[-1]
    if first.kind == "residual":
        below = ["residual", "block"] if len(run) == 1 else [f"{len(run)} resid.", "blocks"]
        below[-1] += " T" if "transposed" in first.layers else ""
    elif first.kind in ("reshape", "linear", "other"):
        below = first.layers.split(", ")[0].split(" over ")
    elif first.kind == "pooling":
        below = [*first.layers.split(" ")[:1], "pool"]
    else:
        below = [_SHORT.get(first.kind, first.kind)]
    scaled = _scale(first if first.input != first.output else last)
    filters = f"{first.kernel}×{first.kernel}" if first.kernel and first.kind != "residual" else ""
    below += [line for line in (" ".join(filter(None, (filters, scaled))),) if line]
    norms = [
        short for layer, short in (("batch norm", "BN"), ("ReLU", "ReLU")) if f", {layer}" in first.layers
    ]
    below += [", ".join(norms)] if norms else []
    return Box(
        kind=first.kind,
        shape=last.output,
        below=tuple(below),
        parameters=sum(stage.parameters for stage in run),
    )


def face(shape: Shape) -> Box:
    """The box of the input."""
    return Box(kind="image", shape=shape, below=("face",), parameters=0, symbol="$x$")


def head_of(body: NetworkSummary, place: int) -> Box:
    """The box of mu or logvar; which of the two it is stands in the box."""
    stage = body.stages[place]
    return _box_of([replace(stage, layers=stage.layers.split(": ")[-1])])


def shape_in_lines(shape: Shape) -> tuple[str, ...]:
    """Channels and size, or the length of a vector."""
    return (f"{shape[0]:,}", *([f"{shape[1]}×{shape[2]}"] if len(shape) == 3 else []))


def _scale(stage: Stage) -> str:
    """`↓2` where the side is halved, `↑2` where it is doubled (by filters: or so, as borders add to it)."""
    before, after = stage.input, stage.output
    if len(before) != 3 or len(after) != 3 or before[1] == after[1]:
        return ""
    arrow, times = ("↑", after[1] / before[1]) if after[1] > before[1] else ("↓", before[1] / after[1])
    return f"{arrow}{round(times) if stage.kernel else f'{times:.1f}'.removesuffix('.0')}"


def count(parameters: int) -> str:
    """`9.5 k`, `12.8 M`."""
    for size, unit in ((1_000_000, "M"), (1_000, "k")):
        if parameters >= size:
            return f"{parameters / size:.1f} {unit}"
    return f"{parameters}"
