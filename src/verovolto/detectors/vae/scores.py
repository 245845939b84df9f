"""The scores of a VAE: pure functions, higher = more likely fake."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from verovolto.networks.vae import VAE, VAEOutput, negative_elbo

VAE_SCORES = ("rmse", "mse", "rmse_unit", "latent", "kl", "elbo")


def vae_scores(
    model: VAE, x: Float[Tensor, "b 3 h w"], out: VAEOutput, *, std: Sequence[float], beta: float
) -> dict[str, Float[Tensor, " b"]]:
    """All scores of a batch, given one deterministic pass (`z` = posterior mean).

    - `rmse`: sqrt of the mean squared error over channels and pixels, in normalised units (thesis, eq. 5);
    - `mse`: its square; `rmse_unit`: the same error in [0, 1] pixel units;
    - `latent`: RMSE over latent dimensions between mu(x) and mu(x_hat), encoded again (thesis, eq. 6);
    - `kl`: KL(q(z|x) || N(0, I)) in nats; `elbo`: the negative ELBO, `beta * kl +` summed squared error.
    """
    error = (x - out.x_hat).square()
    mse = error.flatten(1).mean(1)
    unit = error * torch.tensor(std, device=x.device).view(1, 3, 1, 1).square()
    latent = (out.posterior.mu - model.encode_again(out.x_hat)).square().flatten(1).mean(1).sqrt()
    columns = {
        "rmse": mse.sqrt(),
        "mse": mse,
        "rmse_unit": unit.flatten(1).mean(1).sqrt(),
        "latent": latent,
        "kl": out.posterior.kl(),
        "elbo": negative_elbo(x, out, beta=beta),
    }
    return {name: values.float() for name, values in columns.items()}
