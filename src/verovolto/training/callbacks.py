"""What happens around the training steps: whole checkpoints, a log as CSV, a progress bar."""

from __future__ import annotations

import csv
import io
import time
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback, ModelCheckpoint
from pytorch_lightning.plugins.io import TorchCheckpointIO
from rich.progress import TaskID
from typing_extensions import override

from verovolto.core.files import atomic_path, write_text
from verovolto.core.progress import ProgressDisplay
from verovolto.training.data import EpochSampler


class WholeCheckpoints(TorchCheckpointIO):
    """Checkpoints that appear whole: a run killed while it writes one still has the one before."""

    @override
    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        with atomic_path(Path(path)) as part, part.open("wb") as handle:
            try:
                torch.save(checkpoint, handle)
            except RuntimeError as error:
                # Closing its archive after a failed write, torch speaks of positions; the write says why.
                raise (error.__context__ if isinstance(error.__context__, OSError) else error) from None

    @override
    def load_checkpoint(
        self, path: Any, map_location: Any = None, weights_only: bool | None = None
    ) -> dict[str, Any]:
        state: dict[str, Any] = torch.load(path, map_location=map_location or "cpu", weights_only=True)
        return state


class Checkpoint(ModelCheckpoint):
    """A `ModelCheckpoint` whose folder may be moved between a kill and the resume."""

    @override
    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        before, now = str(state_dict["dirpath"]), str(self.dirpath)

        def moved(value: Any) -> Any:
            if isinstance(value, str):
                return value.replace(before, now, 1) if value.startswith(before) else value
            return {moved(k): v for k, v in value.items()} if isinstance(value, dict) else value

        super().load_state_dict({name: moved(value) for name, value in state_dict.items()})


