"""A linear score on frozen features of the regions of a face, as a detector."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
from verovolto.features.preprocessing import Preprocessing
from verovolto.features.regions import STATISTICS, contributions, pooled, region_masks
from verovolto.networks.backbones.efficientnet_lite import Lite, variant

SCORE = "discriminant"
_ANOMALY_MAP_SIDE = 56


@dataclass(frozen=True, kw_only=True, eq=False)
class LinearHead:
    """`score = sum(slope * (features - origin))` over the `D` columns that `features.regions.pooled` gives.

    `backbone` names the network (`networks.backbones.efficientnet_lite`), `layers` say after which of its blocks
    features are taken, `regions` where, `landmarks` `[5, 2]` where the face lies in a crop of `side` pixels:
    those of the average face, since crops of one rule hold faces in about the same place.
    """

    backbone: str
    layers: tuple[int, ...]
    regions: tuple[str, ...]
    landmarks: Float[Tensor, "5 2"]
    side: int
    slope: Float[Tensor, " d"]
    origin: Float[Tensor, " d"]

    def __post_init__(self) -> None:
        size = head_size(self.backbone, self.layers, self.regions)
        if not len(self.slope) == len(self.origin) == size:
            raise InputError(
                f"a head on taps {list(self.layers)} of {self.backbone} has {size} columns, not {len(self.slope)} and "
                f"{len(self.origin)}"
            )


def head_size(backbone: str, layers: Sequence[int], regions: Sequence[str]) -> int:
    """How many columns there are: a weight each is all that a head learns."""
    channels = variant(backbone).channels
    return sum(channels[layer] for layer in layers) * len(regions) * len(STATISTICS)


class RegionFeatures:
    """The frozen trunk and the regions: crops in, columns out."""

    def __init__(
        self,
        backbone: str,
        layers: tuple[int, ...],
        regions: tuple[str, ...],
        landmarks: Float[Tensor, "5 2"],
        side: int,
        preprocessing: Preprocessing,
    ) -> None:
        self.preprocessing = preprocessing
        self.masks = region_masks(landmarks, side, regions)
        self.backbone = Lite(backbone, layers).to(memory_format=torch.channels_last)
        self.device = torch.device("cpu")

    def to(self, device: torch.device) -> RegionFeatures:
        """Move it there, and return it."""
        self.device = device
        self.backbone.to(device)
        self.masks = self.masks.to(device)
        return self

    @torch.inference_mode()
    def maps(self, batch: FaceBatch) -> list[Tensor]:
        """The trunk's feature maps of each face, one a tap."""
        found: list[Tensor] = self.backbone(self.preprocessing(batch, self.device))
        return found

    def columns(self, batch: FaceBatch) -> Float[Tensor, "b d"]:
        """The features `[B, D]`, float32."""
        with torch.inference_mode():
            return pooled(self.maps(batch), self.masks)


@dataclass
class FeatureDetector(SavedDetector):
    """A linear head on frozen features, fitted on real faces and on forgeries made of real faces (see
    `detectors.region_discriminant.fit`)."""

    kind = "features"

    name: str
    head: LinearHead
    preprocessing: Preprocessing
    default_score: str = SCORE
    calibration: dict[str, Calibration] = field(default_factory=dict)
    thresholds: list[Threshold] = field(default_factory=list)
    domain: Domain = field(default_factory=Domain)
    metadata: dict[str, Any] = field(default_factory=dict)
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    score_names: tuple[str, ...] = (SCORE,)

    def __post_init__(self) -> None:
        head = self.head
        features = RegionFeatures(
            head.backbone, head.layers, head.regions, head.landmarks, head.side, self.preprocessing
        )
        self.features = features.to(self.device)
        self._slope, self._origin = self.head.slope.to(self.device), self.head.origin.to(self.device)

    @property
    def crop_rule(self) -> dict[str, Any] | None:
        return self.preprocessing.crop_rule

    def score_batch(self, batch: FaceBatch, *, anomaly_map: bool = False) -> Scores:
        with torch.inference_mode():
            maps = self.features.maps(batch)
            values = (pooled(maps, self.features.masks) - self._origin) @ self._slope
            where = self._anomaly_map(maps) if anomaly_map else None
        return Scores(columns={SCORE: values.cpu()}, default=SCORE, anomaly_map=where)

    def explain(self, images: Any) -> Explanation:
        batch = to_batch(images)
        with torch.inference_mode():
            x = self.preprocessing(batch, self.device)
            maps = self.features.backbone(x)
            return Explanation(inputs=self.preprocessing.pictures(x), anomaly_map=self._anomaly_map(maps))

    def _anomaly_map(self, maps: list[Tensor]) -> Float[Tensor, "b h w"]:
        """Where the score comes from: the shares that speak for a forgery."""
        shares = contributions(maps, self.features.masks, self._slope, self._origin, side=_ANOMALY_MAP_SIDE)
        return shares.clamp(min=0).cpu()

    def parts(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        head = self.head
        tensors = {"head.slope": head.slope, "head.origin": head.origin, "head.landmarks": head.landmarks}
        metadata = {
            "name": self.name, "trunk": head.backbone, "taps": list(head.layers), "regions": list(head.regions),
            "side": head.side,
        }  # fmt: skip
        return tensors, {"head": metadata, "preprocessing": asdict(self.preprocessing)}

    @staticmethod
    def assemble(
        description: Mapping[str, Any], tensors: Mapping[str, Tensor], device: torch.device, **common: Any
    ) -> FeatureDetector:
        """Put together what `parts` gave; `common` is what every kind of detector has."""
        written = description["head"]
        head = LinearHead(
            backbone=written["trunk"],
            layers=tuple(written["taps"]),
            regions=tuple(written["regions"]),
            side=written["side"],
            landmarks=tensors["head.landmarks"],
            slope=tensors["head.slope"],
            origin=tensors["head.origin"],
        )
        return FeatureDetector(
            name=written["name"],
            head=head,
            preprocessing=Preprocessing.from_dict(description["preprocessing"]),
            device=device,
            **common,
        )
