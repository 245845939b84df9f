"""The LightningModule: one network, the negative ELBO, Adam."""

from __future__ import annotations

import math
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor

from verovolto.core.errors import DataError, Diverged
from verovolto.data.transforms import normalise, random_bits
from verovolto.networks.registry import entry
from verovolto.networks.vae import (
    VAE,
    negative_elbo,
    reconstruction_error,
    second_encoding_error,
    warmed_beta,
)
from verovolto.training.config import TrainConfig
from verovolto.training.loader import Batch

_NOISE_STREAM = 0x6E6F697365  # keeps the noise apart from other draws of the same seed
_FEWEST = 2  # batch norm cannot learn from one image


class OneClassModule(pl.LightningModule):
    """Trains a VAE on real faces.

    `config` is resolved (see `training.config.resolve`); `n_images` is how many faces, to train and to choose
    on, the share of unreadable ones is reckoned of.
    """

    def __init__(self, model: VAE, config: TrainConfig, *, n_images: int) -> None:
        super().__init__()
        self.model: VAE = model.to(memory_format=torch.channels_last)
        self.config = config
        self.known = entry(config.model)
        self.n_images = n_images
        self.unreadable: set[str] = set()

    def training_step(self, batch: Batch, _index: int) -> dict[str, Tensor] | None:
        self._count(batch)
        if len(batch.pixels) < _FEWEST:
            return None
        x = self._input(batch)
        config, step = self.config, self.global_step
        out = self.model(x, noise=config.noise, generator=self._noise_generator(step))
        beta = warmed_beta(config.beta, step, config.kl_warmup)
        loss = negative_elbo(x, out, beta=beta, reduction=config.reduction).mean()
        if self.model.second_encoder is not None:
            loss = loss + second_encoding_error(self.model, out).mean()
        self._check_finite(loss)
        self.log("loss", loss, prog_bar=False)
        kl = out.posterior.kl().mean().detach()
        return {"loss": loss, "reconstruction": reconstruction_error(x, out.x_hat).mean().detach(), "kl": kl}

    def validation_step(self, batch: Batch, _index: int) -> None:
        self._count(batch)
        if not len(batch.pixels):
            return
        x = self._input(batch)
        out = self.model(x)
        n = len(x)
        loss = negative_elbo(x, out, beta=self.config.beta, reduction=self.config.reduction).mean()
        rmse = reconstruction_error(x, out.x_hat, "mean").sqrt().mean()
        self.log_dict({"val_loss": loss, "val_rmse": rmse, "val_kl": out.posterior.kl().mean()}, batch_size=n)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        lr = self.config.lr
        assert lr is not None, "the configuration is resolved"
        return torch.optim.Adam(self.parameters(), lr=lr, weight_decay=self.config.weight_decay, fused=True)

    def configure_gradient_clipping(self, *_args: Any, **_options: Any) -> None:
        # Lightning refuses to clip for a fused optimiser, which is only unsafe with a gradient scaler; bf16 has none.
        if self.config.clip_norm > 0:
            torch.nn.utils.clip_grad_norm_(self.parameters(), self.config.clip_norm)

    def _input(self, batch: Batch) -> Tensor:
        x = normalise(batch.pixels, self.known.mean, self.known.std)
        return x.contiguous(memory_format=torch.channels_last)

    def _noise_generator(self, step: int) -> torch.Generator:
        """Noise is a function of seed and step, so that a resumed run draws what the unbroken one would."""
        seed = random_bits(self.config.seed, _NOISE_STREAM, step) >> 1
        return torch.Generator(self.device).manual_seed(seed)

    def _check_finite(self, loss: Tensor) -> None:
        if not math.isfinite(loss.item()):
            config = self.config
            raise Diverged(
                f"the loss is {loss.item()} at epoch {self.current_epoch}, step {self.global_step}; the last good "
                f"state is in {config.out}/checkpoints",
                hint=f"try --lr below {config.lr:g}, --clip-norm, --kl-warmup or --precision 32",
            )

    def _count(self, batch: Batch) -> None:
        """Unreadable images are named once and left out, until they are more than the stated share of all."""
        for message in batch.unreadable:
            if message not in self.unreadable:
                self.print(f"skipped: {message}")
        self.unreadable.update(batch.unreadable)
        if len(self.unreadable) > self.config.max_unreadable * self.n_images:
            raise DataError(
                f"{len(self.unreadable)} of {self.n_images} images cannot be read, more than the allowed share of "
                f"{self.config.max_unreadable:g}; one of them: {min(self.unreadable)}",
                hint="mend the data, or raise --max-unreadable",
            )
