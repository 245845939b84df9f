"""What the thesis credits to the shape of its networks, with all else kept equal: a small grid of networks, each
beside a partner that differs from it in one thing."""

from __future__ import annotations

import math
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from verovolto.networks.choices import Bottleneck, ModelName
from verovolto.thesis.networks import noise_of, run_folder, scores
from verovolto.thesis.splits import cut_of, split_file

if TYPE_CHECKING:
    from verovolto.core.workdir import Done
    from verovolto.data.faceset import FaceSet
    from verovolto.data.score_table import ScoreTable
    from verovolto.detectors.vae.detector import VAEDetector
    from verovolto.thesis.context import Context
    from verovolto.thesis.plan import Plan, Protocol
    from verovolto.training.config import TrainConfig

SCORE = "rmse"
"""By which all of them are judged: the error of reconstruction."""
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
LUCK = "seed"
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
COMPARISONS: tuple[Comparison, ...] = (
    Comparison(group=LUCK, name="second seed", partner=BASE, differs="the seed and nothing else"),
    Comparison(group=LUCK, name="third seed", partner=BASE, differs="the seed and nothing else"),
    Comparison(group=LUCK, name="third seed", partner="second seed", differs="the seed and nothing else"),
    Comparison(
        group="symmetry", name="pooled", partner="small decoder, pooled", differs="a mirrored decoder"
    ),
    Comparison(group="symmetry", name=BASE, partner="small decoder, flat", differs="a mirrored decoder"),
    Comparison(
        group="pretraining", name="pretrained", partner="not pretrained", differs="ImageNet's weights"
    ),
    Comparison(group="bottleneck", name="spatial", partner=BASE, differs="spatial for flat"),
    Comparison(group="bottleneck", name="pooled", partner=BASE, differs="pooled for flat"),
    Comparison(group="beta", name="beta 0", partner=BASE, differs="beta 0 for 1"),
    Comparison(group="beta", name="beta 0.1", partner=BASE, differs="beta 0.1 for 1"),
    Comparison(group="beta", name="beta 10", partner=BASE, differs="beta 10 for 1"),
    Comparison(group="latent", name="latent 32", partner=BASE, differs="32 dimensions for 256"),
    Comparison(group="latent", name="latent 1024", partner=BASE, differs="1,024 dimensions for 256"),
)


def run(context: Context) -> dict[str, Any]:
    """Train and judge the grid on the split of the soundest protocol there is; a step a network, one to compare them.

    Returns `rows`, a network each, `comparisons`, a pair each with its differences, `trivial`, the statistics beside
    them, and what they were trained and judged on.
    """
    plan = context.plan
    settings = {**plan.controlling(), "noise": noise_of(plan, context.best)}
    cut = cut_of(context.splits, context.best)
    trained = {
        name: context.steps.take(
            f"control-{context.best}-{_slug(name)}",
            lambda folder, name=name: train_and_score(context, name, folder),  # type: ignore[misc]
            inputs={**settings, **asdict(condition)},
            after=(cut,),
        )
        for name, condition in GRID.items()
    }
    return context.steps.take(
        f"controls-{context.best}",
        lambda _: compare(context, trained),
        inputs={**plan.judging(), "comparisons": [asdict(one) for one in COMPARISONS]},
        after=tuple(trained.values()),
    ).result


def train_and_score(context: Context, name: str, folder: Path) -> dict[str, Any]:
    """Train a network of the grid, or go on; score validation and test faces with its norms measured again.

    Its detector is kept, its checkpoints are not: those of the whole grid take ten gigabytes. One that diverges says so
    as its result, and the others go on.
    """
    from verovolto.core.errors import Diverged
    from verovolto.data.faceset import FaceSet
    from verovolto.detectors.registry import load_detector
    from verovolto.detectors.score_faces import score_faces
    from verovolto.detectors.vae.detector import VAEDetector
    from verovolto.networks.registry import count_parameters
    from verovolto.thesis.batch_norm import with_measured_norms
    from verovolto.thesis.checkpoints import validation_losses
    from verovolto.thesis.networks import train

    plan, protocol = context.plan, context.best
    data = split_file(context.splits.folder, protocol)
    config = config_of(plan, protocol, name, data)
    try:
        train(config, leaky=bool(plan.kept(protocol, "leak")))
    except Diverged as error:
        return {"diverged": str(error)}
    losses = validation_losses(config.out)
    faces = FaceSet.open(data)
    trained = load_detector(config.out)
    assert isinstance(trained, VAEDetector), "a control is a VAE"
    batch_size = plan.batch_size or 100
    reals = faces.select(split="train", label="real")
    detector = with_measured_norms(trained, reals, batch_size=batch_size, seed=plan.seed, noise=config.noise)
    chosen_on = _choose_reals(faces.select(split="val"), plan.seed)
    judged = {"val": chosen_on, "test": faces.select(split="test")}
    for split, some in judged.items():
        score_faces(detector, some).write(folder / f"{split}.parquet")
    shutil.rmtree(config.out / "checkpoints", ignore_errors=True)
    return {
        "parameters": count_parameters(detector.model),
        "epoch": min(losses, key=lambda epoch: losses[epoch]),
        **_on_reals(plan, detector, chosen_on, scores(folder, "val")),
    }


