"""Train the networks of a protocol, and score its faces by each checkpoint."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from verovolto.thesis.plan import Plan, Protocol

if TYPE_CHECKING:
    from verovolto.data.score_table import ScoreTable
    from verovolto.networks.choices import Noise
    from verovolto.training.config import TrainConfig

SCORED = ("val", "test", "probe")
_MARKS = ("leaky", "contaminated")


def run_folder(plan: Plan, protocol: Protocol, network: str) -> Path:
    """The run of a network by a protocol's split; other quirks of training than the published ones have their own."""
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
    """Refuse before hours of training what the last network would be refused for: its size, or weights not to be had.

    Weights that are fetched lie in the folder of the run that needs them first. Raises `InputError` and `WeightsError`.
    """
    import torch

    from verovolto.networks.registry import build, entry
    from verovolto.training.config import resolve
    from verovolto.training.fit import architecture

    for network in plan.networks:
        config = resolve(_config(plan, plan.protocols[0], network, plan.data))
        with torch.device("meta"):  # checks the size without allocating
            build(architecture(config))
        started = (config.out / "config.toml").is_file()
        if entry(network).pretrained and config.weights != "none" and not started:
            build(architecture(config), weights=config.weights, cache=config.out / "weights")


def train_network(plan: Plan, protocol: Protocol, network: str, data: Path) -> dict[str, Any]:
    """Train on the reals of a split file, or go on; returns the losses on validation reals by epoch.

    Where the thesis's split shares people between training and test, the run is told so and marked.
    """
    from verovolto.thesis.checkpoints import validation_losses

    config = _config(plan, protocol, network, data)
    train(config, leaky=bool(plan.kept(protocol, "leak")))
    losses = validation_losses(config.out)
    return {"losses": {str(epoch): losses[epoch] for epoch in plan.checkpoints}}


def train(config: TrainConfig, *, leaky: bool) -> Path:
    """Train a network, or go on; where `leaky`, splits may share people, and the run and its detector say so."""
    from verovolto.training.data import load_training_data
    from verovolto.training.fit import run

    return run(config, data=load_training_data(config, leaky=leaky), tags={"leaky": True} if leaky else {})


def _config(plan: Plan, protocol: Protocol, network: str, data: Path) -> TrainConfig:
    from verovolto.networks.registry import network_name
    from verovolto.training.config import TrainConfig

    return TrainConfig(
        data=data,
        model=network_name(network),
        out=run_folder(plan, protocol, network),
        size=plan.size,
        latent=plan.latent,
        batch_size=plan.batch_size,
        weights=plan.weights,
        noise=noise_of(plan, protocol),
        epochs=plan.epochs,
        checkpoint_epochs=plan.every,
        seed=plan.seed,
        device=plan.device,
        precision=plan.precision,
        threads=plan.threads,
    )


def score_checkpoint(
    plan: Plan, protocol: Protocol, network: str, epoch: int, data: Path, folder: Path
) -> dict[str, Any]:
    """Score validation, test and (of the thesis's split) probe faces by the network as it was after `epoch` epochs."""
    return score_run(
        run_folder(plan, protocol, network), epoch, data, folder, metadata={"protocol": protocol}
    )


def score_run(
    run: Path, epoch: int, data: Path, folder: Path, *, metadata: Mapping[str, Any]
) -> dict[str, Any]:
    """The same of any finished run. The tables tell what `metadata` holds, and what marks the run as an
    experiment's."""
    from verovolto.data.faceset import FaceSet
    from verovolto.detectors.score_faces import score_faces
    from verovolto.thesis.checkpoints import checkpoint_detector

    detector = checkpoint_detector(run, epoch)
    faces = FaceSet.open(data)
    there = set(faces.columns("split")["split"].unique().to_pylist())
    marks = {name: detector.metadata[name] for name in _MARKS if name in detector.metadata}
    counted = {}
    for name in (one for one in SCORED if one in there):
        table = score_faces(detector, faces.select(split=name))
        replace(table, metadata={**table.metadata, **metadata, "epoch": epoch, **marks}).write(
            folder / f"{name}.parquet"
        )
        counted[name] = len(table)
    return {"faces": counted}


def scores(folder: Path, name: str) -> ScoreTable:
    """The scores of a split that `score_checkpoint` wrote."""
    from verovolto.data.score_table import ScoreTable

    return ScoreTable.read(folder / f"{name}.parquet")
