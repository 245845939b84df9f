"""Options of the variational auto-encoders. Light to import."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, get_args

from typing_extensions import override

from verovolto.detectors.registry import GradientConfig, Limits
from verovolto.networks import (
    Bottleneck,
    Flips,
    ModelName,
    Noise,
    Precision,
    Reduction,
    SecondEncoder,
)

_OF_SOME = {
    "bottleneck": ("resnet-ocvae2", "resnet-ocvae-latent"),
    "second_encoder": ("oc-fakedect2",),
    "weights": ("resnet-ocvae1", "lite0-ocvae"),
    "recompute": ("resnet-ocvae2", "resnet-ocvae-latent"),
}


@dataclass(frozen=True, kw_only=True)
class VariationalConfig(GradientConfig, group="vae"):
    """How a network with a variational bottleneck is built, trained and scored; None takes the published value."""

    at_least: ClassVar[Limits] = {"size": 4, "latent": 1, "beta": 0.0, "kl_warmup": 0}

    size: int | None = None
    """Side of the input in pixels: a multiple of 32 (ResNet) or 4 (OC-FakeDect). Default: as published."""
    latent: int | None = None
    """Latent dimensions. Default: as published."""
    bottleneck: Bottleneck = "flat"
    """Bottleneck of the ResNetOCVAE2 family."""
    beta: float = 1.0
    """Weight of the KL term."""
    kl_warmup: int = 0
    """Steps over which the KL weight grows from 0 to beta."""
    noise: Noise = "normal"
    """Noise of the reparametrisation; uniform is a deviation of published code."""
    flips: Flips | None = None
    """Random mirroring: none, left-right, or also upside down. Default: as published."""
    score_precision: Precision = "32"
    """Arithmetic of scoring, kept with the detector."""
    score: str | None = None
    """Default score of the detector. Default: the model's."""


@dataclass(frozen=True, kw_only=True)
class VAEConfig(VariationalConfig, models=get_args(ModelName)):
    """The options of the VAEs of `networks.registry`."""

    second_encoder: SecondEncoder = "shared"
    """OC-FakeDect2: encode reconstructions by the same encoder, or by one of its own."""
    weights: str = "imagenet"
    """Backbone of resnet-ocvae1: imagenet (needs a network once), a .pth or .safetensors file, or none; of lite0-ocvae:
    imagenet (comes with the package) or none."""
    reduction: Reduction = "sum"
    """Sum or mean over pixels and over latent dimensions."""
    recompute: bool = False
    """Train in less memory: keep what lies between the blocks of the network, and compute the rest again for the
    gradient. The weights become the same, more slowly."""

    @classmethod
    @override
    def uses(cls, name: str, model: str) -> bool:
        return super().uses(name, model) and model in _OF_SOME.get(name, (model,))
