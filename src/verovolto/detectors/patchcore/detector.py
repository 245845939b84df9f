"""A memory of patches of real faces: PatchCore.

Roth, Pemula, Zepeda, Schoelkopf, Brox & Gehler, "Towards Total Recall in Industrial Anomaly Detection", CVPR 2022
(arXiv 2106.08265): features of two middle levels, averaged over the 3 x 3 places around each; of all patches a memory
that leaves none far from it, chosen greedily (algorithm 1); a place's distance is that to the nearest of the memory
(eq. 6), the face's score the largest, weighted by how alone its neighbour lies in the memory (eq. 7).

Departures. The backbone's levels are narrow enough to need neither the paper's pooling of channels nor its random
projection; its features are no outputs of a ReLU and have scales of their own, so each channel is divided by its
spread. The greedy choice is made among patches drawn at random, since all of thousands of faces would take hours.

The memory holds features of patches of training faces. Who has it may learn what those faces look like: such a detector
belongs where the faces may be.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from jaxtyping import Float, Int64
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import avg_pool2d
from typing_extensions import override

from verovolto.core.errors import DataError
from verovolto.detectors.feature_baseline import (
    CHANNELS,
    FeatureBaselineDetector,
    FeatureModel,
    Recipe,
    above_median,
    aligned,
    smoothed,
)
from verovolto.detectors.fitting import Run, TrainingData
from verovolto.detectors.patchcore import PatchcoreConfig
from verovolto.detectors.registry import TrainConfig, register
from verovolto.networks import PATCHCORE

LAYERS = (4, 10)
GRID = 28
"""Places a side."""
DEPTH = sum(CHANNELS[layer] for layer in LAYERS)
"""Numbers that describe a patch."""
PATCHES = 200_000
"""Patches that the memory is chosen from, at most: drawn at random, as many of each face."""
NEIGHBOURS = 9
"""Patches of the memory that a score is weighted by, the nearest one among them (`b` in eq. 7)."""


@dataclass(frozen=True, kw_only=True, eq=False)
class PatchCore(FeatureModel):
    """`memory` `[m, d]`: patches of real faces in units of each channel's `spread` `[d]`."""

    scores: ClassVar[tuple[str, ...]] = ("patchcore", "patchcore_mean")
    in_a_graph = False

    memory: Float[Tensor, "m d"]
    spread: Float[Tensor, " d"]

    @staticmethod
    def fit(
        patches: Float[Tensor, "n d"],
        layers: tuple[int, ...],
        size: int,
        on_progress: Callable[[int], None] = lambda done: None,
    ) -> PatchCore:
        """Choose the memory.

        Args:
            patches: of real faces, see `embedded`.
            layers: they were taken after.
            size: patches to keep.
            on_progress: called with how many more are chosen.
        """
        spread = patches.double().std(0, correction=0).clamp(min=1e-6).float()
        scaled = patches.float() / spread
        chosen = greedy_coreset(scaled, size, on_progress)
        return PatchCore(layers=layers, memory=scaled[chosen].contiguous(), spread=spread)

    def score_maps(
        self, maps: Sequence[Float[Tensor, "b _ _ _"]], *, anomaly_map: bool = False
    ) -> tuple[dict[str, Float[Tensor, " b"]], Float[Tensor, "b h w"] | None]:
        """Score feature maps.

        `patchcore` is the largest distance, weighted, `patchcore_mean` the mean distance over places, for what is
        spread over the whole face. The anomaly map shows where a face is further off than at its median place.
        """
        largest, distances = [], []
        # Face by face: distances of a whole batch to the memory would fill a gigabyte.
        for patches in embedded(maps).flatten(2).transpose(1, 2) / self.spread:
            distance, nearest = nearest_in(self.memory, patches)
            place = int(distance.argmax())
            largest.append(weighted(self.memory, patches[place], int(nearest[place])))
            distances.append(distance)
        grid = torch.stack(distances).view(-1, GRID, GRID)
        columns = {"patchcore": torch.stack(largest), "patchcore_mean": grid.mean((1, 2))}
        return columns, above_median(smoothed(grid)) if anomaly_map else None


def embedded(maps: Sequence[Float[Tensor, "b _ _ _"]]) -> Float[Tensor, "b d h w"]:
    """Every patch's features: those of the 3 x 3 places around it averaged, all levels on one grid, float32."""
    around = [
        avg_pool2d(each.float(), kernel_size=3, stride=1, padding=1, count_include_pad=False) for each in maps
    ]
    return aligned(around, GRID)


