"""What is said of a network's stages against the network itself: every parameter once, shapes that chain."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from jaxtyping import Float
from torch import Tensor, nn

from verovolto.core.errors import InputError
from verovolto.networks.registry import Architecture, build, count_parameters
from verovolto.networks.summary import IMAGE, NetworkSummary, in_words, summarize, trace
from verovolto.networks.vae import VAE, Posterior

VARIANTS: list[dict[str, Any]] = [
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


def on_meta(arch: Architecture) -> VAE:
    with torch.device("meta"):
        return build(arch)


def check(body: NetworkSummary, network: VAE) -> None:
    """What must hold of any network."""
    for place, stage in enumerate(body.stages):
        for read in stage.reads:
            assert read < place
            assert stage.input == (body.image if read == IMAGE else body.stages[read].output)
        assert math.prod(stage.output) > 0
    named = [name for stage in body.stages for name in stage.modules]
    assert len(named) == len(set(named))
    for stage in body.stages:
        held = sum(p.numel() for name in stage.modules for p in network.get_submodule(name).parameters())
        assert stage.parameters == held
    assert body.parameters == count_parameters(network)
    assert body.of("decoder")[-1].output == body.image
    read = {place for stage in body.stages for place in stage.reads}
    ends = set(range(len(body.stages))) - read
    assert len(ends) == 1  # the reconstruction, or its second code: nothing else leads nowhere


@settings(max_examples=12)
@given(variant=st.sampled_from(VARIANTS), size=st.integers(1, 12), latent=st.integers(1, 300))
def test_stages_chain_and_hold_every_parameter_once(variant: dict[str, Any], size: int, latent: int) -> None:
    arch = Architecture.from_dict({**variant, "size": 32 * size, "latent": latent})
    body = summarize(arch)
    check(body, on_meta(arch))
    assert body.image == (3, arch.size, arch.size)
    if variant.get("bottleneck") != "spatial":
        assert body.stages[body.mu].output == body.stages[body.z].output == (latent,)


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("size", [32, 224])
def test_every_variant_is_taken_apart(variant: dict[str, Any], size: int) -> None:
    arch = Architecture.from_dict({**variant, "size": size})
    body = summarize(arch)
    check(body, on_meta(arch))
    assert all(stage.kind != "other" for stage in body.stages)


def test_the_layers_of_oc_fakedect1_are_the_published_ones() -> None:
    body = summarize(Architecture(model="oc-fakedect1", size=100))
    wanted = [
        ("encoder", "convolution 3×3, batch norm, ReLU", "16 × 100 × 100"),
        ("encoder", "convolution 3×3, stride 2, batch norm, ReLU", "32 × 50 × 50"),
        ("encoder", "convolution 3×3, batch norm, ReLU", "64 × 50 × 50"),
        ("encoder", "convolution 3×3, stride 2, batch norm, ReLU", "16 × 25 × 25"),
        ("encoder", "flatten", "10,000"),
        ("encoder", "linear, batch norm, ReLU", "1,024"),
        ("bottleneck", "μ: linear", "1,024"),
        ("bottleneck", "log σ²: linear", "1,024"),
        ("bottleneck", "z = μ + σ · ε", "1,024"),
        ("decoder", "linear, batch norm, ReLU", "1,024"),
        ("decoder", "linear, batch norm, ReLU", "10,000"),
        ("decoder", "reshape", "16 × 25 × 25"),
        ("decoder", "transposed convolution 3×3, batch norm, ReLU", "64 × 25 × 25"),
        ("decoder", "transposed convolution 3×3, stride 2, batch norm, ReLU", "32 × 50 × 50"),
        ("decoder", "transposed convolution 3×3, batch norm, ReLU", "16 × 50 × 50"),
        ("decoder", "transposed convolution 3×3, stride 2", "3 × 100 × 100"),
    ]
    assert [(stage.role, stage.layers, in_words(stage.output)) for stage in body.stages] == wanted


def test_residual_blocks_are_one_stage_each() -> None:
    body = summarize(Architecture(model="resnet-ocvae2", size=224))
    blocks = [stage for stage in body.stages if stage.kind == "residual"]
    assert [stage.output[0] for stage in blocks if stage.role == "encoder"] == [64] * 2 + [128] * 2 + [
        256
    ] * 2 + [512] * 2
    assert [stage.output[0] for stage in blocks if stage.role == "decoder"] == [512, 256, 256, 128, 128] + [
        64
    ] * 3
    assert blocks[2].layers == "residual block of 3×3 convolutions, stride 2"
    assert blocks[-8].layers == "residual block of 3×3 transposed convolutions"


@pytest.mark.parametrize(
    ("bottleneck", "before", "after"),
    [
        ("flat", "flatten", "reshape"),
        ("pooled", "linear, batch norm, ReLU", "spread over 7×7"),
        ("spatial", "", ""),
    ],
)
def test_bottlenecks_differ_in_how_maps_become_a_code(bottleneck: str, before: str, after: str) -> None:
    body = summarize(
        Architecture.from_dict({"model": "resnet-ocvae2", "size": 224, "bottleneck": bottleneck})
    )
    kinds = [stage for stage in body.stages if stage.role != "bottleneck" and stage.kind != "residual"]
    said = [stage.layers for stage in kinds]
    assert (
        (before in said and after in said)
        if before
        else said[-3:]
        == [
            "max pooling 3×3, stride 2",
            "bilinear ×2",
            "transposed convolution 7×7, stride 2",
        ]
    )


def test_an_auto_encoder_has_a_code_and_no_noise() -> None:
    body = summarize(Architecture(model="oc-ae", size=32))
    assert body.logvar is None and body.z == body.mu
    assert not [stage for stage in body.stages if stage.kind == "sampling"]


def test_mu_and_logvar_read_the_same_and_z_reads_both() -> None:
    body = summarize(Architecture(model="resnet-ocvae1", size=64))
    assert body.logvar is not None
    assert body.stages[body.mu].reads == body.stages[body.logvar].reads
    assert set(body.stages[body.z].reads) == {body.mu, body.logvar}


def test_only_a_separate_second_encoder_is_a_part_of_its_own() -> None:
    shared = summarize(Architecture(model="oc-fakedect2", size=32))
    apart = summarize(Architecture(model="oc-fakedect2", size=32, second_encoder="separate"))
    assert shared.of("second encoder") == []
    second = apart.of("second encoder")
    assert second[-1].modules == ("second_encoder.mu",)
    assert apart.stages[second[0].reads[0]] == apart.of("decoder")[-1]
    assert apart.parameters - shared.parameters == sum(stage.parameters for stage in second)


def test_the_network_is_left_as_it_was() -> None:
    network = build(Architecture(model="oc-fakedect1", size=8, latent=4)).train()
    network.encoder.eval()
    modes = {name: module.training for name, module in network.named_modules()}
    before = {name: value.clone() for name, value in network.state_dict().items()}
    check(trace(network), network)
    assert {name: module.training for name, module in network.named_modules()} == modes
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in network.modules())


def test_hooks_go_where_a_network_fails_too() -> None:
    class Failing(Small):
        def decode(self, z: Float[Tensor, "b z"]) -> Float[Tensor, "b 3 h w"]:
            raise RuntimeError("broken")

    network = Failing().train()
    with pytest.raises(RuntimeError, match="broken"):
        trace(network)
    assert network.training and not any(module._forward_hooks for module in network.modules())


class Small(VAE):
    """A network of layers that the catalogue's have not: one layer used twice, a skip, an unknown operation."""

    def __init__(self) -> None:
        super().__init__()
        self.size = 4
        self.mix = nn.Conv2d(3, 3, 1)
        self.code = nn.Linear(48, 48)

    def encode(self, x: Float[Tensor, "b 3 h w"]) -> Posterior:
        h = self.mix(x)
        return Posterior(mu=self.code(torch.flip(self.mix(h) + h, (2,)).flatten(1)))

    def decode(self, z: Float[Tensor, "b z"]) -> Float[Tensor, "b 3 h w"]:
        return torch.tanh(z).unflatten(1, (3, 4, 4))


def test_shared_layers_count_once_and_skips_are_followed() -> None:
    network = Small()
    body = trace(network)
    assert body.parameters == count_parameters(network)
    first, second, both = body.stages[:3]
    assert (first.parameters, second.parameters) == (12, 0)
    assert second.reads == (0,) and both.reads == (1, 0)
    assert "add" in both.layers


def test_a_latent_that_cannot_be_followed_is_an_error() -> None:
    class Torn(Small):
        def encode(self, x: Float[Tensor, "b 3 h w"]) -> Posterior:
            mu, logvar = self.code(self.mix(x).flatten(1)).chunk(2, 1)
            return Posterior(mu=mu, logvar=logvar)

    with pytest.raises(ValueError, match="cannot be followed"):
        trace(Torn())


def test_no_such_network_is_an_error() -> None:
    with pytest.raises(InputError, match="size 50"):
        summarize(Architecture(model="resnet-ocvae1", size=50))
