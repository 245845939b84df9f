"""A linear score on frozen features of the regions of a face, as a detector."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from typing_extensions import override

from verovolto.calibration.input_domain import DISTANCE
from verovolto.core.errors import InputError
from verovolto.data.face_batch import FaceBatch, Preprocessing, to_batch
from verovolto.detectors.base import Detector, Explanation, ModelRow, SavedState, Scores
from verovolto.detectors.region_discriminant import RegionDiscriminantConfig
from verovolto.detectors.region_discriminant.features import FeatureSpec, RegionFeatures
from verovolto.detectors.region_discriminant.spread import ScoreSpread
from verovolto.detectors.registry import TrainConfig, register
from verovolto.features.distance import FeatureDistance
from verovolto.features.regions import contributions
from verovolto.networks import DISCRIMINANT
from verovolto.networks.backbones.registry import BACKBONES, backbone

SCORE = "discriminant"
_ANOMALY_MAP_SIDE = 56


@dataclass(frozen=True, kw_only=True, eq=False)
class LinearHead:
    """`score = sum(slope * (features - origin))` over the `D` columns of `spec`.

    `landmarks` `[5, 2]` say where the face lies in a crop of `side` pixels: those of the average face, since crops of
    one rule hold faces in about the same place.
    """

    spec: FeatureSpec
    landmarks: Float[Tensor, "5 2"]
    side: int
    slope: Float[Tensor, " d"]
    origin: Float[Tensor, " d"]

    def __post_init__(self) -> None:
        if not len(self.slope) == len(self.origin) == len(self.spec):
            raise InputError(
                f"a head on {self.spec} has {len(self.spec)} columns, not {len(self.slope)} and {len(self.origin)}"
            )


@register(DISCRIMINANT, config=RegionDiscriminantConfig, source="docs/detectors; frozen features")
@dataclass(kw_only=True, eq=False)
class FeatureDetector(Detector):
    """A linear head on frozen features, fitted on real faces and on forgeries made of them.

    Where there is a `spread` the score is in units of what that says of the face.
    """

    kind = "features"

    head: LinearHead
    preprocessing: Preprocessing
    distance: FeatureDistance | None = None
    spread: ScoreSpread | None = None
    default_score: str = SCORE
    score_names: tuple[str, ...] = (SCORE,)

    def __post_init__(self) -> None:
        head = self.head
        if self.distance is not None:
            self.distance = self.distance.to(self.device)
            self.score_names = (SCORE, DISTANCE)
        if self.spread is not None:
            self.spread = self.spread.to(self.device)
        features = RegionFeatures(head.spec, head.landmarks, head.side, self.preprocessing)
        self.features = features.to(self.device)
        self._slope, self._origin = self.head.slope.to(self.device), self.head.origin.to(self.device)

    @override
    def score_batch(self, batch: FaceBatch, *, anomaly_map: bool = False) -> Scores:
        with torch.inference_mode():
            maps, tokens = self.features.features(batch)
            scores = self.scored(maps, tokens)
            where = self.anomaly_map(maps).cpu() if anomaly_map else None
        return Scores(
            columns={name: values.cpu() for name, values in scores.items()}, default=SCORE, anomaly_map=where
        )

    def scored(self, maps: Sequence[Tensor], tokens: Sequence[Tensor]) -> dict[str, Float[Tensor, " b"]]:
        """The scores of faces by their maps and tokens."""
        return self.of_columns(self.features.joined(maps, tokens))

    def of_columns(self, columns: Float[Tensor, "b d"]) -> dict[str, Float[Tensor, " b"]]:
        """The scores of faces by their features, D as of the head."""
        token = columns[:, self.head.spec.of_distance]
        scores = {SCORE: (columns - self._origin) @ self._slope}
        if self.spread is not None:
            scores[SCORE] = scores[SCORE] / self.spread(token)
        if self.distance is not None:
            scores[DISTANCE] = self.distance(token)
        return scores

    @override
    def score_network(self) -> nn.Module:
        return _ScoreNetwork(self)

    @override
    def explain(self, images: Any) -> Explanation:
        batch = to_batch(images)
        with torch.inference_mode():
            x = self.preprocessing(batch, self.device)
            maps, _ = self.features.backbone(x)
            return Explanation(
                inputs=self.preprocessing.pictures(x), anomaly_map=self.anomaly_map(maps).cpu()
            )

    def anomaly_map(self, maps: Sequence[Tensor]) -> Float[Tensor, "b h w"]:
        """Where the score comes from: the shares that speak for a forgery; those of tokens are of no one place."""
        of_maps = slice(self.head.spec.of_tokens.start)
        slope, origin = self._slope[of_maps], self._origin[of_maps]
        shares = contributions(maps, self.features.masks, slope, origin, side=_ANOMALY_MAP_SIDE)
        return shares.clamp(min=0)

    @override
    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        head = self.head
        tensors = {"head.slope": head.slope, "head.origin": head.origin, "head.landmarks": head.landmarks}
        distances = {"distance": self.distance, "spread": self.spread and self.spread.distance}
        for of, distance in distances.items():
            if distance is not None:
                tensors |= {f"{of}.{name}": value for name, value in vars(distance).items()}
        metadata = {"name": self.name, **head.spec.to_dict(), "side": head.side}
        if self.spread is not None:
            metadata["spread"] = self.spread.to_dict()
        return tensors, {"head": metadata, "preprocessing": asdict(self.preprocessing)}

    @classmethod
    @override
    def from_state(cls, saved: SavedState) -> FeatureDetector:
        written = saved.description["head"]
        head = LinearHead(
            spec=FeatureSpec.from_dict(written), side=written["side"], **saved.tensors_of("head")
        )
        distance, of_spread = saved.tensors_of("distance"), saved.tensors_of("spread")
        spread = written.get("spread")
        return cls(
            name=written["name"], head=head, distance=FeatureDistance(**distance) if distance else None,
            spread=ScoreSpread(distance=FeatureDistance(**of_spread), **spread) if spread else None, **saved.common,
        )  # fmt: skip

    @classmethod
    @override
    def resolve(cls, config: TrainConfig) -> TrainConfig:
        options = config.method
        assert isinstance(options, RegionDiscriminantConfig)
        known = backbone(options.trunk)
        size = options.size or known.size
        if size % known.multiple:
            raise InputError(
                f"--size {size} is no multiple of {known.multiple}",
                hint="leave it out for the backbone's own",
            )
        return replace(config, method=replace(options, size=size))

    @classmethod
    @override
    def describe(cls, name: str, size: int | None = None) -> list[ModelRow]:
        return [
            ModelRow(
                variant=f"--{name}.trunk {each}", parameters=f"{len(FeatureSpec.default(each)):,}",
                input=f"{known.size} px", score=SCORE,
            )
            for each, known in ({} if size else BACKBONES).items()
        ]  # fmt: skip

    def _how_fitted(self) -> str:
        return f"{self.metadata['forgeries']:,} forgeries made of them"


class _ScoreNetwork(nn.Module):
    """What a detector makes of the backbone's input; see `Detector.score_network`."""

    def __init__(self, detector: FeatureDetector) -> None:
        super().__init__()
        self.backbone, self.detector = detector.features.backbone, detector

    def forward(self, x: Float[Tensor, "b 3 s s"]) -> tuple[Tensor, Tensor]:
        maps, tokens = self.backbone(x)
        scores = self.detector.scored(maps, tokens)
        columns = torch.stack([scores[name] for name in self.detector.score_names], dim=1)
        where = self.detector.anomaly_map(maps) if maps else columns.new_zeros(columns.shape[0], 1, 1)
        return columns, where
