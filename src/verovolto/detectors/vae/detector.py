"""A VAE with a score as a detector."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from verovolto.calibration.input_domain import Domain
from verovolto.calibration.thresholds import Calibration, Threshold
from verovolto.core.errors import InputError
from verovolto.data.face_batch import FaceBatch, to_batch
from verovolto.detectors.base import SavedDetector
from verovolto.detectors.types import Explanation, Scores
from verovolto.detectors.vae.scores import VAE_SCORES, vae_scores
from verovolto.features.preprocessing import Preprocessing
from verovolto.networks.choices import Precision
from verovolto.networks.registry import Architecture, build
from verovolto.networks.vae import VAE, VAEOutput, arithmetic


@dataclass
class VAEDetector(SavedDetector):
    """A VAE with a default score."""

    kind = "vae"

    architecture: Architecture
    model: VAE
    preprocessing: Preprocessing
    default_score: str
    beta: float = 1.0
    precision: Precision = "32"
    calibration: dict[str, Calibration] = field(default_factory=dict)
    thresholds: list[Threshold] = field(default_factory=list)
    domain: Domain = field(default_factory=Domain)
    metadata: dict[str, Any] = field(default_factory=dict)
    score_names: tuple[str, ...] = VAE_SCORES

    def __post_init__(self) -> None:
        if self.default_score not in VAE_SCORES:
            raise InputError(
                f"no score is called {self.default_score!r}", hint=f"there are {', '.join(VAE_SCORES)}"
            )
        self.name = self.architecture.model
        self.score_names = (self.default_score, *(s for s in VAE_SCORES if s != self.default_score))
        self.model.eval().to(memory_format=torch.channels_last)
        self.device = next(self.model.parameters()).device

    @property
    def crop_rule(self) -> dict[str, Any] | None:
        return self.preprocessing.crop_rule

    def score_batch(self, batch: FaceBatch, *, anomaly_map: bool = False) -> Scores:
        with torch.inference_mode():
            x, out = self._pass(batch)
            with arithmetic(self.device.type, self.precision):
                columns = vae_scores(self.model, x, out, std=self.preprocessing.std, beta=self.beta)
            errors = _error_map(x, out) if anomaly_map else None
        return Scores(
            columns={k: v.cpu() for k, v in columns.items()}, default=self.default_score, anomaly_map=errors
        )

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

    def rescored(self, model: str, score: str) -> VAEDetector:
        """The same network under the name of its twin, with another default score (thresholds are kept by score)."""
        architecture = Architecture.from_dict({**self.architecture.to_dict(), "model": model})
        return replace(self, architecture=architecture, default_score=score)

    def parts(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        tensors = {f"model.{name}": value for name, value in self.model.state_dict().items()}
        return tensors, {
            "architecture": self.architecture.to_dict(),
            "preprocessing": asdict(self.preprocessing),
            "beta": self.beta,
            "precision": self.precision,
        }

    @staticmethod
    def assemble(
        description: Mapping[str, Any], tensors: Mapping[str, Tensor], device: torch.device, **common: Any
    ) -> VAEDetector:
        """Put together what `parts` gave; `common` is what every kind of detector has."""
        architecture = Architecture.from_dict(description["architecture"])
        model = build(architecture)
        weights = {
            name.removeprefix("model."): value for name, value in tensors.items() if name.startswith("model.")
        }
        model.load_state_dict(weights)
        return VAEDetector(
            architecture=architecture,
            model=model.to(device),
            preprocessing=Preprocessing.from_dict(description["preprocessing"]),
            beta=description["beta"],
            precision=description["precision"],
            **common,
        )

    def _pass(self, batch: FaceBatch) -> tuple[Tensor, VAEOutput]:
        x = self.preprocessing(batch, self.device)
        with arithmetic(self.device.type, self.precision):
            return x, self.model(x)


def _error_map(x: Tensor, out: VAEOutput) -> Tensor:
    """Where the reconstruction is wrong: float32 `[B, h, w]`, root mean square over channels, on the CPU."""
    return (x - out.x_hat).float().square().mean(1).sqrt().cpu().contiguous()
