"""Train a VAE on real faces: the negative ELBO, by Adam, the epoch with the least loss on the selection reals."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset
from typing_extensions import override

from verovolto.core.errors import UnreadableImage
from verovolto.data.face_batch import Preprocessing, flip, normalise, random_bits, resize
from verovolto.data.faceset import FaceSet
from verovolto.detectors.fitting import Batch, Key, Objective, Run, TrainingData
from verovolto.detectors.registry import TrainConfig
from verovolto.detectors.vae import VAEConfig
from verovolto.detectors.vae.detector import VAEDetector
from verovolto.networks import Flips
from verovolto.networks.registry import Architecture, build, entry, network_name
from verovolto.networks.vae import (
    VAE,
    negative_elbo,
    reconstruction_error,
    second_encoding_error,
    warmed_beta,
)

_NOISE_STREAM = 0x6E6F697365  # keeps the noise apart from other draws of the same seed


def fit(config: TrainConfig, data: TrainingData, run: Run) -> VAEDetector:
    """Train the network of a resolved configuration; see `Detector.fit`."""
    options, published = _options(config), entry(config.model)
    network = architecture(config)
    model = build(network, weights=options.weights, cache=config.out / "weights")
    # Only now, that the network can be built: a wrong size or missing weights leave no run behind.
    trained = run.train(VAEObjective(model, config, data))
    metadata = run.metadata(
        weights=options.weights if published.pretrained else "from scratch", unreadable=trained.lost
    )
    return VAEDetector(
        architecture=network,
        model=model,
        preprocessing=Preprocessing(
            size=network.size, mean=published.mean, std=published.std, crop_rule=data.crop_rule
        ),
        default_score=options.score or published.score,
        beta=options.beta,
        precision=options.score_precision,
        metadata=metadata | {"unreadable": trained.unreadable},
    )


def architecture(config: TrainConfig) -> Architecture:
    """The part of a resolved configuration that fixes the network."""
    options = _options(config)
    assert options.size is not None, "the configuration is resolved"
    return Architecture(
        model=network_name(config.model), size=options.size, latent=options.latent, bottleneck=options.bottleneck,
        second_encoder=options.second_encoder,
    )  # fmt: skip


class VAEObjective(Objective):
    """The negative ELBO of real faces; of a network with two encoders the error of the second encoding, too."""

    figures = ("loss", "reconstruction", "kl")
    validated = ("val_loss", "val_rmse", "val_kl")

    def __init__(self, model: VAE, config: TrainConfig, data: TrainingData) -> None:
        self.model = self.network = model
        self.options, self.published, self.seed = _options(config), entry(config.model), config.seed
        model.recompute = self.options.recompute
        size, flips = self.options.size or 0, self.options.flips or "none"
        self.training = TrainingFaces(data.train, size=size, flips=flips, seed=config.seed)
        self.validation = TrainingFaces(data.choose, size=size, flips="none", seed=config.seed)
        self.order, self.workers = data.order or data.train, config.workers or 0

    @override
    def losses(self, batch: Batch, step: int) -> dict[str, Tensor]:
        x, options = self._input(batch), self.options
        generator = self._noise_generator(step, x.device)
        out = self.model(x, noise=options.noise, generator=generator, share=self.share)
        beta = warmed_beta(options.beta, step, options.kl_warmup)
        loss = negative_elbo(x, out, beta=beta, reduction=options.reduction).mean()
        if self.model.second_encoder is not None:
            loss = loss + second_encoding_error(self.model, out).mean()
        kl = out.posterior.kl().mean().detach()
        return {"loss": loss, "reconstruction": reconstruction_error(x, out.x_hat).mean().detach(), "kl": kl}

    @override
    def validate(self, batch: Batch) -> dict[str, Tensor | float]:
        x, options = self._input(batch), self.options
        out = self.model(x)
        loss = negative_elbo(x, out, beta=options.beta, reduction=options.reduction).mean()
        rmse = reconstruction_error(x, out.x_hat, "mean").sqrt().mean()
        return {"val_loss": loss, "val_rmse": rmse, "val_kl": out.posterior.kl().mean()}

    def _input(self, batch: Batch) -> Tensor:
        x = normalise(batch.pixels, self.published.mean, self.published.std)
        return x.contiguous(memory_format=torch.channels_last)

    def _noise_generator(self, step: int, device: torch.device) -> torch.Generator:
        """Noise is a function of seed and step, so that a resumed run draws what the unbroken one would."""
        seed = random_bits(self.seed, _NOISE_STREAM, step) >> 1
        return torch.Generator(device).manual_seed(seed)


class TrainingFaces(Dataset[Tensor | str]):
    """Resized uint8 crops `[3, size, size]`, mirrored at random; an unreadable one is its error message."""

    def __init__(self, faces: FaceSet, *, size: int, flips: Flips, seed: int) -> None:
        self.faces, self.size, self.flips, self.seed = faces, size, flips, seed

    @property
    def blocks(self) -> NDArray[np.int64]:
        """The block of the file that each row is read with."""
        return self.faces.blocks

    def __len__(self) -> int:
        return len(self.faces)

    def __getitem__(self, key: Key) -> Tensor | str:
        try:
            image = resize(self.faces.image(key.row), self.size)
        except UnreadableImage as error:
            return str(error)
        if self.flips == "none":
            return image
        bits = random_bits(self.seed, key.epoch, key.row)
        return flip(image, horizontal=bool(bits & 1), vertical=self.flips == "hv" and bool(bits & 2))


def _options(config: TrainConfig) -> VAEConfig:
    assert isinstance(config.method, VAEConfig)
    return config.method
