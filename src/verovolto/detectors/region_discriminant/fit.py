"""Train a region discriminant: frozen features, forgeries made of the training's own real faces, a linear head.

The way of a run: landmarks of every training face; pairs of a forgery and its source, which pass one and the same
chain (`synthesis.pseudo_fakes`); the backbone's features of both, of untouched faces and of corrupted ones (smaller,
blurred, compressed: no sign of forgery); Fisher's discriminant; a calibration on real faces that took no part. All but
the last two are kept block by block in the run folder's `work/`, which is deleted at the end: it holds features of
single faces.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from verovolto.core.errors import InputError
from verovolto.core.workdir import Rows, compute_chunks
from verovolto.data.face_batch import Preprocessing
from verovolto.data.faceset import FaceSet
from verovolto.data.splits import cluster_ids
from verovolto.detectors.calibrate import places
from verovolto.detectors.fitting import Run, TrainingData, check_readable
from verovolto.detectors.region_discriminant import RegionDiscriminantConfig
from verovolto.detectors.region_discriminant.detector import FeatureDetector, LinearHead
from verovolto.detectors.region_discriminant.extraction import (
    SIDE,
    OfFaces,
    OfPairs,
    Recipe,
)
from verovolto.detectors.region_discriminant.features import FeatureSpec
from verovolto.detectors.region_discriminant.linear_head import (
    CORRUPTIONS_IN_DISTANCE,
    Fitted,
    HeldOut,
    Measured,
    fit_distance,
    left_out,
)
from verovolto.detectors.registry import TrainConfig
from verovolto.faces.detection.registry import open_detector
from verovolto.faces.landmarks import crop_landmarks
from verovolto.networks import DISCRIMINANT
from verovolto.networks.backbones.registry import backbone
from verovolto.synthesis.pseudo_fakes import PSEUDO_FAKE_METHODS, FacePool, native_sides
from verovolto.synthesis.pseudo_fakes.pairs import drawn_face

_FACE_DETECTOR = "mtcnn"


def fit(config: TrainConfig, data: TrainingData, run: Run) -> FeatureDetector:
    """Fit the head; see `Detector.fit`."""
    assert isinstance(config.method, RegionDiscriminantConfig)
    return FitSteps(config=config, options=config.method, data=data, run=run).detector()


@dataclass(kw_only=True)
class FitSteps:
    """The steps of a fit, each of which takes what an earlier one left in the folder."""

    config: TrainConfig
    options: RegionDiscriminantConfig
    data: TrainingData
    run: Run

    def detector(self) -> FeatureDetector:
        """All steps, one after the other; the detector is not calibrated yet."""
        options, recipe = self.options, self.recipe
        spec = FeatureSpec.default(options.trunk)
        measured = self.measured().part(spec)
        weights = {"shrinkage": options.shrinkage, "wear": options.wear, "source_weight": options.sources}
        chosen = self.chosen(spec)
        fitted = Fitted.fit(measured, chosen, **weights)
        head = LinearHead(
            spec=spec, landmarks=recipe.landmarks, side=SIDE,
            slope=torch.from_numpy(fitted.head.slope), origin=torch.from_numpy(fitted.head.origin),
        )  # fmt: skip
        return FeatureDetector(
            name=DISCRIMINANT, head=head, preprocessing=recipe.preprocessing,
            metadata=self._metadata() | self._left_out(measured, chosen, weights),
            distance=fit_distance(measured, corruptions=CORRUPTIONS_IN_DISTANCE), spread=fitted.spread,
            device=torch.device(self.config.device),
        )  # fmt: skip

    def _metadata(self) -> dict[str, Any]:
        lost = self.face_pool.unreadable
        weights = backbone(self.options.trunk).weights
        metadata = self.run.metadata(weights=weights, unreadable=len(lost)) | {
            "forgeries": self.options.forgeries,
            "kinds": list(PSEUDO_FAKE_METHODS),
            "unreadable": len(lost),
        }
        if len(names := self._sources) > 1:
            metadata["sources"] = names
        if self.options.forged_of:
            metadata["forged_of"] = list(self.options.forged_of)
        return metadata

    def _left_out(self, measured: Measured, chosen: HeldOut, weights: dict[str, float]) -> dict[str, Any]:
        """What is flagged of each source that takes no part, where there are several."""
        if len(self._sources) < 2:
            return {}
        at = measured.spec.positions(self.recipe.spec)
        held_out = {name: reals[:, at] for name, reals in self.held_out().items()}
        found = left_out(measured, self.pair_sources, held_out, chosen, own_place=self.own_place, **weights)
        return {"left_out": found}

    @property
    def own_place(self) -> list[str]:
        """The sources that have a place of their own in the calibration."""
        reals = self.data.calibrate.select(label="real")
        return places(sources_of(reals), cluster_ids(reals.columns()))

    def held_out(self) -> HeldOut:
        """The features, columns of `recipe.spec`, of the reals that will be calibrated on, by source."""
        return self._by_source(self.data.calibrate.select(label="real"), "calibrate on", "held-out")

    def chosen(self, spec: FeatureSpec) -> HeldOut:
        """The features, columns of `spec`, of the reals that the spread of scores is fitted to, by source.

        Empty where there is no distance for it to depend on.
        """
        known = spec.of_distance
        if known.start == known.stop:
            return {}
        at = spec.positions(self.recipe.spec)
        found = self._by_source(self.data.choose, "fit the spread of scores to", "chosen")
        return {name: reals[:, at] for name, reals in found.items()}

    def _by_source(self, faces: FaceSet, purpose: str, name: str) -> HeldOut:
        rows = OfFaces(faces=faces, recipe=self.recipe)
        found = self._features(f"features of the reals to {purpose}", len(faces), rows, name)
        readable, sources = np.isfinite(found).all(axis=1), sources_of(faces)
        return {str(source): found[readable & (sources == source)] for source in np.unique(sources)}

    @property
    def pair_sources(self) -> NDArray[Any]:
        """The source of the face that each forgery is made of, `[forgeries]`."""
        of_face = self._source_of_face[self.forged_rows]
        drawn = [
            drawn_face(self.face_pool, number, seed=self.config.seed)
            for number in range(self.options.forgeries)
        ]
        return np.asarray(of_face[drawn], dtype=object)

    @cached_property
    def recipe(self) -> Recipe:
        """How features are taken."""
        options = self.options
        known = backbone(options.trunk)
        preprocessing = Preprocessing(
            size=options.size or 0, mean=known.mean, std=known.std, crop_rule=self.data.crop_rule
        )
        average = torch.from_numpy(np.nanmedian(self._landmarks, axis=0).astype(np.float32))
        return Recipe(
            spec=FeatureSpec.default(options.trunk).kept, landmarks=average, preprocessing=preprocessing,
            device=self.config.device,
        )  # fmt: skip

    @cached_property
    def _landmarks(self) -> NDArray[np.float32]:
        train = self.data.train
        on_progress = self.run.task("landmarks of the training faces", len(train))
        return crop_landmarks(
            train, open_detector(_FACE_DETECTOR), self.run.work / "landmarks", workers=self._workers,
            on_progress=on_progress,
        )  # fmt: skip

    def measured(self) -> Measured:
        """The features of untouched, forged and corrupted faces."""
        seed, count, drawn = self.config.seed, self.options.forgeries, self.drawn
        recipe, face_pool = self.recipe, self.face_pool
        reals = self._features(
            "features of untouched faces", len(drawn), OfFaces(faces=drawn, recipe=recipe), "reals"
        )
        broken = np.flatnonzero(~np.isfinite(reals).all(axis=1))
        for lost, among, first in (
            (len(face_pool.unreadable), len(face_pool), "".join(face_pool.unreadable[:1])),
            (len(broken), len(drawn), f"number {broken[0]}" if len(broken) else ""),
        ):
            check_readable(lost, among, self.config.max_unreadable, what="training faces", first=first)
        pairs = OfPairs(face_pool=face_pool, recipe=recipe, seed=seed)
        differences = self._features("forgeries and their features", count, pairs, "pairs")
        some = max(1, min(count // 2, len(drawn)))
        rows = OfFaces(faces=drawn, recipe=recipe, corrupted_by=seed)
        corrupted = self._features("features of corrupted faces", some, rows, "corrupted") - reals[:some]
        readable, both = (np.asarray(np.isfinite(part).all(axis=1)) for part in (reals, corrupted))
        return Measured(
            spec=recipe.spec, reals=reals[readable], sources=sources_of(drawn)[readable],
            differences=differences, corrupted=corrupted[both],
            kinds=[PSEUDO_FAKE_METHODS[number % len(PSEUDO_FAKE_METHODS)] for number in range(count)],
        )  # fmt: skip

    @cached_property
    def drawn(self) -> FaceSet:
        """The untouched faces that features are taken of, in a random order; of every source as many, if there are."""
        train = self.data.train
        order = np.random.default_rng(self.config.seed).permutation(len(train))
        sources = self._source_of_face[order]
        quota = -(-self.options.untouched // len(np.unique(sources)))
        place = np.zeros(len(order), dtype=np.int64)  # among those of its source
        for source in np.unique(sources):
            place[sources == source] = np.arange((sources == source).sum())
        return train.take(order[place < quota])

    @cached_property
    def _source_of_face(self) -> NDArray[Any]:
        """The source of each training face."""
        return sources_of(self.data.train)

    @property
    def _sources(self) -> dict[str, int]:
        """The sources of the training faces, and how many there are of each."""
        names, counts = np.unique(self._source_of_face, return_counts=True)
        return dict(zip(names.tolist(), counts.tolist(), strict=True))

    @cached_property
    def face_pool(self) -> FacePool:
        """The training faces to be forged, of the sources asked for."""
        rows = self.forged_rows
        faces, landmarks = self.data.train.take(rows), self._landmarks[rows]
        on_progress = self.run.task("looking at the training faces", len(faces))
        return FacePool.gather(
            faces,
            landmarks,
            native=native_sides(faces),
            side=SIDE,
            seed=self.config.seed,
            on_progress=on_progress,
        )

    @property
    def forged_rows(self) -> NDArray[np.int64]:
        """Which training faces are forged. Raises `InputError` for a source that has none."""
        of_face, asked = self._source_of_face, self.options.forged_of
        if missing := sorted({*asked} - {*of_face.tolist()}):
            raise InputError(
                f"--{DISCRIMINANT}.forged-of names {', '.join(missing)}, of which there is no training face",
                hint=f"there are {', '.join(np.unique(of_face))}",
            )
        return np.flatnonzero(np.isin(of_face, asked)) if asked else np.arange(len(of_face))

    def _features(self, what: str, count: int, rows: Rows[np.float16], name: str) -> NDArray[np.float32]:
        on_progress = self.run.task(what, count)
        return compute_chunks(
            count, rows, self.run.work / name, workers=self._workers, on_progress=on_progress
        ).astype(np.float32)

    @property
    def _workers(self) -> int:
        return self.config.workers or 0


def sources_of(faces: FaceSet) -> NDArray[Any]:
    """The collection of each face, `[n]`; of a set that names none, the same for all."""
    return np.asarray(faces.columns("dataset")["dataset"].fill_null("").to_pylist(), dtype=object)
