"""Diagrams that show every stage, in order, and in which nothing stands on anything else."""

from __future__ import annotations

import io
from itertools import combinations, pairwise
from typing import Any

import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.patches import Circle, Rectangle
from PIL import Image

from verovolto.core.errors import InputError
from verovolto.networks.registry import Architecture
from verovolto.networks.summary import summarize
from verovolto.report import network_diagrams as diagrams
from verovolto.report.diagram_boxes import boxes, count
from verovolto.report.html import FAKE, REAL, Canvas

VARIANTS: list[dict[str, Any]] = [
    {"model": "oc-ae", "size": 100},
    {"model": "oc-fakedect1", "size": 100},
    {"model": "oc-fakedect2", "size": 100},
    {"model": "oc-fakedect2", "size": 512, "latent": 2048, "second_encoder": "separate"},
    {"model": "resnet-ocvae1", "size": 224},
    {"model": "resnet-ocvae1", "size": 32, "latent": 1},
    {"model": "resnet-ocvae2", "size": 224},
    {"model": "resnet-ocvae2", "size": 1024, "bottleneck": "spatial"},
    {"model": "resnet-ocvae2", "size": 224, "bottleneck": "pooled"},
    {"model": "resnet-ocvae2", "size": 32, "bottleneck": "pooled", "latent": 1},
    {"model": "resnet-ocvae-latent", "size": 224, "bottleneck": "spatial"},
]


def drawn(arch: Architecture) -> Canvas:
    """The canvas that a diagram was drawn on."""
    seen: list[Canvas] = []

    class Kept(Canvas):
        def __enter__(self) -> Canvas:
            seen.append(self)
            return super().__enter__()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(diagrams, "Canvas", Kept)
        diagrams.diagram(arch)
    return seen[-1]


@pytest.fixture(scope="module", params=VARIANTS, ids=lambda variant: "-".join(map(str, variant.values())))
def arch(request: pytest.FixtureRequest) -> Architecture:
    return Architecture.from_dict(request.param)


@pytest.fixture(scope="module")
def canvas(arch: Architecture) -> Canvas:
    return drawn(arch)


def words_of(canvas: Canvas) -> list[str]:
    return [text.get_text() for text in canvas.axes.texts]


def test_no_words_stand_on_others_or_outside(canvas: Canvas) -> None:
    renderer = FigureCanvasAgg(canvas.figure).get_renderer()
    whole = canvas.figure.bbox
    places = [(text.get_text(), text.get_window_extent(renderer)) for text in canvas.axes.texts]
    for words, place in places:
        assert whole.x0 <= place.x0 and place.x1 <= whole.x1, words
        assert whole.y0 <= place.y0 and place.y1 <= whole.y1, words
    # Lines of text touch with the tails of their letters, no more.
    for (words, a), (others, b) in combinations(places, 2):
        across = min(a.x1, b.x1) - max(a.x0, b.x0)
        down = min(a.y1, b.y1) - max(a.y0, b.y0)
        assert across <= 1 or down <= 4, f"{words} on {others}"


def test_boxes_stand_apart(canvas: Canvas) -> None:
    frames = [
        patch.get_window_extent() for patch in canvas.axes.patches if isinstance(patch, Rectangle | Circle)
    ]
    for a, b in combinations(frames, 2):
        assert not (min(a.x1, b.x1) > max(a.x0, b.x0) and min(a.y1, b.y1) > max(a.y0, b.y0))


def test_every_stage_has_its_box(arch: Architecture, canvas: Canvas) -> None:
    body = summarize(arch)
    words = words_of(canvas)
    for role, in_change in (("encoder", False), ("decoder", True), ("second encoder", False)):
        shown = boxes(body.of(role), ends_in_change=in_change)  # type: ignore[arg-type]
        assert sum(box.parameters for box in shown) == sum(stage.parameters for stage in body.of(role))  # type: ignore[arg-type]
        for box in shown:
            assert set(box.above) <= set(words) and set(box.below) <= set(words)
            assert not box.parameters or count(box.parameters) in words
    assert f"{body.parameters:,} parameters" in words[0] and words[0].startswith(
        f"{arch.model} at {arch.size} px"
    )
    noisy = {"μ", "log σ²", "ε", "z = μ + σ · ε"}
    assert noisy <= set(words) if body.logvar is not None else not noisy & set(words)


def test_boxes_are_as_tall_as_their_maps_and_mirrored() -> None:
    body = summarize(Architecture(model="resnet-ocvae2", size=224, bottleneck="spatial"))
    down = [box.height(224) for box in boxes(body.of("encoder"), ends_in_change=False)]
    up = [box.height(224) for box in boxes(body.of("decoder"), ends_in_change=True)]
    assert all(a >= b for a, b in pairwise(down)) and all(a <= b for a, b in pairwise(up))
    layers = [box.below for box in boxes(body.of("encoder"), ends_in_change=False) if box.kind == "residual"]
    assert layers == [("2 resid.", "blocks"), *[("2 resid.", "blocks", "↓2")] * 3]
    mirrored = [box.below for box in boxes(body.of("decoder"), ends_in_change=True) if box.kind == "residual"]
    assert mirrored == [*[("2 resid.", "blocks T", "↑2")] * 3, ("2 resid.", "blocks T")]


@pytest.mark.parametrize(
    ("variant", "said"),
    [
        ({"model": "oc-fakedect1", "size": 32}, ""),
        ({"model": "oc-fakedect2", "size": 32}, "by the same encoder"),
        ({"model": "oc-fakedect2", "size": 32, "second_encoder": "separate"}, "by a second encoder (1.1 M"),
        ({"model": "resnet-ocvae-latent", "size": 32}, "by the same encoder"),
    ],
)
def test_the_second_encoding_is_shown_where_the_score_asks_for_it(variant: dict[str, Any], said: str) -> None:
    words_shown = words_of(drawn(Architecture.from_dict({"latent": 8, **variant})))
    again = [words for words in words_shown if "encoded again" in words]
    assert len(again) == bool(said)
    assert all(said in words for words in again)


def test_a_diagram_is_a_small_picture_and_always_the_same() -> None:
    arch = Architecture(model="resnet-ocvae2", size=224)
    png = diagrams.diagram(arch)
    assert png == diagrams.diagram(arch)
    assert len(png) < 100_000
    with Image.open(io.BytesIO(png)) as image:
        assert image.format == "PNG" and image.width >= 1100
        colours = {colour for _, colour in image.convert("RGB").getcolors(1 << 16) or []}
    classes = {tuple(bytes.fromhex(colour[1:])) for colour in (REAL, FAKE)}
    assert len(colours) > 8 and not colours & classes  # blue and orange say real and fake elsewhere


def test_the_table_says_what_the_stages_are(arch: Architecture) -> None:
    rows = diagrams.table(arch)
    assert {len(row) for row in rows} == {len(diagrams.COLUMNS)}
    counted = diagrams.COLUMNS.index("parameters")
    assert sum(int(row[counted].replace(",", "")) for row in rows) == summarize(arch).parameters


def test_no_such_network_is_an_error() -> None:
    with pytest.raises(InputError, match="size 10"):
        diagrams.diagram(Architecture(model="oc-ae", size=10))