class SkipDone(Callback):
    """On resuming inside an epoch, leaves out the rows already trained on in that epoch, and in no other.

    The loop restores how many batches it has done but asks the loader from the first one again; and worker
    processes ask for the first rows before the loop has told the sampler its epoch.
    """

    def __init__(self, sampler: EpochSampler, *, batch_size: int, batches: int) -> None:
        self.sampler, self.batch_size, self.batches = sampler, batch_size, batches

    @override
    def on_load_checkpoint(
        self, trainer: pl.Trainer, module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        epoch = checkpoint["epoch"]
        done = checkpoint["loops"]["fit_loop"]["epoch_loop.batch_progress"]["current"]["ready"]
        if done < self.batches:
            self.sampler.set_epoch(epoch)
            self.sampler.skip_once(epoch, done * self.batch_size)
        else:
            self.sampler.set_epoch(epoch + 1)


class SaveLast(Callback):
    """Keeps `last.ckpt`, the state to resume from: every so many steps, and at the end of each epoch."""

    def __init__(self, path: Path, every_steps: int) -> None:
        self.path, self.every_steps = path, every_steps

    @override
    def on_train_batch_end(
        self, trainer: pl.Trainer, module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        # The last step of an epoch is saved at the epoch's end, after the validation that belongs to it.
        if trainer.global_step % self.every_steps == 0 and not trainer.is_last_batch:
            trainer.save_checkpoint(self.path)

    @override
    def on_train_epoch_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        trainer.save_checkpoint(self.path)


class CsvLog(Callback):
    """`metrics.csv`: a row an epoch. A resumed run goes on in the same file; rows it repeats are replaced.

    `figures` are what a step returns, of which the epoch's mean is written; `validated` what validation logs.
    """

    def __init__(self, path: Path, figures: tuple[str, ...], validated: tuple[str, ...]) -> None:
        self.path, self.figures, self.validated = path, figures, validated
        self._start = 0.0
        self._reset()

    def _reset(self) -> None:
        self.sums = dict.fromkeys(self.figures, 0.0)
        self.batches = self.images = 0
        self.seconds = 0.0

    @override
    def state_dict(self) -> dict[str, Any]:
        return {
            "sums": dict(self.sums),
            "batches": self.batches,
            "images": self.images,
            "seconds": self.seconds,
        }

    @override
    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.sums, self.batches = dict(state_dict["sums"]), state_dict["batches"]
        self.images, self.seconds = state_dict["images"], state_dict["seconds"]

    @override
    def on_train_batch_start(
        self, trainer: pl.Trainer, module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        if batch_idx == 0:
            self._reset()
        self._start = time.perf_counter()

    @override
    def on_train_batch_end(
        self, trainer: pl.Trainer, module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self.seconds += time.perf_counter() - self._start
        self.images += len(batch[0]) * trainer.world_size
        if outputs:
            self.batches += 1
            of_batch = torch.stack([outputs[name].detach().float() for name in self.sums])
            if trainer.world_size > 1:  # each process has a share of the batch
                of_batch = trainer.strategy.reduce(of_batch, reduce_op="mean")
            for name, value in zip(self.sums, of_batch.tolist(), strict=True):
                self.sums[name] += value

    @override
    def on_train_epoch_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        means = {f"train_{name}": total / max(self.batches, 1) for name, total in self.sums.items()}
        logged = trainer.callback_metrics
        row = {name: float(logged[name]) for name in self.validated if name in logged}
        speed = self.images / self.seconds if self.seconds else 0.0
        if not trainer.is_global_zero:
            return
        self._append({"epoch": trainer.current_epoch, "step": trainer.global_step, **means, **row,
                      "images_per_s": speed, "seconds": self.seconds})  # fmt: skip

    def _append(self, row: dict[str, float]) -> None:
        rows: list[dict[str, Any]] = [r for r in read_log(self.path) if int(r["epoch"]) < row["epoch"]]
        text = io.StringIO()
        trained = [f"train_{name}" for name in self.figures]
        columns = ["epoch", "step", *trained, *self.validated, "images_per_s", "seconds"]
        writer = csv.DictWriter(text, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows([*rows, {k: f"{v:.6g}" if isinstance(v, float) else v for k, v in row.items()}])
        write_text(self.path, text.getvalue())


def read_log(path: Path) -> list[dict[str, str]]:
    """The rows of a `metrics.csv`; none when there is no file yet."""
    if not path.is_file():
        return []
    with path.open(encoding="utf-8", newline="") as handle:
        return list(csv.DictReader(handle))


class ProgressBar(Callback):
    """One bar for the whole run: images, images/s, time left, losses. Without a terminal, a line an epoch."""

    def __init__(self, shown: tuple[str, ...] = ("loss",)) -> None:
        self.shown = shown
        # Without a terminal the lines are those of the epochs, below.
        self.progress = ProgressDisplay(lines=False)
        self.task: TaskID | None = None
        self._clock = time.perf_counter()

    @override
    def on_train_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        per_epoch = int(trainer.num_training_batches) * self._batch_size(trainer)
        self._clock = time.perf_counter()
        self.task = self.progress.add_task(
            "training",
            total=per_epoch * (trainer.max_epochs or 1),
            completed=per_epoch * trainer.current_epoch,
        )
        if self.progress.console.is_terminal and trainer.is_global_zero:
            self.progress.start()

    @override
    def on_train_batch_end(
        self, trainer: pl.Trainer, module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        assert self.task is not None, "set when training starts"
        done = (trainer.current_epoch * int(trainer.num_training_batches) + batch_idx + 1) * self._batch_size(
            trainer
        )
        loss = f"loss {float(outputs['loss']):,.0f}" if outputs else ""
        epoch = f"epoch {trainer.current_epoch + 1}/{trainer.max_epochs}"
        self.progress.update(self.task, completed=done, description=epoch, note=loss)

    @override
    def on_train_epoch_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        if self.progress.console.is_terminal or not trainer.is_global_zero:
            return
        done = trainer.current_epoch + 1
        took = time.perf_counter() - self._clock
        logged = trainer.callback_metrics
        figures = ", ".join(f"{name} {float(logged[name]):,.4g}" for name in self.shown if name in logged)
        print(f"epoch {done}/{trainer.max_epochs}: {figures} ({took:,.0f} s)", flush=True)

    @override
    def teardown(self, trainer: pl.Trainer, module: pl.LightningModule, stage: str) -> None:
        if self.progress.live.is_started:
            self.progress.stop()

    @staticmethod
    def _batch_size(trainer: pl.Trainer) -> int:
        loader = trainer.train_dataloader
        return int(loader.batch_size) if loader is not None else 1
