"""The fast linear layer gives what torch's gives."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from verovolto.networks import linear
from verovolto.networks.linear import FrozenLinear


@pytest.mark.parametrize("shape", [(7,), (3, 7), (2, 5, 7), (0, 7)])
@pytest.mark.parametrize("bias", [True, False])
def test_it_is_a_linear_layer(shape: tuple[int, ...], bias: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    layer = FrozenLinear(7, 4, bias=bias).requires_grad_(False)
    x = torch.randn(shape)
    expected = nn.functional.linear(x, layer.weight, layer.bias)
    torch.testing.assert_close(layer(x), expected, atol=1e-6, rtol=1e-6)
    part = x.mT.contiguous().mT if x.ndim > 1 else x  # not contiguous
    torch.testing.assert_close(layer(part), expected, atol=1e-6, rtol=1e-6)
    monkeypatch.setattr(linear, "_ONEDNN", None)
    assert torch.equal(layer(x), expected)


def test_what_it_cannot_do_is_left_to_torch() -> None:
    layer = FrozenLinear(3, 2)
    layer(torch.ones(1, 3)).sum().backward()
    assert layer.weight.grad is not None
    wide = FrozenLinear(3, 2).double().requires_grad_(False)
    assert wide(torch.ones(1, 3, dtype=torch.float64)).dtype == torch.float64
