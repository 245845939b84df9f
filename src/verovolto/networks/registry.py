"""The models by name: how each is built, its published settings, and where it comes from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

from verovolto.core.errors import InputError
from verovolto.networks import Bottleneck, Flips, ModelName, SecondEncoder
from verovolto.networks.backbones.efficientnet_lite import MEAN, STD
from verovolto.networks.backbones.resnet18 import NONE
from verovolto.networks.lite0_ocvae import Lite0OCVAE
from verovolto.networks.oc_fakedect import OCFakeDect
from verovolto.networks.resnet_ocvae1 import FlatOCVAE1, ResNetOCVAE1
from verovolto.networks.resnet_ocvae2 import ResNetOCVAE2
from verovolto.networks.vae import VAE

HALF = (0.5, 0.5, 0.5)


@dataclass(frozen=True, kw_only=True)
class Architecture:
    """Everything that fixes a network's layers; written into a detector, so that it can be built again.

    `latent` None means the published one. `bottleneck` is read by the ResNetOCVAE2 family alone,
    `second_encoder` by `oc-fakedect2` alone.
    """

    model: ModelName
    size: int
    latent: int | None = None
    bottleneck: Bottleneck = "flat"
    second_encoder: SecondEncoder = "shared"

    def to_dict(self) -> dict[str, Any]:
        """As JSON values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, given: dict[str, Any]) -> Architecture:
        """Read `to_dict`; raises `InputError` for an unknown model, `TypeError` for unknown keys."""
        entry(given["model"])
        return cls(**given)


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A model's published settings. `twin` names the model whose network it shares when trained (or "")."""

    build: Callable[[Architecture, str, Path | None], VAE]
    size: int
    latent: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    score: str
    lr: float
    batch_size: int
    flips: Flips
    source: str
    twin: str = ""
    pretrained: bool = False


def _oc(arch: Architecture, _weights: str, _cache: Path | None) -> VAE:
    return OCFakeDect(
        size=arch.size,
        latent=arch.latent or 1024,
        variational=arch.model != "oc-ae",
        separate_encoder=arch.model == "oc-fakedect2" and arch.second_encoder == "separate",
    )


def _resnet1(arch: Architecture, weights: str, cache: Path | None) -> VAE:
    return ResNetOCVAE1(size=arch.size, latent=arch.latent or 256, weights=weights, cache=cache)


def _flat1(arch: Architecture, _weights: str, _cache: Path | None) -> VAE:
    return FlatOCVAE1(size=arch.size, latent=arch.latent or 256)


def _lite0(arch: Architecture, weights: str, _cache: Path | None) -> VAE:
    return Lite0OCVAE(size=arch.size, latent=arch.latent or 256, weights=weights)


def _resnet2(arch: Architecture, _weights: str, _cache: Path | None) -> VAE:
    return ResNetOCVAE2(size=arch.size, latent=arch.latent or 256, bottleneck=arch.bottleneck)


def _oc_entry(score: str, source: str, twin: str = "") -> Entry:
    return Entry(
        build=_oc, size=100, latent=1024, mean=HALF, std=HALF, score=score, lr=1e-3, batch_size=128, flips="hv",
        source=source, twin=twin,
    )  # fmt: skip


def _resnet_entry(
    build: Callable[[Architecture, str, Path | None], VAE], score: str, source: str, *, twin: str = "",
    pretrained: bool = False,
) -> Entry:  # fmt: skip
    return Entry(
        build=build, size=224, latent=256, mean=MEAN, std=STD, score=score, lr=3e-4,
        batch_size=100, flips="none", source=source, twin=twin, pretrained=pretrained,
    )  # fmt: skip


_OC_SOURCE = "Khalid & Woo, OC-FakeDect, CVPR Workshops 2020"
_THESIS = "Malgeri, University of Florence 2023-24"
NETWORKS: dict[str, Entry] = {
    "oc-ae": _oc_entry("rmse", f"{_OC_SOURCE} (its auto-encoder baseline)"),
    "oc-fakedect1": _oc_entry("rmse", _OC_SOURCE),
    "oc-fakedect2": _oc_entry("latent", f"{_OC_SOURCE} (second encoder)", twin="oc-fakedect1"),
    "resnet-ocvae1": _resnet_entry(_resnet1, "rmse", f"{_THESIS}, section 4.1.2", pretrained=True),
    "resnet-ocvae2": _resnet_entry(_resnet2, "rmse", f"{_THESIS}, section 4.1.2"),
    "resnet-ocvae-latent": _resnet_entry(
        _resnet2, "latent", f"{_THESIS}, section 8 (future work)", twin="resnet-ocvae2"
    ),
    "resnet-ocvae1-flat": _resnet_entry(_flat1, "rmse", "a control: docs/thesis.md; in no publication"),
    "lite0-ocvae": _resnet_entry(
        _lite0, "rmse", "a control: docs/thesis.md; in no publication", pretrained=True
    ),
}


def entry(model: str) -> Entry:
    """A model's entry; raises `InputError` with the list of names where there is none."""
    if model not in NETWORKS:
        raise InputError(f"no model is called {model!r}", hint=f"there are {', '.join(NETWORKS)}")
    return NETWORKS[model]


def has_bottlenecks(model: str) -> bool:
    """Whether a model reads `Architecture.bottleneck`."""
    return entry(model).build is _resnet2


def has_second_encoder(model: str) -> bool:
    """Whether a model reads `Architecture.second_encoder`."""
    entry(model)
    return model == "oc-fakedect2"


def network_name(model: str) -> ModelName:
    """The name of a network; raises `InputError` for any other."""
    entry(model)
    return cast(ModelName, model)


def build(arch: Architecture, *, weights: str = NONE, cache: Path | None = None) -> VAE:
    """Build a network with random weights, or, where it has a pretrained backbone, with `weights` there.

    See `backbones.resnet18.load_backbone` for `weights` and `cache`.
    """
    return entry(arch.model).build(arch, weights, cache)


def shares_network(arch: Architecture) -> bool:
    """Whether this model is another's network with another score, so that it need not be trained again."""
    return bool(entry(arch.model).twin) and arch.second_encoder == "shared"


def count_parameters(model: VAE) -> int:
    """Number of trainable parameters."""
    return sum(p.numel() for p in model.parameters())
