"""Arrays computed block by block, in several processes, each block kept in a file: a stopped run goes on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from verovolto.core.errors import TrainingError
from verovolto.core.files import atomic_path
from verovolto.core.parallel import run_jobs

BLOCK = 64

Kept = TypeVar("Kept", np.float16, np.uint8)
"""What rows consist of: features or pixels, in as few bytes as they need."""

Rows = Callable[[range], NDArray[Kept]]
"""Computes the rows of a range, `[len(range), ...]`; the same whatever was computed before."""


def compute_chunks(
    count: int,
    rows: Rows[Kept],
    folder: Path,
    *,
    workers: int = 0,
    on_progress: Callable[[int], None] = lambda done: None,
) -> NDArray[Kept]:
    """Rows 0 to `count - 1`, `[count, ...]`. Blocks that lie in `folder` are taken from there.

    `rows` must pickle where there are workers, who have one thread each. `on_progress` hears how many more
    rows are done. Raises `TrainingError` when a process dies twice at one block.
    """
    blocks = [range(start, min(start + BLOCK, count)) for start in range(0, count, BLOCK)]
    todo = [block for block in blocks if not _path(folder, block).exists()]
    on_progress(count - sum(map(len, todo)))
    work = _Work(rows=rows, folder=folder, threads=1 if workers else None)
    for finished in run_jobs(todo, work, workers=min(workers, len(todo))):
        if finished.died is not None:
            raise TrainingError(
                f"rows {finished.job.start} to {finished.job.stop - 1} of {folder.name}: {finished.died}",
                hint="what is done is kept: the same command goes on; try fewer --workers",
            )
        on_progress(len(finished.job))
    return np.concatenate([np.load(_path(folder, block), allow_pickle=False) for block in blocks])


@dataclass(frozen=True, kw_only=True)
class _Work(Generic[Kept]):
    rows: Rows[Kept]
    folder: Path
    threads: int | None

    def __call__(self, block: range) -> None:
        if self.threads is not None:
            torch.set_num_threads(self.threads)
        with atomic_path(_path(self.folder, block)) as part, part.open("wb") as file:
            np.save(file, self.rows(block))


def _path(folder: Path, block: range) -> Path:
    return folder / f"{block.start:07d}.npy"
