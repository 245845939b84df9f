"""File bytes, sharpness and brightness as scores and as a detector: the floor that any other has to clear."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from typing_extensions import override

from verovolto.data.face_batch import FaceBatch, laplacian_variance, luma
from verovolto.data.score_table import BASELINES
from verovolto.detectors.base import Detector, SavedState, Scores
from verovolto.detectors.registry import register

TRIVIAL_SCORES = BASELINES


def trivial_scores(batch: FaceBatch) -> dict[str, Float[Tensor, " b"]]:
    """What any detector has to beat: encoded bytes (NaN where unknown), sharpness and brightness of the crop."""
    planes = [luma(image) for image in batch.images]
    return {
        "bytes": torch.tensor([float("nan") if n is None else float(n) for n in batch.encoded_bytes]),
        "sharpness": torch.stack([laplacian_variance(plane) for plane in planes]),
        "brightness": torch.stack([plane.mean() for plane in planes]),
    }


@register("trivial", source="docs/detectors/trivial.md")
@dataclass(kw_only=True, eq=False)
class TrivialDetector(Detector):
    """One of the trivial statistics as a detector; there is nothing to train."""

    kind = "trivial"

    name: str = "trivial"
    default_score: str = "sharpness"
    score_names: tuple[str, ...] = TRIVIAL_SCORES

    @override
    def score_batch(self, batch: FaceBatch, *, anomaly_map: bool = False) -> Scores:
        return Scores(columns=trivial_scores(batch), default=self.default_score)

    @override
    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        return {}, {}

    @classmethod
    @override
    def from_state(cls, saved: SavedState) -> TrivialDetector:
        return cls(**saved.common)
