"""The networks of the controls: trained as the published ones, and scored with their batch norms measured again.

So networks can be compared whatever their momentum: while training, the running mean and variance of a batch norm
follow the features with a lag; with momentum 0.01, as in ResNetOCVAE1's heads and decoder, two thirds of where they
began are still in them after 40 steps. In use they would then describe another network than the one that was trained.
Averaging over many batches with the finished weights removes the lag (Wu & Johnson, "Rethinking 'Batch' in BatchNorm",
arXiv 2105.07576, section 3).
"""

from __future__ import annotations

import copy
import math
import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from verovolto.core.errors import DataError, Diverged
from verovolto.data.faceset import FaceSet
from verovolto.data.score_table import ScoreTable
from verovolto.data.splits import halve
from verovolto.detectors.base import load_detector
from verovolto.detectors.registry import TrainConfig
from verovolto.detectors.score_faces import read_batch, score_faces
from verovolto.detectors.vae.detector import VAEDetector
from verovolto.networks import Bottleneck, ModelName, Noise
from verovolto.networks.registry import count_parameters
from verovolto.report.evaluation_page import latents_of
from verovolto.report.figures import latent_use
from verovolto.thesis.networks import noise_of, run_folder, scores, train, validation_losses
from verovolto.thesis.plan import Context, Plan, Protocol
from verovolto.training.config import configure

SCORE = "rmse"
"""By which all of them are evaluated: the error of reconstruction."""
MOST = 1000
"""Faces beyond which the averages of batch norms hardly move (section 3.2 of the paper)."""
_LATENT_FACES = 300  # reals on which active dimensions are counted


@dataclass(frozen=True, kw_only=True)
class Condition:
    """A network of the grid. `seed` is added to the plan's."""

    model: ModelName = "resnet-ocvae2"
    bottleneck: Bottleneck = "flat"
    latent: int = 256
    beta: float = 1.0
    weights: str = "none"
    seed: int = 0


def train_and_score(context: Context, name: str, condition: Condition, folder: Path) -> dict[str, Any]:
    """Train a network of the grid, or go on; score validation and test faces with its norms measured again.

    Its detector is kept, its checkpoints are not: those of the whole grid take ten gigabytes. One that diverges says so
    as its result, and the others go on.

    Args:
        context: the reproduction.
        name: of the network in the grid.
        condition: what sets it apart.
        folder: of the step.
    """
    plan, protocol = context.plan, context.best
    config = config_of(plan, protocol, name, condition, context.data(protocol))
    try:
        train(config, leaky=bool(plan.kept(protocol, "leak")))
    except Diverged as error:
        return {"diverged": str(error)}
    losses = validation_losses(config.out)
    faces = context.faces(protocol)
    trained = load_detector(config.out)
    assert isinstance(trained, VAEDetector), "a control is a VAE"
    reals = faces.select(split="train", label="real")
    detector = with_measured_norms(
        trained, reals, batch_size=plan.batch_size or 100, seed=plan.seed, noise=noise_of(plan, protocol)
    )
    selection = _selection_reals(faces.select(split="val"), plan.seed)
    for split, some in {"val": selection, "test": faces.select(split="test")}.items():
        score_faces(detector, some).write(folder / f"{split}.parquet")
    shutil.rmtree(config.out / "checkpoints", ignore_errors=True)
    return {
        "parameters": count_parameters(detector.model),
        "epoch": min(losses, key=lambda epoch: losses[epoch]),
        **_on_reals(plan, detector, selection, scores(folder, "val")),
    }


def config_of(plan: Plan, protocol: Protocol, name: str, condition: Condition, data: Path) -> TrainConfig:
    """How a network of the grid is trained: as the published ones, but for its size and length.

    Args:
        plan: the settings.
        protocol: whose split it is.
        name: of the network in the grid.
        condition: what sets it apart.
        data: the split file.
    """
    return configure(
        data=data, model=condition.model, out=run_folder(plan, protocol, f"control-{slug(name)}"),
        size=plan.control_size, latent=condition.latent, bottleneck=condition.bottleneck, beta=condition.beta,
        noise=noise_of(plan, protocol), weights=condition.weights, batch_size=plan.batch_size,
        epochs=plan.control_epochs, checkpoint_epochs=plan.control_epochs, seed=plan.seed + condition.seed,
        device=plan.device, precision=plan.precision, threads=plan.threads,
    )  # fmt: skip


def with_measured_norms(
    detector: VAEDetector,
    faces: FaceSet,
    *,
    batch_size: int,
    seed: int,
    noise: Noise = "normal",
    most: int = MOST,
) -> VAEDetector:
    """A copy of a detector whose norms hold the plain average over batches of the faces it was trained on.

    Its calibration and thresholds belong to other scores and are left out.

    Args:
        detector: a trained one.
        faces: the training reals.
        batch_size: faces a batch.
        seed: by which the faces are drawn and mixed.
        noise: of the latents, as in training.
        most: faces at most.

    Raises:
        DataError: where no batch of two faces can be read.
    """
    model = copy.deepcopy(detector.model)
    norms = [one for one in model.modules() if isinstance(one, nn.modules.batchnorm._BatchNorm)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # the average of all batches
    mixed = faces.take(np.random.default_rng(seed).permutation(len(faces))[:most])
    generator = torch.Generator(detector.device).manual_seed(seed)
    model.train()
    measured = 0
    for start in range(0, len(mixed), batch_size):
        _, batch = read_batch(mixed, start, min(start + batch_size, len(mixed)))
        if len(batch) < 2:  # a single face has no variance
            continue
        x = detector.preprocessing(batch, detector.device)
        with torch.no_grad():
            model(x.contiguous(memory_format=torch.channels_last), noise=noise, generator=generator)
        measured += len(batch)
    if not measured:
        raise DataError(f"{faces.name}: fewer than two faces can be read to measure the batch norms on")
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    return replace(detector, model=model.eval(), calibration={}, thresholds=[])


def slug(name: str) -> str:
    """`small decoder, flat` as part of the name of a folder."""
    return name.replace(",", "").replace(" ", "-")


def _selection_reals(val: FaceSet, seed: int) -> FaceSet:
    """The validation reals that choose epochs, by the plan's seed: all networks are measured on the same ones."""
    return val.take(np.flatnonzero(halve(val.columns(), seed=seed))).select(label="real")


def _on_reals(plan: Plan, detector: VAEDetector, reals: FaceSet, val: ScoreTable) -> dict[str, Any]:
    """Mean loss, error and KL of validation reals, and how many latent dimensions carry something there."""
    rows = np.flatnonzero(np.isfinite(val.values(SCORE)))
    some = np.sort(np.random.default_rng(plan.seed).permutation(rows)[:_LATENT_FACES])
    latents = latents_of(detector, reals, some, np.zeros(len(some), dtype=bool), plan.seed)
    assert latents is not None, "a VAE has latents"
    _, facts = latent_use(latents.means, None)
    columns = {"loss": "elbo", "rmse": SCORE, "kl": "kl"}
    means = {key: float(val.values(column)[rows].mean()) for key, column in columns.items()}
    # Without a weight on it the KL can grow past all numbers.
    finite = {key: value if math.isfinite(value) else None for key, value in means.items()}
    return {**finite, "active": facts["active"], "dimensions": facts["dimensions"], "reals": len(rows)}
