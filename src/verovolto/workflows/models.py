"""`verovolto models`: what there is to train."""

from __future__ import annotations

from verovolto.errors import InputError


def models(*, size: int | None = None) -> None:
    """List every model with its number of parameters, input size, default score and source.

    Parameters
    ----------
    size:
        Count the parameters at this input size instead of the published one.
    """
    import torch
    from rich.console import Console
    from rich.table import Table

    from verovolto.models.catalogue import CATALOGUE, Architecture, build, count_parameters
    from verovolto.models.names import Bottleneck

    if size is not None and size < 1:
        raise InputError(f"--size {size} is no size in pixels", hint="leave it out for the published sizes")
    table = Table("model", "variant", "parameters", "input", "score", "source", show_edge=False)
    bottlenecks: tuple[Bottleneck, ...] = ("flat", "spatial", "pooled")
    for name, known in CATALOGUE.items():
        base = Architecture.from_dict({"model": name, "size": size or known.size})
        variants = [("", base)]
        if name.startswith(("resnet-ocvae2", "resnet-ocvae-latent")):
            variants = [
                (f"--bottleneck {b}", Architecture.from_dict({**base.to_dict(), "bottleneck": b}))
                for b in bottlenecks
            ]
        elif name == "oc-fakedect2":
            separate = Architecture.from_dict({**base.to_dict(), "second_encoder": "separate"})
            variants = [("", base), ("--second-encoder separate", separate)]
        for variant, arch in variants:
            with torch.device("meta"):  # counts without allocating
                parameters = count_parameters(build(arch))
            table.add_row(name, variant, f"{parameters:,}", f"{arch.size} px", known.score, known.source)
    Console(width=160).print(table)
