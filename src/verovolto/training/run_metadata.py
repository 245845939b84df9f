"""What lies in a run folder besides weights: the configuration, and what the run was made with and on."""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping
from dataclasses import asdict, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from verovolto.core.config import check_keys, read_toml, write_toml
from verovolto.core.errors import InputError, TrainingError
from verovolto.core.files import write_json
from verovolto.training.config import RESUMABLE_CHANGES, TrainConfig
from verovolto.training.data import TrainingData

LAST = "last.ckpt"
_VERSIONS = ("verovolto", "torch", "torchvision", "pytorch-lightning", "numpy")
# What a run writes before its `config.toml`: a kill among these leaves a folder that it may begin in again.
_BEFORE_CONFIG = ("weights", "run.json")
_OF_EVERY_RUN = {"fingerprint", "versions", "faces", "machine"}
_OF_THE_MACHINE = ("device", "precision", "workers", "threads")


def versions() -> dict[str, str]:
    """Versions of what computes."""
    return {"python": platform.python_version(), **{name: version(name) for name in _VERSIONS}}


def detector_metadata(
    config: TrainConfig, sets: TrainingData, tags: Mapping[str, Any], *, weights: str
) -> dict[str, Any]:
    """What a detector says of where it comes from; `weights` says what its trunk knew before."""
    return {
        "trained_on": {
            "name": sets.train.name,
            "faces": len(sets.train),
            "split": config.train_split,
            "fingerprint": sets.fingerprint,
        },
        "chosen_on": {"split": f"{config.val_split}/choose", "faces": len(sets.choose)},
        "seed": config.seed,
        "weights": weights,
        "versions": versions(),
        **tags,
    }


def check_folder(config: TrainConfig, sets: TrainingData, tags: Mapping[str, Any]) -> None:
    """Refuse a folder that holds another run, or something else."""
    if (config.out / "config.toml").is_file():
        check_same(config)
        known = read_json(config.out / "run.json")
        if known["fingerprint"] != sets.fingerprint:
            raise TrainingError(
                f"{config.data} has changed since {config.out} began", hint="give another --out"
            )
        check_tags(config.out, {**tags, **sets.made_with})
        _check_last(config.out / "checkpoints" / LAST)
    elif config.out.is_dir() and any(one.name not in _BEFORE_CONFIG for one in config.out.iterdir()):
        raise InputError(f"{config.out} holds something else than a run", hint="give a new or empty --out")
    elif config.out.exists() and not config.out.is_dir():
        raise InputError(f"{config.out} is a file", hint="--out names a folder")


def check_tags(folder: Path, tags: Mapping[str, Any]) -> None:
    """Refuse to go on with a run that was begun with other tags, such as one whose splits may share people."""
    before = {
        name: value for name, value in read_json(folder / "run.json").items() if name not in _OF_EVERY_RUN
    }
    for name in dict.fromkeys((*before, *tags)):
        if before.get(name) != tags.get(name):
            raise TrainingError(
                f"{folder} was begun {_tagged(name, before)}, not {_tagged(name, tags)}",
                hint="give another --out",
            )


def _tagged(name: str, tags: Mapping[str, Any]) -> str:
    what = f"{name} = {tags.get(name)}" if name != "leaky" else "leave to share people between splits"
    return f"with {what}" if name in tags else f"without {what.partition(' = ')[0]}"


def write_run_metadata(config: TrainConfig, sets: TrainingData, tags: Mapping[str, Any]) -> None:
    """`run.json` and `config.toml`: from now on the folder holds this run."""
    papers = {
        "fingerprint": sets.fingerprint,
        **tags,
        **sets.made_with,
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


def as_begun(config: TrainConfig) -> TrainConfig:
    """What was left to the machine stays as the run began: another number of cores would end in other weights."""
    if not (config.out / "config.toml").is_file():
        return config
    before = stored_config(config.out)
    left_open = [name for name in _OF_THE_MACHINE if getattr(config, name) in (None, "auto")]
    return replace(config, **{name: getattr(before, name) for name in left_open})


def is_longer(config: TrainConfig) -> bool:
    """Whether more epochs are asked for than the run was begun with."""
    return config.epochs > stored_config(config.out).epochs


def check_same(config: TrainConfig) -> None:
    """Refuse to go on with a run of another configuration."""
    before, now = asdict(stored_config(config.out)), asdict(config)
    changed = [k for k in now if before[k] != now[k] and k not in RESUMABLE_CHANGES]
    if changed:
        told = ", ".join(f"{k} was {before[k]}, is {now[k]}" for k in changed[:3])
        raise TrainingError(
            f"{config.out} holds a run of another configuration: {told}", hint="give another --out"
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
