"""Train a region discriminant: frozen features, forgeries made of the training's own real faces, a linear head.

The way of a run: landmarks of every training face; pairs of a forgery and its source, which pass one and the same
chain (`synthesis.pseudo_fakes`); the trunk's features of both, of untouched faces and of worn ones (smaller, blurred,
compressed: no sign of forgery); Fisher's discriminant; a calibration on real faces that took no part. All but the last
two are kept block by block in the run folder's `work/`, which is deleted at the end: it holds features of single faces.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from rich.progress import Progress

from verovolto.core.errors import InputError
from verovolto.core.workdir import compute_chunks
from verovolto.data.face_batch import FaceBatch
from verovolto.data.faceset import FaceSet
from verovolto.data.transforms import resize
from verovolto.detectors.region_discriminant.detector import (
    FeatureDetector,
    LinearHead,
    RegionFeatures,
    head_size,
)
from verovolto.detectors.region_discriminant.fisher import fisher
from verovolto.faces.detection.registry import open_detector
from verovolto.faces.landmarks import crop_landmarks
from verovolto.features.preprocessing import Preprocessing
from verovolto.networks.backbones.efficientnet_lite import MEAN, STD, variant
from verovolto.networks.choices import DISCRIMINANT
from verovolto.synthesis.pseudo_fakes import PSEUDO_FAKE_METHODS, FacePool, native_sides, pair
from verovolto.synthesis.pseudo_fakes.corruptions import corrupt_benignly
from verovolto.training import closed_form
from verovolto.training.closed_form import Task, check_readable, read_image, work_folder
from verovolto.training.config import TrainConfig
from verovolto.training.data import TrainingData
from verovolto.training.run_metadata import detector_metadata

STAGES = slice(1, 6)
"""The stages of the trunk after whose last block features are taken: all but the first and the last."""

REGIONS = ("inner", "eyes")
SIDE = 224
"""Side in pixels at which faces are forged and worn, and in which landmarks are given."""

REALS = 3000
"""Untouched faces that the spread of real faces is measured on, at most."""

WORN = 1500
"""Those of them of which worn versions are looked at as well, at most."""

_HALVED = 32
_WEAR = 2  # keeps these draws apart from those of pairs
_FINDER = "mtcnn"


def run(config: TrainConfig, progress: Progress) -> Path:
    """Train, or go on with a run that was stopped (see `training.closed_form.run`).

    Raises `InputError` for a size that the trunk cannot halve down to its last map.
    """
    size = config.size or variant(config.trunk).size
    if size % _HALVED:
        raise InputError(
            f"--size {size} is no multiple of {_HALVED}", hint="leave it out for the trunk's own"
        )

    def fit(config: TrainConfig, sets: TrainingData, task: Task) -> FeatureDetector:
        return _Steps(config=config, sets=sets, task=task).detector()

    return closed_form.run(replace(config, size=size), progress, fit)


def layers_of(backbone: str) -> tuple[int, ...]:
    """The blocks of a trunk after which features are taken."""
    return variant(backbone).ends[STAGES]


def parameters(backbone: str) -> int:
    """Numbers that are learned: a weight a column of features."""
    return head_size(backbone, layers_of(backbone), REGIONS)


@dataclass(kw_only=True)
class _Steps:
    """The steps of a run, each of which takes what an earlier one left in the folder."""

    config: TrainConfig
    sets: TrainingData
    task: Task

    def detector(self) -> FeatureDetector:
        """All steps, one after the other; the detector is not calibrated yet."""
        landmarks = self._landmarks()
        average = torch.from_numpy(np.nanmedian(landmarks, axis=0).astype(np.float32))
        assert self.config.size is not None, "the configuration is resolved"
        preprocessing = Preprocessing(
            size=self.config.size, mean=MEAN, std=STD, crop_rule=self.sets.crop_rule
        )
        backbone = self.config.trunk
        recipe = Recipe(
            backbone=backbone, layers=layers_of(backbone), landmarks=average, preprocessing=preprocessing
        )
        reals = self._reals(recipe)
        face_pool = self._face_pool(landmarks)
        lost = face_pool.unreadable
        check_readable(
            len(lost),
            len(face_pool),
            self.config.max_unreadable,
            what="training faces",
            first="".join(lost[:1]),
        )
        differences = self._differences(face_pool, recipe)
        kinds = [PSEUDO_FAKE_METHODS[number % len(PSEUDO_FAKE_METHODS)] for number in range(len(differences))]
        worn = self._worn(recipe) - reals[: self._worn_faces]
        known, whole = (np.asarray(np.isfinite(part).all(axis=1)) for part in (reals, worn))
        found = fisher(
            reals[known],
            differences,
            kinds,
            worn[whole],
            shrinkage=self.config.shrinkage,
            wear=self.config.wear,
        )
        head = LinearHead(
            backbone=backbone, layers=recipe.layers, regions=recipe.regions, landmarks=average, side=SIDE,
            slope=torch.from_numpy(found.slope), origin=torch.from_numpy(found.origin),
        )  # fmt: skip
        metadata = detector_metadata(self.config, self.sets, {}, weights=f"{backbone}, ImageNet, frozen")
        metadata |= {
            "forgeries": len(differences),
            "kinds": list(PSEUDO_FAKE_METHODS),
            "unreadable": len(face_pool.unreadable),
        }
        return FeatureDetector(name=DISCRIMINANT, head=head, preprocessing=preprocessing, metadata=metadata)

    def _landmarks(self) -> NDArray[np.float32]:
        on_progress = self.task("landmarks of the training faces", len(self.sets.train))
        return crop_landmarks(
            self.sets.train,
            open_detector(_FINDER),
            self._work("landmarks"),
            workers=self._workers,
            on_progress=on_progress,
        )

    @cached_property
    def _drawn(self) -> FaceSet:
        """The untouched faces that features are taken of, in a random order."""
        train = self.sets.train
        order = np.random.default_rng(self.config.seed).permutation(len(train))
        return train.take(order[:REALS])

    @property
    def _worn_faces(self) -> int:
        return min(WORN, len(self._drawn))

    def _worn(self, recipe: Recipe) -> NDArray[np.float32]:
        rows = OfWorn(faces=self._drawn, recipe=recipe, seed=self.config.seed)
        on_progress = self.task("features of worn faces", self._worn_faces)
        return compute_chunks(
            self._worn_faces, rows, self._work("worn"), workers=self._workers, on_progress=on_progress
        ).astype(np.float32)

    def _reals(self, recipe: Recipe) -> NDArray[np.float32]:
        count = len(self._drawn)
        rows = OfReals(faces=self._drawn, recipe=recipe)
        on_progress = self.task("features of untouched faces", count)
        return compute_chunks(
            count, rows, self._work("reals"), workers=self._workers, on_progress=on_progress
        ).astype(np.float32)

    def _face_pool(self, landmarks: NDArray[np.float32]) -> FacePool:
        faces = self.sets.train
        on_progress = self.task("looking at the training faces", len(faces))
        return FacePool.gather(
            faces,
            landmarks,
            native=native_sides(faces),
            side=SIDE,
            seed=self.config.seed,
            on_progress=on_progress,
        )

    def _differences(self, face_pool: FacePool, recipe: Recipe) -> NDArray[np.float32]:
        count = self.config.forgeries
        rows = OfPairs(face_pool=face_pool, recipe=recipe, seed=self.config.seed)
        on_progress = self.task("forgeries and their features", count)
        return compute_chunks(
            count, rows, self._work("pairs"), workers=self._workers, on_progress=on_progress
        ).astype(np.float32)

    @property
    def _workers(self) -> int:
        return self.config.workers or 0

    def _work(self, name: str) -> Path:
        return work_folder(self.config) / name


@dataclass(kw_only=True)
class Recipe:
    """How features are taken; it pickles without the trunk, which each process loads once."""

    backbone: str
    layers: tuple[int, ...]
    regions: tuple[str, ...] = REGIONS
    landmarks: torch.Tensor
    preprocessing: Preprocessing
    _features: RegionFeatures | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_features": None}

    def columns(self, images: list[torch.Tensor]) -> NDArray[np.float32]:
        """Features of crops, `[n, D]`."""
        if self._features is None:
            self._features = RegionFeatures(
                self.backbone, self.layers, self.regions, self.landmarks, SIDE, self.preprocessing
            )
        batch = FaceBatch(images=images, encoded_bytes=[None] * len(images))
        return np.asarray(self._features.columns(batch).numpy())


@dataclass(frozen=True, kw_only=True)
class OfReals:
    """Features of untouched faces by their numbers, `[n, D]`, NaN where one cannot be read."""

    faces: FaceSet
    recipe: Recipe

    def __call__(self, rows: range) -> NDArray[np.float16]:
        return _columns([read_image(self.faces, row) for row in rows], self.recipe).astype(np.float16)


@dataclass(frozen=True, kw_only=True)
class OfWorn:
    """Features of faces after wear, by their numbers, `[n, D]`, NaN where one cannot be read."""

    faces: FaceSet
    recipe: Recipe
    seed: int

    def __call__(self, rows: range) -> NDArray[np.float16]:
        return _columns([worn_face(self.faces, row, seed=self.seed) for row in rows], self.recipe).astype(
            np.float16
        )


def worn_face(faces: FaceSet, row: int, *, seed: int) -> torch.Tensor | None:
    """A face after wear, uint8 `[3, SIDE, SIDE]`, by seed and number alone; None where it cannot be read."""
    image = read_image(faces, row)
    if image is None:
        return None
    return corrupt_benignly(resize(image, SIDE).float(), np.random.default_rng([seed, row, _WEAR]))


@dataclass(frozen=True, kw_only=True)
class OfPairs:
    """Features of forgeries minus those of their sources, by the numbers of the pairs, `[n, D]`."""

    face_pool: FacePool
    recipe: Recipe
    seed: int

    def __call__(self, rows: range) -> NDArray[np.float16]:
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
