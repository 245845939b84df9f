"""The checkpoints that a finished run kept of every so many epochs, each as a detector of its own."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch

from verovolto.calibration.input_domain import Domain
from verovolto.core.errors import TrainingError
from verovolto.detectors.registry import load_detector
from verovolto.detectors.vae.detector import VAEDetector
from verovolto.networks.registry import build
from verovolto.training.callbacks import read_log

_PREFIX = "model."  # the network's place in the state of a `OneClassModule`


def kept_epochs(run: Path) -> dict[int, Path]:
    """Checkpoints of a run by epoch, counted from 1, in order."""
    found = {
        int(path.stem.partition("=")[2]) + 1: path for path in (run / "checkpoints").glob("epoch=*.ckpt")
    }
    return dict(sorted(found.items()))


def checkpoint_detector(run: Path, epoch: int) -> VAEDetector:
    """The detector of a finished run as it was after `epoch` epochs: its weights, without calibration or thresholds.

    Raises `TrainingError` where that checkpoint is not there, is damaged or is not of this network, and `DetectorError`
    where the run is not finished.
    """
    finished = load_detector(run)
    if not isinstance(finished, VAEDetector):
        raise TrainingError(
            f"{run} holds {finished.name}, which keeps no checkpoints", hint="give a VAE's run"
        )
    kept = kept_epochs(run)
    if epoch not in kept:
        known = ", ".join(map(str, kept)) or "none"
        raise TrainingError(
            f"{run} keeps no checkpoint of epoch {epoch}, it keeps: {known}", hint="choose one of them"
        )
    model = build(finished.architecture)
    try:
        state = torch.load(kept[epoch], map_location="cpu", weights_only=True)["state_dict"]
        model.load_state_dict({name.removeprefix(_PREFIX): value for name, value in state.items()})
    except Exception as error:  # a damaged archive raises nearly anything
        raise TrainingError(
            f"{kept[epoch]} is damaged or of another network: {str(error).partition('.')[0]}",
            hint="train again into another --out",
        ) from error
    return replace(
        finished,
        model=model,
        calibration={},
        thresholds=[],
        domain=Domain(),
        metadata={key: value for key, value in finished.metadata.items() if key != "calibrated_on"}
        | {"epoch": epoch},
    )


def validation_losses(run: Path) -> dict[int, float]:
    """Loss on the `choose` reals after each epoch, counted from 1, as `metrics.csv` has it."""
    return {
        int(row["epoch"]) + 1: float(row["val_loss"])
        for row in read_log(run / "metrics.csv")
        if row.get("val_loss")
    }
