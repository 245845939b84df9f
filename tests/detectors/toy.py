"""A detector method in a file of its own: how far a face's mean colour is from that of real faces."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from verovolto.data.face_batch import FaceBatch
from verovolto.detectors.base import Detector, ModelRow, SavedState, Scores
from verovolto.detectors.fitting import Run, TrainingData
from verovolto.detectors.registry import Limits, MethodConfig, TrainConfig, register


@dataclass(frozen=True, kw_only=True)
class ToyConfig(MethodConfig, group="toy"):
    """What a toy is told."""

    at_least: ClassVar[Limits] = {"power": 1.0}

    power: float = 1.0
    """Exponent of the distance."""


@register("toy", config=ToyConfig, source="a test")
@dataclass(kw_only=True, eq=False)
class ToyDetector(Detector):
    """Distance of the mean colour, to a power."""

    kind = "toy"

    mean: Tensor
    power: float
    name: str = "toy"
    default_score: str = "colour"
    score_names: tuple[str, ...] = ("colour",)

    @classmethod
    def fit(cls, config: TrainConfig, data: TrainingData, run: Run) -> ToyDetector:
        assert isinstance(config.method, ToyConfig)
        on_progress = run.task("colours", len(data.train))
        colours = []
        for row in range(len(data.train)):
            colours.append(_colour(data.train.image(row)))
            on_progress(1)
        metadata = run.metadata(weights="none")
        return cls(mean=torch.stack(colours).mean(0), power=config.method.power, metadata=metadata)

    def score_batch(self, batch: FaceBatch, *, anomaly_map: bool = False) -> Scores:
        colours = torch.stack([_colour(image) for image in batch.images])
        distance = torch.linalg.vector_norm(colours - self.mean, dim=1) ** self.power
        return Scores(columns={"colour": distance}, default="colour")

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        return {"mean": self.mean}, {"power": self.power}

    @classmethod
    def from_state(cls, saved: SavedState) -> ToyDetector:
        return cls(mean=saved.tensors["mean"], power=saved.description["power"], **saved.common)

    @classmethod
    def describe(cls, name: str, size: int | None = None) -> list[ModelRow]:
        return [ModelRow(parameters="3", input="any", score="colour")]

    def _how_fitted(self) -> str:
        return "their mean colour kept"


def _colour(image: Tensor) -> Tensor:
    return image.float().mean((1, 2))
