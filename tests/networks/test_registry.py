"""The networks against the published layer tables."""

from __future__ import annotations

from typing import Any, get_args

import pytest
import torch

from verovolto.core.errors import InputError
from verovolto.networks import ModelName
from verovolto.networks.oc_fakedect import OCFakeDect
from verovolto.networks.registry import (
    NETWORKS,
    Architecture,
    build,
    count_parameters,
    entry,
    shares_network,
)
from verovolto.networks.resnet_ocvae1 import ResNetOCVAE1
from verovolto.networks.resnet_ocvae2 import ResNetOCVAE2

VARIANTS = [
    {"model": "oc-ae"},
    {"model": "oc-fakedect1"},
    {"model": "oc-fakedect2"},
    {"model": "oc-fakedect2", "second_encoder": "separate"},
    {"model": "resnet-ocvae1"},
    {"model": "resnet-ocvae2"},
    {"model": "resnet-ocvae2", "bottleneck": "spatial"},
    {"model": "resnet-ocvae2", "bottleneck": "pooled"},
    {"model": "resnet-ocvae-latent"},
    {"model": "resnet-ocvae1-flat"},
    {"model": "lite0-ocvae"},
]


def test_the_catalogue_lists_every_name() -> None:
    assert set(NETWORKS) == set(get_args(ModelName))


@pytest.mark.parametrize(
    ("given", "parameters"),
    [
        ({"model": "oc-fakedect1", "size": 100}, 23_729_776),
        ({"model": "oc-fakedect2", "size": 100}, 23_729_776),
        ({"model": "resnet-ocvae1", "size": 224}, 13_895_827),
        ({"model": "resnet-ocvae2", "size": 224}, 41_644_288),
        ({"model": "resnet-ocvae2", "size": 224, "bottleneck": "spatial"}, 22_876_416),
        ({"model": "resnet-ocvae-latent", "size": 224}, 41_644_288),
        # As resnet-ocvae1 (13,895,827) with 25,088 inputs to mu and logvar instead of 512-1024-768 and 768.
        (
            {"model": "resnet-ocvae1-flat", "size": 224},
            13_895_827 - (512 + 768 + 3) * 1024 - 3 * 768 + 2 * 256 * (25_088 - 768),
        ),
        # As resnet-ocvae1 with Lite0's trunk (4,652,008 less a classifier of 1280 x 1000 weights and 1000 biases)
        # instead of ResNet-18's (11,689,512 less one of 512 x 1000), and 1280 channels to pool instead of 512.
        (
            {"model": "lite0-ocvae", "size": 224},
            13_895_827 - (11_689_512 - 513_000) + (4_652_008 - 1_281_000) + (1280 - 512) * 1024,
        ),
        # OC-AE: OC-FakeDect1 less the logvar head of 1024 x 1024 weights and 1024 biases.
        ({"model": "oc-ae", "size": 100}, 23_729_776 - 1024 * 1025),
    ],
)
def test_parameters_at_published_sizes(given: dict[str, Any], parameters: int) -> None:
    with torch.device("meta"):
        assert count_parameters(build(Architecture.from_dict(given))) == parameters


@pytest.mark.parametrize("given", VARIANTS)
@pytest.mark.parametrize("size", [32, 96])
def test_reconstructions_have_the_size_of_the_input(given: dict[str, Any], size: int) -> None:
    model = build(Architecture.from_dict({**given, "size": size, "latent": 6})).eval()
    x = torch.randn(2, 3, size, size)
    with torch.inference_mode():
        out = model(x)
        again = model.encode_again(out.x_hat)
    assert out.x_hat.shape == x.shape and out.x_hat.dtype == torch.float32
    assert again.shape == out.posterior.mu.shape
    assert (out.posterior.logvar is None) == (given["model"] == "oc-ae")


@pytest.mark.parametrize("given", VARIANTS)
def test_every_parameter_gets_a_gradient(given: dict[str, Any]) -> None:
    from verovolto.networks.vae import negative_elbo, second_encoding_error

    model = build(Architecture.from_dict({**given, "size": 32, "latent": 6}))
    x = torch.randn(4, 3, 32, 32)
    out = model(x, noise="normal", generator=torch.Generator().manual_seed(0))
    loss = negative_elbo(x, out).mean()
    if model.second_encoder is not None:
        loss = loss + second_encoding_error(model, out).mean()
    loss.backward()
    without = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    # A bias before a batch norm is cancelled by it: its gradient is zero but for rounding.
    assert [name for name in without if not name.endswith("bias")] == []


@pytest.mark.parametrize(
    ("given", "size"),
    [
        ({"model": "resnet-ocvae1"}, 100),
        ({"model": "resnet-ocvae2"}, 16),
        ({"model": "resnet-ocvae1-flat"}, 48),
        ({"model": "lite0-ocvae"}, 100),
        ({"model": "oc-ae"}, 30),
        ({"model": "oc-ae"}, 4),
    ],
)
def test_a_size_that_does_not_fit_is_refused(given: dict[str, Any], size: int) -> None:
    with pytest.raises(InputError, match=f"size {size} does not fit"):
        build(Architecture.from_dict({**given, "size": size}))


def test_unknown_names_are_refused_with_the_list() -> None:
    with pytest.raises(InputError, match="resnet-ocvae2"):
        entry("resnet")


def test_shapes_of_the_layer_tables() -> None:
    """Feature maps at the published sizes, as the tables state them."""
    with torch.device("meta"):
        oc, one, two = OCFakeDect(), ResNetOCVAE1(), ResNetOCVAE2()
        x = torch.empty(2, 3, 100, 100)
        assert oc.encoder.features(x).shape == (2, 16, 25, 25)
        y = torch.empty(2, 3, 224, 224)
        assert one.features(y).shape == (2, 512, 7, 7)
        assert one.decoder(torch.empty(2, 64, 4, 4)).shape == (2, 3, 39, 39)
        shapes = []
        h = torch.empty(2, 512, 7, 7)
        for block in two.decoder:
            h = block(h)
            shapes.append(tuple(h.shape[1:]))
    assert shapes == [
        (512, 7, 7), (256, 14, 14), (256, 14, 14), (128, 28, 28), (128, 28, 28), (64, 56, 56), (64, 56, 56),
        (64, 56, 56),
    ]  # fmt: skip


@pytest.mark.parametrize("name", ["oc-fakedect1", "resnet-ocvae1", "resnet-ocvae2"])
def test_the_output_is_linear(name: str) -> None:
    """Normalised pixels are negative half of the time; an activation at the end could not follow.

    Nothing comes after the last layer but resizing: with its sign turned, the reconstruction's is.
    """
    model = build(Architecture.from_dict({"model": name, "size": 32, "latent": 6})).eval()
    last = [module for module in model.modules() if isinstance(module, torch.nn.ConvTranspose2d)][-1]
    x = torch.randn(4, 3, 32, 32)
    with torch.inference_mode():
        before = model(x).x_hat
        for parameter in last.parameters():
            parameter.neg_()
        torch.testing.assert_close(model(x).x_hat, -before)
    assert before.abs().max() > 0


def test_twins_share_their_network_only_with_a_shared_encoder() -> None:
    assert shares_network(Architecture(model="oc-fakedect2", size=100))
    assert shares_network(Architecture(model="resnet-ocvae-latent", size=64))
    assert not shares_network(Architecture(model="oc-fakedect2", size=100, second_encoder="separate"))
    assert not shares_network(Architecture(model="resnet-ocvae2", size=64))
