"""One frame for every training: resume, data, run metadata, the method's fit, calibration, save.

The run folder holds `config.toml` (resolved), `run.json` (versions, fingerprint of the data, tags), what the engine
writes of a network (`training.engine`), `work/` while something is computed in chunks, and, once finished, `detector/`.
"""

from __future__ import annotations

import random
import shutil
from collections.abc import Mapping
from dataclasses import replace
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from typing_extensions import override

from verovolto.core.errors import InputError
from verovolto.core.files import check_new, check_out
from verovolto.core.parallel import cores
from verovolto.core.progress import OnProgress, ProgressDisplay
from verovolto.detectors.base import Detector, load_detector
from verovolto.detectors.calibrate import calibrated
from verovolto.detectors.fitting import Objective, Run, Trained, TrainingData
from verovolto.detectors.io import JSON_NAME
from verovolto.detectors.registry import GradientConfig, TrainConfig, method
from verovolto.networks import Precision
from verovolto.training.config import configure
from verovolto.training.data import World, load_training_data
from verovolto.training.run_metadata import (
    as_begun,
    check_folder,
    check_same,
    check_tags,
    detector_metadata,
    is_longer,
    write_run_metadata,
)

_OF_LOGGERS = {"mlflow": ("mlflow", "sqlalchemy", "alembic"), "wandb": ("wandb",)}
_ENGINE = "verovolto.training.engine"  # imported when a network is trained: Lightning takes seconds


def fit(
    model: str,
    data: str | Path | TrainingData,
    out: str | Path,
    *,
    source: str | Path | None = None,
    tags: Mapping[str, Any] | None = None,
    **options: Any,
) -> Detector:
    """Train a model on real faces, calibrate it and write it: what `verovolto train` does, as an object.

    A run that was stopped goes on where it was when the same is asked for again.

    Args:
        model: a name that `verovolto models` lists.
        data: a face set with splits (see `FaceSet.open`), or the faces themselves.
        out: run folder; the detector lies in its `detector/`.
        source: finished run or detector that this one is made of, without training (`--from`).
        tags: JSON values that set the run apart; `run.json` and the detector keep them.
        **options: of the run (`seed`, `device`, `limit`, ...) and of the method (`epochs`, `channels`, ...).

    Returns:
        The detector, calibrated on validation reals that neither training nor selection has seen.

    Raises:
        InputError: an option that the model does not take, or a value that cannot be.
        SplitError: splits share people or videos.
        TrainingError: the folder holds another run, or the loss is no number any more.
    """
    given = data if isinstance(data, TrainingData) else None
    folder = Path(given.train.path if given else data)  # type: ignore[arg-type]
    config = configure(model=model, data=folder, out=Path(out), **options)
    if source is not None:
        return load_detector(derive(config, Path(source)))
    return load_detector(run(config, data=given, tags=tags))


def run(
    config: TrainConfig,
    *,
    data: TrainingData | None = None,
    tags: Mapping[str, Any] | None = None,
    work: Path | None = None,
) -> Path:
    """Train, or go on with a run that was stopped; returns the run folder with a `detector/` in it.

    Args:
        config: the run.
        data: in the place of what `config` names, for experiments that make their own.
        tags: JSON values that set the run apart (`leaky`: its splits may share people); `run.json` and the detector
            keep them, and the run goes on with the same tags alone.
        work: folder that is kept, for what several runs compute alike; by default `work/` in the run folder, deleted at
            the end.

    Raises:
        TrainingError: the folder holds a run of another configuration, other data or other tags.
    """
    check_out(config.out)
    asked, config, tags, world = config, resolved(as_begun(config)), tags or {}, World.here()
    if world.size > 1 and not method(config.model).detector.in_processes:
        raise InputError(
            f"{config.model} is fitted in one process, not in {world.size}",
            hint="run verovolto train without torchrun",
        )
    if (config.out / "detector" / JSON_NAME).is_file() and not is_longer(config):
        check_same(config)
        check_tags(config.out, {**tags, **(data.made_with if data else {})})
        return asked.out
    data = data or load_training_data(config)
    if world.first:
        check_folder(config, data, tags)
    _seed(config)
    with TrainingRun(config, data, tags) as this:
        this.work = work or this.work
        detector = method(config.model).detector.fit(config, data, this)
        if not world.first:
            return asked.out
        this.begin()
        calibrated(detector, data.calibrate, seed=config.seed).save(config.out / "detector")
    if work is None:
        shutil.rmtree(this.work, ignore_errors=True)
    return asked.out


