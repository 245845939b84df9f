"""Properties of posterior, noise and losses, in float64 where the mathematics is."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.distributions import Normal, kl_divergence

from verovolto.networks.oc_fakedect import OCFakeDect
from verovolto.networks.vae import (
    Posterior,
    VAEOutput,
    draw_noise,
    negative_elbo,
    reconstruction_error,
    second_encoding_error,
    warmed_beta,
)

SEEDS = st.integers(0, 2**31)


def _posterior(seed: int, dims: int = 5) -> Posterior:
    generator = torch.Generator().manual_seed(seed)
    mu, logvar = torch.randn(2, 3, dims, generator=generator, dtype=torch.float64)
    return Posterior(mu=mu, logvar=logvar)


@given(SEEDS)
def test_kl_is_that_of_two_gaussians(seed: int) -> None:
    q = _posterior(seed)
    assert q.logvar is not None
    want = kl_divergence(Normal(q.mu, (0.5 * q.logvar).exp()), Normal(0.0, 1.0)).sum(1)
    torch.testing.assert_close(q.kl(), want)
    assert (q.kl() >= 0).all()


def test_kl_of_the_prior_is_zero() -> None:
    zeros = torch.zeros(2, 4, dtype=torch.float64)
    assert Posterior(mu=zeros, logvar=zeros).kl().abs().max() == 0


def test_a_plain_auto_encoder_has_no_kl_and_no_noise() -> None:
    point = Posterior(mu=torch.ones(2, 4))
    assert point.kl().eq(0).all()
    assert point.sample(torch.randn(2, 4)) is point.mu


@given(SEEDS)
def test_sampling_is_the_reparametrisation(seed: int) -> None:
    q = _posterior(seed)
    assert q.logvar is not None
    eps = torch.randn(3, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    torch.testing.assert_close(q.sample(eps), q.mu + q.logvar.exp().sqrt() * eps)
    assert torch.equal(q.sample(None), q.mu)


def test_noise_has_the_moments_of_its_kind_and_follows_its_generator() -> None:
    like = torch.empty(200, 500)
    normal = draw_noise(like, "normal", torch.Generator().manual_seed(1))
    uniform = draw_noise(like, "uniform", torch.Generator().manual_seed(1))
    assert normal is not None and uniform is not None
    assert abs(normal.mean()) < 0.02 and abs(normal.std() - 1) < 0.02
    assert uniform.min() >= 0 and uniform.max() < 1 and abs(uniform.mean() - 0.5) < 0.01
    assert torch.equal(normal, draw_noise(like, "normal", torch.Generator().manual_seed(1)))
    assert draw_noise(like, "none", None) is None


@given(SEEDS, st.floats(0, 10))
def test_negative_elbo_is_kl_plus_squared_error(seed: int, beta: float) -> None:
    generator = torch.Generator().manual_seed(seed)
    x, x_hat = torch.randn(2, 3, 3, 4, 4, generator=generator, dtype=torch.float64)
    q = _posterior(seed)
    out = VAEOutput(x_hat=x_hat, posterior=q, z=q.mu)
    squares = (x - x_hat).square().sum((1, 2, 3))
    torch.testing.assert_close(negative_elbo(x, out, beta=beta), beta * q.kl() + squares)
    mean = negative_elbo(x, out, beta=beta, reduction="mean")
    torch.testing.assert_close(mean, beta * q.kl() / 5 + squares / 48)
    torch.testing.assert_close(reconstruction_error(x, x_hat), squares)


def test_without_weight_an_infinite_kl_is_left_out() -> None:
    x, x_hat = torch.zeros(2, 3, 4, 4), torch.ones(2, 3, 4, 4)
    mu = torch.zeros(2, 5, requires_grad=True)
    out = VAEOutput(x_hat=x_hat, posterior=Posterior(mu=mu, logvar=torch.full((2, 5), 200.0)), z=mu)
    assert torch.isinf(out.posterior.kl()).all()
    torch.testing.assert_close(negative_elbo(x, out, beta=0.0), torch.full((2,), 48.0))


@pytest.mark.parametrize(("step", "want"), [(0, 0.0), (50, 1.0), (100, 2.0), (1000, 2.0)])
def test_beta_warms_up(step: int, want: float) -> None:
    assert warmed_beta(2.0, step, 100) == want
    assert warmed_beta(2.0, step, 0) == 2.0


def test_the_second_encoder_learns_without_moving_the_first_through_its_target() -> None:
    model = OCFakeDect(size=8, latent=4, separate_encoder=True).eval()
    x = torch.randn(3, 3, 8, 8)
    posterior = model.encode(x)
    fixed = VAEOutput(x_hat=x.clone(), posterior=posterior, z=posterior.mu)
    second_encoding_error(model, fixed).mean().backward()
    first = model.encoder.mu.weight.grad
    assert first is None or first.abs().sum() == 0
    assert model.second_encoder is not None
    assert model.second_encoder.mu.weight.grad.abs().sum() > 0
