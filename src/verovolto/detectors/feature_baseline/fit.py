"""Fit a known one-class detector on frozen features of real faces: Mahalanobis, PaDiM or PatchCore.

The way of a run: the trunk's features of every training face, kept block by block in the run folder's `work/`, which is
deleted at the end, for they are features of single faces; the fit, in closed form; a calibration on real faces that
took no part. No fake is looked at, and nothing is chosen.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from rich.progress import Progress

from verovolto.core.workdir import compute_chunks
from verovolto.data.face_batch import FaceBatch
from verovolto.data.faceset import FaceSet
from verovolto.detectors.feature_baseline.detector import FeatureBaselineDetector
from verovolto.detectors.feature_baseline.maps import BACKBONE
from verovolto.detectors.feature_baseline.methods import Method, method_of
from verovolto.features.preprocessing import Preprocessing
from verovolto.networks.backbones.efficientnet_lite import MEAN, STD, Lite
from verovolto.networks.choices import MAHALANOBIS, PADIM, PATCHCORE, AnyModel
from verovolto.training import closed_form
from verovolto.training.closed_form import Task, check_readable, read_image, work_folder
from verovolto.training.config import TrainConfig
from verovolto.training.data import TrainingData
from verovolto.training.run_metadata import detector_metadata

SIZE = 224
SOURCES = {
    MAHALANOBIS: "Rippel et al., ICPR 2020",
    PADIM: "Defard et al., 2020",
    PATCHCORE: "Roth et al., CVPR 2022",
}
"""The models that are trained here, and their papers."""


def run(config: TrainConfig, progress: Progress) -> Path:
    """Fit, or go on with a run that was stopped (see `training.closed_form.run`)."""
    method = method_of(config)

    def fit(config: TrainConfig, sets: TrainingData, task: Task) -> FeatureBaselineDetector:
        return _fitted(config, sets, method, task)

    return closed_form.run(config, progress, fit, check=lambda sets: method.check(len(sets.train)))


def fitted_numbers(model: str) -> int:
    """How many numbers a model of `SOURCES` is fitted with, by default."""
    paper = TrainConfig(data=Path(), model=cast(AnyModel, model), out=Path())
    return method_of(paper).numbers


def _fitted(config: TrainConfig, sets: TrainingData, method: Method, task: Task) -> FeatureBaselineDetector:
    """The detector, not calibrated yet."""
    preprocessing = Preprocessing(size=SIZE, mean=MEAN, std=STD, crop_rule=sets.crop_rule)
    count = len(sets.train)
    rows = _Rows(faces=sets.train, method=method, preprocessing=preprocessing)
    found = compute_chunks(
        count,
        rows,
        work_folder(config) / "features",
        workers=config.workers or 0,
        on_progress=task("features of the training faces", count),
    )
    known = np.isfinite(found.reshape(count, -1)[:, 0])
    lost = np.flatnonzero(~known)
    first = sets.train.face(int(lost[0])) if len(lost) else ""
    check_readable(len(lost), count, config.max_unreadable, what="training faces", first=first)
    method.check(int(known.sum()))
    metadata = detector_metadata(config, sets, {}, weights="EfficientNet-Lite0, ImageNet, frozen")
    metadata |= {"fitted": method.told, "unreadable": int((~known).sum())}
    model = method.fit(found if known.all() else found[known], task)
    if config.model == PATCHCORE:
        metadata["holds"] = "features of patches of training faces: keep it where the faces may be kept"
    return FeatureBaselineDetector(
        name=config.model, model=model, preprocessing=preprocessing, metadata=metadata
    )


@dataclass(frozen=True, kw_only=True)
class _Rows:
    """What is kept of a range of faces; NaN where a face cannot be read."""

    faces: FaceSet
    method: Method
    preprocessing: Preprocessing

    def __call__(self, block: range) -> NDArray[np.float16]:
        images = [read_image(self.faces, row) for row in block]
        there = [number for number, image in enumerate(images) if image is not None]
        shown = [image for image in images if image is not None]
        if not shown:  # what is kept has a shape all the same
            there, shown = [0], [torch.zeros(3, SIZE, SIZE, dtype=torch.uint8)]
        with torch.inference_mode():
            batch = FaceBatch(images=shown, encoded_bytes=[None] * len(shown))
            maps = _backbone(self.method.layers)(self.preprocessing(batch, torch.device("cpu")))
            kept = self.method.kept(maps, [block[number] for number in there], len(self.faces)).numpy()
        found = np.full((len(images), *kept.shape[1:]), np.nan, dtype=np.float16)
        found[there] = kept
        found[[image is None for image in images]] = np.nan
        return found


@lru_cache(maxsize=1)
def _backbone(layers: tuple[int, ...]) -> Lite:
    """Loaded once a process."""
    return Lite(BACKBONE, layers).to(memory_format=torch.channels_last)
