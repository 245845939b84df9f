"""What a method is given to be fitted: the data, the run it is part of, and the engine for what learns by gradient."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np
from jaxtyping import UInt8
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils.data import Dataset

from verovolto.core.errors import DataError, UnreadableImage
from verovolto.core.progress import OnProgress
from verovolto.data.faceset import FaceSet


@dataclass(frozen=True, kw_only=True)
class TrainingData:
    """The faces of a run: what is trained on, selected on and calibrated on never meet.

    Attributes:
        train: reals to train on.
        choose: the selection half of the validation reals, which chooses the epoch.
        calibrate: the calibration half of the validation faces, fakes too.
        fingerprint: of the whole set.
        crop_rule: by which the faces were cropped; None where that is unknown.
        order: the faces whose order is the order of the epochs, where others stand in their places; None: `train`.
        made_with: what an experiment made the data with, JSON values: kept in `run.json`, checked when the run goes on.
    """

    train: FaceSet
    choose: FaceSet
    calibrate: FaceSet
    fingerprint: str
    crop_rule: dict[str, Any] | None
    order: FaceSet | None = None
    made_with: Mapping[str, Any] = field(default_factory=dict)


class Key(NamedTuple):
    """One draw: the epoch it belongs to and the row of the data."""

    epoch: int
    row: int


class Share(NamedTuple):
    """What of every batch is this process's: each `size`-th row, from the `rank`-th on."""

    rank: int = 0
    size: int = 1


class Batch(NamedTuple):
    """uint8 pixels `[B, 3, size, size]` and what could not be read, one message each."""

    pixels: UInt8[Tensor, "b 3 s s"]
    unreadable: list[str]


@runtime_checkable
class Ordered(Protocol):
    """Rows that are read in blocks; an epoch is shuffled block by block (`data.face_batch.epoch_order`)."""

    @property
    def blocks(self) -> NDArray[np.int64]:
        """The number of the block of each row, `[n]`."""


class Objective(ABC):
    """What a network is to learn by gradient, without a word on how: the engine of `training` does the steps.

    Attributes:
        network: the network, with the weights to begin with.
        training: what is learned from, by `Key`; a `str` in the place of an item says why it cannot be read.
        order: decides, with the seed, over the order of an epoch.
        window: rows within which an epoch is shuffled (`data.face_batch.epoch_order`).
        validation: what the epochs are compared on, or a single item for `validate` to make something of.
        figures: names of what `losses` returns, as `metrics.csv` has them after `train_`.
        validated: names of what `validate` returns.
        monitor: which of these, if it is smaller, makes an epoch the better one; None where `better` decides.
        share: what of every batch is this process's; the engine sets it.
    """

    network: nn.Module
    training: Dataset[Any]
    order: Ordered
    window: int = 4096
    validation: Dataset[Any] | list[Any]
    figures: tuple[str, ...] = ("loss",)
    validated: tuple[str, ...] = ("val_loss",)
    monitor: str | None = "val_loss"
    workers: int = 0
    share: Share = Share()

    @abstractmethod
    def losses(self, batch: Any, step: int) -> dict[str, Tensor]:
        """The `loss` to be minimised on a batch at a step, and other figures to be logged."""

    @abstractmethod
    def validate(self, batch: Any) -> dict[str, Tensor | float]:
        """The figures of a batch of `validation`; the engine averages them over its images."""

    def better(self, figures: Mapping[str, float], best: Mapping[str, float]) -> bool:
        """Whether an epoch is better than the best so far; asked where there is no `monitor`."""
        raise NotImplementedError


@dataclass(frozen=True, kw_only=True)
class Trained:
    """How the training ended: the network has the weights of the best `epoch`, counted from 1.

    `unreadable` counts the images that could not be read, `lost` those of them that were to be trained on.
    """

    epoch: int
    unreadable: int
    lost: int


class Run(ABC):
    """The run that a fit is part of: its folder, its progress, what the detector will say of its origin."""

    work: Path
    """Where what is computed is kept, so that a stopped run goes on; deleted at the end."""

    @abstractmethod
    def begin(self) -> None:
        """From now on the folder holds this run. `task` and `train` begin it, too: check before what can be checked."""

    @abstractmethod
    def task(self, what: str, total: int) -> OnProgress:
        """Begin a task of so many steps."""

    @abstractmethod
    def train(self, objective: Objective) -> Trained:
        """Train a network, or go on where an earlier process stopped."""

    @abstractmethod
    def metadata(self, *, weights: str, unreadable: int = 0) -> dict[str, Any]:
        """What the detector says of where it comes from: `weights` its network began with, training faces not read."""

    @abstractmethod
    def data(self, *, leaky: bool = False) -> TrainingData:
        """The faces of the run, for a detector that is made of another one; `leaky`: splits may share people."""


def read_image(faces: FaceSet, row: int) -> UInt8[Tensor, "3 h w"] | None:
    """A face of a set; None where it cannot be read."""
    try:
        return faces.image(row)
    except UnreadableImage:
        return None


def check_readable(lost: int, of: int, allowed: float, *, what: str, first: str) -> None:
    """Refuse to fit to what is left of faces that cannot be read.

    Args:
        lost: how many cannot be read.
        of: how many there are.
        allowed: share that may be lost.
        what: what the faces are, in words.
        first: the first that cannot be read.

    Raises:
        DataError: more than the share `allowed` is lost.
    """
    if lost > allowed * of:
        raise DataError(
            f"{lost} of {of} {what} cannot be read, more than the allowed share of {allowed:g}; the first: {first}",
            hint="mend the data, or raise --max-unreadable",
        )
