"""What the thesis credits to the shape of its networks, with all else kept equal.

A small grid of networks, each beside a partner that differs from it in one thing. Before they are evaluated their batch
norms are measured again, so that networks can be compared whatever their momentum: while training, the running mean and
variance of a batch norm follow the features with a lag; with momentum 0.01, as in ResNetOCVAE1's heads and decoder, two
thirds of where they began are still in them after 40 steps. In use they would then describe another network than the
one that was trained. Averaging over many batches with the finished weights removes the lag (Wu & Johnson, "Rethinking
'Batch' in BatchNorm", arXiv 2105.07576, section 3).
"""

from __future__ import annotations

import copy
import math
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from verovolto.core.errors import DataError, Diverged, TrainingError
from verovolto.core.workdir import Done
from verovolto.data.faceset import FaceSet
from verovolto.data.score_table import ScoreTable
from verovolto.data.splits import halve
from verovolto.detectors.base import load_detector
from verovolto.detectors.config import TrainConfig
from verovolto.detectors.score_faces import read_batch, score_faces
from verovolto.detectors.vae.detector import VAEDetector
from verovolto.networks import Bottleneck, ModelName, Noise
from verovolto.networks.registry import count_parameters
from verovolto.report.evaluation_page import latents_of
from verovolto.report.figures import latent_use
from verovolto.thesis.experiments.controls.statistics import METRICS, difference, exceeds_seed_variance
from verovolto.thesis.networks import noise_of, run_folder, scores, train, validation_losses
from verovolto.thesis.plan import Context, Plan, Protocol
from verovolto.thesis.protocols import rankings
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


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """A network and its partner, by their names in `GRID`, and what alone sets the first apart."""

    group: str
    name: str
    partner: str
    differs: str


BASE = "base"
SEED_VARIANCE = "seed"
GRID: dict[str, Condition] = {
    BASE: Condition(),
    "second seed": Condition(seed=1),
    "third seed": Condition(seed=2),
    "pooled": Condition(bottleneck="pooled"),
    "small decoder, pooled": Condition(model="resnet-ocvae1", bottleneck="pooled"),
    "small decoder, flat": Condition(model="resnet-ocvae1-flat"),
    "pretrained": Condition(model="lite0-ocvae", bottleneck="pooled", weights="imagenet"),
    "not pretrained": Condition(model="lite0-ocvae", bottleneck="pooled"),
    "spatial": Condition(bottleneck="spatial"),
    "beta 0": Condition(beta=0.0),
    "beta 0.1": Condition(beta=0.1),
    "beta 10": Condition(beta=10.0),
    "latent 32": Condition(latent=32),
    "latent 1024": Condition(latent=1024),
}
COMPARISONS: tuple[Comparison, ...] = tuple(
    Comparison(group=group, name=name, partner=partner, differs=differs)
    for group, name, partner, differs in (
        (SEED_VARIANCE, "second seed", BASE, "the seed and nothing else"),
        (SEED_VARIANCE, "third seed", BASE, "the seed and nothing else"),
        (SEED_VARIANCE, "third seed", "second seed", "the seed and nothing else"),
        ("symmetry", "pooled", "small decoder, pooled", "a mirrored decoder"),
        ("symmetry", BASE, "small decoder, flat", "a mirrored decoder"),
        ("pretraining", "pretrained", "not pretrained", "ImageNet's weights"),
        ("bottleneck", "spatial", BASE, "spatial for flat"),
        ("bottleneck", "pooled", BASE, "pooled for flat"),
        ("beta", "beta 0", BASE, "beta 0 for 1"),
        ("beta", "beta 0.1", BASE, "beta 0.1 for 1"),
        ("beta", "beta 10", BASE, "beta 10 for 1"),
        ("latent", "latent 32", BASE, "32 dimensions for 256"),
        ("latent", "latent 1024", BASE, "1,024 dimensions for 256"),
    )
)


