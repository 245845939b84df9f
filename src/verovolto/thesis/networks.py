"""The networks of a protocol: trained, taken as detectors at each kept checkpoint, and their faces scored."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from verovolto.calibration.input_domain import Domain
from verovolto.core.errors import TrainingError
from verovolto.core.files import atomic_path
from verovolto.data.faceset import FaceSet
from verovolto.data.score_table import ScoreTable
from verovolto.detectors.base import load_detector
from verovolto.detectors.registry import TrainConfig, flat
from verovolto.detectors.score_faces import score_faces
from verovolto.detectors.vae.detector import VAEDetector
from verovolto.detectors.vae.fit import architecture
from verovolto.networks import Noise
from verovolto.networks.registry import build, entry, network_name
from verovolto.thesis.plan import Context, Plan, Protocol
from verovolto.training import fit
from verovolto.training.callbacks import read_log
from verovolto.training.config import configure
from verovolto.training.data import load_training_data

SCORED = ("val", "test", "probe")
_MARKS = ("leaky", "contaminated")
_PREFIX = "model."  # the network's place in the state of a `OneClassModule`


def run_folder(plan: Plan, protocol: Protocol, network: str) -> Path:
    """The run of a network by a protocol's split; deviations of training that are not as published have their own."""
    name = f"{protocol}-{network}"
    if protocol == "thesis" and not plan.kept(protocol, "leak"):
        name += "-without-leak"
    if plan.kept(protocol, "uniform-noise"):
        name += "-uniform-noise"
    return plan.out / "runs" / name


def noise_of(plan: Plan, protocol: Protocol) -> Noise:
    """The noise that a protocol's networks are trained with."""
    return "uniform" if plan.kept(protocol, "uniform-noise") else "normal"


def check_networks(plan: Plan) -> None:
    """Refuse before hours of training what the last network would be refused for: its size, or missing weights.

    Weights that are fetched lie in the folder of the run that needs them first.

    Raises:
        InputError: for a size that a network does not have.
        WeightsError: for weights that cannot be had.
    """
    for network in plan.networks:
        config = fit.resolved(run_config(plan, plan.protocols[0], network, plan.data))
        with torch.device("meta"):  # checks the size without allocating
            build(architecture(config))
        started = (config.out / "config.toml").is_file()
        weights = flat(config)["weights"]
        if entry(network).pretrained and weights != "none" and not started:
            build(architecture(config), weights=weights, cache=config.out / "weights")


def train_network(context: Context, protocol: Protocol, network: str) -> dict[str, Any]:
    """Train on the reals of a protocol's split, or go on; returns `losses` on validation reals by epoch.

    Where the thesis's split shares people between training and test, the run is marked as leaky.
    """
    plan = context.plan
    config = run_config(plan, protocol, network, context.data(protocol))
    train(config, leaky=bool(plan.kept(protocol, "leak")))
    keep_weights_alone(config.out)
    return kept_losses(plan, config.out)


def train(config: TrainConfig, *, leaky: bool) -> Path:
    """Train a network, or go on; where `leaky`, splits may share people, and the run and its detector say so."""
    data = load_training_data(config, leaky=leaky)
    return fit.run(config, data=data, tags={"leaky": True} if leaky else {})


def kept_losses(plan: Plan, run: Path) -> dict[str, Any]:
    """Loss on validation reals after each epoch that is evaluated, as the result of a step."""
    losses = validation_losses(run)
    return {"losses": {str(epoch): losses[epoch] for epoch in plan.checkpoints}}


def run_config(
    plan: Plan, protocol: Protocol, network: str, data: Path, out: Path | None = None
) -> TrainConfig:
    """How a network is trained.

    Args:
        plan: the settings.
        protocol: whose noise it is, and whose run where no other folder is given.
        network: its name.
        data: the split file.
        out: folder of the run.
    """
    return configure(
        data=data, model=network_name(network), out=out or run_folder(plan, protocol, network), size=plan.size,
        latent=plan.latent, batch_size=plan.batch_size, weights=plan.weights, noise=noise_of(plan, protocol),
        epochs=plan.epochs, checkpoint_epochs=plan.every, seed=plan.seed, device=plan.device,
        precision=plan.precision, threads=plan.threads,
    )  # fmt: skip


def validation_losses(run: Path) -> dict[int, float]:
    """Loss on the reals that choose the epoch after each epoch, counted from 1, as `metrics.csv` has it."""
    rows = read_log(run / "metrics.csv")
    return {int(row["epoch"]) + 1: float(row["val_loss"]) for row in rows if row.get("val_loss")}


def kept_epochs(run: Path) -> dict[int, Path]:
    """Checkpoints of a run by epoch, counted from 1, in order."""
    paths = (run / "checkpoints").glob("epoch=*.ckpt")
    return dict(sorted((int(path.stem.partition("=")[2]) + 1, path) for path in paths))


def keep_weights_alone(run: Path) -> None:
    """Leave of a finished run's checkpoints the weights: what Adam keeps beside them is twice as large.

    `last.ckpt` stays as it is, so that the run can be made longer.
    """
    for path in [*kept_epochs(run).values(), run / "checkpoints" / "best.ckpt"]:
        if not path.is_file():
            continue
        state = torch.load(path, map_location="cpu", weights_only=True)
        if "optimizer_states" in state:
            with atomic_path(path) as part:
                torch.save({"state_dict": state["state_dict"]}, part)


def checkpoint_detector(run: Path, epoch: int) -> VAEDetector:
    """The detector of a finished run as it was after `epoch` epochs: its weights, without calibration or thresholds.

    Raises:
        TrainingError: where that checkpoint is not there, is damaged or is not of this network.
        DetectorError: where the run is not finished.
    """
    finished = load_detector(run)
    if not isinstance(finished, VAEDetector):
        raise TrainingError(
            f"{run} holds {finished.name}, which keeps no checkpoints", hint="give a VAE's run"
        )
    kept = kept_epochs(run)
    if epoch not in kept:
        epochs = ", ".join(map(str, kept)) or "none"
        raise TrainingError(
            f"{run} keeps no checkpoint of epoch {epoch}, it keeps: {epochs}", hint="choose one of them"
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
    metadata = {key: value for key, value in finished.metadata.items() if key != "calibrated_on"}
    return replace(
        finished, model=model, calibration={}, thresholds=[], domain=Domain(), metadata=metadata | {"epoch": epoch}
    )  # fmt: skip


def score_run(
    run: Path, epoch: int, data: Path, folder: Path, *, metadata: Mapping[str, Any]
) -> dict[str, Any]:
    """Score validation, test and (of the thesis's split) probe faces by a network as it was after `epoch` epochs.

    Args:
        run: a finished run.
        epoch: counted from 1.
        data: the split file.
        folder: of the step, which gets a table of scores a split.
        metadata: what the tables say besides the epoch and what marks the run as an experiment's.

    Returns:
        `faces` scored by split.
    """
    detector = checkpoint_detector(run, epoch)
    faces = FaceSet.open(data)
    splits = set(faces.columns("split")["split"].unique().to_pylist())
    marks = {name: detector.metadata[name] for name in _MARKS if name in detector.metadata}
    counts = {}
    for name in (name for name in SCORED if name in splits):
        table = score_faces(detector, faces.select(split=name))
        about = {**table.metadata, **metadata, "epoch": epoch, **marks}
        replace(table, metadata=about).write(folder / f"{name}.parquet")
        counts[name] = len(table)
    return {"faces": counts}


def scores(folder: Path, name: str) -> ScoreTable:
    """The scores of a split that `score_run` wrote."""
    return ScoreTable.read(folder / f"{name}.parquet")
