"""ResNetOCVAE2: a symmetric ResNet-18 auto-encoder with a variational bottleneck (thesis, section 4.1.2).

The bottleneck is in no public source; three are offered: `flat`, `spatial`, `pooled`.
"""

from __future__ import annotations

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from verovolto.networks import Bottleneck
from verovolto.networks.backbones.resnet18 import blocks_of, resnet18_features
from verovolto.networks.recompute import through
from verovolto.networks.resnet_ocvae1 import FlatHeads, PooledHeads, check_resnet_size, dense
from verovolto.networks.vae import VAE, Posterior


class DecoderBlock(nn.Module):
    """The basic residual block turned round: transposed convolutions, the second upsampling by `stride`.

    `[B, c_in, h, w] -> [B, c_out, h * stride, w * stride]`; the shortcut of an upsampling block is a 1x1 transposed
    convolution with batch norm.
    """

    def __init__(self, c_in: int, c_out: int, stride: int = 1) -> None:
        super().__init__()
        grow = stride - 1
        self.body = nn.Sequential(
            nn.ConvTranspose2d(c_in, c_in, 3, 1, 1, bias=False),
            nn.BatchNorm2d(c_in),
            nn.ReLU(inplace=True),
            nn.ConvTranspose2d(c_in, c_out, 3, stride, 1, output_padding=grow, bias=False),
            nn.BatchNorm2d(c_out),
        )
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1:
            up = nn.ConvTranspose2d(c_in, c_out, 1, stride, output_padding=grow, bias=False)
            self.shortcut = nn.Sequential(up, nn.BatchNorm2d(c_out))

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d H W"]:
        """Feature maps `[B, c_in, h, w]` to those above."""
        return F.relu(self.body(x) + self.shortcut(x))


class FlatBottleneck(FlatHeads):
    """Flatten, linear to mu and logvar, linear back to the feature map."""

    def __init__(self, side: int, latent: int) -> None:
        super().__init__(side, latent)
        self.side = side
        self.back = nn.Linear(latent, 512 * side * side)

    def encode(self, h: Float[Tensor, "b 512 s s"]) -> tuple[Float[Tensor, "b z"], Float[Tensor, "b z"]]:
        """Mu and logvar of feature maps."""
        return self.forward(h)

    def decode(self, z: Float[Tensor, "b z"]) -> Float[Tensor, "b 512 s s"]:
        """Feature maps of a latent."""
        h: Tensor = self.back(z)
        return h.view(-1, 512, self.side, self.side)


class SpatialBottleneck(nn.Module):
    """Two 1x1 convolutions give mu and logvar as feature maps; the decoder starts from z itself."""

    def __init__(self) -> None:
        super().__init__()
        self.mu = nn.Conv2d(512, 512, 1)
        self.logvar = nn.Conv2d(512, 512, 1)

    def encode(
        self, h: Float[Tensor, "b 512 s s"]
    ) -> tuple[Float[Tensor, "b 512 s s"], Float[Tensor, "b 512 s s"]]:
        """Mu and logvar of feature maps."""
        return self.mu(h), self.logvar(h)

    def decode(self, z: Float[Tensor, "b 512 s s"]) -> Float[Tensor, "b 512 s s"]:
        """The latent itself."""
        return z


class PooledBottleneck(nn.Module):
    """The pooled heads of ResNetOCVAE1 and their mirror image; average pooling is undone by spreading out."""

    def __init__(self, side: int, latent: int) -> None:
        super().__init__()
        self.side = side
        self.heads = PooledHeads(latent)
        self.back = nn.Sequential(dense(latent, 768), dense(768, 1024), dense(1024, 512))

    def encode(self, h: Float[Tensor, "b 512 s s"]) -> tuple[Float[Tensor, "b z"], Float[Tensor, "b z"]]:
        """Mu and logvar of feature maps."""
        mu, logvar = self.heads(h)
        return mu, logvar

    def decode(self, z: Float[Tensor, "b z"]) -> Float[Tensor, "b 512 s s"]:
        """Feature maps of a latent."""
        h: Tensor = self.back(z)
        return h[:, :, None, None].expand(-1, -1, self.side, self.side)


class ResNetOCVAE2(VAE):
    """ResNet-18 from scratch, a bottleneck, and the encoder's layers in inverse order.

    `size` is a multiple of 32 (published: 224); `latent` the number of latent dimensions (published: 256; a
    `spatial` bottleneck has 512 x size/32 x size/32 whatever it says). Raises `InputError` for a wrong size.
    """

    def __init__(self, *, size: int = 224, latent: int = 256, bottleneck: Bottleneck = "flat") -> None:
        super().__init__()
        check_resnet_size(size)
        self.size = size
        self.features = resnet18_features()
        side = size // 32
        self.bottleneck: FlatBottleneck | SpatialBottleneck | PooledBottleneck
        if bottleneck == "spatial":
            self.bottleneck = SpatialBottleneck()
        else:
            self.bottleneck = (FlatBottleneck if bottleneck == "flat" else PooledBottleneck)(side, latent)
        layers = ((512, 256, 2), (256, 128, 2), (128, 64, 2), (64, 64, 1))
        self.decoder = nn.Sequential(*(block for layer in layers for block in self._layer(*layer)))
        # Linear and without bias: a batch norm and ReLU here could not give the negative values of normalised pixels.
        self.to_pixels = nn.ConvTranspose2d(64, 3, 7, 2, 3, output_padding=1, bias=False)

    @staticmethod
    def _layer(c_in: int, c_out: int, stride: int) -> list[nn.Module]:
        return [DecoderBlock(c_in, c_in), DecoderBlock(c_in, c_out, stride)]

    def encode(self, x: Float[Tensor, "b 3 h w"]) -> Posterior:
        """See `VAE.encode`."""
        h = through(blocks_of(self.features), x, recompute=self.recompute)
        mu, logvar = self.bottleneck.encode(h)
        return Posterior(mu=mu.float(), logvar=logvar.float())

    def decode(self, z: Float[Tensor, "b ..."]) -> Float[Tensor, "b 3 h w"]:
        """See `VAE.decode`."""
        h = through(self.decoder, self.bottleneck.decode(z), recompute=self.recompute)
        x_hat: Tensor = self.to_pixels(F.interpolate(h, scale_factor=2, mode="bilinear", align_corners=False))
        return x_hat