def config_of(plan: Plan, protocol: Protocol, name: str, data: Path) -> TrainConfig:
    """How a network of the grid is trained: as the published ones, but for its size and length."""
    from verovolto.training.config import TrainConfig

    one = GRID[name]
    return TrainConfig(
        data=data,
        model=one.model,
        out=run_folder(plan, protocol, f"control-{_slug(name)}"),
        size=plan.control_size,
        latent=one.latent,
        bottleneck=one.bottleneck,
        beta=one.beta,
        noise=noise_of(plan, protocol),
        weights=one.weights,
        batch_size=plan.batch_size,
        epochs=plan.control_epochs,
        checkpoint_epochs=plan.control_epochs,
        seed=plan.seed + one.seed,
        device=plan.device,
        precision=plan.precision,
        threads=plan.threads,
    )


def _slug(name: str) -> str:
    """`small decoder, flat` as part of the name of a folder."""
    return name.replace(",", "").replace(" ", "-")


def _choose_reals(val: FaceSet, seed: int) -> FaceSet:
    """The validation reals that choose epochs, cut by the plan's seed: all networks are looked at on the same ones."""
    import numpy as np

    from verovolto.data.splits import halve

    return val.take(np.flatnonzero(halve(val.columns(), seed=seed))).select(label="real")


def _on_reals(plan: Plan, detector: VAEDetector, reals: FaceSet, val: ScoreTable) -> dict[str, Any]:
    """Mean loss, error and KL of validation reals, and how many latent dimensions carry something there."""
    import numpy as np

    from verovolto.report.evaluation_page import latents_of
    from verovolto.report.figures import latent_use

    rows = np.flatnonzero(np.isfinite(val.values(SCORE)))
    some = np.sort(np.random.default_rng(plan.seed).permutation(rows)[:_LATENT_FACES])
    latents = latents_of(detector, reals, some, np.zeros(len(some), dtype=bool), plan.seed)
    assert latents is not None, "a VAE has latents"
    _, facts = latent_use(latents.means, None)
    means = {
        key: float(val.values(column)[rows].mean())
        for key, column in (("loss", "elbo"), ("rmse", SCORE), ("kl", "kl"))
    }
    # Without a weight on it the KL can grow past all numbers.
    known = {key: value if math.isfinite(value) else None for key, value in means.items()}
    return {**known, "active": facts["active"], "dimensions": facts["dimensions"], "reals": len(rows)}


def compare(context: Context, trained: dict[str, Done]) -> dict[str, Any]:
    """Judge every network on the test faces, and each against its partner on the same resamples."""
    from verovolto.core.errors import TrainingError
    from verovolto.evaluation.groups import Sample
    from verovolto.thesis import protocols as arms
    from verovolto.thesis.experiments.controls.statistics import difference

    plan = context.plan
    drawn: dict[str, int] = {"resamples": plan.resamples, "seed": plan.seed}
    diverged = {name: done.result["diverged"] for name, done in trained.items() if "diverged" in done.result}
    trained = {name: done for name, done in trained.items() if name not in diverged}
    if not trained:
        raise TrainingError(
            "every network of the grid diverged", hint="leave the controls out: name other --parts"
        )
    tables = {name: scores(done.folder, "test") for name, done in trained.items()}
    samples = {name: Sample.of(table, SCORE, **drawn) for name, table in tables.items()}
    ranked = {name: arms.rankings(sample, SCORE) for name, sample in samples.items()}
    first, statistics = next(iter(samples.values())), next(iter(ranked.values()))
    differences = [
        {**asdict(one), **difference(tables[one.name], tables[one.partner], SCORE, **drawn)}
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
        "test": {"real": int((~first.fake).sum()), "fake": int(first.fake.sum())},
        "interval": first.resamples.metadata(),
        "rows": [
            {"name": name, **asdict(GRID[name]), **done.result, "auroc": ranked[name][SCORE]["auroc"]}
            for name, done in trained.items()
        ],
        "trivial": {name: found["auroc"] for name, found in statistics.items() if name != SCORE},
        "comparisons": _with_credit(differences),
    }


def _with_credit(differences: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Each difference with whether it is larger than another seed's, by metric."""
    from verovolto.thesis.experiments.controls.statistics import METRICS, credited

    luck = [one for one in differences if one["group"] == LUCK]
    return [
        {
            **one,
            **{
                metric: {**one[metric], "credited": credited(one[metric], [two[metric] for two in luck])}
                for metric in METRICS
                if metric in one and one["group"] != LUCK
            },
        }
        for one in differences
    ]
