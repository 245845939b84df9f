"""One training run: its folder, its resume, its detector.

The folder holds `config.toml` (resolved), `run.json` (versions, fingerprint of the data, what was left out),
`metrics.csv`, `tensorboard/`, `checkpoints/` (`last.ckpt` to resume from, `best.ckpt` by the loss on the
`choose` reals, one of every N epochs) and, once finished, `detector/`.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback, EarlyStopping
from pytorch_lightning.loggers import TensorBoardLogger

from verovolto.core.files import check_out
from verovolto.data.faceset import FaceSet
from verovolto.detectors.calibrate import calibrated
from verovolto.detectors.io import JSON_NAME
from verovolto.detectors.vae.detector import VAEDetector
from verovolto.features.preprocessing import Preprocessing
from verovolto.networks.registry import Architecture, build, entry, network_name
from verovolto.networks.vae import VAE
from verovolto.training.callbacks import Checkpoint, CsvLog, ProgressBar, SaveLast, SkipDone, WholeCheckpoints
from verovolto.training.config import TrainConfig, resolve
from verovolto.training.data import TrainingData, load_training_data
from verovolto.training.loader import EpochSampler, TrainingFaces, loader
from verovolto.training.module import OneClassModule
from verovolto.training.run_metadata import (
    LAST,
    as_begun,
    check_folder,
    check_same,
    check_tags,
    detector_metadata,
    is_longer,
    write_run_metadata,
)

_AFTER_VALIDATION: dict[str, Any] = {"save_on_train_epoch_end": False}


def run(
    config: TrainConfig, *, data: TrainingData | None = None, tags: Mapping[str, Any] | None = None
) -> Path:
    """Train, or go on with a run that was stopped; returns the run folder with a `detector/` in it.

    `data` stands in the place of what `config` names, for experiments that make their own; `tags`, JSON values by name,
    then say what sets the run apart (`leaky`: its splits may share people): `run.json` and the detector keep them, and
    the run goes on with the same tags alone.

    Raises `TrainingError` when the folder holds a run of another configuration or other data, and the errors
    of data, weights and configuration.
    """
    check_out(config.out)
    asked, config, tags = config, resolve(as_begun(config)), tags or {}
    if (config.out / "detector" / JSON_NAME).is_file() and not is_longer(config):
        check_same(config)
        check_tags(config.out, {**tags, **(data.made_with if data else {})})
        return asked.out
    sets = data or load_training_data(config)
    check_folder(config, sets, tags)
    pl.seed_everything(config.seed, verbose=False)
    torch.set_num_threads(config.threads or 1)
    arch = architecture(config)
    model = build(arch, weights=config.weights, cache=config.out / "weights")
    # A finished run that is to go on is no longer finished; its old detector would hide a kill on the way.
    (config.out / "detector" / JSON_NAME).unlink(missing_ok=True)
    # Written once it is known that the network can be built: a wrong size or missing weights leave no run behind.
    write_run_metadata(config, sets, tags)
    module = OneClassModule(model, config, n_images=len(sets.train) + len(sets.choose))
    best = _fit(module, config, sets)
    _load_weights(module, best)
    detector = as_detector(model, arch, config, sets, tags)
    detector.metadata["unreadable"] = len(module.unreadable)
    calibrated(detector, sets.calibrate, seed=config.seed).save(config.out / "detector")
    return asked.out


def architecture(config: TrainConfig) -> Architecture:
    """The part of a configuration that fixes the network."""
    assert config.size is not None, "the configuration is resolved"
    return Architecture(
        model=network_name(config.model), size=config.size, latent=config.latent, bottleneck=config.bottleneck,
        second_encoder=config.second_encoder,
    )  # fmt: skip


def as_detector(
    model: VAE, arch: Architecture, config: TrainConfig, sets: TrainingData, tags: Mapping[str, Any]
) -> VAEDetector:
    """Dress a trained network as a detector, not calibrated yet."""
    known = entry(config.model)
    weights = config.weights if known.pretrained else "from scratch"
    return VAEDetector(
        architecture=arch,
        model=model,
        preprocessing=Preprocessing(
            size=arch.size, mean=known.mean, std=known.std, crop_rule=sets.crop_rule
        ),
        default_score=config.score or known.score,
        beta=config.beta,
        precision=config.score_precision,
        metadata=detector_metadata(config, sets, tags, weights=weights),
    )  # fmt: skip


def _fit(module: OneClassModule, config: TrainConfig, sets: TrainingData) -> Path:
    last = config.out / "checkpoints" / LAST
    sampler = EpochSampler(sets.order or sets.train, seed=config.seed)
    train_loader = _loader(config, sets.train, sampler)
    skip = SkipDone(sampler, batch_size=config.batch_size or 1, batches=len(train_loader))
    callbacks, best = _callbacks(config, skip)
    with quiet():
        trainer = pl.Trainer(
            accelerator="gpu" if config.device == "cuda" else "cpu",
            devices=1,
            precision="bf16-mixed" if config.precision == "bf16" else "32-true",
            max_epochs=config.epochs,
            callbacks=callbacks,
            plugins=[WholeCheckpoints()],
            logger=TensorBoardLogger(config.out, name="tensorboard", version=""),
            # CPU kernels are deterministic as they are; asking for it only slows them.
            deterministic="warn" if config.device == "cuda" else False,
            num_sanity_val_steps=0,
            enable_progress_bar=False,
            enable_model_summary=False,
            log_every_n_steps=10,
        )
        try:
            trainer.fit(
                module,
                train_loader,
                _loader(config, sets.choose, EpochSampler(sets.choose, seed=config.seed, shuffle=False)),
                ckpt_path=last if last.is_file() else None,
                weights_only=True,
            )
        except SystemExit:  # how Lightning leaves after Ctrl-C
            if not trainer.interrupted:
                raise
    if trainer.interrupted:
        goes_on = f"from {last}" if last.is_file() else "at the beginning"
        raise KeyboardInterrupt(f"interrupted (the same command goes on {goes_on})")
    return Path(best.best_model_path)


def _callbacks(config: TrainConfig, skip: SkipDone) -> tuple[list[Callback], Checkpoint]:
    folder = config.out / "checkpoints"
    # All at the end of validation, so that `last.ckpt`, saved at the end of the epoch, holds their state.
    best = Checkpoint(folder, "best", monitor="val_loss", enable_version_counter=False, **_AFTER_VALIDATION)
    callbacks: list[Callback] = [
        skip,
        CsvLog(config.out / "metrics.csv"),
        ProgressBar(),
        best,
        Checkpoint(
            folder, "{epoch:04d}", every_n_epochs=config.checkpoint_epochs, save_top_k=-1, **_AFTER_VALIDATION
        ),
    ]
    if config.patience:
        callbacks.append(EarlyStopping("val_loss", patience=config.patience, check_on_train_epoch_end=False))
    # The last of all, so that the state of the others is in the checkpoint.
    callbacks.append(SaveLast(folder / LAST, config.checkpoint_steps))
    return callbacks, best


def _loader(config: TrainConfig, faces: FaceSet, sampler: EpochSampler) -> Any:
    dataset = TrainingFaces(
        faces,
        size=config.size or 0,
        flips=(config.flips or "none") if sampler.shuffle else "none",
        seed=config.seed,
    )
    return loader(
        dataset,
        sampler,
        batch_size=config.batch_size or 1,
        workers=config.workers or 0,
        pin=config.device == "cuda",
    )


def _load_weights(module: OneClassModule, checkpoint: Path) -> None:
    state = torch.load(checkpoint, map_location="cpu", weights_only=True)["state_dict"]
    module.to("cpu").load_state_dict(state)


class quiet(warnings.catch_warnings):
    """Keep Lightning's hints to itself: they speak of its own options, which are not the user's."""

    def __enter__(self) -> Any:
        value = super().__enter__()
        warnings.filterwarnings("ignore", module="pytorch_lightning")
        logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
        return value
