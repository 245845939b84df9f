"""Train one encoder with two heads: reconstruction of real faces, and where a face was blended.

The way of a run: pairs of a forgery and its source, made of the training's own real faces, are drawn ahead
(`experimental.blend.pair_store`), and so are pairs of kinds of forgery that are left out of training, made of
the `choose` reals. Each step sees a batch of pairs: the negative ELBO of the real ones, the cross-entropy of
the predicted map against where the forgery lies (nowhere in a real one), and the ranking of the two. The epoch
that is kept ranks the left-out kinds best; of a run without that head it reconstructs the `choose` reals best.
Training never reads a fake of the set.

The folder holds `config.toml`, `run.json`, `metrics.csv`, `checkpoints/` (`last.ckpt`, the state after each epoch, and
`best.ckpt`) and, once finished, `detector/`; `work/` holds the pairs and is deleted at the end.
"""

from __future__ import annotations

import csv
import io
import math
import shutil
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from rich.progress import Progress
from sklearn.metrics import roc_auc_score
from torch import Tensor

from verovolto.core.config import cores
from verovolto.core.errors import InputError, TrainingError, UnreadableImage
from verovolto.core.files import atomic_path, check_out, write_text
from verovolto.data.faceset import FaceSet
from verovolto.data.transforms import epoch_order, normalise, random_bits, resize
from verovolto.detectors.calibrate import calibrated
from verovolto.detectors.io import JSON_NAME
from verovolto.experimental.blend.detector import BLEND, RMSE, BlendDetector
from verovolto.experimental.blend.network import (
    REDUCTION,
    BlendVAE,
    blend_map_error,
    pooled_logit,
    ranking_error,
)
from verovolto.experimental.blend.pair_store import Asked, DrawnPairs, PairBatch, draw_pairs
from verovolto.features.preprocessing import Preprocessing
from verovolto.networks.choices import BLEND_VAE
from verovolto.networks.vae import (
    VAEOutput,
    arithmetic,
    draw_noise,
    negative_elbo,
    reconstruction_error,
    warmed_beta,
)
from verovolto.synthesis.pseudo_fakes import PSEUDO_FAKE_METHODS
from verovolto.training.config import TrainConfig, on_this_machine
from verovolto.training.data import TrainingData, load_training_data
from verovolto.training.run_metadata import (
    LAST,
    as_begun,
    check_folder,
    check_same,
    detector_metadata,
    is_longer,
    write_run_metadata,
)

LEFT_OUT = ("parts", "sharp")
"""Kinds of forgery that nothing is trained on: they alone choose the epoch."""

TRAINED_ON = tuple(kind for kind in PSEUDO_FAKE_METHODS if kind not in LEFT_OUT)

SIZE, LATENT, BATCH, RATE = 96, 256, 16, 3e-4
MEAN, STD = (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)
MOST_LEFT_OUT = 500
"""Pairs of left-out kinds at most; there are two a face of `choose`."""

_BATCH_OF_FACES = 64
_NOISE, _MIRROR = 0x6E6F697365, 0x6D6972726F72  # keep these draws apart from others of the same seed
_BEST = "best.ckpt"


