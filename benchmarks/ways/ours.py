"""Our ways: what `verovolto train` and `verovolto evaluate` run, and their networks alone, of a batch in memory."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from torch.utils.flop_counter import FlopCounterMode

from verovolto.data.face_batch import Preprocessing
from verovolto.data.faceset import FaceSet
from verovolto.detectors.fitting import TrainingData
from verovolto.detectors.registry import flat
from verovolto.detectors.score_faces import read_batch
from verovolto.detectors.trivial.detector import trivial_scores
from verovolto.detectors.vae.detector import VAEDetector, vae_scores
from verovolto.detectors.vae.fit import VAEObjective
from verovolto.networks.registry import entry
from verovolto.networks.vae import VAE, arithmetic
from verovolto.training.config import configure
from verovolto.training.data import EpochSampler, loader
from verovolto.training.engine import ObjectiveModule, quiet
from verovolto.training.fit import resolved
from ways import BATCH, DEVICE, Job, architecture, network, now, timed
from ways.plain import PlainFaces


class _Clock(pl.Callback):
    """Times the steps after the first one, loading included."""

    def __init__(self) -> None:
        self.times: list[float] = []

    def on_train_batch_end(self, *_args: Any) -> None:
        self.times.append(now())


class Steps:
    """Training steps of a model, as `verovolto train` takes them, and of its network alone."""

    def __init__(self, model: str, faces: FaceSet) -> None:
        config = configure(data=faces.path, model=model, out=Path("unused"), weights="none", batch_size=BATCH)
        self.config = resolved(config)
        options = flat(self.config)
        self.model, self.precision, self.size = model, str(options["precision"]), int(options["size"])
        net = network(model)
        data = TrainingData(train=faces, choose=faces, calibrate=faces, fingerprint="", crop_rule=None)
        self.objective = VAEObjective(net, self.config, data)
        self.module = ObjectiveModule(self.objective, self.config)
        self.batches = loader(
            self.objective.training,
            EpochSampler(faces, seed=0),
            batch_size=BATCH,
            workers=self.config.workers or 0,
            pin=self.config.device == "cuda",
        )
        self.batch = next(iter(self.batches))

    @property
    def gflops(self) -> float:
        """Operations of the forward pass of one image."""
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            self.module.model.eval()(torch.zeros(1, 3, self.size, self.size))
        return float(counter.get_total_flops()) / 1e9

    def ours(self) -> float:
        """By Lightning, the faces read: three steps after the first."""
        clock = _Clock()
        with quiet():
            trainer = pl.Trainer(
                accelerator="gpu" if self.config.device == "cuda" else "cpu", devices=1, max_steps=4,
                precision="bf16-mixed" if self.precision == "bf16" else "32-true", callbacks=[clock],
                logger=False,
                enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
            )  # fmt: skip
            trainer.fit(self.module, self.batches)
        return BATCH * (len(clock.times) - 1) / (clock.times[-1] - clock.times[0])

    def alone(self) -> float:
        """The same steps of one batch in memory: three after the first."""
        device = self.config.device
        self.module.model.to(device).train()
        batch = self.batch._replace(pixels=self.batch.pixels.to(device))
        optimiser = self.module.configure_optimizers()

        def step() -> None:
            optimiser.zero_grad()
            with arithmetic(device, self.precision):
                loss = self.objective.losses(batch, 0)["loss"]
            loss.backward()
            optimiser.step()
            loss.item()

        step()
        return timed(step, times=3)


def score_ours(model: str, faces: FaceSet, precision: str = "32") -> Job:
    """Scoring as `verovolto evaluate` does it."""
    made = detector(model, network(model), precision)
    starts = cycle(len(faces))

    def step() -> None:
        start = next(starts)
        _, batch = read_batch(faces, start, start + BATCH)
        trivial_scores(batch)
        made.score_batch(batch)

    return lambda: timed(step, times=3)


def detector(model: str, network: VAE, precision: str) -> VAEDetector:
    known = entry(model)
    return VAEDetector(
        architecture=architecture(model),
        model=network.to(DEVICE),
        preprocessing=Preprocessing(size=known.size, mean=known.mean, std=known.std),
        default_score=known.score,
        precision=precision,  # type: ignore[arg-type]
    )


def score_alone(model: str, faces: FaceSet) -> Job:
    """Our network and scores of one batch in memory, in float32."""
    known = entry(model)
    net = network(model).to(DEVICE, memory_format=torch.channels_last).eval()
    x = torch.stack([PlainFaces(faces, model)[row] for row in range(BATCH)]).to(DEVICE)
    x = x.contiguous(memory_format=torch.channels_last)

    def step() -> None:
        with torch.inference_mode():
            {k: v.cpu() for k, v in vae_scores(net, x, net(x), std=known.std, beta=1.0).items()}

    return lambda: timed(step, times=3)


def cycle(n: int) -> Iterator[int]:
    while True:
        yield from range(0, n - BATCH + 1, BATCH)
