"""Any backbone of timm or torchvision, frozen, by its name: for research beside the networks of `registry`.

`timm:vit_base_patch16_clip_quickgelu_224.openai` is CLIP's image encoder as its publisher has it, in full precision;
`torchvision:resnet50` a ResNet. The weights come by the library's own way, from the network into its cache, or from a
file: `timm:resnet18.a1_in1k=FILE.safetensors`. A detector names the weights by their digest.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from torchvision import models
from torchvision.models.feature_extraction import create_feature_extractor, get_graph_node_names

from verovolto.core.errors import InputError, WeightsError
from verovolto.networks import BACKBONE_LIBRARIES

_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # ImageNet's, where a model names none
_ACROSS = (
    0.6,
    0.75,
)  # of the depth: layers of a transformer whose maps are used, as blocks 6 and 8 of CLIP's 12
_TOKENS = 0.8, 1.0


@dataclass(frozen=True, kw_only=True)
class Named:
    """A network of a library, with its weights.

    Attributes:
        network: in evaluation mode, without gradients.
        stages: what `features` calls its layers, shallow ones first, by number.
        channels: of each.
        multiple: sides of its input are multiples of this.
        size: side of the images that it was trained on.
        mean: of these, in [0, 1].
        std: likewise.
        tokens: whether it has a token of the class.
        sha256: of all weights.
    """

    network: nn.Module
    stages: tuple[Any, ...]
    channels: tuple[int, ...]
    multiple: int
    size: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    tokens: bool
    sha256: str

    @property
    def layers(self) -> tuple[int, ...]:
        """Whose maps are used by default: two of a transformer, all but the first of what grows coarser."""
        return self._at(_ACROSS) if self.tokens else tuple(range(1, len(self.stages)))

    @property
    def token_layers(self) -> tuple[int, ...]:
        """Whose tokens are used by default."""
        return self._at(_TOKENS) if self.tokens else ()

    def _at(self, shares: Sequence[float]) -> tuple[int, ...]:
        return tuple(dict.fromkeys(max(0, round(share * len(self.stages)) - 1) for share in shares))


class TimmFeatures(nn.Module):
    """Maps and tokens of some layers of a network of timm."""

    def __init__(self, network: nn.Module, layers: Sequence[int], tokens: Sequence[int]) -> None:
        super().__init__()
        self.network, self.layers, self.tokens = network, tuple(layers), tuple(tokens)

    def forward(self, x: Float[Tensor, "b 3 h w"]) -> tuple[list[Tensor], list[Tensor]]:
        """See `backbones.registry.Features`."""
        wanted = sorted({*self.layers, *self.tokens})
        prefix = {"return_prefix_tokens": True} if self.tokens else {}
        found = self.network.forward_intermediates(x, indices=wanted, intermediates_only=True, **prefix)  # type: ignore[operator]
        of = dict(zip(wanted, found, strict=True))
        if not self.tokens:
            return [of[layer] for layer in self.layers], []
        return [of[layer][0] for layer in self.layers], [of[layer][1][:, 0] for layer in self.tokens]


class TorchvisionFeatures(nn.Module):
    """Maps of some nodes of a network of torchvision."""

    def __init__(self, network: nn.Module, nodes: Sequence[str]) -> None:
        super().__init__()
        self.network = create_feature_extractor(network, return_nodes=list(nodes))
        self.nodes = tuple(nodes)

    def forward(self, x: Float[Tensor, "b 3 h w"]) -> list[Tensor]:
        """Maps, shallow ones first."""
        found = self.network(x)
        return [found[node] for node in self.nodes]


def is_named(name: str) -> bool:
    """Whether it is the name of a library's network rather than of one of ours."""
    return name.partition(":")[0] in BACKBONE_LIBRARIES


@cache
def named(name: str) -> Named:
    """The network `timm:NAME`, `torchvision:NAME`, or either with `=FILE`; opened once a process.

    Raises:
        InputError: the library has no such network, or its layers cannot be read.
        WeightsError: the library is missing, or the weights can be neither downloaded nor read.
    """
    library, _, rest = name.partition(":")
    model, _, file = rest.partition("=")
    return (_of_timm if library == "timm" else _of_torchvision)(model, Path(file) if file else None)


