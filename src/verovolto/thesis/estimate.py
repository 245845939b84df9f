"""What a reproduction will take: hours of this machine and bytes of its disk, said before it begins.

A network's rate is measured: a few steps of its training on random pixels, at the size and batch asked for. What is
counted from it are trainings and scored faces; drawing figures and resampling take minutes and are left out.
"""

from __future__ import annotations

import math
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import torch

from verovolto.detectors.registry import TrainConfig
from verovolto.detectors.vae import VAEConfig
from verovolto.detectors.vae.fit import architecture
from verovolto.networks.registry import build, count_parameters
from verovolto.networks.vae import negative_elbo
from verovolto.thesis.experiments import load
from verovolto.thesis.networks import SCORED, run_config
from verovolto.thesis.plan import Context, Protocol
from verovolto.training.fit import resolved

_STEPS = 2  # of which the first warms up
_MOST = 16
"""Images of a measured step, at most: what a step costs an image hardly depends on it."""
_FLOAT = 4
_STATE = 3
"""A state to resume from, in weights: the network's own, and two running means of Adam's."""


@dataclass(frozen=True, kw_only=True)
class Trainings:
    """Trainings of one network that are alike.

    Attributes:
        what: in words.
        config: of one of them.
        count: how many.
        images: that one passes forward and back, all epochs together.
        scored: faces that its checkpoints score.
        stays: what is left of one at the end, as so many times its weights: the epochs kept, the best, the state to
            resume from, and the detector.
    """

    what: str
    config: TrainConfig
    count: int
    images: int
    scored: int
    stays: int = 0


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """What is to come: `trainings` by kind, `seconds` on this machine, `stays` and `most` bytes of disk."""

    trainings: dict[str, int]
    seconds: float
    stays: int
    most: int

    def text(self) -> str:
        """In words."""
        counted = ", ".join(f"{what} {count}" for what, count in self.trainings.items())
        return (
            f"networks to train: {counted}; about {_duration(self.seconds)} of training and scoring on this machine, "
            f"{_size(self.stays)} of disk at the end, at most {_size(self.most)} on the way"
        )


def estimate(context: Context) -> Estimate | None:
    """What the steps that are not done yet take; None where nothing is to be trained."""
    ahead = [one for one in planned(context) if one.count]
    if not ahead:
        return None
    rates: dict[str, tuple[float, float, int]] = {}
    states = (
        len(context.plan.checkpoints) + 2
    ) * _STATE  # while one is trained: each epoch kept, the best, the last
    seconds, stays, passing, counted = 0.0, 0, 0, dict[str, int]()
    for one in ahead:
        key = repr(architecture(one.config))
        rates[key] = rates.get(key) or _measured(one.config)
        trained, scored, parameters = rates[key]
        seconds += one.count * (one.images * trained + one.scored * scored)
        stays += one.count * one.stays * parameters * _FLOAT
        passing = max(passing, states * parameters * _FLOAT)
        counted[one.what] = counted.get(one.what, 0) + one.count
    return Estimate(trainings=counted, seconds=seconds, stays=stays, most=stays + passing)


def missing_space(found: Estimate, out: Path) -> str | None:
    """A warning where the disk has less than what is needed."""
    free = shutil.disk_usage(
        next(folder for folder in (out, *out.absolute().parents) if folder.exists())
    ).free
    if free >= found.most:
        return None
    return f"{out} lies on a disk with {_size(free)} free, {_size(found.most)} may be needed"


def planned(context: Context) -> Iterator[Trainings]:
    """All trainings of a plan whose steps are not done: the protocols' own, and those of each experiment."""
    plan, splits = context.plan, context.splits.result
    for protocol, network in product(plan.protocols, plan.networks):
        if context.steps.has(f"train-{protocol}-{network}"):
            continue
        yield Trainings(
            what="by the protocols",
            config=resolved(run_config(plan, protocol, network, context.data(protocol))),
            count=1,
            images=plan.epochs * int(splits["train"]),
            scored=len(plan.checkpoints) * faces_scored(context, protocol),
            stays=len(plan.checkpoints) + 2 + _STATE,
        )
    for name in plan.parts:
        yield from getattr(load(name), "planned", _nothing)(context)


def faces_scored(context: Context, protocol: Protocol) -> int:
    """Faces of a protocol's split that a checkpoint scores."""
    cut = context.splits.result["cuts"][protocol]["faces"]
    return sum(sum(of.values()) for name, of in cut.items() if name in SCORED)


def _nothing(context: Context) -> Iterator[Trainings]:
    """An experiment that trains nothing."""
    yield from ()


def _measured(config: TrainConfig) -> tuple[float, float, int]:
    """Seconds an image to train on and to score, and the parameters of a network."""
    options = config.method
    assert isinstance(options, VAEConfig) and options.size is not None and options.batch_size is not None
    model = build(architecture(config))
    images = max(2, min(_MOST, options.batch_size))
    x = torch.rand(images, 3, options.size, options.size, device=config.device)
    model.to(config.device)
    optimiser = torch.optim.Adam(model.parameters(), lr=1e-6)
    threads = torch.get_num_threads()
    torch.set_num_threads(config.threads or threads)
    dtype = torch.bfloat16 if options.precision == "bf16" else torch.float32
    trained, scored = [], []
    try:
        with torch.autocast(torch.device(config.device).type, dtype, enabled=dtype is not torch.float32):
            for _ in range(_STEPS):
                start = time.perf_counter()
                loss = negative_elbo(x, model.train()(x), beta=1.0, reduction="sum").mean()
                loss.backward()  # type: ignore[no-untyped-call]
                optimiser.step()
                optimiser.zero_grad()
                trained.append(time.perf_counter() - start)
            for _ in range(_STEPS):
                start = time.perf_counter()
                with torch.inference_mode():
                    model.eval()(x)
                scored.append(time.perf_counter() - start)
    finally:
        torch.set_num_threads(threads)
    return min(trained) / images, min(scored) / images, count_parameters(model)


def _duration(seconds: float) -> str:
    minutes = max(1, math.ceil(seconds / 60))
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60:02d} min"


def _size(count: int) -> str:
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{max(1, round(count / 1e6))} MB"
