"""`verovolto models`: what there is to train, and what is inside it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from verovolto.core.errors import InputError
from verovolto.networks import Bottleneck, ModelName, SecondEncoder

if TYPE_CHECKING:
    from verovolto.networks.registry import Architecture

_WIDTH = 160  # of the tables, in letters, wherever they are printed to


def models(
    *,
    size: int | None = None,
    layers: ModelName | None = None,
    model: ModelName | None = None,
    diagram: Path | None = None,
    bottleneck: Bottleneck | None = None,
    latent: int | None = None,
    second_encoder: SecondEncoder | None = None,
) -> None:
    """List every model with its number of parameters, input size, default score and source.

    With `--layers NAME` print a table of that network's layers instead; with `--diagram FILE.png --model NAME` draw it.
    Both are read off the network itself.

    Parameters
    ----------
    size:
        Input size in pixels instead of the published one.
    layers:
        Print what this network consists of: layers, shapes, parameters.
    model:
        The network that `--diagram` draws.
    diagram:
        Write a diagram of the network to this PNG file.
    bottleneck:
        The bottleneck of resnet-ocvae2 and resnet-ocvae-latent in `--layers` and `--diagram`.
    latent:
        Number of latent dimensions in `--layers` and `--diagram`, instead of the published one.
    second_encoder:
        The second encoder of oc-fakedect2 in `--layers` and `--diagram`.
    """
    if size is not None and size < 1:
        raise InputError(f"--size {size} is no size in pixels", hint="leave it out for the published sizes")
    name = _named(layers, model, diagram)
    if name is None:
        for flag, value in (
            ("bottleneck", bottleneck), ("latent", latent), ("second-encoder", second_encoder)
        ):  # fmt: skip
            if value is not None:
                raise InputError(f"--{flag} is of one network", hint="name it with --layers NAME")
        return _list(size)
    architecture = _architecture(name, size, bottleneck, latent, second_encoder)
    if layers is not None:
        _print_layers(architecture)
    if diagram is not None:
        _draw(architecture, diagram)


def _named(layers: ModelName | None, model: ModelName | None, diagram: Path | None) -> ModelName | None:
    """The network that is asked for; None where all are to be listed."""
    if layers and model and layers != model:
        raise InputError(
            f"--layers {layers} and --model {model} are two networks", hint="ask for one at a time"
        )
    if diagram is not None and not (layers or model):
        raise InputError("--diagram draws one network", hint="name it with --model NAME")
    if diagram is not None and diagram.suffix.lower() != ".png":
        raise InputError(f"--diagram {diagram} is no PNG file", hint="give it a name that ends in .png")
    if model and not layers and diagram is None:
        raise InputError(
            f"--model {model}: what of it?", hint=f"add --diagram FILE.png, or ask for --layers {model}"
        )
    return layers or model


def _architecture(
    name: ModelName, size: int | None, bottleneck: Bottleneck | None, latent: int | None,
    second_encoder: SecondEncoder | None,
) -> Architecture:  # fmt: skip
    """The network as asked for; `InputError` where it has no such part."""
    from verovolto.networks.registry import Architecture, entry, has_bottlenecks, has_second_encoder

    if latent is not None and latent < 1:
        raise InputError(
            f"--latent {latent}: at least one dimension is needed", hint="leave it out for the published"
        )
    found = Architecture(model=name, size=size or entry(name).size, latent=latent)
    if bottleneck is not None:
        if not has_bottlenecks(name):
            raise InputError(f"{name} has no choice of bottlenecks", hint="leave out --bottleneck")
        found = replace(found, bottleneck=bottleneck)
    if second_encoder is not None:
        if not has_second_encoder(name):
            raise InputError(f"{name} has no second encoder", hint="leave out --second-encoder")
        found = replace(found, second_encoder=second_encoder)
    return found


def _list(size: int | None) -> None:
    from rich.console import Console
    from rich.table import Table

    from verovolto.detectors.registry import model_rows

    table = Table("model", "variant", "parameters", "input", "score", "source", show_edge=False)
    for name, row, source in model_rows(size):
        table.add_row(name, row.variant, row.parameters, row.input, row.score, source)
    Console(width=_WIDTH).print(table)


def _print_layers(architecture: Architecture) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table

    from verovolto.networks.summary import summarize
    from verovolto.report.network_diagrams import COLUMNS, table, title

    shown = Table(box=box.SIMPLE_HEAD, show_edge=False)
    for column in COLUMNS:
        shown.add_column(column, justify="right" if column == "parameters" else "left", no_wrap=True)
    for row in table(architecture):
        shown.add_row(*row)
    console = Console(width=_WIDTH, highlight=False)
    console.print(title(architecture, summarize(architecture)))
    console.print(shown)


def _draw(architecture: Architecture, path: Path) -> None:
    from verovolto.core.files import atomic_path
    from verovolto.report.network_diagrams import diagram

    png = diagram(architecture)
    with atomic_path(path) as part:
        part.write_bytes(png)
    print(f"diagram: {path.resolve()}")
