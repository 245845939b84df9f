"""Fit a known one-class detector on frozen features of real faces: Mahalanobis, PaDiM or PatchCore.

The way of a run: the trunk's features of every training face, kept block by block in the run folder's `work/`, which is
deleted at the end, for they are features of single faces; the fit, in closed form; a calibration on real faces that
took no part. No fake is looked at, and nothing is chosen.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Protocol, cast

import numpy as np
import torch
from numpy.typing import NDArray
from rich.progress import Progress
from torch import Tensor

from verovolto.config import cores
from verovolto.data.faceset import FaceSet
from verovolto.errors import DataError, InputError, UnreadableImage
from verovolto.files import check_out
from verovolto.models.lite import MEAN, STD, Lite
from verovolto.models.names import MAHALANOBIS, PADIM, PATCHCORE, AnyModel
from verovolto.scoring.batch import FaceBatch
from verovolto.scoring.calibrate import calibrated
from verovolto.scoring.normality import mahalanobis, padim, patchcore
from verovolto.scoring.normality.detector import Normality, NormalityDetector
from verovolto.scoring.normality.maps import CHANNELS, TRUNK
from verovolto.scoring.preprocessing import Preprocessing
from verovolto.scoring.store import JSON_NAME
from verovolto.training.blocks import in_blocks
from verovolto.training.config import TrainConfig
from verovolto.training.papers import about_run, as_begun, check_folder, check_same, write_papers
from verovolto.training.sets import Sets, open_sets

SIZE = 224
PATCHES = 200_000
"""Patches that PatchCore chooses its memory from, at most: drawn at random, as many of each face."""

FEWEST = 8
"""Faces that anything can be fitted to."""

SOURCES = {
    MAHALANOBIS: "Rippel et al., ICPR 2020",
    PADIM: "Defard et al., 2020",
    PATCHCORE: "Roth et al., CVPR 2022",
}
"""The models that are trained here, and their papers."""

_WORK = "work"
_PLACES = patchcore.GRID**2

Advance = Callable[[int], None]
Task = Callable[[str, int], Advance]


def run(config: TrainConfig, progress: Progress) -> Path:
    """Fit, or go on with a run that was stopped; returns the run folder with a `detector/` in it.

    Raises `TrainingError` when the folder holds a run of another configuration or other data, or a process dies twice,
    and the errors of data and configuration.
    """
    check_out(config.out)
    config = _resolved(as_begun(config))
    if (config.out / "detector" / JSON_NAME).is_file():
        check_same(config)
        return config.out
    method = method_of(config)
    sets = open_sets(config)
    method.check(len(sets.train))
    check_folder(config, sets)
    write_papers(config, sets)
    torch.set_num_threads(config.threads or 1)

    def task(what: str, total: int) -> Advance:
        number = progress.add_task(what, total=total)
        return lambda done: progress.advance(number, done)

    detector = _fitted(config, sets, method, task)
    calibrated(detector, sets.calibrate, seed=config.seed).save(config.out / "detector")
    shutil.rmtree(config.out / _WORK, ignore_errors=True)
    return config.out


class Method(Protocol):
    """How a model is fitted: what is kept of each face, and what is made of it."""

    @property
    def taps(self) -> tuple[int, ...]:
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

    def fit(self, kept: NDArray[np.float16], task: Task) -> Normality:
        """The model, out of what was kept of the faces that could be read."""


@dataclass(frozen=True, kw_only=True)
class _Mahalanobis:
    taps: tuple[int, ...] = mahalanobis.TAPS
    told: str = "the mean and covariance of their features"

    @property
    def numbers(self) -> int:
        return sum(_of_gaussian(CHANNELS[tap]) for tap in self.taps)

    def check(self, faces: int) -> None:
        _check_faces(faces)

    def kept(self, maps: list[Tensor], rows: list[int], faces: int) -> Tensor:
        return mahalanobis.pooled_levels(maps)

    def fit(self, kept: NDArray[np.float16], task: Task) -> Normality:
        return mahalanobis.Mahalanobis.fit(torch.from_numpy(kept.astype(np.float32)), self.taps)


@dataclass(frozen=True, kw_only=True)
class _PaDiM:
    count: int
    seed: int
    taps: tuple[int, ...] = padim.TAPS
    told: str = "the mean and covariance of their features at each place"

    @property
    def numbers(self) -> int:
        return padim.GRID**2 * _of_gaussian(self.count)

    def check(self, faces: int) -> None:
        _check_faces(faces)

    def kept(self, maps: list[Tensor], rows: list[int], faces: int) -> Tensor:
        return padim.embedded(maps, self._channels)

    def fit(self, kept: NDArray[np.float16], task: Task) -> Normality:
        advance = task("a Gaussian at each place", padim.GRID**2)
        return padim.PaDiM.fit(kept, self.taps, self._channels, advance)

    @property
    def _channels(self) -> Tensor:
        return padim.drawn_channels(self.count, self.seed)


@dataclass(frozen=True, kw_only=True)
class _PatchCore:
    memory: int
    seed: int
    taps: tuple[int, ...] = patchcore.TAPS

    @property
    def told(self) -> str:
        return f"the features of {self.memory:,} of their patches"

    @property
    def numbers(self) -> int:
        return (self.memory + 1) * patchcore.DEPTH

    def check(self, faces: int) -> None:
        _check_faces(faces)
        if (there := faces * _patches(faces)) < self.memory:
            raise DataError(
                f"a memory of {self.memory:,} patches cannot be chosen from the {there:,} of {faces} faces",
                hint=f"lower --memory to {there // 2}, or give more faces",
            )

    def kept(self, maps: list[Tensor], rows: list[int], faces: int) -> Tensor:
        patches = patchcore.embedded(maps).flatten(2).transpose(1, 2)
        count = _patches(faces)
        places = [
            np.random.default_rng([self.seed, row]).choice(_PLACES, count, replace=False) for row in rows
        ]
        return torch.stack([each[drawn] for each, drawn in zip(patches, places, strict=True)])

    def fit(self, kept: NDArray[np.float16], task: Task) -> Normality:
        patches = torch.from_numpy(kept.reshape(-1, kept.shape[-1]).astype(np.float32))
        return patchcore.PatchCore.fit(patches, self.taps, self.memory, task("the memory", self.memory))


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


def fitted_numbers(model: str) -> int:
    """How many numbers a model of `SOURCES` is fitted with, by default."""
    paper = TrainConfig(data=Path(), model=cast(AnyModel, model), out=Path())
    return method_of(paper).numbers


def _resolved(config: TrainConfig) -> TrainConfig:
    """Fill what was left to the machine."""
    return replace(
        config,
        workers=cores() if config.workers is None else config.workers,
        threads=config.threads or cores(),
        device="cpu",
        precision="32",
    )


def _fitted(config: TrainConfig, sets: Sets, method: Method, task: Task) -> NormalityDetector:
    """The detector, not calibrated yet."""
    preprocessing = Preprocessing(size=SIZE, mean=MEAN, std=STD, crop_rule=sets.crop_rule)
    count = len(sets.train)
    rows = _Rows(faces=sets.train, method=method, preprocessing=preprocessing)
    found = in_blocks(
        count,
        rows,
        config.out / _WORK / "features",
        workers=config.workers or 0,
        advance=task("features of the training faces", count),
    )
    known = np.isfinite(found.reshape(count, -1)[:, 0])
    _check_readable(sets.train, known, config.max_unreadable)
    method.check(int(known.sum()))
    about = about_run(config, sets, weights="EfficientNet-Lite0, ImageNet, frozen")
    about |= {"fitted": method.told, "unreadable": int((~known).sum())}
    model = method.fit(found if known.all() else found[known], task)
    if config.model == PATCHCORE:
        about["holds"] = "features of patches of training faces: keep it where the faces may be kept"
    return NormalityDetector(name=config.model, model=model, preprocessing=preprocessing, about=about)


def _check_faces(faces: int) -> None:
    if faces < FEWEST:
        raise DataError(f"{faces} real faces are too few to fit anything to", hint=f"give {FEWEST} at least")


def _check_readable(faces: FaceSet, known: NDArray[np.bool_], allowed: float) -> None:
    lost = np.flatnonzero(~known)
    if len(lost) > allowed * len(known):
        raise DataError(
            f"{len(lost)} of {len(known)} training faces cannot be read, more than the allowed share of {allowed:g}; "
            f"the first: {faces.face(int(lost[0]))}",
            hint="mend the data, or raise --max-unreadable",
        )


def _of_gaussian(columns: int) -> int:
    """Numbers of a mean and a covariance."""
    return columns + columns * (columns + 1) // 2


def _patches(faces: int) -> int:
    """Patches that are drawn of each of so many faces."""
    return max(1, min(_PLACES, PATCHES // faces))


@dataclass(frozen=True, kw_only=True)
class _Rows:
    """What is kept of a range of faces; NaN where a face cannot be read."""

    faces: FaceSet
    method: Method
    preprocessing: Preprocessing

    def __call__(self, block: range) -> NDArray[np.float16]:
        images = [_read(self.faces, row) for row in block]
        there = [number for number, image in enumerate(images) if image is not None]
        shown = [image for image in images if image is not None]
        if not shown:  # what is kept has a shape all the same
            there, shown = [0], [torch.zeros(3, SIZE, SIZE, dtype=torch.uint8)]
        with torch.inference_mode():
            batch = FaceBatch(images=shown, encoded_bytes=[None] * len(shown))
            maps = _trunk(self.method.taps)(self.preprocessing(batch, torch.device("cpu")))
            kept = self.method.kept(maps, [block[number] for number in there], len(self.faces)).numpy()
        found = np.full((len(images), *kept.shape[1:]), np.nan, dtype=np.float16)
        found[there] = kept
        found[[image is None for image in images]] = np.nan
        return found


@lru_cache(maxsize=1)
def _trunk(taps: tuple[int, ...]) -> Lite:
    """Loaded once a process."""
    return Lite(TRUNK, taps).to(memory_format=torch.channels_last)


def _read(faces: FaceSet, row: int) -> Tensor | None:
    try:
        return faces.image(row)
    except UnreadableImage:
        return None