def run(config: TrainConfig, progress: Progress, *, work: Path | None = None) -> Path:
    """Train, or go on with a run that was stopped; returns the run folder with a `detector/` in it.

    `work` is where pairs are drawn: `work/` in the run folder, deleted at the end, or a folder that is given and kept,
    so that several runs of one seed and size share them.

    Raises `TrainingError` when the folder holds a run of another configuration or other data, a process dies twice, or
    the loss is no number any more; and the errors of data and configuration.
    """
    check_out(config.out)
    config = resolved(as_begun(config))
    if (config.out / "detector" / JSON_NAME).is_file() and not is_longer(config):
        check_same(config)
        return config.out
    sets = load_training_data(config)
    check_folder(config, sets, {})
    torch.set_num_threads(config.threads or 1)
    torch.manual_seed(config.seed)
    model = network(config)
    (config.out / "detector" / JSON_NAME).unlink(missing_ok=True)
    write_run_metadata(config, sets, {})
    training, left_out = _draw(config, sets, work or config.out / "work", progress)
    judge = _Evaluator(config=config, faces=_pixels(sets.choose, config.size or SIZE), pairs=left_out)
    best = _Fit(model=model, config=config, pairs=training, judge=judge, progress=progress).run()
    model.load_state_dict(best["model"])
    detector = as_detector(model.cpu(), config, sets)
    detector.metadata |= {
        "forgeries": len(training), "kinds": list(TRAINED_ON), "left_out": list(LEFT_OUT), "epoch": best["epoch"],
        "unreadable": training.unreadable,
    }  # fmt: skip
    calibrated(detector, sets.calibrate, seed=config.seed).save(config.out / "detector")
    if work is None:
        shutil.rmtree(config.out / "work", ignore_errors=True)
    return config.out


def resolved(config: TrainConfig) -> TrainConfig:
    """Fill what was left open: this model's own values, and what the machine has.

    Raises `InputError` for a default score whose head is not trained.
    """
    if config.score is not None and config.score not in _trained(config):
        raise InputError(
            f"--score {config.score}: this run trains {' and '.join(_trained(config))}", hint="leave it out"
        )
    return on_this_machine(
        replace(
            config,
            size=config.size or SIZE,
            latent=config.latent or LATENT,
            batch_size=config.batch_size or BATCH,
            lr=config.lr or RATE,
            flips=config.flips or "h",
            score=config.score or _trained(config)[0],
            weights="none",
            workers=cores() if config.workers is None else config.workers,
        )
    )


def _trained(config: TrainConfig) -> tuple[str, ...]:
    """Scores of the heads that have a weight."""
    weights = {BLEND: config.blend_weight, RMSE: config.reconstruction_weight}
    return tuple(name for name, weight in weights.items() if weight)


def network(config: TrainConfig) -> BlendVAE:
    """The network of a resolved configuration, with random weights."""
    size, latent = config.size or SIZE, config.latent or LATENT
    return BlendVAE(size=size, latent=latent, bottleneck=config.bottleneck)


def described() -> tuple[str, str, str]:
    """Parameters, size of the input and default score, as `verovolto models` lists them."""
    with torch.device("meta"):  # counts without allocating
        parameters = sum(p.numel() for p in BlendVAE(size=SIZE, latent=LATENT).parameters())
    return f"{parameters:,}", f"{SIZE} px", BLEND


def as_detector(model: BlendVAE, config: TrainConfig, sets: TrainingData) -> BlendDetector:
    """Dress a trained network as a detector, not calibrated yet; it has the scores of the heads that were trained."""
    weights = {"blend": config.blend_weight, "reconstruction": config.reconstruction_weight}
    return BlendDetector(
        name=BLEND_VAE,
        model=model,
        latent=config.latent or LATENT,
        bottleneck=config.bottleneck,
        preprocessing=Preprocessing(size=config.size or SIZE, mean=MEAN, std=STD, crop_rule=sets.crop_rule),
        default_score=config.score or BLEND,
        score_names=_trained(config),
        precision=config.score_precision,
        metadata=detector_metadata(config, sets, {}, weights="from scratch") | {"weights_of_losses": weights},
    )


