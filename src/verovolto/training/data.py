"""The faces of a run: opened and cut into parts that never meet, then fed in batches, which several processes share.

Their order depends on nothing but seed and epoch.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler, default_collate

from verovolto.core.errors import DataError, InputError
from verovolto.data.crop_rule import CropRule, read_rule, shows
from verovolto.data.face_batch import epoch_order
from verovolto.data.faceset import FaceSet
from verovolto.data.splits import SPLIT_COLUMNS, check_disjoint, halve, make_splits
from verovolto.detectors.fitting import Batch, Key, Ordered, Share, TrainingData
from verovolto.detectors.registry import TrainConfig

_FEWEST_CHOOSE = 2
_OF_SPLITS = ("split", "dataset", "target_identity", "donor_identity", "source_video")


def load_training_data(config: TrainConfig, *, leaky: bool = False) -> TrainingData:
    """Open the data and cut the validation people in two. Only reals are trained on and selected on.

    Args:
        config: names the sets, their splits and the seed.
        leaky: let splits share people and videos.

    Raises:
        SplitError: they do, and may not.
        DataError: there are too few faces, or crops of different rules.
    """
    sets = [FaceSet.open(config.data), *(_with_splits(FaceSet.open(path), config) for path in config.reals)]
    for faces in sets:
        check_disjoint(faces.columns(*_OF_SPLITS), leaky=leaky)
    rule = _crop_rule(sets, config.crop_rule)
    parts = [tuple(part.seen_by(rule) for part in _parts(faces, config)) for faces in sets]
    train, choose, calibrate = (
        of[0] if len(of) == 1 else FaceSet.join([each for each in of if len(each)])
        for of in zip(*parts, strict=True)
    )
    if len(train) < _FEWEST_CHOOSE or len(choose) < _FEWEST_CHOOSE:
        raise DataError(
            f"{config.data} has too few real faces: {len(train)} to train on, {len(choose)} to choose on",
            hint=f"each needs {_FEWEST_CHOOSE} at least: cut larger splits with verovolto data split, or add faces",
        )
    return TrainingData(
        train=train, choose=choose, calibrate=calibrate, fingerprint=_fingerprint(sets), crop_rule=rule
    )  # fmt: skip


def _parts(faces: FaceSet, config: TrainConfig) -> tuple[FaceSet, FaceSet, FaceSet]:
    """The faces of a set to train on, to choose on and to calibrate on."""
    train = faces.select(split=config.train_split, label="real")
    if config.limit is not None and config.limit < len(train):
        drawn = np.random.default_rng(config.seed).choice(len(train), config.limit, replace=False)
        train = train.take(np.sort(drawn))
    val = faces.select(split=config.val_split)
    choose = halve(val.columns(), seed=config.seed)
    return train, val.take(np.flatnonzero(choose)).select(label="real"), val.take(np.flatnonzero(~choose))


def _with_splits(faces: FaceSet, config: TrainConfig) -> FaceSet:
    """The set, cut in two by its people where it has no splits."""
    known = faces.columns(*SPLIT_COLUMNS)
    if known["split"].null_count < len(known):
        return faces
    made = make_splits(known, parts={config.train_split: 0.5, config.val_split: 0.5}, seed=config.seed)
    return faces.with_splits(made.split)


def _fingerprint(sets: Sequence[FaceSet]) -> str:
    """Of one set its own, of several one of theirs together."""
    prints = [faces.fingerprint() for faces in sets]
    return prints[0] if len(prints) == 1 else hashlib.sha256("\n".join(prints).encode()).hexdigest()


def _crop_rule(sets: Sequence[FaceSet], given: str | None) -> dict[str, Any] | None:
    """The rule given, which each set's crops must show; else the one that the sets name."""
    if given is None:
        return next((faces.crop_rule for faces in sets if faces.crop_rule is not None), None)
    rule = read_rule(given, flag="--crop-rule")
    for faces in sets:
        if faces.crop_rule is not None and not shows(CropRule.from_dict(faces.crop_rule), rule):
            raise InputError(
                f"--crop-rule {given} is not the rule that {faces.path} was cropped by, nor do its crops show what it "
                f"asks for: {faces.crop_rule}",
                hint="leave the flag out, or crop them by that rule or wider: verovolto prepare --crop wide",
            )
    return rule.to_dict()


ALONE = Share()


