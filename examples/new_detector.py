"""A new detector method, and its comparison with a known one on the same faces.

    python examples/new_detector.py FACES OUT

The method: how far a face's colours (means and spreads of its channels) are from those of real faces, as a Mahalanobis
distance. It is trained, calibrated, saved, evaluated and compared like any other; to make it part of the package, put
the class into a folder of its own (CONTRIBUTING.md, "A detector").
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from verovolto import Detector, evaluate, fit
from verovolto.data.face_batch import FaceBatch
from verovolto.detectors.base import SavedState, Scores
from verovolto.detectors.fitting import Run, TrainingData
from verovolto.detectors.registry import MethodConfig, TrainConfig, register
from verovolto.evaluation.paired import compare_scores, read_results
from verovolto.report.evaluation_page import write_report
from verovolto.report.evaluation_text import comparison_markdown


@dataclass(frozen=True, kw_only=True)
class ColourConfig(MethodConfig, group="colour", models=("colour",)):
    """The method has no options."""


@register("colour", config=ColourConfig, source="an example")
@dataclass(kw_only=True, eq=False)
class ColourDetector(Detector):
    """Distance of a face's colours from those of real faces."""

    kind = "colour"
    mean: Tensor
    whitening: Tensor
    name: str = "colour"
    default_score: str = "distance"
    score_names: tuple[str, ...] = ("distance",)

    @classmethod
    def fit(cls, config: TrainConfig, data: TrainingData, run: Run) -> ColourDetector:
        x = torch.stack([colours(data.train.image(row)) for row in range(len(data.train))])
        covariance = torch.cov(x.T) + torch.eye(6)
        whitening = torch.linalg.inv(torch.linalg.cholesky(covariance))
        return cls(mean=x.mean(0), whitening=whitening, metadata=run.metadata(weights="none"))

    def score_batch(self, batch: FaceBatch, *, anomaly_map: bool = False) -> Scores:
        x = torch.stack([colours(image) for image in batch.images]) - self.mean
        distance = torch.linalg.vector_norm(x @ self.whitening.T, dim=1)
        return Scores(columns={"distance": distance}, default="distance")

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        return {"mean": self.mean, "whitening": self.whitening}, {}

    @classmethod
    def from_state(cls, saved: SavedState) -> ColourDetector:
        return cls(mean=saved.tensors["mean"], whitening=saved.tensors["whitening"], **saved.common)


def colours(image: Tensor) -> Tensor:
    """Means and spreads of the channels of an image `[3, H, W]`, float32 `[6]`."""
    pixels = image.float().flatten(1)
    return torch.cat([pixels.mean(1), pixels.std(1)])


def main(faces: Path, out: Path, baseline: str = "mahalanobis") -> None:
    """Train both, evaluate both, print the paired differences."""
    for model in (baseline, "colour"):
        fit(model, faces, out / model, seed=0)
        write_report(evaluate(out / model, faces), out / model / "test")
    found = compare_scores(read_results([out / baseline / "test", out / "colour" / "test"]))
    print(comparison_markdown(found))


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:3]), *sys.argv[3:4])
