"""ResNetOCVAE1: a pretrained ResNet-18 encoder with a small, asymmetric decoder (thesis, section 4.1.2)."""

from __future__ import annotations

from pathlib import Path

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from verovolto.errors import InputError
from verovolto.models.posterior import VAE, Posterior
from verovolto.models.trunk import NONE, load_trunk, resnet18_features

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
    """Average pooling, 512-1024-768, then mu and logvar: `[B, 512, h, w] -> 2 x [B, Z]`."""

    def __init__(self, latent: int) -> None:
        super().__init__()
        self.dense = nn.Sequential(dense(512, 1024, _MOMENTUM), dense(1024, 768, _MOMENTUM))
        self.mu = nn.Linear(768, latent)
        self.logvar = nn.Linear(768, latent)

    def forward(self, h: Float[Tensor, "b 512 h w"]) -> tuple[Float[Tensor, "b z"], Float[Tensor, "b z"]]:
        pooled = self.dense(h.mean((2, 3)))
        return self.mu(pooled), self.logvar(pooled)


class ResNetOCVAE1(VAE):
    """Encoder: ResNet-18, fine-tuned; decoder: 64x4x4 by three transposed convolutions to 3x39x39, then resized.

    `size` is a multiple of 32 (published: 224), `latent` the number of latent dimensions (published: 256).
    `weights`: see `trunk.load_trunk`. Raises `InputError` for a wrong size, `WeightsError` for the weights.
    """

    def __init__(
        self, *, size: int = 224, latent: int = 256, weights: str = NONE, cache: Path | None = None
    ) -> None:
        super().__init__()
        check_resnet_size(size)
        self.size = size
        self.features = resnet18_features()
        load_trunk(self.features, weights, cache=cache or Path("weights"))
        self.heads = PooledHeads(latent)
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
        mu, logvar = self.heads(self.features(x))
        return Posterior(mu=mu.float(), logvar=logvar.float())

    def decode(self, z: Float[Tensor, "b z"]) -> Float[Tensor, "b 3 h w"]:
        small = self.decoder(self.dense(z).unflatten(1, (64, 4, 4)))
        return F.interpolate(small, (self.size, self.size), mode="bilinear", align_corners=False)
