"""Lite0OCVAE: ResNetOCVAE1's heads and decoder behind an EfficientNet-Lite0, whose ImageNet weights are a package.

A control that is in no publication: does a pretrained backbone matter, where torchvision's weights for ResNetOCVAE1
cannot be fetched? It is not ResNetOCVAE1, and its figures are not that one's.
"""

from __future__ import annotations

from typing import Any

from jaxtyping import Float
from torch import Tensor, nn

from verovolto.core.errors import WeightsError
from verovolto.networks.backbones.efficientnet_lite import pretrained
from verovolto.networks.backbones.resnet18 import IMAGENET, NONE
from verovolto.networks.resnet_ocvae1 import PooledHeads, SmallDecoderVAE, check_resnet_size

CHANNELS = 1280
"""Of the feature maps that ImageNet's classifier pools."""
_MOMENTUM = 0.1
"""Of the backbone's batch norms, as in a ResNet-18; the library's 0.01 needs hundreds of steps to follow."""


class Lite0Block(nn.Module):
    """An inverted residual block (Sandler et al., CVPR 2018): 1x1 expansion, depthwise 3x3 or 5x5, 1x1 projection."""

    def __init__(self, block: Any) -> None:
        super().__init__()
        self.block = block

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d H W"]:
        """Feature maps `[B, C, h, w]` to `[B, D, H, W]`."""
        out: Tensor = self.block(x)
        return out


def lite0_features(weights: str) -> nn.Sequential:
    """EfficientNet-Lite0 (Tan & Le, ICML 2019) without pooling and classifier: `[B, 3, s, s] -> [B, 1280, s/32, s/32]`.

    `weights` is `imagenet` or `none`; every layer learns. Raises `WeightsError` for anything else, and where the
    packages are missing.
    """
    if weights not in (IMAGENET, NONE):
        raise WeightsError(
            f"lite0-ocvae takes no weights from {weights}", hint="give --weights imagenet or --weights none"
        )
    net = pretrained("lite0") if weights == IMAGENET else _untrained()
    backbone = nn.Sequential(
        nn.Sequential(net._conv_stem, net._bn0, nn.ReLU6(inplace=True)),
        *(Lite0Block(block) for block in net._blocks),
        nn.Sequential(net._conv_head, net._bn1, nn.ReLU6(inplace=True)),
    )
    for module in backbone.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = _MOMENTUM
    return backbone.train()


class Lite0OCVAE(SmallDecoderVAE):
    """Encoder: EfficientNet-Lite0, fine-tuned, average pooling, 1280-1024-768; then all as in ResNetOCVAE1.

    `size` is a multiple of 32, `weights` as in `lite0_features`. Raises `InputError` for a wrong size, `WeightsError`
    for the weights.
    """

    def __init__(self, *, size: int = 224, latent: int = 256, weights: str = NONE) -> None:
        check_resnet_size(size)
        backbone = lite0_features(weights)
        super().__init__(size=size, latent=latent, backbone=backbone, heads=PooledHeads(latent, CHANNELS))


def _untrained() -> Any:
    try:
        from efficientnet_lite_pytorch import EfficientNet
    except ImportError as error:
        raise WeightsError(
            f"EfficientNet-Lite0 is not installed ({error})", hint="pip install efficientnet-lite-pytorch"
        ) from error
    return EfficientNet.from_name("efficientnet-lite0")