def _draw(
    config: TrainConfig, sets: TrainingData, folder: Path, progress: Progress
) -> tuple[DrawnPairs, DrawnPairs]:
    """The pairs to train on, and those of the kinds left out."""

    def task(what: str, total: int) -> Callable[[int], None]:
        bar = progress.add_task(what, total=total)
        return lambda done: progress.advance(bar, done)

    size = config.size or SIZE
    common: dict[str, Any] = {"size": size, "mask_size": size // REDUCTION, "seed": config.seed}
    options: dict[str, Any] = {
        "workers": config.workers or 0, "max_unreadable": config.max_unreadable, "task": task,
    }  # fmt: skip
    training = Asked(count=config.forgeries, kinds=TRAINED_ON, **common)
    left_out = Asked(count=min(MOST_LEFT_OUT, 2 * len(sets.choose)), kinds=LEFT_OUT, **common)
    return (
        draw_pairs(sets.train, training, folder / "train", **options),
        draw_pairs(sets.choose, left_out, folder / "left-out", **options),
    )


def _pixels(faces: FaceSet, size: int) -> Tensor:
    """All faces of a set that can be read, uint8 `[n, 3, size, size]`."""
    found = []
    for row in range(len(faces)):
        try:
            found.append(resize(faces.image(row), size))
        except UnreadableImage:
            continue
    return torch.stack(found)


@dataclass(frozen=True, kw_only=True)
class _Pass:
    """How a network is used in training: device, arithmetic, units."""

    config: TrainConfig

    def inputs(self, pixels: Tensor) -> Tensor:
        x = normalise(pixels.to(self.config.device), MEAN, STD)
        return x.contiguous(memory_format=torch.channels_last)

    def autocast(self) -> AbstractContextManager[Any]:
        return arithmetic(self.config.device, self.config.precision)

    def elbo(self, x: Tensor, out: VAEOutput, beta: float) -> Tensor:
        """Negative ELBO in nats a pixel value, so that it is of the size of the other losses whatever the image's."""
        return negative_elbo(x, out, beta=beta).mean() / x[0].numel()

    def reconstruct(self, model: BlendVAE, last: Tensor, generator: torch.Generator | None) -> VAEOutput:
        """The reconstruction out of the encoder's last stage; of the posterior's mean without a generator."""
        posterior = model.posterior([last])
        noise = self.config.noise if generator is not None else "none"
        z = posterior.sample(draw_noise(posterior.mu, noise, generator))
        return VAEOutput(x_hat=model.decode(z).float(), posterior=posterior, z=z)


@dataclass(frozen=True, kw_only=True)
class _Evaluator:
    """What is measured after each epoch: on real faces of `choose`, and on forgeries of them of kinds left out."""

    config: TrainConfig
    faces: Tensor
    pairs: DrawnPairs

    def __call__(self, model: BlendVAE) -> dict[str, float]:
        model.eval()
        found: dict[str, float] = {}
        with torch.inference_mode():
            if self.config.reconstruction_weight:
                found |= self._reconstruction(model)
            if self.config.blend_weight:
                found |= self._blend(model)
        model.train()
        return found

    def better(self, one: dict[str, float], other: dict[str, float]) -> bool:
        """Whether one epoch's figures are better than another's; of equal rankings the better map is."""
        if self.config.blend_weight:
            area, before = one["left_out_auroc"], other["left_out_auroc"]
            return area > before or (area == before and one["left_out_map"] < other["left_out_map"])
        return one["val_loss"] < other["val_loss"]

    def _reconstruction(self, model: BlendVAE) -> dict[str, float]:
        use, losses, errors = _Pass(config=self.config), [], []
        for pixels in torch.split(self.faces, _BATCH_OF_FACES):
            x = use.inputs(pixels)
            with use.autocast():
                out = use.reconstruct(model, model.stages(x)[-1], None)
            losses.append(negative_elbo(x, out, beta=self.config.beta) / x[0].numel())
            errors.append(reconstruction_error(x, out.x_hat, "mean").sqrt())
        return {"val_loss": float(torch.cat(losses).mean()), "val_rmse": float(torch.cat(errors).mean())}

    def _blend(self, model: BlendVAE) -> dict[str, float]:
        real, fake, errors = [], [], []
        for start in range(0, len(self.pairs), _BATCH_OF_FACES):
            batch = self.pairs.batch(np.arange(start, min(start + _BATCH_OF_FACES, len(self.pairs))))
            of_real, of_fake = (self._logits(model, pixels) for pixels in (batch.real, batch.fake))
            mask = batch.mask.to(of_fake.device)
            errors.append(blend_map_error(of_fake, mask) / 2 + blend_map_error(of_real, 0 * mask) / 2)
            real.append(pooled_logit(of_real))
            fake.append(pooled_logit(of_fake))
        low, high = torch.cat(real).cpu().numpy(), torch.cat(fake).cpu().numpy()
        labels = np.repeat([0, 1], len(low))
        return {
            "left_out_map": float(torch.cat(errors).mean()),
            "left_out_auroc": float(roc_auc_score(labels, np.concatenate([low, high]))),
            "left_out_pairs": float(np.mean(high > low)),
        }

    def _logits(self, model: BlendVAE, pixels: Tensor) -> Tensor:
        use = _Pass(config=self.config)
        with use.autocast():
            return model.blend_logits(use.inputs(pixels))


@dataclass(kw_only=True)
class _Fit:
    """The loop: epochs of steps, each epoch judged and kept; it goes on where an earlier process stopped."""

    model: BlendVAE
    config: TrainConfig
    pairs: DrawnPairs
    judge: _Evaluator
    progress: Progress
    history: list[dict[str, float]] = field(default_factory=list)

    def run(self) -> dict[str, Any]:
        """Train to the end; the state of the best epoch: `model` and `epoch`, counted from 1."""
        config = self.config
        self.model.to(config.device).to(memory_format=torch.channels_last).train()
        optimiser = torch.optim.Adam(
            self.model.parameters(), lr=config.lr or RATE, weight_decay=config.weight_decay, fused=True
        )
        self._take_up(optimiser)
        bar = self.progress.add_task("training", total=config.epochs * self._steps)
        self.progress.advance(bar, len(self.history) * self._steps)
        while len(self.history) < config.epochs and not self._stale():
            began = time.perf_counter()
            losses = self._epoch(len(self.history), optimiser, lambda: self.progress.advance(bar, 1))
            row = {"epoch": len(self.history), **losses, **self.judge(self.model)}
            self.history.append({**row, "seconds": time.perf_counter() - began})
            self._keep(optimiser)
        best: dict[str, Any] = torch.load(self._path(_BEST), map_location="cpu", weights_only=True)
        return best

    @property
    def _batch(self) -> int:
        return min(self.config.batch_size or BATCH, len(self.pairs))

    @property
    def _steps(self) -> int:
        """Steps an epoch: a last batch that is not full is left out."""
        return len(self.pairs) // self._batch

    def _epoch(
        self, epoch: int, optimiser: torch.optim.Optimizer, on_progress: Callable[[], None]
    ) -> dict[str, float]:
        count = len(self.pairs)
        order = epoch_order(np.zeros(count, np.int64), seed=self.config.seed, epoch=epoch, window=count)
        sums: dict[str, float] = {}
        for number in range(self._steps):
            chosen = order[number * self._batch : (number + 1) * self._batch]
            parts = self._losses(self._mirrored(chosen, epoch), epoch * self._steps + number)
            loss = torch.stack([weight * value for weight, value in parts.values()]).sum()
            self._check_finite(loss, epoch, number)
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            if self.config.clip_norm > 0:
                torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.config.clip_norm)
            optimiser.step()
            for name, (_, value) in parts.items():
                sums[name] = sums.get(name, 0.0) + float(value.detach())
            on_progress()
        return {f"train_{name}": total / self._steps for name, total in sums.items()}

    def _losses(self, batch: PairBatch, step: int) -> dict[str, tuple[float, Tensor]]:
        """Each loss of a batch with its weight; what has no weight is not computed."""
        config, use, count = self.config, _Pass(config=self.config), len(batch.real)
        real = use.inputs(batch.real)
        # Without the blend head nothing but real faces goes through the encoder.
        x = torch.cat([real, use.inputs(batch.fake)]) if config.blend_weight else real
        found: dict[str, tuple[float, Tensor]] = {}
        with use.autocast():
            stages = self.model.stages(x.contiguous(memory_format=torch.channels_last))
            if config.reconstruction_weight:
                seed = random_bits(config.seed, _NOISE, step) >> 1
                noise = torch.Generator(config.device).manual_seed(seed)
                out = use.reconstruct(self.model, stages[-1][:count], noise)
                beta = warmed_beta(config.beta, step, config.kl_warmup)
                found["elbo"] = (config.reconstruction_weight, use.elbo(real, out, beta))
            logits = self.model.blend(stages) if config.blend_weight else None
        if logits is not None:
            mask = batch.mask.to(logits.device)
            map_error = blend_map_error(logits, torch.cat([0 * mask, mask])).mean()
            pooled = pooled_logit(logits)
            ranking = ranking_error(pooled[:count], pooled[count:]).mean()
            found |= {"map": (config.blend_weight, map_error), "ranking": (config.blend_weight, ranking)}
        return found

    def _mirrored(self, chosen: NDArray[np.int64], epoch: int) -> PairBatch:
        """The pairs of these numbers, each mirrored left-right and upside down as seed, epoch and number decide."""
        batch, flips = self.pairs.batch(chosen), self.config.flips
        if flips == "none":
            return batch
        bits = [random_bits(self.config.seed ^ _MIRROR, epoch, int(number)) for number in chosen]
        across = torch.tensor([bool(each & 1) for each in bits])
        down = torch.tensor([flips == "hv" and bool(each & 2) for each in bits])
        return PairBatch(*(_flip(_flip(part, across, -1), down, -2) for part in batch))

    def _check_finite(self, loss: Tensor, epoch: int, number: int) -> None:
        if not math.isfinite(float(loss.detach())):
            raise TrainingError(
                f"the loss is {float(loss.detach())} at epoch {epoch}, step {number}; the last good state is in "
                f"{self._path(LAST)}",
                hint=f"try --lr below {self.config.lr:g}, --clip-norm, --kl-warmup or --precision 32",
            )

    def _take_up(self, optimiser: torch.optim.Optimizer) -> None:
        if not self._path(LAST).is_file():
            return
        state = torch.load(self._path(LAST), map_location="cpu", weights_only=True)
        self.model.load_state_dict(state["model"])
        optimiser.load_state_dict(state["optimiser"])
        self.history = state["history"]

    def _keep(self, optimiser: torch.optim.Optimizer) -> None:
        """The log, the best state, then the state to resume from: a kill between them repeats the epoch."""
        weights = self.model.state_dict()
        write_text(self.config.out / "metrics.csv", _as_csv(self.history))
        if self._best() == len(self.history) - 1:
            self._save(_BEST, {"model": weights, "epoch": len(self.history)})
        self._save(LAST, {"model": weights, "optimiser": optimiser.state_dict(), "history": self.history})

    def _best(self) -> int:
        """The first of the best epochs so far, counted from 0."""
        best = 0
        for number, row in enumerate(self.history):
            if self.judge.better(row, self.history[best]):
                best = number
        return best

    def _stale(self) -> bool:
        patience = self.config.patience
        return bool(patience and self.history) and len(self.history) - 1 - self._best() >= patience

    def _save(self, name: str, state: dict[str, Any]) -> None:
        with atomic_path(self._path(name)) as part, part.open("wb") as handle:
            torch.save(state, handle)

    def _path(self, name: str) -> Path:
        return self.config.out / "checkpoints" / name


def _flip(images: Tensor, which: Tensor, axis: int) -> Tensor:
    """A batch of images or masks, some of them mirrored along an axis."""
    return torch.where(which.view(-1, *[1] * (images.ndim - 1)), images.flip(axis), images)


def _as_csv(history: list[dict[str, float]]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(history[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(
        {k: f"{v:.6g}" if isinstance(v, float) else v for k, v in row.items()} for row in history
    )
    return text.getvalue()
