"""Feeding a network: batches in an order that depends on nothing but seed and epoch."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler, default_collate

from verovolto.data.face_batch import epoch_order
from verovolto.detectors.fitting import Batch, Key, Ordered, Share

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
