"""The VAE's common language: posterior, reparametrisation, Kullback-Leibler divergence."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from verovolto.networks.choices import Noise


@dataclass(frozen=True, kw_only=True)
class Posterior:
    """Diagonal Gaussian q(z | x).

    `mu` and `logvar` are float32 `[B, Z]` or `[B, C, h, w]`; `logvar` is None for a plain auto-encoder, whose
    posterior is a point.
    """

    mu: Float[Tensor, "b ..."]
    logvar: Float[Tensor, "b ..."] | None = None

    def sample(self, eps: Float[Tensor, "b ..."] | None) -> Float[Tensor, "b ..."]:
        """z = mu + sigma * eps, the reparametrisation of Kingma & Welling 2014; the mean where `eps` is None."""
        if eps is None or self.logvar is None:
            return self.mu
        return self.mu + torch.exp(0.5 * self.logvar) * eps

    def kl_per_dimension(self) -> Float[Tensor, "b ..."]:
        """KL(q(z|x) || N(0, I)) of every latent dimension in nats, Kingma & Welling 2014, appendix B."""
        if self.logvar is None:
            return torch.zeros_like(self.mu)
        return -0.5 * (1 + self.logvar - self.mu.square() - self.logvar.exp())

    def kl(self) -> Float[Tensor, " b"]:
        """KL(q(z|x) || N(0, I)) in nats, summed over the latent dimensions."""
        return self.kl_per_dimension().flatten(1).sum(1)


@dataclass(frozen=True, kw_only=True)
class VAEOutput:
    """What one pass gives: the reconstruction in the units of x, the posterior, and the latent that was decoded."""

    x_hat: Float[Tensor, "b 3 h w"]
    posterior: Posterior
    z: Float[Tensor, "b ..."]


class VAE(nn.Module, ABC):
    """Base of all networks: `encode(x) -> Posterior`, `decode(z) -> x_hat`.

    `x` is float32 `[B, 3, size, size]`, normalised as the model's catalogue entry says. `encode_again` encodes
    a reconstruction: with the first encoder, or with one of its own where the model has it.
    """

    size: int
    second_encoder: nn.Module | None

    def __init__(self) -> None:
        super().__init__()
        self.second_encoder = None

    @abstractmethod
    def encode(self, x: Float[Tensor, "b 3 h w"]) -> Posterior:
        """Posterior of the latent given the image."""

    @abstractmethod
    def decode(self, z: Float[Tensor, "b ..."]) -> Float[Tensor, "b 3 h w"]:
        """Reconstruction given a latent, in the units of x, without an output activation."""

    def encode_again(self, x_hat: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b ..."]:
        """Posterior mean of a reconstruction, OC-FakeDect2's second encoding (Khalid & Woo 2020, section 3.3)."""
        if self.second_encoder is None:
            return self.encode(x_hat).mu
        mu: Tensor = self.second_encoder(x_hat)[0]
        return mu.float()

    def forward(
        self,
        x: Float[Tensor, "b 3 h w"],
        *,
        noise: Noise = "none",
        generator: torch.Generator | None = None,
    ) -> VAEOutput:
        """Encode, draw a latent with the given noise (none: the posterior mean), decode."""
        posterior = self.encode(x)
        z = posterior.sample(draw_noise(posterior.mu, noise, generator))
        return VAEOutput(x_hat=self.decode(z).float(), posterior=posterior, z=z)


def draw_noise(like: Tensor, noise: Noise, generator: torch.Generator | None) -> Tensor | None:
    """eps of the reparametrisation, shaped as `like`: N(0, I); or uniform in [0, 1), as published code draws it."""
    if noise == "none":
        return None
    draw = torch.randn if noise == "normal" else torch.rand
    return draw(like.shape, generator=generator, device=like.device, dtype=torch.float32)
