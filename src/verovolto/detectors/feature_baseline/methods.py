"""What the known one-class detectors keep of each training face, and what they make of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from verovolto.core.errors import DataError, InputError
from verovolto.detectors.feature_baseline.detector import FeatureModel
from verovolto.detectors.feature_baseline.maps import CHANNELS
from verovolto.detectors.mahalanobis import model as mahalanobis
from verovolto.detectors.padim import model as padim
from verovolto.detectors.patchcore import model as patchcore
from verovolto.networks.choices import MAHALANOBIS, PADIM, PATCHCORE
from verovolto.training.closed_form import Task
from verovolto.training.config import TrainConfig

PATCHES = 200_000
"""Patches that PatchCore chooses its memory from, at most: drawn at random, as many of each face."""

FEWEST = 8
"""Faces that anything can be fitted to."""

_PLACES = patchcore.GRID**2


@runtime_checkable
class Method(Protocol):
    """How a model is fitted: what is kept of each face, and what is made of it."""

    @property
    def layers(self) -> tuple[int, ...]:
        """After which blocks of the trunk features are taken."""

    @property
    def told(self) -> str:
        """What the detector knows of the training faces, in words."""

    @property
    def numbers(self) -> int:
        """How many numbers are fitted."""

    def check(self, faces: int) -> None:
        """Raise `DataError` where so many faces are too few."""

    def kept(self, maps: list[Tensor], rows: list[int], faces: int) -> Tensor:
        """Of each face `[n, ...]`; `rows` are their numbers among all `faces`."""

    def fit(self, kept: NDArray[np.float16], task: Task) -> FeatureModel:
        """The model, out of what was kept of the faces that could be read."""


@dataclass(frozen=True, kw_only=True)
class _Mahalanobis:
    layers: tuple[int, ...] = mahalanobis.LAYERS
    told: str = "the mean and covariance of their features"

    @property
    def numbers(self) -> int:
        return sum(_of_gaussian(CHANNELS[layer]) for layer in self.layers)

    def check(self, faces: int) -> None:
        _check_faces(faces)

    def kept(self, maps: list[Tensor], rows: list[int], faces: int) -> Tensor:
        return mahalanobis.pooled_levels(maps)

    def fit(self, kept: NDArray[np.float16], task: Task) -> FeatureModel:
        return mahalanobis.Mahalanobis.fit(torch.from_numpy(kept.astype(np.float32)), self.layers)


@dataclass(frozen=True, kw_only=True)
class _PaDiM:
    count: int
    seed: int
    layers: tuple[int, ...] = padim.LAYERS
    told: str = "the mean and covariance of their features at each place"

    @property
    def numbers(self) -> int:
        return padim.GRID**2 * _of_gaussian(self.count)

    def check(self, faces: int) -> None:
        _check_faces(faces)

    def kept(self, maps: list[Tensor], rows: list[int], faces: int) -> Tensor:
        return padim.embedded(maps, self._channels)

    def fit(self, kept: NDArray[np.float16], task: Task) -> FeatureModel:
        on_progress = task("a Gaussian at each place", padim.GRID**2)
        return padim.PaDiM.fit(kept, self.layers, self._channels, on_progress)

    @property
    def _channels(self) -> Tensor:
        return padim.drawn_channels(self.count, self.seed)


@dataclass(frozen=True, kw_only=True)
class _PatchCore:
    memory: int
    seed: int
    layers: tuple[int, ...] = patchcore.LAYERS

    @property
    def told(self) -> str:
        return f"the features of {self.memory:,} of their patches"

    @property
    def numbers(self) -> int:
        return (self.memory + 1) * patchcore.DEPTH

    def check(self, faces: int) -> None:
        _check_faces(faces)
        self._check_patches(faces * _patches(faces), faces)

    def kept(self, maps: list[Tensor], rows: list[int], faces: int) -> Tensor:
        patches = patchcore.embedded(maps).flatten(2).transpose(1, 2)
        count = _patches(faces)
        places = [
            np.random.default_rng([self.seed, row]).choice(_PLACES, count, replace=False) for row in rows
        ]
        return torch.stack([each[drawn] for each, drawn in zip(patches, places, strict=True)])

    def fit(self, kept: NDArray[np.float16], task: Task) -> FeatureModel:
        patches = torch.from_numpy(kept.reshape(-1, kept.shape[-1]).astype(np.float32))
        self._check_patches(len(patches), len(kept))
        return patchcore.PatchCore.fit(patches, self.layers, self.memory, task("the memory", self.memory))

    def _check_patches(self, there: int, faces: int) -> None:
        if there < self.memory:
            raise DataError(
                f"a memory of {self.memory:,} patches cannot be chosen from the {there:,} of {faces} faces",
                hint=f"lower --memory to {there // 2}, or give more faces",
            )


def method_of(config: TrainConfig) -> Method:
    """The method that a configuration names. Raises `InputError` for numbers it cannot take."""
    if config.model == MAHALANOBIS:
        return _Mahalanobis()
    if config.model == PATCHCORE:
        return _PatchCore(memory=config.memory, seed=config.seed)
    if config.channels > padim.DEPTH:
        raise InputError(
            f"--channels {config.channels}: {PADIM} has {padim.DEPTH} to draw from", hint="give fewer"
        )
    return _PaDiM(count=config.channels, seed=config.seed)


def _check_faces(faces: int) -> None:
    if faces < FEWEST:
        raise DataError(f"{faces} real faces are too few to fit anything to", hint=f"give {FEWEST} at least")


def _of_gaussian(columns: int) -> int:
    """Numbers of a mean and a covariance."""
    return columns + columns * (columns + 1) // 2


def _patches(faces: int) -> int:
    """Patches that are drawn of each of so many faces."""
    return max(1, min(_PLACES, PATCHES // faces))
