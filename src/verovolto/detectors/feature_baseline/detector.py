"""A model of normal data on frozen features, as a detector."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from torch import Tensor

from verovolto.calibration.input_domain import Domain
from verovolto.calibration.thresholds import Calibration, Threshold
from verovolto.data.face_batch import FaceBatch, to_batch
from verovolto.detectors.base import SavedDetector
from verovolto.detectors.feature_baseline.maps import BACKBONE
from verovolto.detectors.mahalanobis.model import Mahalanobis
from verovolto.detectors.padim.model import PaDiM
from verovolto.detectors.patchcore.model import PatchCore
from verovolto.detectors.types import Explanation, Scores
from verovolto.features.preprocessing import Preprocessing
from verovolto.networks.backbones.efficientnet_lite import Lite

FeatureModel = Mahalanobis | PaDiM | PatchCore
"""What real faces' feature maps look like: fitted, and judging others. Each names its `method`, the columns `scores`
that `judge` gives and the `layers` after which the trunk's maps are taken, and keeps what was fitted in `tensors`."""

_METHODS: Mapping[str, type[FeatureModel]] = {each.method: each for each in (Mahalanobis, PaDiM, PatchCore)}


@dataclass
class FeatureBaselineDetector(SavedDetector):
    """One of the methods of this package, fitted on real faces (see `detectors.feature_baseline.fit`)."""

    kind = "normality"

    name: str
    model: FeatureModel
    preprocessing: Preprocessing
    default_score: str = ""
    calibration: dict[str, Calibration] = field(default_factory=dict)
    thresholds: list[Threshold] = field(default_factory=list)
    domain: Domain = field(default_factory=Domain)
    metadata: dict[str, Any] = field(default_factory=dict)
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))

    def __post_init__(self) -> None:
        self.default_score = self.default_score or self.model.scores[0]
        self.score_names = self.model.scores
        moved = {name: value.to(self.device) for name, value in self.model.tensors().items()}
        self._model = _METHODS[self.model.method].from_tensors(self.model.layers, moved)
        self._backbone = (
            Lite(BACKBONE, self.model.layers).to(self.device).to(memory_format=torch.channels_last)
        )

    @property
    def crop_rule(self) -> dict[str, Any] | None:
        return self.preprocessing.crop_rule

    @torch.inference_mode()
    def score_batch(self, batch: FaceBatch, *, anomaly_map: bool = False) -> Scores:
        columns, where = self._model.judge(
            self._backbone(self.preprocessing(batch, self.device)), anomaly_map=anomaly_map
        )
        return Scores(
            columns={name: values.cpu() for name, values in columns.items()},
            default=self.default_score,
            anomaly_map=None if where is None else where.cpu(),
        )

    @torch.inference_mode()
    def explain(self, images: Any) -> Explanation:
        x = self.preprocessing(to_batch(images), self.device)
        _, where = self._model.judge(self._backbone(x), anomaly_map=True)
        assert where is not None  # it was asked for
        return Explanation(inputs=self.preprocessing.pictures(x), anomaly_map=where.cpu())

    def parts(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        tensors = {f"model.{name}": value for name, value in self.model.tensors().items()}
        metadata = {"name": self.name, "method": self.model.method, "taps": list(self.model.layers)}
        return tensors, {"model": metadata, "preprocessing": asdict(self.preprocessing)}

    @staticmethod
    def assemble(
        description: Mapping[str, Any], tensors: Mapping[str, Tensor], device: torch.device, **common: Any
    ) -> FeatureBaselineDetector:
        """Put together what `parts` gave; `common` is what every kind of detector has."""
        written = description["model"]
        prefix = "model."
        own = {name.removeprefix(prefix): tensors[name] for name in tensors if name.startswith(prefix)}
        return FeatureBaselineDetector(
            name=written["name"],
            model=_METHODS[written["method"]].from_tensors(tuple(written["taps"]), own),
            preprocessing=Preprocessing.from_dict(description["preprocessing"]),
            device=device,
            **common,
        )
