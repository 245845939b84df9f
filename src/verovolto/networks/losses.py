"""Training objectives: pure functions of a network's output."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from verovolto.networks.choices import Reduction
from verovolto.networks.vae import VAE, VAEOutput


def reconstruction_error(
    x: Float[Tensor, "b 3 h w"], x_hat: Float[Tensor, "b 3 h w"], reduction: Reduction = "sum"
) -> Float[Tensor, " b"]:
    """Squared error of each image: summed over channels and pixels (thesis, eq. 3) or their mean."""
    error = (x - x_hat).square().flatten(1)
    return error.sum(1) if reduction == "sum" else error.mean(1)


def negative_elbo(
    x: Float[Tensor, "b 3 h w"], out: VAEOutput, *, beta: float = 1.0, reduction: Reduction = "sum"
) -> Float[Tensor, " b"]:
    """Negative evidence lower bound of each image, up to constants: `beta * KL + squared error`.

    Thesis eq. 3 with the sum over latent dimensions that it omits; `beta` as in Higgins et al. 2017. With
    `reduction="mean"` both terms are means over their own dimensions, a much stronger weight on the KL term. At
    `beta=0` the KL is left out altogether: nothing bounds it then, and 0 times infinity is no number.
    """
    error = reconstruction_error(x, out.x_hat, reduction)
    if beta == 0:
        return error
    kl = out.posterior.kl_per_dimension().flatten(1)
    divergence = kl.sum(1) if reduction == "sum" else kl.mean(1)
    return beta * divergence + error


def second_encoding_error(model: VAE, out: VAEOutput) -> Float[Tensor, " b"]:
    """`||sg(mu(x)) - mu2(x_hat)||^2`, summed over the latent: what trains a separate second encoder.

    As the encoder loss of GANomaly (Akcay et al. 2018, eq. 3); `sg` stops the gradient into the first encoder,
    which would otherwise shrink its latent to make the task easy.
    """
    target = out.posterior.mu.detach()
    return (target - model.encode_again(out.x_hat)).square().flatten(1).sum(1)


def warmed_beta(beta: float, step: int, warmup_steps: int) -> float:
    """KL weight at a step: grows linearly from 0 to `beta` over `warmup_steps` (Bowman et al. 2016)."""
    return beta if warmup_steps <= 0 else beta * min(1.0, step / warmup_steps)
