"""The run metadata: `config.toml`, the resolved configuration, and `run.json`, what the run was made with and on."""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from verovolto.core.errors import InputError, TrainingError
from verovolto.core.files import read_toml, write_json, write_toml
from verovolto.detectors.fitting import TrainingData
from verovolto.detectors.registry import GradientConfig, TrainConfig, flat
from verovolto.training.config import configure, read_options

LAST = "last.ckpt"
_VERSIONS = ("verovolto", "torch", "torchvision", "pytorch-lightning", "numpy")
# What a run writes before its `config.toml`: a kill among these leaves a folder that it may begin in again.
_BEFORE_CONFIG = ("weights", "run.json")
_OF_EVERY_RUN = {"fingerprint", "versions", "faces", "machine"}
# Options that may change when a run goes on: they do not change what has been computed so far.
_RESUMABLE = frozenset({"out", "epochs", "logger"})
_OF_THE_MACHINE = ("device", "precision", "workers", "threads")


def versions() -> dict[str, str]:
    """Versions of what computes."""
    return {"python": platform.python_version(), **{name: version(name) for name in _VERSIONS}}


def detector_metadata(
    config: TrainConfig, data: TrainingData, tags: Mapping[str, Any], *, weights: str, unreadable: int
) -> dict[str, Any]:
    """What a detector says of where it comes from.

    Args:
        config: of the run.
        data: of the run.
        tags: what sets the run apart.
        weights: what the network, or its backbone, began with.
        unreadable: training faces that could not be read.
    """
    return {
        "trained_on": {
            "name": data.train.name,
            "faces": len(data.train) - unreadable,
            "split": config.train_split,
            "fingerprint": data.fingerprint,
        },
        "chosen_on": {"split": f"{config.val_split}/choose", "faces": len(data.choose)},
        "seed": config.seed,
        "weights": weights,
        "versions": versions(),
        **tags,
    }


def check_folder(config: TrainConfig, data: TrainingData, tags: Mapping[str, Any]) -> None:
    """Refuse a folder that holds another run, or something else."""
    if (config.out / "config.toml").is_file():
        check_same(config)
        known = read_json(config.out / "run.json")
        if known["fingerprint"] != data.fingerprint:
            raise TrainingError(
                f"{config.data} has changed since {config.out} began", hint="give another --out"
            )
        check_tags(config.out, {**tags, **data.made_with})
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


def write_run_metadata(config: TrainConfig, data: TrainingData, tags: Mapping[str, Any]) -> None:
    """`run.json` and `config.toml`: from now on the folder holds this run."""
    metadata = {
        "fingerprint": data.fingerprint,
        **tags,
        **data.made_with,
        "versions": versions(),
        "faces": {"train": len(data.train), "choose": len(data.choose), "calibrate": len(data.calibrate)},
        "machine": {"processor": platform.processor() or platform.machine(), "threads": config.threads},
    }
    write_json(config.out / "run.json", metadata)
    write_toml(config.out / "config.toml", flat(config))


def read_json(path: Path) -> dict[str, Any]:
    """A JSON file of a run; `TrainingError` when it is missing or broken."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise TrainingError(f"{path} cannot be read: {error}", hint="give another --out") from error
    return dict(value)


def stored_config(folder: Path) -> TrainConfig:
    """The configuration a run was begun with. Raises `TrainingError` where nothing says so."""
    path = folder / "config.toml"
    if not path.is_file():
        raise TrainingError(
            f"{path} is missing, so nothing says what {folder} was trained with", hint="give another --out"
        )
    values = read_toml(path)
    missing = [key for key in ("data", "model", "out") if key not in values]
    if missing:
        raise TrainingError(
            f"{path} has no {missing[0]}: it was changed or damaged", hint="give another --out"
        )
    options = read_options(values, str(values["model"]), path, stored=True)
    return configure(**{**options, "data": Path(options["data"]), "out": Path(options["out"])})


def as_begun(config: TrainConfig) -> TrainConfig:
    """What was left to the machine stays as the run began: another number of cores would end in other weights."""
    if not (config.out / "config.toml").is_file():
        return config
    before = flat(stored_config(config.out))
    left_open = {name for name in _OF_THE_MACHINE if flat(config).get(name, "") in (None, "auto")}
    return changed(config, {name: before[name] for name in left_open if name in before})


def changed(config: TrainConfig, values: Mapping[str, Any]) -> TrainConfig:
    """With other values of options by their plain names."""
    return configure(**{**flat(config), **values})


def is_longer(config: TrainConfig) -> bool:
    """Whether more epochs are asked for than the run was begun with."""
    before, now = stored_config(config.out).method, config.method
    if not (isinstance(before, GradientConfig) and isinstance(now, GradientConfig)):
        return False
    return now.epochs > before.epochs


def check_same(config: TrainConfig) -> None:
    """Refuse to go on with a run of another configuration."""
    before, now = flat(stored_config(config.out)), flat(config)
    other = [k for k in now if before.get(k) != now[k] and k not in _RESUMABLE]
    if other:
        changes = ", ".join(f"{k} was {before.get(k)}, is {now[k]}" for k in other[:3])
        raise TrainingError(
            f"{config.out} holds a run of another configuration: {changes}", hint="give another --out"
        )


def _check_last(last: Path) -> None:
    """Refuse a state that cannot be resumed from, before anything is overwritten."""
    if not last.is_file():
        return
    try:
        state = torch.load(last, map_location="cpu", weights_only=True, mmap=True)
    except Exception as error:  # a damaged archive raises nearly anything
        raise TrainingError(
            f"{last} is damaged, so the run cannot go on from it: {str(error).partition('.')[0]}",
            hint="delete this file to train from the beginning, or give another --out",
        ) from error
    if "state_dict" not in state:
        raise TrainingError(
            f"{last} was written by another version, so the run cannot go on from it",
            hint="delete this file to train from the beginning, or give another --out",
        )
