"""Feature extraction for the fit of a region discriminant: of untouched, corrupted and forged faces, by their numbers.

Each is a function of row numbers that pickles, so that processes can share the work and a stopped run goes on.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from verovolto.data.face_batch import FaceBatch, Preprocessing, resize
from verovolto.data.faceset import FaceSet
from verovolto.detectors.fitting import read_image
from verovolto.detectors.region_discriminant.features import FeatureSpec, RegionFeatures
from verovolto.synthesis.pseudo_fakes import FacePool, pair
from verovolto.synthesis.pseudo_fakes.pairs import corrupt_benignly

SIDE = 224
"""Side in pixels at which faces are forged and corrupted, and in which landmarks are given."""

_CORRUPTION = 2  # keeps these draws apart from those of pairs


@dataclass(kw_only=True)
class Recipe:
    """How features are taken; it pickles without the backbone, which each process loads once."""

    spec: FeatureSpec
    landmarks: torch.Tensor
    preprocessing: Preprocessing
    device: str = "cpu"
    _features: RegionFeatures | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_features": None}

    def columns(self, images: list[torch.Tensor]) -> NDArray[np.float32]:
        """Features of crops, `[n, D]`."""
        if self._features is None:
            features = RegionFeatures(self.spec, self.landmarks, SIDE, self.preprocessing)
            self._features = features.to(torch.device(self.device))
        batch = FaceBatch(images=images, encoded_bytes=[None] * len(images))
        return np.asarray(self._features.columns(batch).cpu().numpy())


@dataclass(frozen=True, kw_only=True)
class OfFaces:
    """Features of faces by their numbers, `[n, D]`, NaN where one cannot be read.

    Attributes:
        faces: real ones.
        recipe: how features are taken.
        corrupted_by: seed of a benign corruption that each goes through first; None leaves them untouched.
    """

    faces: FaceSet
    recipe: Recipe
    corrupted_by: int | None = None

    def __call__(self, rows: range) -> NDArray[np.float16]:
        """The features of some rows."""
        images = [read_face(self.faces, row, corrupted_by=self.corrupted_by) for row in rows]
        return _columns(images, self.recipe).astype(np.float16)


def read_face(faces: FaceSet, row: int, *, corrupted_by: int | None = None) -> torch.Tensor | None:
    """A face; corrupted benignly, by seed and number alone, uint8 `[3, SIDE, SIDE]`. None where it cannot be read."""
    image = read_image(faces, row)
    if image is None or corrupted_by is None:
        return image
    rng = np.random.default_rng([corrupted_by, row, _CORRUPTION])
    return corrupt_benignly(resize(image, SIDE).float(), rng)


@dataclass(frozen=True, kw_only=True)
class OfPairs:
    """Features of forgeries minus those of their sources, by the numbers of the pairs, `[n, D]`."""

    face_pool: FacePool
    recipe: Recipe
    seed: int

    def __call__(self, rows: range) -> NDArray[np.float16]:
        """The features of some rows."""
        made = [pair(self.face_pool, number, seed=self.seed) for number in rows]
        fakes, reals = (
            self.recipe.columns([getattr(one, which) for one in made]) for which in ("fake", "real")
        )
        return (fakes - reals).astype(np.float16)


def _columns(images: list[torch.Tensor | None], recipe: Recipe) -> NDArray[np.float32]:
    """Features, NaN where there is no image."""
    there = [image for image in images if image is not None]
    known = recipe.columns(there or [torch.zeros(3, SIDE, SIDE, dtype=torch.uint8)])
    found = np.full((len(images), known.shape[1]), np.nan, dtype=np.float32)
    if there:
        found[[image is not None for image in images]] = known
    return found
