"""The network with two heads: shapes, one encoder for both, and losses that mean what they say."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from verovolto.core.errors import InputError
from verovolto.experimental.blend.detector import BlendVAE, blend_map_error, pooled_logit, ranking_error
from verovolto.networks.resnet_ocvae2 import ResNetOCVAE2
from verovolto.networks.vae import reconstruction_error


@pytest.fixture(scope="module")
def model() -> BlendVAE:
    torch.manual_seed(0)
    return BlendVAE(size=64, latent=8).eval()


def test_shapes_of_both_heads(model: BlendVAE) -> None:
    x = torch.randn(3, 3, 64, 64)
    stages = model.stages(x)
    assert [tuple(each.shape[1:]) for each in stages] == [(64, 16, 16), (128, 8, 8), (256, 4, 4), (512, 2, 2)]
    assert model.blend_logits(x).shape == (3, 16, 16)
    assert model(x).x_hat.shape == x.shape and model.posterior(stages).mu.shape == (3, 8)


def test_it_is_a_resnet_ocvae2_with_a_light_head(model: BlendVAE) -> None:
    plain = ResNetOCVAE2(size=64, latent=8).eval()
    own = model.state_dict()
    plain.load_state_dict({name: own[name] for name in plain.state_dict()})
    x = torch.randn(2, 3, 64, 64)
    torch.testing.assert_close(plain(x).x_hat, model(x).x_hat)
    assert {name.partition(".")[0] for name in set(own) - set(plain.state_dict())} == {"blend"}
    assert sum(p.numel() for p in model.blend.parameters()) < 200_000


@pytest.mark.parametrize("bottleneck", ["flat", "spatial", "pooled"])
def test_every_bottleneck_gives_the_posterior_that_encode_gives(bottleneck: str) -> None:
    model = BlendVAE(size=32, latent=8, bottleneck=bottleneck).eval()  # type: ignore[arg-type]
    x = torch.randn(2, 3, 32, 32)
    one, other = model.encode(x), model.posterior(model.stages(x))
    torch.testing.assert_close(one.mu, other.mu)
    assert one.logvar is not None and other.logvar is not None
    torch.testing.assert_close(one.logvar, other.logvar)


def test_each_loss_reaches_the_shared_encoder_and_not_the_other_head() -> None:
    model, x = BlendVAE(size=32, latent=8), torch.rand(4, 3, 32, 32)

    def trained(loss: torch.Tensor) -> set[str]:
        model.zero_grad(set_to_none=True)
        loss.backward()
        named = model.named_parameters()
        return {
            name.partition(".")[0] for name, p in named if p.grad is not None and bool((p.grad != 0).any())
        }

    logits = model.blend_logits(x)
    both = (
        blend_map_error(logits, torch.rand(4, 8, 8)).mean()
        + ranking_error(pooled_logit(logits)[:2], pooled_logit(logits)[2:]).mean()
    )
    assert trained(both) == {"features", "blend"}
    stages = model.stages(x)
    x_hat = model.decode(model.posterior(stages).mu)
    assert trained(reconstruction_error(x, x_hat).mean()) == {
        "features",
        "bottleneck",
        "decoder",
        "to_pixels",
    }


@given(logits=st.lists(st.floats(-20, 20), min_size=16, max_size=16), shift=st.floats(-5, 5))
def test_the_pooled_logit_lies_between_mean_and_largest(logits: list[float], shift: float) -> None:
    places = torch.tensor(logits, dtype=torch.float32).view(1, 4, 4)
    pooled = float(pooled_logit(places))
    assert float(places.mean()) - 1e-3 <= pooled <= float(places.max()) + 1e-3
    assert pooled >= float(places.max()) - math.log(16) - 1e-3
    assert float(pooled_logit(places + shift)) == pytest.approx(pooled + shift, abs=1e-3)


def test_the_errors_of_known_maps() -> None:
    sure, mask = torch.full((1, 2, 2), 30.0), torch.ones(1, 2, 2)
    assert float(blend_map_error(sure, mask)) == pytest.approx(0, abs=1e-6)
    assert float(blend_map_error(sure, 0 * mask)) == pytest.approx(30)
    assert float(blend_map_error(0 * sure, mask / 3)) == pytest.approx(math.log(2))
    real, fake = torch.tensor([0.0, 2.0]), torch.tensor([0.0, -1.0])
    assert ranking_error(real, fake).tolist() == pytest.approx([math.log(2), math.log(1 + math.exp(3))])


def test_a_size_that_does_not_fit_is_refused() -> None:
    with pytest.raises(InputError, match="multiple of 32"):
        BlendVAE(size=100)
