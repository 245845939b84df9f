"""The frame of a run that fits in closed form: its folder, its work, its detector.

What is computed on the way lies block by block in the run folder's `work/`, so that a stopped run goes on; it is
deleted at the end, for it holds features of single faces.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch
from rich.progress import Progress

from verovolto.core.config import cores
from verovolto.core.errors import DataError, UnreadableImage
from verovolto.core.files import check_out
from verovolto.data.faceset import FaceSet
from verovolto.detectors.base import SavedDetector
from verovolto.detectors.calibrate import calibrated
from verovolto.detectors.io import JSON_NAME
from verovolto.training.config import TrainConfig
from verovolto.training.data import TrainingData, load_training_data
from verovolto.training.run_metadata import as_begun, check_folder, check_same, write_run_metadata

OnProgress = Callable[[int], None]
"""Hears how many more steps of a task are done."""

Task = Callable[[str, int], OnProgress]
"""Begins a task of so many steps."""

Fit = Callable[[TrainConfig, TrainingData, Task], SavedDetector]
"""What there is to do; the detector is not calibrated yet."""


def run(
    config: TrainConfig,
    progress: Progress,
    fit: Fit,
    *,
    check: Callable[[TrainingData], None] = lambda sets: None,
) -> Path:
    """Fit, or go on with a run that was stopped; returns the run folder with a `detector/` in it.

    `check` raises where the faces will not do, before the folder is a run's. Raises `TrainingError` when the folder
    holds a run of another configuration or other data, or a process dies twice, and the errors of data and
    configuration.
    """
    check_out(config.out)
    config = _resolved(as_begun(config))
    if (config.out / "detector" / JSON_NAME).is_file():
        check_same(config)
        return config.out
    sets = load_training_data(config)
    check(sets)
    check_folder(config, sets, {})
    write_run_metadata(config, sets, {})
    torch.set_num_threads(config.threads or 1)

    def task(what: str, total: int) -> OnProgress:
        number = progress.add_task(what, total=total)
        return lambda done: progress.advance(number, done)

    detector = fit(config, sets, task)
    calibrated(detector, sets.calibrate, seed=config.seed).save(config.out / "detector")
    shutil.rmtree(work_folder(config), ignore_errors=True)
    return config.out


def work_folder(config: TrainConfig) -> Path:
    """Where a run keeps what it has computed."""
    return config.out / "work"


def read_image(faces: FaceSet, row: int) -> torch.Tensor | None:
    """A face of a set, uint8 `[3, h, w]`; None where it cannot be read."""
    try:
        return faces.image(row)
    except UnreadableImage:
        return None


def check_readable(lost: int, of: int, allowed: float, *, what: str, first: str) -> None:
    """Raise `DataError` when more than the share `allowed` of the faces `what` cannot be read, naming the `first`."""
    if lost > allowed * of:
        raise DataError(
            f"{lost} of {of} {what} cannot be read, more than the allowed share of {allowed:g}; the first: {first}",
            hint="mend the data, or raise --max-unreadable",
        )


def _resolved(config: TrainConfig) -> TrainConfig:
    """Fill what was left to the machine."""
    return replace(
        config,
        workers=cores() if config.workers is None else config.workers,
        threads=config.threads or cores(),
        device="cpu",
        precision="32",
    )