def build(name: str, layers: Sequence[int], tokens: Sequence[int]) -> nn.Module:
    """The features of some layers of a network."""
    known = named(name)
    if not set(layers) | set(tokens) <= set(range(len(known.stages))):
        raise InputError(f"layers of {name} are numbers from 0 to {len(known.stages) - 1}")
    if name.startswith("timm"):
        return TimmFeatures(known.network, layers, tokens)
    return TorchvisionFeatures(known.network, [known.stages[layer] for layer in layers])


def _of_timm(model: str, file: Path | None) -> Named:
    try:
        timm = import_module("timm")
    except ImportError as error:
        raise WeightsError(
            f"timm is not installed ({error})", hint="pip install 'verovolto[timm]'"
        ) from error
    if not timm.is_model(model):
        raise InputError(f"timm has no model {model!r}", hint="see timm.list_models()")
    net: Any = _loaded(lambda pretrained: _timm_network(timm, model, pretrained), model, file)
    if not hasattr(net, "forward_intermediates"):
        raise InputError(f"timm gives no intermediate layers of {model}", hint="name another model")
    about: Mapping[str, Any] = net.pretrained_cfg
    stages = list(net.feature_info)
    tokens = bool(getattr(net, "num_prefix_tokens", 0)) and getattr(net, "cls_token", None) is not None
    return Named(
        network=net, stages=tuple(range(len(stages))), channels=tuple(stage["num_chs"] for stage in stages),
        multiple=max(stage["reduction"] for stage in stages), size=about["input_size"][-1],
        mean=tuple(about["mean"]), std=tuple(about["std"]), tokens=tokens, sha256=_digest(net),
    )  # fmt: skip


def _timm_network(timm: Any, model: str, pretrained: bool) -> nn.Module:
    network: nn.Module
    try:  # a transformer takes other sizes than it was trained at only if asked to
        network = timm.create_model(model, pretrained=pretrained, dynamic_img_size=True)
    except TypeError:
        network = timm.create_model(model, pretrained=pretrained)
    return network


def _of_torchvision(model: str, file: Path | None) -> Named:
    if model not in models.list_models(models):
        raise InputError(f"torchvision has no model {model!r}", hint="see torchvision.models.list_models()")
    weights = models.get_model_weights(model).DEFAULT
    net = _loaded(
        lambda pretrained: models.get_model(model, weights=weights if pretrained else None), model, file
    )
    how = weights.transforms()
    size = how.crop_size[0]
    nodes = _stages(net, model, size)
    return Named(
        network=net, stages=tuple(nodes), channels=tuple(channels for channels, _ in nodes.values()),
        multiple=32, size=size - size % 32, mean=tuple(getattr(how, "mean", _MEAN)),
        std=tuple(getattr(how, "std", _STD)), tokens=False, sha256=_digest(net),
    )  # fmt: skip


def _stages(net: nn.Module, model: str, size: int) -> dict[str, tuple[int, int]]:
    """The last node of each resolution that a network halves its maps to: channels and side, by the node's name."""
    nodes = get_graph_node_names(net)[1]
    with torch.no_grad():
        found = create_feature_extractor(net, return_nodes=nodes)(torch.zeros(1, 3, size, size))
    maps = {
        node: (value.shape[1], value.shape[2])
        for node, value in found.items()
        if isinstance(value, Tensor)
        and value.ndim == 4
        and 1 < value.shape[2] < size
        and value.shape[2] == value.shape[3]
    }
    last = {side: node for node, (_, side) in maps.items()}
    if len(last) < 2:
        raise InputError(
            f"{model} gives no maps of several resolutions", hint="take a convolutional network, or timm"
        )
    return {node: maps[node] for node in last.values()}


def _loaded(make: Callable[[bool], nn.Module], model: str, file: Path | None) -> nn.Module:
    """The network with the library's weights, or those of a file."""
    try:
        net = make(file is None)
        if file is not None:
            net.load_state_dict(load_file(file))
    except (OSError, RuntimeError, SafetensorError, ValueError) as error:
        where = f"{file}" if file else "the network"
        raise WeightsError(
            f"the weights of {model} cannot be had from {where}: {error}",
            hint="where there is no network give a file of its state dict: NAME=FILE.safetensors",
        ) from error
    return net.requires_grad_(False).eval()


def _digest(net: nn.Module) -> str:
    """SHA-256 over all weights by their names."""
    total = hashlib.sha256()
    for name, value in sorted(net.state_dict().items()):
        total.update(name.encode())
        total.update(
            value.contiguous().view(-1).view(torch.uint8).numpy().tobytes()
            if value.ndim
            else str(value.item()).encode()
        )
    return total.hexdigest()