def greedy_coreset(
    points: Float[Tensor, "n d"], size: int, on_progress: Callable[[int], None] = lambda done: None
) -> Int64[Tensor, " size"]:
    """Which `size` of n points to keep so that none of the others lies far from all of them.

    Always the one farthest from those chosen so far, the first the one nearest to the mean (Sener & Savarese, ICLR
    2018): at most twice as far off as the best choice there is. `on_progress` is called with how many more are chosen.
    """
    square = points.square().sum(1)
    chosen = torch.empty(size, dtype=torch.int64)
    least = torch.full_like(square, torch.inf)
    latest = int((points - points.mean(0)).square().sum(1).argmin())
    for number in range(size):
        chosen[number] = latest
        least = torch.minimum(least, square - 2 * (points @ points[latest]) + square[latest])
        least[latest] = -torch.inf  # never twice, equal points or not
        latest = int(least.argmax())
        on_progress(1)
    return chosen


def nearest_in(
    memory: Float[Tensor, "m d"], points: Float[Tensor, "n d"]
) -> tuple[Float[Tensor, " n"], Int64[Tensor, " n"]]:
    """Distance of each point to the nearest of the memory, and which that is."""
    # |p|^2 is the same for all of the memory. What it costs in precision the distance below does not suffer.
    nearest = (memory.square().sum(1) - 2 * points @ memory.T).argmin(1)
    return torch.linalg.vector_norm(points - memory[nearest], dim=1), nearest


def weighted(memory: Float[Tensor, "m d"], point: Float[Tensor, " d"], nearest: int) -> Float[Tensor, ""]:
    """A point's distance to its `nearest` of the memory, weighted (eq. 7).

    The more, the more alone that one lies in the memory, being rare itself among real patches.
    """
    around = (memory - memory[nearest]).square().sum(1)
    around[nearest] = -1.0  # itself, before any equal of it
    known = memory[around.topk(min(NEIGHBOURS, len(memory)), largest=False).indices]
    distances = torch.linalg.vector_norm(known - point, dim=1)
    own = torch.linalg.vector_norm(memory[nearest] - point)
    share = torch.exp(own - torch.logsumexp(distances, dim=0))
    score: Tensor = (1 - share) * own
    return score


@dataclass(frozen=True)
class _Recipe(Recipe):
    memory: int
    seed: int
    layers = LAYERS

    @property
    def fitted(self) -> str:  # type: ignore[override]
        return f"the features of {self.memory:,} of their patches"

    @property
    def numbers(self) -> int:  # type: ignore[override]
        return (self.memory + 1) * DEPTH

    def check(self, faces: int) -> None:
        super().check(faces)
        self._check_patches(faces * _patches(faces), faces)

    def kept(self, maps: list[Tensor], rows: list[int], faces: int) -> Tensor:
        patches = embedded(maps).flatten(2).transpose(1, 2)
        places = [
            np.random.default_rng([self.seed, row]).choice(GRID**2, _patches(faces), replace=False)
            for row in rows
        ]
        return torch.stack([each[drawn] for each, drawn in zip(patches, places, strict=True)])

    def fit(self, kept: NDArray[np.float16], run: Run) -> PatchCore:
        patches = torch.from_numpy(kept.reshape(-1, kept.shape[-1]).astype(np.float32))
        self._check_patches(len(patches), len(kept))
        return PatchCore.fit(patches, self.layers, self.memory, run.task("the memory", self.memory))

    def _check_patches(self, there: int, faces: int) -> None:
        if there < self.memory:
            raise DataError(
                f"a memory of {self.memory:,} patches cannot be chosen from the {there:,} of {faces} faces",
                hint=f"lower --memory to {there // 2}, or give more faces",
            )


def _patches(faces: int) -> int:
    """Patches that are drawn of each of so many faces."""
    return max(1, min(GRID**2, PATCHES // faces))


@register(PATCHCORE, config=PatchcoreConfig, source="Roth et al., CVPR 2022; frozen features")
class PatchcoreDetector(FeatureBaselineDetector):
    """PatchCore as a detector."""

    model_class = PatchCore

    @classmethod
    @override
    def recipe(cls, config: TrainConfig) -> Recipe:
        assert isinstance(config.method, PatchcoreConfig)
        return _Recipe(config.method.memory, config.seed)

    @classmethod
    @override
    def fit(cls, config: TrainConfig, data: TrainingData, run: Run) -> FeatureBaselineDetector:
        detector = super().fit(config, data, run)
        detector.metadata["holds"] = (
            "features of patches of training faces: keep it where the faces may be kept"
        )
        return detector
