"""A linear layer of a frozen network, by the fastest product of matrices that torch has on this CPU."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from typing_extensions import override

_ONEDNN: Any = getattr(torch.ops.mkldnn, "_linear_pointwise", None) if hasattr(torch.ops, "mkldnn") else None
"""What torch's own compiler puts in the place of linear layers: oneDNN's product."""


class FrozenLinear(nn.Linear):
    """As `nn.Linear`, without gradients.

    On CPUs `nn.Linear` calls MKL, which uses half of what processors of other makers than Intel can do: 105 of 235
    GFLOP/s a core of an EPYC with AVX-512. What comes out differs in the last digits.
    """

    @override
    def forward(self, input: Float[Tensor, "*b i"]) -> Float[Tensor, "*b o"]:
        """`input @ weight.T + bias`."""
        if (
            _ONEDNN is None
            or input.device.type != "cpu"
            or input.dtype != torch.float32
            or self.weight.requires_grad
            or torch.compiler.is_compiling()
            or torch.is_autocast_enabled("cpu")
            or not input.numel()
        ):
            return super().forward(input)
        product: Tensor = _ONEDNN(input, self.weight, self.bias, "none", [], "")
        return product