def run(context: Context) -> dict[str, Any]:
    """Train and evaluate the grid on the split of the soundest protocol there is.

    A step a network, one to compare them. Returns `rows`, a network each, `comparisons`, a pair each with its
    differences, `trivial`, the statistics beside them, and what they were trained and evaluated on.
    """
    plan, protocol = context.plan, context.best
    # `plan_seed` beside the network's own `seed`.
    settings = {
        "control_size": plan.control_size, "control_epochs": plan.control_epochs, "batch_size": plan.batch_size,
        "device": plan.device, "precision": plan.precision, "threads": plan.threads, "plan_seed": plan.seed,
        "noise": noise_of(plan, protocol),
    }  # fmt: skip

    def trained_by(name: str, condition: Condition) -> Done:
        return context.steps.take(
            f"control-{protocol}-{_slug(name)}",
            lambda folder: train_and_score(context, name, folder),
            inputs={**settings, **asdict(condition)},
            after=(context.split(protocol),),
        )

    trained = {name: trained_by(name, condition) for name, condition in GRID.items()}
    return context.steps.take(
        f"controls-{protocol}",
        lambda _: compare(context, trained),
        inputs={**plan.evaluation_settings, "comparisons": [asdict(one) for one in COMPARISONS]},
        after=tuple(trained.values()),
    ).result


def train_and_score(context: Context, name: str, folder: Path) -> dict[str, Any]:
    """Train a network of the grid, or go on; score validation and test faces with its norms measured again.

    Its detector is kept, its checkpoints are not: those of the whole grid take ten gigabytes. One that diverges says so
    as its result, and the others go on.
    """
    plan, protocol = context.plan, context.best
    config = config_of(plan, protocol, name, context.data(protocol))
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


def config_of(plan: Plan, protocol: Protocol, name: str, data: Path) -> TrainConfig:
    """How a network of the grid is trained: as the published ones, but for its size and length.

    Args:
        plan: the settings.
        protocol: whose split it is.
        name: of the network in `GRID`.
        data: the split file.
    """
    one = GRID[name]
    return configure(
        data=data, model=one.model, out=run_folder(plan, protocol, f"control-{_slug(name)}"), size=plan.control_size,
        latent=one.latent, bottleneck=one.bottleneck, beta=one.beta, noise=noise_of(plan, protocol),
        weights=one.weights, batch_size=plan.batch_size, epochs=plan.control_epochs,
        checkpoint_epochs=plan.control_epochs, seed=plan.seed + one.seed, device=plan.device,
        precision=plan.precision, threads=plan.threads,
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


def _slug(name: str) -> str:
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


def compare(context: Context, trained: Mapping[str, Done]) -> dict[str, Any]:
    """Evaluate every network on the test faces, and each against its partner on the same resamples."""
    plan = context.plan
    diverged = {name: done.result["diverged"] for name, done in trained.items() if "diverged" in done.result}
    trained = {name: done for name, done in trained.items() if name not in diverged}
    if not trained:
        raise TrainingError(
            "every network of the grid diverged", hint="leave the controls out: name other --parts"
        )
    tables = {name: scores(done.folder, "test") for name, done in trained.items()}
    samples = {name: plan.sample(table, SCORE) for name, table in tables.items()}
    ranked = {name: rankings(sample, SCORE) for name, sample in samples.items()}
    first, statistics = next(iter(samples.values())), next(iter(ranked.values()))
    differences = [
        {**asdict(one), **difference(tables[one.name], tables[one.partner], SCORE, **plan.bootstrap)}
        for one in COMPARISONS
        if one.name in trained and one.partner in trained
    ]
    return {
        "protocol": context.best,
        "diverged": diverged,
        "leaky": bool(plan.kept(context.best, "leak")),
        "size": plan.control_size,
        "epochs": plan.control_epochs,
        "train": context.splits.result["train"],
        "seed": plan.seed,
        "reals": next(iter(trained.values())).result["reals"],
        "score": SCORE,
        "test": first.class_counts(),
        "interval": first.resamples.metadata(),
        "rows": [
            {"name": name, **asdict(GRID[name]), **done.result, "auroc": ranked[name][SCORE]["auroc"]}
            for name, done in trained.items()
        ],
        "trivial": {name: of["auroc"] for name, of in statistics.items() if name != SCORE},
        "comparisons": _beside_seed_variance(differences),
    }


def _beside_seed_variance(differences: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Each difference with whether it exceeds what other seeds make, by metric."""
    of_seeds = [one for one in differences if one["group"] == SEED_VARIANCE]
    for one in (one for one in differences if one["group"] != SEED_VARIANCE):
        for metric in (metric for metric in METRICS if metric in one):
            exceeds = exceeds_seed_variance(one[metric], [seeds[metric] for seeds in of_seeds])
            one[metric] = {**one[metric], "credited": exceeds}
    return differences
