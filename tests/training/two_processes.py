"""Train a network without batch norm, whose steps are the same however many processes take them.

python -m torch.distributed.run --standalone --nproc-per-node 2 -m tests.training.two_processes FACES OUT
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from verovolto.detectors.vae import fit as vae_fit
from verovolto.networks.vae import VAE, Posterior
from verovolto.training.config import configure
from verovolto.training.fit import run


class Plain(VAE):
    """Linear, 8 pixels a side, 4 latent dimensions."""

    def __init__(self) -> None:
        super().__init__()
        self.size = 8
        self.encoder, self.decoder = nn.Linear(3 * 64, 8), nn.Linear(4, 3 * 64)

    def encode(self, x: Tensor) -> Posterior:
        mu, logvar = self.encoder(x.flatten(1)).chunk(2, dim=1)
        return Posterior(mu=mu, logvar=logvar)

    def decode(self, z: Tensor) -> Tensor:
        decoded: Tensor = self.decoder(z)
        return decoded.unflatten(1, (3, 8, 8))


def train(faces: Path, out: Path, **changes: Any) -> Path:
    """Two epochs of three steps, and their detector."""
    vae_fit.build = lambda *_, **__: Plain()  # type: ignore[assignment]
    torch.manual_seed(0)
    given: dict[str, Any] = {"size": 8, "latent": 4, "epochs": 2, "batch_size": 8, "threads": 1, "seed": 3,
                             "precision": "32", "device": "cpu", "workers": 0, "checkpoint_steps": 2}  # fmt: skip
    return run(configure(model="oc-fakedect1", data=faces, out=out, **{**given, **changes}))


if __name__ == "__main__":
    train(Path(sys.argv[1]), Path(sys.argv[2]))
