"""Networks that keep less and compute it again learn the same, bit for bit."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from verovolto.networks.recompute import kept_statistics
from verovolto.networks.resnet_ocvae2 import ResNetOCVAE2
from verovolto.networks.vae import arithmetic, negative_elbo


def learn(precision: str, *, recompute: bool) -> tuple[dict[str, Tensor], int]:
    """Weights and statistics after two steps, and the bytes that the first kept for its gradient."""
    torch.manual_seed(0)
    net = ResNetOCVAE2(size=32, latent=4).train()
    net.recompute = recompute
    optimiser, kept = torch.optim.SGD(net.parameters(), lr=1e-6), 0

    def keep(tensor: Tensor) -> Tensor:
        nonlocal kept
        kept += tensor.numel() * tensor.element_size()
        return tensor

    for step in range(2):
        x = torch.randn(3, 3, 32, 32, generator=torch.Generator().manual_seed(step))
        with (
            torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor),
            arithmetic("cpu", precision),
        ):
            out = net(x, noise="normal", generator=torch.Generator().manual_seed(step))
            loss = negative_elbo(x, out).mean()
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    gradients = {f"{name}.grad": value.grad for name, value in net.named_parameters()}
    return net.state_dict() | gradients, kept // 2  # type: ignore[return-value]


@pytest.mark.parametrize("precision", ["32", "bf16"])
def test_weights_statistics_and_gradients_are_the_same(precision: str) -> None:
    plain, kept = learn(precision, recompute=False)
    again, kept_again = learn(precision, recompute=True)
    assert plain.keys() == again.keys()
    assert all(torch.equal(plain[name], again[name]) for name in plain)
    assert plain["features.0.1.num_batches_tracked"] == 2
    assert kept_again < kept / 2


def test_statistics_are_kept_also_after_an_error() -> None:
    norm = nn.BatchNorm2d(2, momentum=0.3).train()
    before: dict[str, Any] = {name: value.clone() for name, value in norm.state_dict().items()}
    with pytest.raises(ZeroDivisionError), kept_statistics(nn.Sequential(norm)):
        norm(torch.randn(3, 2, 4, 4))
        raise ZeroDivisionError
    assert norm.momentum == 0.3 and all(torch.equal(before[k], v) for k, v in norm.state_dict().items())
    norm(torch.randn(3, 2, 4, 4))
    assert norm.num_batches_tracked == 1
