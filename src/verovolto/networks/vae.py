"""What all networks have in common: posterior, base class, losses (Kingma & Welling, ICLR 2014)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from verovolto.networks import Noise, Reduction


@dataclass(frozen=True, kw_only=True)
class Posterior:
    """Diagonal Gaussian q(z | x).

    Attributes:
        mu: float32 `[B, Z]` or `[B, C, h, w]`.
        logvar: logarithm of the variance, shaped as `mu`; None for a plain auto-encoder, whose posterior is a point.
    """

    mu: Float[Tensor, "b ..."]
    logvar: Float[Tensor, "b ..."] | None = None

    def sample(self, eps: Float[Tensor, "b ..."] | None) -> Float[Tensor, "b ..."]:
        """The reparametrisation `z = mu + sigma * eps` (section 2.4); the mean where `eps` is None."""
        if eps is None or self.logvar is None:
            return self.mu
        return self.mu + torch.exp(0.5 * self.logvar) * eps

    def kl_per_dimension(self) -> Float[Tensor, "b ..."]:
        r"""KL(q(z|x) || N(0, I)) of every latent dimension in nats (appendix B).

        .. math:: -\tfrac{1}{2} (1 + \log \sigma^2 - \mu^2 - \sigma^2)
        """
        if self.logvar is None:
            return torch.zeros_like(self.mu)
        return -0.5 * (1 + self.logvar - self.mu.square() - self.logvar.exp())

    def kl(self) -> Float[Tensor, " b"]:
        """KL(q(z|x) || N(0, I)) in nats, summed over the latent dimensions.

        >>> Posterior(mu=torch.tensor([[1.0, 2.0]]), logvar=torch.zeros(1, 2)).kl()
        tensor([2.5000])
        """
        return self.kl_per_dimension().flatten(1).sum(1)


@dataclass(frozen=True, kw_only=True)
class VAEOutput:
    """What one pass gives: the reconstruction in the units of x, the posterior, and the latent that was decoded."""

    x_hat: Float[Tensor, "b 3 h w"]
    posterior: Posterior
    z: Float[Tensor, "b ..."]


class VAE(nn.Module, ABC):
    """Base of all networks.

    Images are float32 `[B, 3, size, size]`, normalised as the model's registry entry says. A network whose
    `second_encoder` is None encodes reconstructions with the first.
    """

    size: int
    second_encoder: nn.Module | None
    recompute = False
    """Whether training keeps less and computes it again (`networks.recompute`); of no effect on what is learned."""

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
        share: tuple[int, int] = (0, 1),
    ) -> VAEOutput:
        """Encode, draw a latent, decode.

        Args:
            x: images.
            noise: that the latent is drawn with; none: the posterior mean.
            generator: of the noise.
            share: of a batch whose rows several processes share, `(rank, size)`: these get the noise of the whole.
        """
        posterior = self.encode(x)
        z = posterior.sample(draw_noise(posterior.mu, noise, generator, share))
        return VAEOutput(x_hat=self.decode(z).float(), posterior=posterior, z=z)


def draw_noise(
    like: Tensor, noise: Noise, generator: torch.Generator | None, share: tuple[int, int] = (0, 1)
) -> Tensor | None:
    """Noise of the reparametrisation: N(0, I), or uniform in [0, 1), as published code draws it.

    Args:
        like: what it is shaped as.
        noise: its distribution.
        generator: that it is drawn from.
        share: see `VAE.forward`.
    """
    if noise == "none":
        return None
    draw, (rank, size) = torch.randn if noise == "normal" else torch.rand, share
    shape = (len(like) * size, *like.shape[1:])
    return draw(shape, generator=generator, device=like.device, dtype=torch.float32)[rank::size]


def reconstruction_error(
    x: Float[Tensor, "b 3 h w"], x_hat: Float[Tensor, "b 3 h w"], reduction: Reduction = "sum"
) -> Float[Tensor, " b"]:
    """Squared error of each image, summed over channels and pixels (thesis, eq. 3) or their mean.

    >>> reconstruction_error(torch.ones(1, 3, 2, 2), torch.zeros(1, 3, 2, 2))
    tensor([12.])
    """
    error = (x - x_hat).square().flatten(1)
    return error.sum(1) if reduction == "sum" else error.mean(1)


def negative_elbo(
    x: Float[Tensor, "b 3 h w"], out: VAEOutput, *, beta: float = 1.0, reduction: Reduction = "sum"
) -> Float[Tensor, " b"]:
    r"""Negative evidence lower bound of each image, up to constants.

    .. math:: \beta \, \mathrm{KL}(q(z | x) \,\|\, N(0, I)) + \|x - \hat x\|^2

    Thesis, eq. 3, with the sum over latent dimensions that it omits.

    Args:
        x: the images.
        out: what the network made of them.
        beta: weight of the KL term, >= 0 (Higgins et al., ICLR 2017). At 0 the term is left out altogether: nothing
            bounds it then, and 0 times infinity is no number.
        reduction: `mean` takes means over each term's own dimensions, a much stronger weight on the KL term.

    >>> posterior = Posterior(mu=torch.full((1, 8), 2.0), logvar=torch.zeros(1, 8))
    >>> out = VAEOutput(x_hat=torch.zeros(1, 3, 2, 2), posterior=posterior, z=posterior.mu)
    >>> negative_elbo(torch.ones(1, 3, 2, 2), out), negative_elbo(torch.ones(1, 3, 2, 2), out, reduction="mean")
    (tensor([28.]), tensor([3.]))
    """
    error = reconstruction_error(x, out.x_hat, reduction)
    if beta == 0:
        return error
    kl = out.posterior.kl_per_dimension().flatten(1)
    divergence = kl.sum(1) if reduction == "sum" else kl.mean(1)
    return beta * divergence + error


def second_encoding_error(model: VAE, out: VAEOutput) -> Float[Tensor, " b"]:
    """`||sg(mu(x)) - mu2(x_hat)||^2`, summed over the latent: what trains a separate second encoder.

    The encoder loss of GANomaly (Akcay et al., ACCV 2018, eq. 3); `sg` stops the gradient into the first encoder,
    which would otherwise shrink its latent to make the task easy.
    """
    target = out.posterior.mu.detach()
    return (target - model.encode_again(out.x_hat)).square().flatten(1).sum(1)


def warmed_beta(beta: float, step: int, warmup_steps: int) -> float:
    """KL weight at a step: grows linearly from 0 to `beta` over `warmup_steps` (Bowman et al. 2016).

    >>> [warmed_beta(2.0, step, 4) for step in (0, 2, 4, 8)]
    [0.0, 1.0, 2.0, 2.0]
    """
    return beta if warmup_steps <= 0 else beta * min(1.0, step / warmup_steps)


def arithmetic(device: str, precision: str) -> AbstractContextManager[Any]:
    """Context in which a network computes in `precision`: 32, or bf16 where torch holds that to be enough."""
    return torch.autocast(device, dtype=torch.bfloat16) if precision == "bf16" else nullcontext()
