"""Train one encoder with two heads: reconstruction of real faces, and where a face was blended.

Pairs of a forgery and its source, made of the training's own real faces, are drawn ahead
(`experimental.blend.pair_store`), and so are pairs of kinds of forgery that are left out of training, made of the
selection reals. Each step sees a batch of pairs: the negative ELBO of the real ones, the cross-entropy of the predicted
map against where the forgery lies (nowhere in a real one), and the ranking of the two. The epoch that is kept ranks the
left-out kinds best; of a run without that head it reconstructs the selection reals best. Training never reads a fake of
the set.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score
from torch import Tensor
from torch.utils.data import Dataset
from typing_extensions import override

from verovolto.core.errors import UnreadableImage
from verovolto.data.face_batch import Preprocessing, normalise, random_bits, resize
from verovolto.data.faceset import FaceSet
from verovolto.detectors.fitting import Key, Objective, Run, TrainingData
from verovolto.detectors.registry import TrainConfig
from verovolto.experimental.blend import BlendConfig
from verovolto.experimental.blend.detector import (
    REDUCTION,
    BlendDetector,
    BlendVAE,
    blend_map_error,
    pooled_logit,
    ranking_error,
    trained_scores,
)
from verovolto.experimental.blend.pair_store import Asked, DrawnPairs, PairBatch, draw_pairs
from verovolto.networks import BLEND_VAE
from verovolto.networks.vae import (
    VAEOutput,
    arithmetic,
    draw_noise,
    negative_elbo,
    reconstruction_error,
    warmed_beta,
)
from verovolto.synthesis.pseudo_fakes import PSEUDO_FAKE_METHODS

LEFT_OUT = ("parts", "sharp")
"""Kinds of forgery that nothing is trained on: they alone choose the epoch."""

TRAINED_ON = tuple(kind for kind in PSEUDO_FAKE_METHODS if kind not in (*LEFT_OUT, "mouth"))
"""Those that its published figures are of."""

MEAN, STD = (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)
MOST_LEFT_OUT = 500
"""Pairs of left-out kinds at most; there are two a face of the selection reals."""

_BATCH_OF_FACES = 64
_NOISE, _MIRROR = 0x6E6F697365, 0x6D6972726F72  # keep these draws apart from others of the same seed


def fit(config: TrainConfig, data: TrainingData, run: Run) -> BlendDetector:
    """Draw the pairs and train the network of a resolved configuration; see `Detector.fit`."""
    options = _options(config)
    model = network(options)
    training, left_out = _draw(config, data, run)
    faces = _pixels(data.choose, options.size or 0)
    trained = run.train(BlendObjective(model, config, training, left_out, faces))
    weights = {"blend": options.blend_weight, "reconstruction": options.reconstruction_weight}
    metadata = run.metadata(weights="from scratch", unreadable=training.unreadable) | {
        "weights_of_losses": weights, "forgeries": len(training), "kinds": list(TRAINED_ON),
        "left_out": list(LEFT_OUT), "epoch": trained.epoch, "unreadable": training.unreadable,
    }  # fmt: skip
    return BlendDetector(
        name=BLEND_VAE,
        model=model,
        latent=options.latent or 0,
        bottleneck=options.bottleneck,
        preprocessing=Preprocessing(size=options.size or 0, mean=MEAN, std=STD, crop_rule=data.crop_rule),
        default_score=options.score or "",
        score_names=trained_scores(options),
        precision=options.score_precision,
        metadata=metadata,
    )


def network(options: BlendConfig) -> BlendVAE:
    """The network of resolved options, with random weights."""
    return BlendVAE(size=options.size or 0, latent=options.latent or 0, bottleneck=options.bottleneck)


def _draw(config: TrainConfig, data: TrainingData, run: Run) -> tuple[DrawnPairs, DrawnPairs]:
    """The pairs to train on, and those of the kinds left out."""
    size = _options(config).size or 0
    common: dict[str, Any] = {"size": size, "mask_size": size // REDUCTION, "seed": config.seed}
    options: dict[str, Any] = {
        "workers": config.workers or 0, "max_unreadable": config.max_unreadable, "task": run.task,
    }  # fmt: skip
    training = Asked(count=_options(config).forgeries, kinds=TRAINED_ON, **common)
    left_out = Asked(count=min(MOST_LEFT_OUT, 2 * len(data.choose)), kinds=LEFT_OUT, **common)
    return (
        draw_pairs(data.train, training, run.work / "train", **options),
        draw_pairs(data.choose, left_out, run.work / "left-out", **options),
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


class PairDataset(Dataset[PairBatch]):
    """Single pairs by `Key`, mirrored left-right and upside down as seed, epoch and number decide."""

    def __init__(self, pairs: DrawnPairs, config: TrainConfig) -> None:
        self.pairs, self.seed, self.flips = pairs, config.seed, _options(config).flips
        self.blocks: NDArray[np.int64] = np.zeros(len(pairs), np.int64)

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, key: Key) -> PairBatch:
        pair = PairBatch(*(part[0] for part in self.pairs.batch(np.array([key.row]))))
        if self.flips == "none":
            return pair
        bits = random_bits(self.seed ^ _MIRROR, key.epoch, key.row)
        axes = [axis for axis, there in ((-1, bits & 1), (-2, self.flips == "hv" and bits & 2)) if there]
        return PairBatch(*(part.flip(axes) for part in pair))


class BlendObjective(Objective):
    """The losses of both heads, each where it has a weight; epochs are compared on kinds of forgery left out."""

    monitor = None

    def __init__(
        self, model: BlendVAE, config: TrainConfig, pairs: DrawnPairs, left_out: DrawnPairs, faces: Tensor
    ) -> None:
        self.model = self.network = model
        self.options, self.seed, self.device = _options(config), config.seed, config.device
        self.training = self.order = PairDataset(pairs, config)
        self.window, self.validation = len(pairs), [0]  # one look at all of the following
        self.left_out, self.faces = left_out, faces
        self.figures, self.validated = ("loss",), ()
        if self.options.reconstruction_weight:
            self.figures, self.validated = (*self.figures, "elbo"), ("val_loss", "val_rmse")
        if self.options.blend_weight:
            self.figures = (*self.figures, "map", "ranking")
            self.validated = (*self.validated, "left_out_map", "left_out_auroc", "left_out_pairs")

    @override
    def losses(self, batch: PairBatch, step: int) -> dict[str, Tensor]:
        weighted = self._losses(batch, step)
        loss = torch.stack([weight * value for weight, value in weighted.values()]).sum()
        return {"loss": loss, **{name: value.detach() for name, (_, value) in weighted.items()}}

    @override
    def validate(self, batch: object) -> dict[str, Tensor | float]:
        return dict(self._validated())

    def better(self, figures: Mapping[str, float], best: Mapping[str, float]) -> bool:
        """Of equal rankings the better map decides."""
        if not self.options.blend_weight:
            return figures["val_loss"] < best["val_loss"]
        area, before = figures["left_out_auroc"], best["left_out_auroc"]
        return area > before or (area == before and figures["left_out_map"] < best["left_out_map"])

    def _losses(self, batch: PairBatch, step: int) -> dict[str, tuple[float, Tensor]]:
        """Each loss of a batch with its weight; what has no weight is not computed."""
        options, count = self.options, len(batch.real)
        real = self._input(batch.real)
        # Without the blend head nothing but real faces goes through the encoder.
        x = torch.cat([real, self._input(batch.fake)]) if options.blend_weight else real
        found: dict[str, tuple[float, Tensor]] = {}
        with self._autocast():
            stages = self.model.stages(x.contiguous(memory_format=torch.channels_last))
            if options.reconstruction_weight:
                seed = random_bits(self.seed, _NOISE, step) >> 1
                noise = torch.Generator(self.device).manual_seed(seed)
                out = self._reconstruction(stages[-1][:count], noise)
                beta = warmed_beta(options.beta, step, options.kl_warmup)
                # In nats a pixel value, of the size of the other losses whatever the image's.
                elbo = negative_elbo(real, out, beta=beta).mean() / real[0].numel()
                found["elbo"] = (options.reconstruction_weight, elbo)
            logits = self.model.blend(stages) if options.blend_weight else None
        if logits is not None:
            mask = batch.mask.to(logits.device)
            with self._exact():
                map_error = blend_map_error(logits, torch.cat([0 * mask, mask])).mean()
                pooled = pooled_logit(logits)
                ranking = ranking_error(pooled[:count], pooled[count:]).mean()
            found |= {"map": (options.blend_weight, map_error), "ranking": (options.blend_weight, ranking)}
        return found

    def _validated(self) -> Iterator[tuple[str, float]]:
        if self.options.reconstruction_weight:
            losses, errors = [], []
            for pixels in torch.split(self.faces, _BATCH_OF_FACES):
                x = self._input(pixels)
                with self._autocast():
                    out = self._reconstruction(self.model.stages(x)[-1], None)
                with self._exact():
                    losses.append(negative_elbo(x, out, beta=self.options.beta) / x[0].numel())
                    errors.append(reconstruction_error(x, out.x_hat, "mean").sqrt())
            yield from (
                ("val_loss", float(torch.cat(losses).mean())),
                ("val_rmse", float(torch.cat(errors).mean())),
            )
        if self.options.blend_weight:
            yield from self._ranked()

    def _ranked(self) -> Iterator[tuple[str, float]]:
        """How well the left-out kinds are told from their sources, and found."""
        real, fake, errors = [], [], []
        for start in range(0, len(self.left_out), _BATCH_OF_FACES):
            batch = self.left_out.batch(np.arange(start, min(start + _BATCH_OF_FACES, len(self.left_out))))
            of_real, of_fake = (self._logits(pixels) for pixels in (batch.real, batch.fake))
            mask = batch.mask.to(of_fake.device)
            with self._exact():
                errors.append(blend_map_error(of_fake, mask) / 2 + blend_map_error(of_real, 0 * mask) / 2)
                real.append(pooled_logit(of_real))
                fake.append(pooled_logit(of_fake))
        low, high = torch.cat(real).cpu().numpy(), torch.cat(fake).cpu().numpy()
        labels = np.repeat([0, 1], len(low))
        yield "left_out_map", float(torch.cat(errors).mean())
        yield "left_out_auroc", float(roc_auc_score(labels, np.concatenate([low, high])))
        yield "left_out_pairs", float(np.mean(high > low))

    def _logits(self, pixels: Tensor) -> Tensor:
        with self._autocast():
            return self.model.blend_logits(self._input(pixels))

    def _input(self, pixels: Tensor) -> Tensor:
        x = normalise(pixels.to(self.device), MEAN, STD)
        return x.contiguous(memory_format=torch.channels_last)

    def _reconstruction(self, last: Tensor, generator: torch.Generator | None) -> VAEOutput:
        """Out of the encoder's last stage; of the posterior's mean without a generator."""
        posterior = self.model.posterior([last])
        noise = self.options.noise if generator is not None else "none"
        z = posterior.sample(draw_noise(posterior.mu, noise, generator))
        return VAEOutput(x_hat=self.model.decode(z).float(), posterior=posterior, z=z)

    def _autocast(self) -> AbstractContextManager[Any]:
        return arithmetic(self.device, self.options.precision)

    def _exact(self) -> AbstractContextManager[Any]:
        """Losses are computed in full precision, though the engine trains in bf16."""
        return torch.autocast(self.device, enabled=False)


def _options(config: TrainConfig) -> BlendConfig:
    assert isinstance(config.method, BlendConfig)
    return config.method
