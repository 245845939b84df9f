"""A linear score on frozen features of the regions of a face, as a detector."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from typing_extensions import override

from verovolto.core.errors import InputError
from verovolto.data.face_batch import FaceBatch, Preprocessing, to_batch
from verovolto.detectors.base import Detector, SavedState
from verovolto.detectors.config import TrainConfig
from verovolto.detectors.region_discriminant import RegionDiscriminantConfig
from verovolto.detectors.registry import register
from verovolto.detectors.types import Explanation, ModelRow, Scores
from verovolto.features.regions import STATISTICS, contributions, pooled, region_masks
from verovolto.networks import DISCRIMINANT
from verovolto.networks.backbones.efficientnet_lite import VARIANTS, Lite, variant

SCORE = "discriminant"
STAGES = slice(1, 6)
"""The stages of the backbone after whose last block features are taken: all but the first and the last."""
REGIONS = ("inner", "eyes")
_ANOMALY_MAP_SIDE = 56
_HALVED = 32


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


def layers_of(backbone: str) -> tuple[int, ...]:
    """The blocks of a backbone after which features are taken."""
    return variant(backbone).ends[STAGES]


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


@register(DISCRIMINANT, config=RegionDiscriminantConfig, source="docs/detectors; frozen features")
@dataclass(kw_only=True, eq=False)
class FeatureDetector(Detector):
    """A linear head on frozen features, fitted on real faces and on forgeries made of them."""

    kind = "features"

    head: LinearHead
    preprocessing: Preprocessing
    default_score: str = SCORE
    score_names: tuple[str, ...] = (SCORE,)

    def __post_init__(self) -> None:
        head = self.head
        features = RegionFeatures(
            head.backbone, head.layers, head.regions, head.landmarks, head.side, self.preprocessing
        )
        self.features = features.to(self.device)
        self._slope, self._origin = self.head.slope.to(self.device), self.head.origin.to(self.device)

    @override
    def score_batch(self, batch: FaceBatch, *, anomaly_map: bool = False) -> Scores:
        with torch.inference_mode():
            maps = self.features.maps(batch)
            values = (pooled(maps, self.features.masks) - self._origin) @ self._slope
            where = self._anomaly_map(maps) if anomaly_map else None
        return Scores(columns={SCORE: values.cpu()}, default=SCORE, anomaly_map=where)

    @override
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

    @override
    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        head = self.head
        tensors = {"head.slope": head.slope, "head.origin": head.origin, "head.landmarks": head.landmarks}
        metadata = {
            "name": self.name, "trunk": head.backbone, "taps": list(head.layers), "regions": list(head.regions),
            "side": head.side,
        }  # fmt: skip
        return tensors, {"head": metadata, "preprocessing": asdict(self.preprocessing)}

    @classmethod
    @override
    def from_state(cls, saved: SavedState) -> FeatureDetector:
        written = saved.description["head"]
        head = LinearHead(
            backbone=written["trunk"],
            layers=tuple(written["taps"]),
            regions=tuple(written["regions"]),
            side=written["side"],
            **saved.tensors_of("head"),
        )
        return cls(name=written["name"], head=head, **saved.common)

    @classmethod
    @override
    def resolve(cls, config: TrainConfig) -> TrainConfig:
        options = config.method
        assert isinstance(options, RegionDiscriminantConfig)
        size = options.size or variant(options.trunk).size
        if size % _HALVED:  # down to the last map
            raise InputError(
                f"--size {size} is no multiple of {_HALVED}", hint="leave it out for the backbone's own"
            )
        return replace(config, method=replace(options, size=size))

    @classmethod
    @override
    def describe(cls, name: str, size: int | None = None) -> list[ModelRow]:
        return [
            ModelRow(
                variant=f"--{name}.trunk {each}", parameters=f"{head_size(each, layers_of(each), REGIONS):,}",
                input=f"{variant(each).size} px", score=SCORE,
            )
            for each in ([] if size else VARIANTS)
        ]  # fmt: skip

    def _how_fitted(self) -> str:
        return f"{self.metadata['forgeries']:,} forgeries made of them"
