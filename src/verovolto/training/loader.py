"""Feeding a network: a data set of resized crops and an order that depends on nothing but seed and epoch."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from verovolto.core.errors import UnreadableImage
from verovolto.data.faceset import FaceSet
from verovolto.data.transforms import epoch_order, flip, random_bits, resize
from verovolto.networks.choices import Flips


class Key(NamedTuple):
    """One draw: the epoch it belongs to and the row of the face set."""

    epoch: int
    row: int


class Batch(NamedTuple):
    """uint8 pixels `[B, 3, size, size]` and what could not be read, one message each."""

    pixels: Tensor
    unreadable: list[str]


class TrainingFaces(Dataset[Tensor | str]):
    """Resized uint8 crops `[3, size, size]`, mirrored at random; an unreadable one is its error message."""

    def __init__(self, faces: FaceSet, *, size: int, flips: Flips, seed: int) -> None:
        self.faces, self.size, self.flips, self.seed = faces, size, flips, seed

    def __getitem__(self, key: Key) -> Tensor | str:
        try:
            image = resize(self.faces.image(key.row), self.size)
        except UnreadableImage as error:
            return str(error)
        if self.flips == "none":
            return image
        bits = random_bits(self.seed, key.epoch, key.row)
        return flip(image, horizontal=bool(bits & 1), vertical=self.flips == "hv" and bool(bits & 2))


class EpochSampler(Sampler[Key]):
    """Keys of an epoch in an order that is a function of (seed, epoch).

    `skip_once(epoch, rows)` leaves out the first rows of that epoch alone: how a run killed in mid-epoch goes
    on. The length stays the epoch's, since the training loop counts the batches done before the kill too.
    """

    def __init__(self, faces: FaceSet, *, seed: int, shuffle: bool = True) -> None:
        self.blocks, self.seed, self.shuffle = faces.blocks, seed, shuffle
        self.epoch = 0
        self._skip: Key | None = None

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def skip_once(self, epoch: int, rows: int) -> None:
        self._skip = Key(epoch, rows)

    def __len__(self) -> int:
        return len(self.blocks)

    def __iter__(self) -> Iterator[Key]:
        order = (
            epoch_order(self.blocks, seed=self.seed, epoch=self.epoch).tolist()
            if self.shuffle
            else range(len(self))
        )
        done = self._skip.row if self._skip and self._skip.epoch == self.epoch else 0
        for row in order[done:]:
            yield Key(self.epoch, row)


def collate(items: list[Tensor | str]) -> Batch:
    """Stack what could be read; the rest is passed on as messages."""
    readable = [item for item in items if isinstance(item, Tensor)]
    pixels = torch.stack(readable) if readable else torch.empty(0, dtype=torch.uint8)
    return Batch(pixels, [item for item in items if isinstance(item, str)])


def loader(
    dataset: TrainingFaces, sampler: EpochSampler, *, batch_size: int, workers: int, pin: bool
) -> DataLoader[Any]:
    """Batches in the sampler's order. A last batch that is not full is left out when training on more than one."""
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
