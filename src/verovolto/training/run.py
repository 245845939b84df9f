"""One training run: its folder, its resume, its detector.

The folder holds `config.toml` (resolved), `run.json` (versions, fingerprint of the data, what was left out),
`metrics.csv`, `tensorboard/`, `checkpoints/` (`last.ckpt` to resume from, `best.ckpt` by the loss on the
`choose` reals, one of every N epochs) and, once finished, `detector/`.
"""

from __future__ import annotations

import json
import logging
import platform
import warnings
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback, EarlyStopping
from pytorch_lightning.loggers import TensorBoardLogger

from verovolto.config import check_keys, read_toml, write_toml
from verovolto.data.croprule import read_rule
from verovolto.data.faceset import FaceSet
from verovolto.data.splits import check_disjoint, halve
from verovolto.errors import DataError, InputError, TrainingError
from verovolto.files import check_out, write_json
from verovolto.models.catalogue import Architecture, build, entry
from verovolto.models.posterior import VAE
from verovolto.scoring.calibrate import calibrated
from verovolto.scoring.preprocessing import Preprocessing
from verovolto.scoring.store import JSON_NAME
from verovolto.scoring.vae_detector import VAEDetector
from verovolto.training.callbacks import Checkpoint, CsvLog, ProgressBar, SaveLast, SkipDone, WholeCheckpoints
from verovolto.training.config import RESUMABLE_CHANGES, TrainConfig, resolve
from verovolto.training.faces import EpochSampler, TrainingFaces, loader
from verovolto.training.module import OneClassModule

_VERSIONS = ("verovolto", "torch", "torchvision", "pytorch-lightning", "numpy")
_FEWEST_CHOOSE = 2
LAST = "last.ckpt"
# What a run writes before its `config.toml`: a kill among these leaves a folder that it may begin in again.
_BEFORE_CONFIG = ("weights", "run.json")
_OF_THE_MACHINE = ("device", "precision", "workers", "threads")
_AFTER_VALIDATION: dict[str, Any] = {"save_on_train_epoch_end": False}


@dataclass(frozen=True, kw_only=True)
class Sets:
    """The faces of a run: reals to train on, reals to choose the epoch on, and all of the `calibrate` half."""

    train: FaceSet
    choose: FaceSet
    calibrate: FaceSet
    fingerprint: str
    crop_rule: dict[str, Any] | None


def run(config: TrainConfig) -> Path:
    """Train, or go on with a run that was stopped; returns the run folder with a `detector/` in it.

    Raises `TrainingError` when the folder holds a run of another configuration or other data, and the errors
    of data, weights and configuration.
    """
    check_out(config.out)
    asked, config = config, resolve(_as_begun(config))
    if (config.out / "detector" / JSON_NAME).is_file() and not _is_longer(config):
        _check_same(config)
        return asked.out
    sets = open_sets(config)
    _check_folder(config, sets)
    pl.seed_everything(config.seed, verbose=False)
    torch.set_num_threads(config.threads or 1)
    arch = architecture(config)
    model = build(arch, weights=config.weights, cache=config.out / "weights")
    # A finished run that is to go on is no longer finished; its old detector would hide a kill on the way.
    (config.out / "detector" / JSON_NAME).unlink(missing_ok=True)
    # Written once it is known that the network can be built: a wrong size or missing weights leave no run behind.
    _write_papers(config, sets)
    module = OneClassModule(model, config, n_images=len(sets.train) + len(sets.choose))
    best = _fit(module, config, sets)
    _load_weights(module, best)
    detector = as_detector(model, arch, config, sets)
    detector.about["unreadable"] = len(module.unreadable)
    calibrated(detector, sets.calibrate, seed=config.seed).save(config.out / "detector")
    return asked.out


def open_sets(config: TrainConfig) -> Sets:
    """Open the data, refuse overlapping splits, cut the validation people in two."""
    faces = FaceSet.open(config.data)
    check_disjoint(faces.columns("split", "dataset", "target_identity", "donor_identity", "source_video"))
    train = faces.select(split=config.train_split, label="real")
    if config.limit is not None and config.limit < len(train):
        drawn = np.random.default_rng(config.seed).choice(len(train), config.limit, replace=False)
        train = train.take(np.sort(drawn))
    val = faces.select(split=config.val_split)
    choose = halve(val.columns(), seed=config.seed)
    chosen = val.take(np.flatnonzero(choose)).select(label="real")
    if len(train) < _FEWEST_CHOOSE or len(chosen) < _FEWEST_CHOOSE:
        raise DataError(
            f"{config.data} has too few real faces: {len(train)} to train on, {len(chosen)} to choose on",
            hint=f"each needs {_FEWEST_CHOOSE} at least: cut larger splits with verovolto data split, or add faces",
        )
    held_out = val.take(np.flatnonzero(~choose))
    return Sets(
        train=train, choose=chosen, calibrate=held_out, fingerprint=faces.fingerprint(),
        crop_rule=_crop_rule(faces, config.crop_rule),
    )  # fmt: skip


def _crop_rule(faces: FaceSet, given: str | None) -> dict[str, Any] | None:
    """The rule that the set names, else the one given; refused where the two differ."""
    if given is None:
        return faces.crop_rule
    rule = read_rule(given, flag="--crop-rule").to_dict()
    if faces.crop_rule not in (None, rule):
        raise InputError(
            f"--crop-rule {given} is not the rule that {faces.path} was cropped by: {faces.crop_rule}",
            hint="leave the flag out",
        )
    return rule