class EpochSampler(Sampler[Key]):
    """Keys of an epoch in an order that is a function of (seed, epoch).

    `skip_once(epoch, rows)` leaves out the first rows of that epoch alone: how a run killed in mid-epoch goes
    on. The length stays the epoch's, since the training loop counts the batches done before the kill too.

    Several processes share the rows of each batch, so that all of them together take the steps of one.

    Args:
        data: whose rows are drawn.
        seed: of the order.
        shuffle: False for the order of the data.
        window: rows within which they are shuffled.
        share: what of each batch is this process's.
        batch_size: rows of a batch that are this process's.
    """

    def __init__(
        self,
        data: Ordered,
        *,
        seed: int,
        shuffle: bool = True,
        window: int = 4096,
        share: Share = ALONE,
        batch_size: int = 1,
    ) -> None:
        self.blocks, self.seed, self.shuffle, self.window = data.blocks, seed, shuffle, window
        self.share, self.whole_batch = share, batch_size * share.size
        self.epoch = 0
        self._skip: Key | None = None

    def set_epoch(self, epoch: int) -> None:
        """Called by Lightning before each epoch."""
        self.epoch = epoch

    def skip_once(self, epoch: int, rows: int) -> None:
        """Leave out the first rows of an epoch."""
        self._skip = Key(epoch, rows)

    def __len__(self) -> int:
        return len(range(self._rows())[self.share.rank :: self.share.size])

    def _rows(self) -> int:
        """Rows of an epoch, over all processes: where there are several, each takes as many steps."""
        rows = len(self.blocks)
        if self.share.size == 1 or not self.shuffle:
            return rows
        return rows - rows % (self.whole_batch if rows > self.whole_batch else self.share.size)

    def __iter__(self) -> Iterator[Key]:
        order = (
            epoch_order(self.blocks, seed=self.seed, epoch=self.epoch, window=self.window).tolist()
            if self.shuffle
            else list(range(len(self.blocks)))
        )
        order = order[: self._rows()][self.share.rank :: self.share.size]
        done = self._skip.row if self._skip and self._skip.epoch == self.epoch else 0
        for row in order[done:]:
            yield Key(self.epoch, row)


def collate(items: list[Any]) -> Any:
    """Stack what could be read; of images, what could not is passed on as messages."""
    if not all(isinstance(item, Tensor | str) for item in items):
        return default_collate(items)
    readable = [item for item in items if isinstance(item, Tensor)]
    pixels = torch.stack(readable) if readable else torch.empty(0, dtype=torch.uint8)
    return Batch(pixels, [item for item in items if isinstance(item, str)])


def loader(
    dataset: Dataset[Any], sampler: EpochSampler, *, batch_size: int, workers: int, pin: bool
) -> DataLoader[Any]:
    """Batches in the sampler's order. A last batch that is not full is left out when training on more than one.

    Args:
        dataset: items by `Key`.
        sampler: their order.
        batch_size: items a batch.
        workers: processes that read items; 0 for none.
        pin: keep batches in memory from which a GPU copies faster.
    """
    return DataLoader(
        dataset,
        batch_size=batch_size,
        sampler=sampler,
        num_workers=workers,
        collate_fn=collate,
        pin_memory=pin,
        persistent_workers=workers > 0,
        drop_last=sampler.shuffle and len(sampler) > batch_size,
    )


@dataclass(frozen=True, kw_only=True)
class World:
    """The processes of a training, as torchrun states them in the environment; by default this one alone.

    Attributes:
        rank: number of this process; the first alone writes.
        size: how many there are, over all machines.
        local_size: how many of them are on this machine.
    """

    rank: int = 0
    size: int = 1
    local_size: int = 1

    @staticmethod
    def here() -> World:
        """Of this process. Raises `InputError` where machines have unlike numbers of processes."""
        read = {name: int(os.environ.get(name, one)) for name, one in _NAMES.items()}
        world = World(rank=read["RANK"], size=read["WORLD_SIZE"], local_size=read["LOCAL_WORLD_SIZE"])
        if world.size % world.local_size:
            raise InputError(
                f"{world.size} processes, {world.local_size} of them on this machine: every machine needs as many",
                hint="begin as many on each with torchrun",
            )
        return world

    @property
    def nodes(self) -> int:
        """Machines."""
        return self.size // self.local_size

    @property
    def first(self) -> bool:
        """Whether this is the process that writes."""
        return self.rank == 0

    def batch_size(self, whole: int) -> int:
        """Images a step of this process, where all of them together take `whole`.

        Raises:
            InputError: it does not divide, or leaves a process fewer than two.
        """
        if whole % self.size or whole // self.size < 2:
            raise InputError(
                f"a batch of {whole} cannot be spread over {self.size} processes",
                hint=f"give --batch-size a multiple of {self.size}, {2 * self.size} or more",
            )
        return whole // self.size


_NAMES = {"RANK": 0, "WORLD_SIZE": 1, "LOCAL_WORLD_SIZE": 1}
