"""Training in less memory: what lies within a block is forgotten, and computed again for the gradient.

Chen et al., "Training Deep Nets with Sublinear Memory Cost", 2016 (arXiv:1604.06174). The second computation has the
same inputs and weights as the first, so that gradients are the same, bit for bit.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager, nullcontext

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.checkpoint import checkpoint


def through(
    blocks: Iterable[nn.Module], x: Float[Tensor, "b ..."], *, recompute: bool
) -> Float[Tensor, "b ..."]:
    """What the blocks, one after the other, make of `x`; with `recompute`, only what lies between them is kept."""
    for block in blocks:
        x = _recomputed(block, x) if recompute and torch.is_grad_enabled() else block(x)
    return x


def _recomputed(block: nn.Module, x: Tensor) -> Tensor:
    out: Tensor = checkpoint(
        block,
        x,
        use_reentrant=False,
        preserve_rng_state=False,  # nothing in the networks is drawn at random
        context_fn=lambda: (nullcontext(), kept_statistics(block)),
    )
    return out


@contextmanager
def kept_statistics(block: nn.Module) -> Iterator[None]:
    """Batch norm's running statistics stay as they are: the first computation has counted the batch."""
    norms = [module for module in block.modules() if isinstance(module, _BatchNorm)]
    before = [(norm.momentum, norm.num_batches_tracked) for norm in norms]
    for norm in norms:
        norm.momentum, norm.num_batches_tracked = 0.0, None
    try:
        yield
    finally:
        for norm, (momentum, counted) in zip(norms, before, strict=True):
            norm.momentum, norm.num_batches_tracked = momentum, counted
