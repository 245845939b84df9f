"""ResNetOCVAE1: a pretrained ResNet-18 encoder with a small, asymmetric decoder (thesis, section 4.1.2)."""

from __future__ import annotations

from pathlib import Path

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from verovolto.core.errors import InputError
from verovolto.networks.backbones.resnet18 import NONE, load_backbone, resnet18_features
from verovolto.networks.vae import VAE, Posterior

_MOMENTUM = 0.01  # of the batch norms in heads and decoder, as the network it is built on


def dense(n_in: int, n_out: int, momentum: float = 0.1) -> nn.Sequential:
    """Linear, batch norm, ReLU."""
    return nn.Sequential(
        nn.Linear(n_in, n_out), nn.BatchNorm1d(n_out, momentum=momentum), nn.ReLU(inplace=True)
    )


def check_resnet_size(size: int) -> None:
    """Raise `InputError` unless five halvings of `size` give a whole number."""
    if size < 32 or size % 32:
        raise InputError(f"size {size} does not fit a ResNet", hint="give a multiple of 32, at least 32")


class PooledHeads(nn.Module):
    """Average pooling, C-1024-768, then mu and logvar: `[B, C, h, w] -> 2 x [B, Z]`; C is 512 behind a ResNet-18."""

    def __init__(self, latent: int, channels: int = 512) -> None:
        super().__init__()
        self.dense = nn.Sequential(dense(channels, 1024, _MOMENTUM), dense(1024, 768, _MOMENTUM))
        self.mu = nn.Linear(768, latent)
        self.logvar = nn.Linear(768, latent)

    def forward(self, h: Float[Tensor, "b c h w"]) -> tuple[Float[Tensor, "b z"], Float[Tensor, "b z"]]:
        """Mu and logvar of feature maps."""
        pooled = self.dense(h.mean((2, 3)))
        return self.mu(pooled), self.logvar(pooled)


class FlatHeads(nn.Module):
    """Flatten, then mu and logvar: `[B, 512, s, s] -> 2 x [B, Z]`, the way into ResNetOCVAE2's flat bottleneck."""

    def __init__(self, side: int, latent: int) -> None:
        super().__init__()
        self.mu = nn.Linear(512 * side * side, latent)
        self.logvar = nn.Linear(512 * side * side, latent)

    def forward(self, h: Float[Tensor, "b 512 s s"]) -> tuple[Float[Tensor, "b z"], Float[Tensor, "b z"]]:
        """Mu and logvar of feature maps."""
        flat = h.flatten(1)
        return self.mu(flat), self.logvar(flat)


class SmallDecoderVAE(VAE):
    """Any backbone and heads before ResNetOCVAE1's decoder: 64x4x4, three transposed convolutions, 3x39x39, resized.

    `backbone` maps `[B, 3, size, size]` to feature maps, `heads` those to mu and logvar `[B, latent]`.
    """

    def __init__(self, *, size: int, latent: int, backbone: nn.Module, heads: nn.Module) -> None:
        super().__init__()
        self.size = size
        self.features = backbone
        self.heads = heads
        self.dense = nn.Sequential(dense(latent, 768), dense(768, 1024))
        self.decoder = nn.Sequential(
            *self._up(64, 32),
            *self._up(32, 8),
            nn.ConvTranspose2d(8, 3, 3, 2),  # linear: normalised pixels can be negative
        )

    @staticmethod
    def _up(c_in: int, c_out: int) -> list[nn.Module]:
        up = nn.ConvTranspose2d(c_in, c_out, 3, 2)
        return [up, nn.BatchNorm2d(c_out, momentum=_MOMENTUM), nn.ReLU(inplace=True)]

    def encode(self, x: Float[Tensor, "b 3 h w"]) -> Posterior:
        """See `VAE.encode`."""
        mu, logvar = self.heads(self.features(x))
        return Posterior(mu=mu.float(), logvar=logvar.float())

    def decode(self, z: Float[Tensor, "b z"]) -> Float[Tensor, "b 3 h w"]:
        """See `VAE.decode`."""
        small = self.decoder(self.dense(z).unflatten(1, (64, 4, 4)))
        return F.interpolate(small, (self.size, self.size), mode="bilinear", align_corners=False)


class ResNetOCVAE1(SmallDecoderVAE):
    """Encoder: ResNet-18, fine-tuned, average pooling and heads; the small decoder.

    Args:
        size: side of the images in pixels, a multiple of 32 (published: 224).
        latent: number of latent dimensions (published: 256).
        weights: of the backbone, and
        cache: where fetched ones are kept; see `load_backbone`.

    Raises:
        InputError: for a size that is no multiple of 32.
        WeightsError: where the weights cannot be had or do not fit.
    """

    def __init__(
        self, *, size: int = 224, latent: int = 256, weights: str = NONE, cache: Path | None = None
    ) -> None:
        check_resnet_size(size)
        backbone = resnet18_features()
        load_backbone(backbone, weights, cache=cache or Path("weights"))
        super().__init__(size=size, latent=latent, backbone=backbone, heads=PooledHeads(latent))


class FlatOCVAE1(SmallDecoderVAE):
    """The control of symmetry: ResNetOCVAE2's encoder and `flat` bottleneck up to z, then ResNetOCVAE1's decoder.

    Set beside ResNetOCVAE2, only what follows z differs. In no publication. `size` is a multiple of 32; raises
    `InputError` for another.
    """

    def __init__(self, *, size: int = 224, latent: int = 256) -> None:
        check_resnet_size(size)
        backbone = resnet18_features()
        super().__init__(size=size, latent=latent, backbone=backbone, heads=FlatHeads(size // 32, latent))