def derive(config: TrainConfig, source: Path) -> Path:
    """Make a detector of a finished one, in an empty folder; nothing is trained.

    Raises:
        InputError: the model is not made of others, or not of this one, or the folder holds something.
    """
    check_new(config.out)
    of = load_detector(source)
    with TrainingRun(config, None, {}, trains=False) as this:
        detector = method(config.model).detector.from_detector(config, of, this)
        if "calibrated_on" not in detector.metadata:
            detector = calibrated(detector, this.data().calibrate, seed=config.seed)
    detector.save(config.out / "detector")
    return config.out


def resolved(config: TrainConfig) -> TrainConfig:
    """Fill what was left open: this machine's device, threads and arithmetic, and the model's own values.

    Raises:
        InputError: CUDA is asked for where there is none, or a value that the model cannot take.
    """
    learns = isinstance(config.method, GradientConfig)
    device: Any = config.device
    if device == "auto":  # what is fitted in closed form is spread over processes
        device = "cuda" if learns and torch.cuda.is_available() else "cpu"
    if device == "cuda" and not torch.cuda.is_available():
        raise InputError("--device cuda: there is no CUDA device here", hint="use --device cpu")
    config = replace(config, device=device, threads=config.threads or cores())
    if isinstance(config.method, GradientConfig):
        _check_logger(config.method.logger)
    if isinstance(config.method, GradientConfig) and config.method.precision == "auto":
        config = replace(config, method=replace(config.method, precision=_fast_precision(device)))
    config = method(config.model).detector.resolve(config)
    return replace(config, workers=cores() if config.workers is None else config.workers)


class TrainingRun(Run):
    """What the frame gives to a fit; inside `with` its bars are shown."""

    def __init__(
        self, config: TrainConfig, data: TrainingData | None, tags: Mapping[str, Any], *, trains: bool = True
    ) -> None:
        self.config, self.tags, self.work = config, tags, config.out / "work"
        self._data = data
        # What is derived leaves nothing but a detector; of several processes the first alone writes.
        self._begun = not trains or not World.here().first
        self._progress = ProgressDisplay()

    def __enter__(self) -> TrainingRun:
        return self

    def __exit__(self, *_error: object) -> None:
        self._progress.stop()

    @override
    def begin(self) -> None:
        if self._begun:
            return
        self._begun = True
        # A finished run that is to go on is no longer finished; its old detector would hide a kill on the way.
        (self.config.out / "detector" / JSON_NAME).unlink(missing_ok=True)
        write_run_metadata(self.config, self.data(), self.tags)

    @override
    def task(self, what: str, total: int) -> OnProgress:
        self.begin()
        self._progress.start()
        return self._progress.task(what, total)

    @override
    def train(self, objective: Objective) -> Trained:
        self.begin()
        self._progress.stop()  # the engine has its own, of epochs and losses
        trained: Trained = import_module(_ENGINE).train(self.config, objective)
        return trained

    @override
    def metadata(self, *, weights: str, unreadable: int = 0) -> dict[str, Any]:
        return detector_metadata(self.config, self.data(), self.tags, weights=weights, unreadable=unreadable)

    @override
    def data(self, *, leaky: bool = False) -> TrainingData:
        if self._data is None:
            self._data = load_training_data(self.config, leaky=leaky)
        return self._data


def _check_logger(name: str) -> None:
    """Refuse a logger whose packages are not installed, before anything is computed."""
    missing = next((package for package in _OF_LOGGERS.get(name, ()) if find_spec(package) is None), None)
    if missing is not None:
        raise InputError(
            f"--logger {name} needs the package {missing}",
            hint=f'install it with: pip install "verovolto[{name}]"',
        )


def _seed(config: TrainConfig) -> None:
    """All generators that anything may draw from, and the threads that sums are split over."""
    random.seed(config.seed)
    np.random.seed(config.seed)
    torch.manual_seed(config.seed)
    torch.set_num_threads(config.threads or 1)


def _fast_precision(device: str) -> Precision:
    """bf16 where it is known to be faster than float32: by what the hardware has, so that it is always the same.

    On a CPU that takes tiles (AMX): there it trains 3.7 times as fast as the plain way. AVX512-BF16 alone does not say
    so: an Intel Xeon with it has half of float32's rate in bf16, and trains slower than the plain way.
    """
    if device == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "32"
    return "bf16" if torch.cpu._is_amx_tile_supported() else "32"