def architecture(config: TrainConfig) -> Architecture:
    """The part of a configuration that fixes the network."""
    assert config.size is not None, "the configuration is resolved"
    return Architecture(
        model=config.model, size=config.size, latent=config.latent, bottleneck=config.bottleneck,
        second_encoder=config.second_encoder,
    )  # fmt: skip


def as_detector(model: VAE, arch: Architecture, config: TrainConfig, sets: Sets) -> VAEDetector:
    """Dress a trained network as a detector, not calibrated yet."""
    known = entry(config.model)
    about = {
        "trained_on": {
            "name": sets.train.name,
            "faces": len(sets.train),
            "split": config.train_split,
            "fingerprint": sets.fingerprint,
        },
        "chosen_on": {"split": f"{config.val_split}/choose", "faces": len(sets.choose)},
        "seed": config.seed,
        "weights": config.weights if known.pretrained else "from scratch",
        "versions": versions(),
    }
    return VAEDetector(
        architecture=arch,
        model=model,
        preprocessing=Preprocessing(
            size=arch.size, mean=known.mean, std=known.std, crop_rule=sets.crop_rule
        ),
        default_score=config.score or known.score,
        beta=config.beta,
        precision=config.score_precision,
        about=about,
    )  # fmt: skip


def versions() -> dict[str, str]:
    """Versions of what computes."""
    return {"python": platform.python_version(), **{name: version(name) for name in _VERSIONS}}


def _fit(module: OneClassModule, config: TrainConfig, sets: Sets) -> Path:
    last = config.out / "checkpoints" / LAST
    sampler = EpochSampler(sets.train, seed=config.seed)
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


def _check_last(last: Path) -> None:
    """Refuse a state that cannot be resumed from, before anything is overwritten."""
    if not last.is_file():
        return
    try:
        torch.load(last, map_location="cpu", weights_only=True, mmap=True)
    except Exception as error:  # a damaged archive raises nearly anything
        raise TrainingError(
            f"{last} is damaged, so the run cannot go on from it: {str(error).partition('.')[0]}",
            hint="delete this file to train from the beginning, or give another --out",
        ) from error


def _load_weights(module: OneClassModule, checkpoint: Path) -> None:
    state = torch.load(checkpoint, map_location="cpu", weights_only=True)["state_dict"]
    module.to("cpu").load_state_dict(state)


def _check_folder(config: TrainConfig, sets: Sets) -> None:
    """Refuse a folder that holds another run, or something else."""
    if (config.out / "config.toml").is_file():
        _check_same(config)
        known = read_json(config.out / "run.json")
        if known["fingerprint"] != sets.fingerprint:
            raise TrainingError(
                f"{config.data} has changed since {config.out} began", hint="give another --out"
            )
        _check_last(config.out / "checkpoints" / LAST)
    elif config.out.is_dir() and any(one.name not in _BEFORE_CONFIG for one in config.out.iterdir()):
        raise InputError(f"{config.out} holds something else than a run", hint="give a new or empty --out")
    elif config.out.exists() and not config.out.is_dir():
        raise InputError(f"{config.out} is a file", hint="--out names a folder")


def _write_papers(config: TrainConfig, sets: Sets) -> None:
    papers = {
        "fingerprint": sets.fingerprint,
        "versions": versions(),
        "faces": {"train": len(sets.train), "choose": len(sets.choose), "calibrate": len(sets.calibrate)},
        "machine": {"processor": platform.processor() or platform.machine(), "threads": config.threads},
    }
    write_json(config.out / "run.json", papers)
    write_toml(config.out / "config.toml", config)


def read_json(path: Path) -> dict[str, Any]:
    """A JSON file of a run; `TrainingError` when it is missing or broken."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise TrainingError(f"{path} cannot be read: {error}", hint="give another --out") from error
    return dict(value)


def stored_config(folder: Path) -> TrainConfig:
    """The configuration a run was begun with."""
    path = folder / "config.toml"
    if not path.is_file():
        raise TrainingError(
            f"{path} is missing, so nothing says what {folder} was trained with", hint="give another --out"
        )
    values = read_toml(path)
    check_keys(values, TrainConfig, path)
    missing = [key for key in ("data", "model", "out") if key not in values]
    if missing:
        raise TrainingError(
            f"{path} has no {missing[0]}: it was changed or damaged", hint="give another --out"
        )
    return TrainConfig(**{**values, "data": Path(values["data"]), "out": Path(values["out"])})


def _as_begun(config: TrainConfig) -> TrainConfig:
    """What was left to the machine stays as the run began: another number of cores would end in other weights."""
    if not (config.out / "config.toml").is_file():
        return config
    before = stored_config(config.out)
    left_open = [name for name in _OF_THE_MACHINE if getattr(config, name) in (None, "auto")]
    return replace(config, **{name: getattr(before, name) for name in left_open})


def _is_longer(config: TrainConfig) -> bool:
    return config.epochs > stored_config(config.out).epochs


def _check_same(config: TrainConfig) -> None:
    before, now = asdict(stored_config(config.out)), asdict(config)
    changed = [k for k in now if before[k] != now[k] and k not in RESUMABLE_CHANGES]
    if changed:
        told = ", ".join(f"{k} was {before[k]}, is {now[k]}" for k in changed[:3])
        raise TrainingError(
            f"{config.out} holds a run of another configuration: {told}", hint="give another --out"
        )


class quiet(warnings.catch_warnings):
    """Keep Lightning's hints to itself: they speak of its own options, which are not the user's."""

    def __enter__(self) -> Any:
        value = super().__enter__()
        warnings.filterwarnings("ignore", module="pytorch_lightning")
        logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
        return value
