"""OC-AE, OC-FakeDect1 and OC-FakeDect2 (Khalid & Woo, CVPR Workshops 2020), written from the paper's layer table."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor, nn

from verovolto.core.errors import InputError
from verovolto.networks.vae import VAE, Posterior

_CHANNELS = 16  # of the smallest feature map, size/4 a side


def _conv(c_in: int, c_out: int, stride: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(c_in, c_out, 3, stride, 1, bias=False), nn.BatchNorm2d(c_out), nn.ReLU(inplace=True)
    )


def _conv_transposed(c_in: int, c_out: int, stride: int) -> nn.Sequential:
    up = nn.ConvTranspose2d(c_in, c_out, 3, stride, 1, output_padding=stride - 1, bias=False)
    return nn.Sequential(up, nn.BatchNorm2d(c_out), nn.ReLU(inplace=True))


def _dense(n_in: int, n_out: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(n_in, n_out), nn.BatchNorm1d(n_out), nn.ReLU(inplace=True))


class Encoder(nn.Module):
    """Four convolutions (3-16-32-64-16, two of stride 2), a dense layer, heads for mu and, if asked, logvar."""

    def __init__(self, size: int, latent: int, *, with_logvar: bool) -> None:
        super().__init__()
        self.features = nn.Sequential(_conv(3, 16, 1), _conv(16, 32, 2), _conv(32, 64, 1), _conv(64, 16, 2))
        self.dense = _dense(_CHANNELS * (size // 4) ** 2, 1024)
        self.mu = nn.Linear(1024, latent)
        self.logvar = nn.Linear(1024, latent) if with_logvar else None

    def forward(
        self, x: Float[Tensor, "b 3 h w"]
    ) -> tuple[Float[Tensor, "b z"], Float[Tensor, "b z"] | None]:
        """Mu and logvar (None without that head) of images."""
        h = self.dense(self.features(x).flatten(1))
        return self.mu(h), None if self.logvar is None else self.logvar(h)


class OCFakeDect(VAE):
    """The network of OC-FakeDect1 and 2; without logvar it is OC-AE.

    Args:
        size: side of the images in pixels, a multiple of 4 from 8 on (published: 100).
        latent: number of latent dimensions (published: 1024).
        variational: whether the encoder has a logvar head.
        separate_encoder: add a second encoder (without logvar head: only its mean is used) for OC-FakeDect2; by
            default the first encoder encodes the reconstruction too, as in the authors' published code.

    Raises:
        InputError: for a size that the network cannot take.
    """

    def __init__(
        self, *, size: int = 100, latent: int = 1024, variational: bool = True, separate_encoder: bool = False
    ) -> None:
        super().__init__()
        if size < 8 or size % 4:
            raise InputError(f"size {size} does not fit OC-FakeDect", hint="give a multiple of 4, at least 8")
        self.size = size
        self.encoder = Encoder(size, latent, with_logvar=variational)
        self.dense = nn.Sequential(_dense(latent, 1024), _dense(1024, _CHANNELS * (size // 4) ** 2))
        self.decoder = nn.Sequential(
            _conv_transposed(16, 64, 1),
            _conv_transposed(64, 32, 2),
            _conv_transposed(32, 16, 1),
            nn.ConvTranspose2d(16, 3, 3, 2, 1, output_padding=1, bias=False),  # linear output
        )
        if separate_encoder:
            self.second_encoder = Encoder(size, latent, with_logvar=False)

    def encode(self, x: Float[Tensor, "b 3 h w"]) -> Posterior:
        """See `VAE.encode`."""
        mu, logvar = self.encoder(x)
        return Posterior(mu=mu.float(), logvar=None if logvar is None else logvar.float())

    def decode(self, z: Float[Tensor, "b z"]) -> Float[Tensor, "b 3 h w"]:
        """See `VAE.decode`."""
        side = self.size // 4
        x_hat: Tensor = self.decoder(self.dense(z).unflatten(1, (_CHANNELS, side, side)))
        return x_hat
