"""A VAE with a score as a detector."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, get_args

import torch
from jaxtyping import Float
from torch import Tensor, nn
from typing_extensions import override

from verovolto.core.errors import InputError
from verovolto.core.parallel import cores
from verovolto.data.face_batch import FaceBatch, Preprocessing, to_batch
from verovolto.detectors.base import Detector, Explanation, ModelRow, SavedState, Scores
from verovolto.detectors.fitting import Run
from verovolto.detectors.registry import TrainConfig, register
from verovolto.detectors.vae import VAEConfig
from verovolto.networks import Bottleneck, Precision
from verovolto.networks.backbones.resnet18 import NONE
from verovolto.networks.registry import (
    NETWORKS,
    Architecture,
    build,
    count_parameters,
    entry,
    has_bottlenecks,
    has_second_encoder,
    network_name,
    shares_network,
)
from verovolto.networks.vae import VAE, VAEOutput, arithmetic, negative_elbo

VAE_SCORES = ("rmse", "mse", "rmse_unit", "latent", "kl", "elbo")


def vae_scores(
    model: VAE, x: Float[Tensor, "b 3 h w"], out: VAEOutput, *, std: Sequence[float], beta: float
) -> dict[str, Float[Tensor, " b"]]:
    """All scores of a batch, given one deterministic pass (`z` = posterior mean).

    Args:
        model: the network.
        x: its normalised input.
        out: what it made of it.
        std: of the normalisation, by channel.
        beta: weight of the KL term.

    Returns:
        By name:

    - `rmse`: sqrt of the mean squared error over channels and pixels, in normalised units (thesis, eq. 5);
    - `mse`: its square; `rmse_unit`: the same error in [0, 1] pixel units;
    - `latent`: RMSE over latent dimensions between mu(x) and mu(x_hat), encoded again (thesis, eq. 6);
    - `kl`: KL(q(z|x) || N(0, I)) in nats; `elbo`: the negative ELBO, `beta * kl +` summed squared error.
    """
    error = (x - out.x_hat).square()
    mse = error.flatten(1).mean(1)
    unit = error * torch.tensor(std, device=x.device).view(1, 3, 1, 1).square()
    latent = (out.posterior.mu - model.encode_again(out.x_hat)).square().flatten(1).mean(1).sqrt()
    columns = {
        "rmse": mse.sqrt(),
        "mse": mse,
        "rmse_unit": unit.flatten(1).mean(1).sqrt(),
        "latent": latent,
        "kl": out.posterior.kl(),
        "elbo": negative_elbo(x, out, beta=beta),
    }
    return {name: values.float() for name, values in columns.items()}


@register(*NETWORKS, config=VAEConfig, source={name: each.source for name, each in NETWORKS.items()})
@dataclass(kw_only=True, eq=False)
class VAEDetector(Detector):
    """A VAE with a default score."""

    kind = "vae"
    in_processes = True

    architecture: Architecture
    model: VAE
    preprocessing: Preprocessing
    beta: float = 1.0
    precision: Precision = "32"

    def __post_init__(self) -> None:
        if self.default_score not in VAE_SCORES:
            raise InputError(
                f"no score is called {self.default_score!r}", hint=f"there are {', '.join(VAE_SCORES)}"
            )
        self.name = self.architecture.model
        self.score_names = (self.default_score, *(s for s in VAE_SCORES if s != self.default_score))
        self.model.eval().to(memory_format=torch.channels_last)
        self.device = next(self.model.parameters()).device

    @override
    def score_batch(self, batch: FaceBatch, *, anomaly_map: bool = False) -> Scores:
        with torch.inference_mode():
            x, out = self._pass(batch)
            with arithmetic(self.device.type, self.precision):
                columns = vae_scores(self.model, x, out, std=self.preprocessing.std, beta=self.beta)
            errors = _error_map(x, out) if anomaly_map else None
        return Scores(
            columns={k: v.cpu() for k, v in columns.items()}, default=self.default_score, anomaly_map=errors
        )

    @override
    def score_network(self) -> nn.Module:
        return _ScoreNetwork(self)

    @override
    def explain(self, images: Any) -> Explanation:
        with torch.inference_mode():
            x, out = self._pass(to_batch(images))
            return Explanation(
                inputs=self.preprocessing.pictures(x),
                reconstructions=self.preprocessing.pictures(out.x_hat),
                anomaly_map=_error_map(x, out),
                latents=out.posterior.mu.flatten(1).cpu(),
                kl=out.posterior.kl_per_dimension().flatten(1).cpu(),
            )

    @override
    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        tensors = {f"model.{name}": value for name, value in self.model.state_dict().items()}
        return tensors, {
            "architecture": self.architecture.to_dict(),
            "preprocessing": asdict(self.preprocessing),
            "beta": self.beta,
            "precision": self.precision,
        }

    @classmethod
    @override
    def from_state(cls, saved: SavedState) -> VAEDetector:
        architecture = Architecture.from_dict(saved.description["architecture"])
        model = build(architecture)
        model.load_state_dict(saved.tensors_of("model"))
        return cls(
            architecture=architecture,
            model=model.to(saved.common["device"]),
            beta=saved.description["beta"],
            precision=saved.description["precision"],
            **saved.common,
        )

    @classmethod
    @override
    def resolve(cls, config: TrainConfig) -> TrainConfig:
        options, published = config.method, entry(config.model)
        assert isinstance(options, VAEConfig)
        if options.score is not None and options.score not in VAE_SCORES:
            raise InputError(
                f"--score: no score is called {options.score!r}", hint=f"there are {', '.join(VAE_SCORES)}"
            )
        resolved = replace(
            options,
            size=options.size or published.size,
            latent=options.latent or published.latent,
            batch_size=options.batch_size or published.batch_size,
            lr=options.lr or published.lr,
            flips=options.flips or published.flips,
            score=options.score or published.score,
            weights=options.weights if published.pretrained else NONE,
        )
        workers = 0 if config.device == "cpu" else min(8, max(1, cores() - 1))
        return replace(config, method=resolved, workers=workers if config.workers is None else config.workers)

    @classmethod
    @override
    def from_detector(cls, config: TrainConfig, source: Detector, run: Run) -> Detector:
        options, published = config.method, entry(config.model)
        assert isinstance(options, VAEConfig)
        if not isinstance(source, VAEDetector):
            return super().from_detector(config, source, run)
        architecture = Architecture.from_dict({**source.architecture.to_dict(), "model": config.model})
        shared = options.second_encoder == "shared" and shares_network(architecture)
        if not shared or source.name != published.twin:
            twin = f"it shares the network of {published.twin}"
            raise InputError(
                f"{config.model} cannot be made of the {source.name}",
                hint=twin if published.twin else "train it instead: leave out --from",
            )
        if options.size not in (None, architecture.size):
            raise InputError(
                f"--size {options.size} is not that of its network, {architecture.size}", hint="leave it out"
            )
        made = source.rescored(config.model, options.score or published.score)
        made.metadata = {**source.metadata, "network_of": source.name}
        return made

    def rescored(self, model: str, score: str) -> VAEDetector:
        """The same network under the name of its twin, with another default score (thresholds are kept by score)."""
        architecture = Architecture.from_dict({**self.architecture.to_dict(), "model": model})
        return replace(self, architecture=architecture, default_score=score)

    @classmethod
    @override
    def describe(cls, name: str, size: int | None = None) -> list[ModelRow]:
        rows = []
        for variant, architecture in variants(name, size or entry(name).size):
            with torch.device("meta"):  # counts without allocating
                parameters = count_parameters(build(architecture))
            rows.append(
                ModelRow(
                    variant=variant, parameters=f"{parameters:,}", input=f"{architecture.size} px",
                    score=entry(name).score,
                )
            )  # fmt: skip
        return rows

    def _how_fitted(self) -> str:
        return f"the epoch chosen on {self.metadata['chosen_on']['faces']} other reals"

    def _pass(self, batch: FaceBatch) -> tuple[Tensor, VAEOutput]:
        x = self.preprocessing(batch, self.device)
        with arithmetic(self.device.type, self.precision):
            return x, self.model(x)


class _ScoreNetwork(nn.Module):
    """What a detector makes of the network's input, in float32; see `Detector.score_network`."""

    def __init__(self, detector: VAEDetector) -> None:
        super().__init__()
        self.model, self.names = detector.model, detector.score_names
        self.std, self.beta = detector.preprocessing.std, detector.beta

    def forward(self, x: Float[Tensor, "b 3 s s"]) -> tuple[Tensor, Tensor]:
        out = self.model(x)
        columns = vae_scores(self.model, x, out, std=self.std, beta=self.beta)
        return torch.stack([columns[name] for name in self.names], dim=1), _error_map(x, out)


def variants(name: str, size: int) -> list[tuple[str, Architecture]]:
    """The networks that a model can have, each with the flags that ask for it."""
    base = Architecture(model=network_name(name), size=size)
    if has_bottlenecks(name):
        return [(f"--vae.bottleneck {each}", replace(base, bottleneck=each)) for each in get_args(Bottleneck)]
    if has_second_encoder(name):
        return [("", base), ("--vae.second-encoder separate", replace(base, second_encoder="separate"))]
    return [("", base)]


def _error_map(x: Tensor, out: VAEOutput) -> Tensor:
    """Where the reconstruction is wrong: float32 `[B, h, w]`, root mean square over channels, on the CPU."""
    return (x - out.x_hat).float().square().mean(1).sqrt().cpu().contiguous()
