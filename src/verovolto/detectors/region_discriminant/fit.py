"""Train a region discriminant: frozen features, forgeries made of the training's own real faces, a linear head.

The way of a run: landmarks of every training face; pairs of a forgery and its source, which pass one and the same
chain (`synthesis.pseudo_fakes`); the trunk's features of both, of untouched faces and of worn ones (smaller, blurred,
compressed: no sign of forgery); Fisher's discriminant; a calibration on real faces that took no part. All but the last
two are kept block by block in the run folder's `work/`, which is deleted at the end: it holds features of single faces.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from verovolto.core.workdir import Rows, compute_chunks
from verovolto.data.face_batch import FaceBatch, Preprocessing
from verovolto.data.faceset import FaceSet
from verovolto.data.transforms import resize
from verovolto.detectors.config import TrainConfig
from verovolto.detectors.fitting import Run, TrainingData, check_readable, read_image
from verovolto.detectors.region_discriminant import RegionDiscriminantConfig
from verovolto.detectors.region_discriminant.detector import (
    REGIONS,
    FeatureDetector,
    LinearHead,
    RegionFeatures,
    layers_of,
)
from verovolto.detectors.region_discriminant.fisher import fisher
from verovolto.faces.detection.registry import open_detector
from verovolto.faces.landmarks import crop_landmarks
from verovolto.networks import DISCRIMINANT
from verovolto.networks.backbones.efficientnet_lite import MEAN, STD
from verovolto.synthesis.pseudo_fakes import PSEUDO_FAKE_METHODS, FacePool, native_sides, pair
from verovolto.synthesis.pseudo_fakes.corruptions import corrupt_benignly

SIDE = 224
"""Side in pixels at which faces are forged and worn, and in which landmarks are given."""

REALS = 3000
"""Untouched faces that the spread of real faces is measured on, at most."""

WORN = 1500
"""Those of them of which worn versions are looked at as well, at most."""

_WEAR = 2  # keeps these draws apart from those of pairs
_FACE_DETECTOR = "mtcnn"


def fit(config: TrainConfig, data: TrainingData, run: Run) -> FeatureDetector:
    """Fit the head; see `Detector.fit`."""
    assert isinstance(config.method, RegionDiscriminantConfig)
    return _Steps(config=config, options=config.method, data=data, run=run).detector()


@dataclass(kw_only=True)
class _Steps:
    """The steps of a fit, each of which takes what an earlier one left in the folder."""

    config: TrainConfig
    options: RegionDiscriminantConfig
    data: TrainingData
    run: Run

    def detector(self) -> FeatureDetector:
        """All steps, one after the other; the detector is not calibrated yet."""
        train, options = self.data.train, self.options
        on_progress = self.run.task("landmarks of the training faces", len(train))
        landmarks = crop_landmarks(
            train, open_detector(_FACE_DETECTOR), self.run.work / "landmarks", workers=self._workers,
            on_progress=on_progress,
        )  # fmt: skip
        average = torch.from_numpy(np.nanmedian(landmarks, axis=0).astype(np.float32))
        preprocessing = Preprocessing(
            size=options.size or 0, mean=MEAN, std=STD, crop_rule=self.data.crop_rule
        )
        backbone = options.trunk
        recipe = Recipe(
            backbone=backbone, layers=layers_of(backbone), landmarks=average, preprocessing=preprocessing,
            device=self.config.device,
        )  # fmt: skip
        reals = self._features(
            "features of untouched faces",
            len(self._drawn),
            OfReals(faces=self._drawn, recipe=recipe),
            "reals",
        )
        face_pool = self._face_pool(landmarks)
        lost = face_pool.unreadable
        check_readable(
            len(lost),
            len(face_pool),
            self.config.max_unreadable,
            what="training faces",
            first="".join(lost[:1]),
        )
        seed, count = self.config.seed, options.forgeries
        pairs = OfPairs(face_pool=face_pool, recipe=recipe, seed=seed)
        differences = self._features("forgeries and their features", count, pairs, "pairs")
        kinds = [PSEUDO_FAKE_METHODS[number % len(PSEUDO_FAKE_METHODS)] for number in range(len(differences))]
        some = min(WORN, len(self._drawn))
        corrupted = OfWorn(faces=self._drawn, recipe=recipe, seed=seed)
        worn = self._features("features of corrupted faces", some, corrupted, "worn") - reals[:some]
        readable, both = (np.asarray(np.isfinite(part).all(axis=1)) for part in (reals, worn))
        discriminant = fisher(
            reals[readable], differences, kinds, worn[both], shrinkage=options.shrinkage, wear=options.wear
        )
        head = LinearHead(
            backbone=backbone, layers=recipe.layers, regions=recipe.regions, landmarks=average, side=SIDE,
            slope=torch.from_numpy(discriminant.slope), origin=torch.from_numpy(discriminant.origin),
        )  # fmt: skip
        metadata = self.run.metadata(weights=f"{backbone}, ImageNet, frozen", unreadable=len(lost))
        metadata |= {
            "forgeries": len(differences),
            "kinds": list(PSEUDO_FAKE_METHODS),
            "unreadable": len(lost),
        }
        return FeatureDetector(
            name=DISCRIMINANT, head=head, preprocessing=preprocessing, metadata=metadata,
            device=torch.device(self.config.device),
        )  # fmt: skip

    @cached_property
    def _drawn(self) -> FaceSet:
        """The untouched faces that features are taken of, in a random order."""
        train = self.data.train
        order = np.random.default_rng(self.config.seed).permutation(len(train))
        return train.take(order[:REALS])

    def _face_pool(self, landmarks: NDArray[np.float32]) -> FacePool:
        faces = self.data.train
        on_progress = self.run.task("looking at the training faces", len(faces))
        return FacePool.gather(
            faces,
            landmarks,
            native=native_sides(faces),
            side=SIDE,
            seed=self.config.seed,
            on_progress=on_progress,
        )

    def _features(self, what: str, count: int, rows: Rows[np.float16], name: str) -> NDArray[np.float32]:
        on_progress = self.run.task(what, count)
        return compute_chunks(
            count, rows, self.run.work / name, workers=self._workers, on_progress=on_progress
        ).astype(np.float32)

    @property
    def _workers(self) -> int:
        return self.config.workers or 0


@dataclass(kw_only=True)
class Recipe:
    """How features are taken; it pickles without the backbone, which each process loads once."""

    backbone: str
    layers: tuple[int, ...]
    regions: tuple[str, ...] = REGIONS
    landmarks: torch.Tensor
    preprocessing: Preprocessing
    device: str = "cpu"
    _features: RegionFeatures | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_features": None}

    def columns(self, images: list[torch.Tensor]) -> NDArray[np.float32]:
        """Features of crops, `[n, D]`."""
        if self._features is None:
            self._features = RegionFeatures(
                self.backbone, self.layers, self.regions, self.landmarks, SIDE, self.preprocessing
            ).to(torch.device(self.device))
        batch = FaceBatch(images=images, encoded_bytes=[None] * len(images))
        return np.asarray(self._features.columns(batch).cpu().numpy())


@dataclass(frozen=True, kw_only=True)
class OfReals:
    """Features of untouched faces by their numbers, `[n, D]`, NaN where one cannot be read."""

    faces: FaceSet
    recipe: Recipe

    def __call__(self, rows: range) -> NDArray[np.float16]:
        """The features of some rows."""
        return _columns([read_image(self.faces, row) for row in rows], self.recipe).astype(np.float16)


@dataclass(frozen=True, kw_only=True)
class OfWorn:
    """Features of faces after wear, by their numbers, `[n, D]`, NaN where one cannot be read."""

    faces: FaceSet
    recipe: Recipe
    seed: int

    def __call__(self, rows: range) -> NDArray[np.float16]:
        """The features of some rows."""
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
