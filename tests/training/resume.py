"""Runs that are stopped and go on: what tests of the VAEs and of the blend network share."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch

from verovolto.training import callbacks
from verovolto.training.callbacks import read_log
from verovolto.training.run_metadata import LAST


def weights(run_folder: Path, name: str = LAST) -> dict[str, torch.Tensor]:
    state: dict[str, torch.Tensor] = torch.load(run_folder / "checkpoints" / name, weights_only=True)[
        "state_dict"
    ]
    return state


def assert_same_weights(one: Path, other: Path) -> None:
    for name in (LAST, "best.ckpt"):
        a, b = weights(one, name), weights(other, name)
        assert a.keys() == b.keys()
        assert all(torch.equal(a[k], b[k]) for k in a), name


def log_without_times(folder: Path) -> list[dict[str, str]]:
    return [
        {k: v for k, v in row.items() if k not in ("images_per_s", "seconds")}
        for row in read_log(folder / "metrics.csv")
    ]


def copied_at_each_save(root: Path, train: Callable[[Path], object]) -> tuple[Path, list[Path]]:
    """An unbroken run, and a copy of its folder as it was after each save: what a kill there would leave."""
    left: list[Path] = []
    save = callbacks.SaveLast.on_train_epoch_end, callbacks.SaveLast.on_train_batch_end

    def copying(method: Any) -> Any:
        def hook(self: callbacks.SaveLast, *args: Any) -> None:
            method(self, *args)
            if self.path.is_file():
                left.append(root / f"left{len(left)}")
                shutil.copytree(root / "run", left[-1])

        return hook

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(callbacks.SaveLast, "on_train_epoch_end", copying(save[0]))
        patch.setattr(callbacks.SaveLast, "on_train_batch_end", copying(save[1]))
        train(root / "run")
    return root / "run", left


def killed_in_training(command: list[str], folder: Path) -> None:
    """SIGKILL to a process, and to those that it started, as soon as the state of its training is saved."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, env={**os.environ, "OMP_NUM_THREADS": "1"})
    last = folder / "checkpoints" / LAST
    deadline = time.monotonic() + 120
    while not last.is_file() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.002)
    for started in psutil.Process(process.pid).children(recursive=True):
        started.kill()
    os.kill(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL, "it was over before it could be killed"
    assert not (folder / "detector").exists()
