"""A network that says where a face was blended, as a detector; its second score is how badly it reconstructs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from verovolto.calibration.input_domain import Domain
from verovolto.calibration.thresholds import Calibration, Threshold
from verovolto.core.errors import InputError
from verovolto.data.face_batch import FaceBatch, to_batch
from verovolto.detectors.base import SavedDetector
from verovolto.detectors.types import Explanation, Scores
from verovolto.experimental.blend.network import BlendVAE, pooled_logit
from verovolto.features.preprocessing import Preprocessing
from verovolto.networks.choices import Bottleneck, Precision
from verovolto.networks.vae import arithmetic

BLEND, RMSE = "blend", "rmse"
HEAD_SCORES = (BLEND, RMSE)
"""Pooled logit of the predicted map; root mean squared error of the reconstruction in normalised units."""


@dataclass
class BlendDetector(SavedDetector):
    """A `BlendVAE` network with the scores of the heads that were trained: `score_names`, the default one first.

    The heat map is the predicted one, the probability of a blend at each place `[B, size / 4, size / 4]`; of a network
    whose head was not trained, the error of the reconstruction at full size.
    """

    kind = "blend"

    name: str
    model: BlendVAE
    latent: int
    bottleneck: Bottleneck
    preprocessing: Preprocessing
    default_score: str
    score_names: tuple[str, ...] = HEAD_SCORES
    precision: Precision = "32"
    calibration: dict[str, Calibration] = field(default_factory=dict)
    thresholds: list[Threshold] = field(default_factory=list)
    domain: Domain = field(default_factory=Domain)
    metadata: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.default_score not in self.score_names or not set(self.score_names) <= set(HEAD_SCORES):
            raise InputError(
                f"no score {self.default_score!r} of a network trained for {', '.join(self.score_names)}",
                hint=f"there are {', '.join(HEAD_SCORES)}, each where its head was trained",
            )
        self.score_names = (self.default_score, *(n for n in self.score_names if n != self.default_score))
        self.model.eval().to(memory_format=torch.channels_last)
        self.device = next(self.model.parameters()).device

    @property
    def crop_rule(self) -> dict[str, Any] | None:
        return self.preprocessing.crop_rule

    def score_batch(self, batch: FaceBatch, *, anomaly_map: bool = False) -> Scores:
        with torch.inference_mode():
            x = self.preprocessing(batch, self.device)
            logits, x_hat = self._pass(x)
            columns = {}
            if logits is not None:
                columns[BLEND] = pooled_logit(logits).cpu()
            if x_hat is not None:
                columns[RMSE] = (x - x_hat).square().flatten(1).mean(1).sqrt().cpu()
            where = _anomaly_map(x, logits, x_hat) if anomaly_map else None
        return Scores(columns=columns, default=self.default_score, anomaly_map=where)

    def explain(self, images: Any) -> Explanation:
        with torch.inference_mode():
            x = self.preprocessing(to_batch(images), self.device)
            logits, x_hat = self._pass(x)
            return Explanation(
                inputs=self.preprocessing.pictures(x),
                anomaly_map=_anomaly_map(x, logits, x_hat),
                reconstructions=None if x_hat is None else self.preprocessing.pictures(x_hat),
            )

    def parts(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        tensors = {f"model.{name}": value for name, value in self.model.state_dict().items()}
        network = {
            "name": self.name, "latent": self.latent, "bottleneck": self.bottleneck, "trained": list(self.score_names),
        }  # fmt: skip
        return tensors, {
            "network": network,
            "preprocessing": asdict(self.preprocessing),
            "precision": self.precision,
        }

    @staticmethod
    def assemble(
        description: Mapping[str, Any], tensors: Mapping[str, Tensor], device: torch.device, **common: Any
    ) -> BlendDetector:
        """Put together what `parts` gave; `common` is what every kind of detector has."""
        network = description["network"]
        preprocessing = Preprocessing.from_dict(description["preprocessing"])
        model = BlendVAE(size=preprocessing.size, latent=network["latent"], bottleneck=network["bottleneck"])
        own = {name: value for name, value in tensors.items() if name.startswith("model.")}
        model.load_state_dict({name.removeprefix("model."): value for name, value in own.items()})
        return BlendDetector(
            name=network["name"],
            model=model.to(device),
            latent=network["latent"],
            bottleneck=network["bottleneck"],
            preprocessing=preprocessing,
            score_names=tuple(network["trained"]),
            precision=description["precision"],
            **common,
        )

    def _pass(
        self, x: Float[Tensor, "b 3 h w"]
    ) -> tuple[Float[Tensor, "b H W"] | None, Float[Tensor, "b 3 h w"] | None]:
        """Logits of the map and the reconstruction, each where its head was trained."""
        with arithmetic(self.device.type, self.precision):
            stages = self.model.stages(x)
            logits = self.model.blend(stages) if BLEND in self.score_names else None
            x_hat = None
            if RMSE in self.score_names:
                x_hat = self.model.decode(self.model.posterior(stages).mu).float()
        return logits, x_hat


def _anomaly_map(x: Tensor, logits: Tensor | None, x_hat: Tensor | None) -> Float[Tensor, "b h w"]:
    """See `BlendDetector`; on the CPU, not negative."""
    if logits is not None:
        return torch.sigmoid(logits).cpu().contiguous()
    assert x_hat is not None, "one head at least was trained"
    return (x - x_hat).square().mean(1).sqrt().cpu().contiguous()
