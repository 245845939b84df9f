"""Features of a face crop that a region discriminant weighs: statistics of a frozen backbone's maps, and its tokens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from verovolto.core.errors import InputError
from verovolto.data.face_batch import FaceBatch, Preprocessing
from verovolto.features.regions import STATISTICS, pooled, region_masks
from verovolto.networks.backbones.registry import Features, backbone

KEPT_REGIONS = ("inner", "eyes", "mouth")
"""What is kept of backbones whose passes cost much, so that another choice needs none."""

Column = tuple[str, int, str, str]


@dataclass(frozen=True, kw_only=True)
class FeatureSpec:
    """Which features: the maps of some layers of a backbone over some regions, and the tokens of some layers.

    Columns run over maps, then regions, then statistics, then channels; then over tokens and their channels.
    """

    backbone: str
    layers: tuple[int, ...]
    regions: tuple[str, ...] = ("inner", "eyes")
    tokens: tuple[int, ...] = ()

    @staticmethod
    def default(name: str) -> FeatureSpec:
        """What is used of a backbone unless somebody says otherwise."""
        known = backbone(name)
        return FeatureSpec(backbone=name, layers=known.layers, regions=known.regions, tokens=known.tokens)

    @property
    def groups(self) -> list[tuple[Column, int]]:
        """What the columns are of, in their order, and how many there are of each."""
        known = backbone(self.backbone)
        maps = [
            (("map", layer, region, statistic), known.channels[layer])
            for layer in self.layers
            for region in self.regions
            for statistic in STATISTICS
        ]
        return maps + [(("token", layer, "", ""), known.token_channels) for layer in self.tokens]

    def __len__(self) -> int:
        """D: how many columns there are; a weight each is all that a head learns."""
        return sum(count for _, count in self.groups)

    @property
    def of_tokens(self) -> slice:
        """The columns of the tokens, which come last."""
        return slice(sum(count for (kind, *_), count in self.groups if kind == "map"), None)

    @property
    def of_distance(self) -> slice:
        """The columns of the token that knows a drawing from a photograph; none where it is not among the features."""
        known, first = backbone(self.backbone), self.of_tokens.start
        if known.distance_token not in self.tokens:
            return slice(first, first)
        first += self.tokens.index(known.distance_token) * known.token_channels
        return slice(first, first + known.token_channels)

    @property
    def kept(self) -> FeatureSpec:
        """All that a training run computes and keeps of the backbone, these features among them."""
        known = backbone(self.backbone)
        if not known.kept_layers:
            return self
        return FeatureSpec(
            backbone=self.backbone,
            layers=tuple(sorted({*self.layers, *known.kept_layers})),
            regions=tuple(dict.fromkeys((*KEPT_REGIONS, *self.regions))),
            tokens=tuple(sorted({*self.tokens, *known.kept_tokens})),
        )

    def positions(self, of: FeatureSpec) -> NDArray[np.int64]:
        """Where the columns of this spec lie among those of another one, `[D]`. Raises `InputError` if they do not."""
        places, at = {}, 0
        for group, count in of.groups:
            places[group] = np.arange(at, at + count)
            at += count
        missing = [group for group, _ in self.groups if group not in places]
        if missing:
            raise InputError(f"the features {missing[0]} are not among those of {of}")
        return np.concatenate([places[group] for group, _ in self.groups])

    def to_dict(self) -> dict[str, Any]:
        """As `detector.json` has it."""
        written: dict[str, Any] = {
            "trunk": self.backbone,
            "taps": list(self.layers),
            "regions": list(self.regions),
        }
        if self.tokens:
            written["tokens"] = list(self.tokens)
        sha256 = backbone(self.backbone).sha256
        return written | ({"sha256": sha256} if sha256 else {})

    @staticmethod
    def from_dict(written: dict[str, Any]) -> FeatureSpec:
        """Read `to_dict`. Raises `InputError` where the backbone's weights are others than those it was made with."""
        sha256 = backbone(written["trunk"]).sha256
        if written.get("sha256", sha256) != sha256:
            raise InputError(
                f"the detector was made with other weights of {written['trunk']} ({written['sha256'][:12]}…) than "
                f"this verovolto reads ({sha256[:12]}…)",
                hint="use the verovolto that wrote it",
            )
        return FeatureSpec(
            backbone=written["trunk"],
            layers=tuple(written["taps"]),
            regions=tuple(written["regions"]),
            tokens=tuple(written.get("tokens", ())),
        )


class RegionFeatures:
    """The frozen backbone and the regions: crops in, columns out.

    Args:
        spec: which features.
        landmarks: `[5, 2]`, where the face lies in a crop of `side` pixels.
        side: see there.
        preprocessing: how a crop becomes the backbone's input.
    """

    def __init__(
        self, spec: FeatureSpec, landmarks: Float[Tensor, "5 2"], side: int, preprocessing: Preprocessing
    ) -> None:
        self.preprocessing = preprocessing
        self.masks = region_masks(landmarks, side, spec.regions)
        network = backbone(spec.backbone).open(spec.layers, spec.tokens)
        self.backbone = network.to(memory_format=torch.channels_last)
        self.device = torch.device("cpu")

    def to(self, device: torch.device) -> RegionFeatures:
        """Move it there, and return it."""
        self.device = device
        self.backbone.to(device)
        self.masks = self.masks.to(device)
        return self

    @torch.inference_mode()
    def features(self, batch: FaceBatch) -> Features:
        """The backbone's maps and tokens of each face, a layer each."""
        found: Features = self.backbone(self.preprocessing(batch, self.device))
        return found

    def columns(self, batch: FaceBatch) -> Float[Tensor, "b d"]:
        """The features `[B, D]`, float32."""
        with torch.inference_mode():
            return self.joined(*self.features(batch))

    def joined(self, maps: Sequence[Tensor], tokens: Sequence[Tensor]) -> Float[Tensor, "b d"]:
        """The columns that the maps and tokens of faces come to."""
        parts = [pooled(maps, self.masks)] if maps else []
        return torch.cat([*parts, *(token.float() for token in tokens)], dim=1)
