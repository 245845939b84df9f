"""Where the losses of a training go beside `metrics.csv`, by Lightning's loggers.

Nothing leaves the machine unless the variables of these programs say so: `MLFLOW_TRACKING_URI`, `WANDB_MODE=online`.
"""

from __future__ import annotations

import os
import uuid
from pathlib import Path
from typing import Any

from pytorch_lightning.loggers import Logger, MLFlowLogger, TensorBoardLogger, WandbLogger

from verovolto.core.files import read_json_object, write_json
from verovolto.detectors.registry import GradientConfig, TrainConfig, flat

RECORD = "logger.json"
"""In the run folder: by which id the run is known there, so that a resumed one goes on in it."""
PROJECT = "verovolto"


def open_logger(config: TrainConfig, *, first: bool = True) -> Logger | bool:
    """The logger that a resolved run asks for; False for none.

    Args:
        config: of the run, whose options are logged with it.
        first: whether this is the process that writes; the others log nothing.
    """
    assert isinstance(config.method, GradientConfig), "trained by gradient"
    name = config.method.logger
    if name == "csv" or not first:
        return False
    begun = _known(config.out, name) is not None
    logger = {"tensorboard": _tensorboard, "mlflow": _mlflow, "wandb": _wandb}[name](config.out)
    if name != "tensorboard" and not begun:  # a run that goes on has its options; MLflow takes no others
        values: dict[str, Any] = {key: str(value) for key, value in flat(config).items() if value is not None}
        logger.log_hyperparams(values)
    return logger


def close_logger(logger: Logger | bool) -> None:
    """Write out what a logger still holds: Weights & Biases otherwise waits for the end of the process."""
    if isinstance(logger, WandbLogger):
        logger.experiment.finish()


def _tensorboard(out: Path) -> Logger:
    return TensorBoardLogger(out, name="tensorboard", version="")


def _mlflow(out: Path) -> Logger:
    """A run of the experiment `verovolto`: of the server that `MLFLOW_TRACKING_URI` names, else in `OUT/mlflow.db`."""
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    address = os.environ.get("MLFLOW_TRACKING_URI", f"sqlite:///{(out / 'mlflow.db').resolve()}")
    logger = MLFlowLogger(
        PROJECT,
        run_name=out.resolve().name,
        tracking_uri=address,
        run_id=_known(out, "mlflow"),
        artifact_location=None
        if "MLFLOW_TRACKING_URI" in os.environ
        else (out / "mlflow").resolve().as_uri(),
    )
    _keep(out, "mlflow", str(logger.run_id))
    return logger


def _wandb(out: Path) -> Logger:
    """A run of the project `verovolto`, kept in `OUT/wandb` until `wandb sync` or `WANDB_MODE=online` sends it."""
    home = out.resolve() / "wandb"
    for name in ("WANDB_CACHE_DIR", "WANDB_CONFIG_DIR", "WANDB_DATA_DIR"):  # not into the home folder
        os.environ.setdefault(name, str(home))
    os.environ.setdefault("WANDB_ERROR_REPORTING", "false")
    os.environ.setdefault("WANDB_SILENT", "true")
    mode = os.environ.setdefault("WANDB_MODE", "offline")
    home.mkdir(parents=True, exist_ok=True)
    known = _known(out, "wandb") or uuid.uuid4().hex[:16]
    _keep(out, "wandb", known)
    return WandbLogger(
        name=out.resolve().name,
        save_dir=out,
        id=known,
        project=PROJECT,
        resume="allow",
        offline=mode == "offline",
    )


def _known(out: Path, name: str) -> str | None:
    record = out / RECORD
    return read_json_object(record).get(name) if record.is_file() else None


def _keep(out: Path, name: str, known: str) -> None:
    record = out / RECORD
    before = read_json_object(record) if record.is_file() else {}
    if before.get(name) != known:
        write_json(record, {**before, name: known})
