"""The engine for all that learns by gradient: an objective in a LightningModule, one set of callbacks, exact resume.

The run folder gets `metrics.csv`, what a logger keeps (`tensorboard/`) and `checkpoints/`: `last.ckpt` to resume from,
`best.ckpt`, and one of every N epochs. Where torchrun began several processes, they take the steps of one together.
"""

from __future__ import annotations

import logging
import math
import warnings
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback, EarlyStopping
from pytorch_lightning.plugins.environments import TorchElasticEnvironment  # type: ignore[attr-defined]
from pytorch_lightning.strategies import DDPStrategy
from torch import Tensor
from typing_extensions import override

from verovolto.core.errors import DataError, Diverged
from verovolto.detectors.fitting import Batch, Objective, Share, Trained
from verovolto.detectors.registry import GradientConfig, TrainConfig
from verovolto.training.callbacks import Checkpoint, CsvLog, ProgressBar, SaveLast, SkipDone, WholeCheckpoints
from verovolto.training.data import EpochSampler, World, loader
from verovolto.training.loggers import close_logger, open_logger
from verovolto.training.run_metadata import LAST

_FEWEST = 2  # batch norm cannot learn from one image
_RANK = "rank"  # what is monitored where the objective itself compares epochs: smaller is better


def train(config: TrainConfig, objective: Objective) -> Trained:
    """Train a network, or go on from the last state; it is left with the weights of its best epoch, on the CPU.

    Raises:
        TrainingError: the loss is no number any more (`Diverged`).
        DataError: too many images cannot be read.
        KeyboardInterrupt: the user stopped it; the message says how it goes on.
    """
    options, seed, world = _options(config), config.seed, World.here()
    batch_size = world.batch_size(options.batch_size or 1) if world.size > 1 else options.batch_size or 1
    objective.share = Share(world.rank, world.size)
    module = ObjectiveModule(objective, config)
    sampler = EpochSampler(
        objective.order, seed=seed, window=objective.window, share=objective.share, batch_size=batch_size
    )
    common: dict[str, Any] = {
        "batch_size": batch_size, "workers": objective.workers, "pin": config.device == "cuda",
    }  # fmt: skip
    training = loader(objective.training, sampler, **common)
    validation: Any = objective.validation
    if not isinstance(validation, list):
        unshuffled = EpochSampler(validation, seed=seed, shuffle=False, share=objective.share)
        validation = loader(validation, unshuffled, **common)
    last = config.out / "checkpoints" / LAST
    skip = SkipDone(sampler, batch_size=batch_size, batches=len(training))
    callbacks, best = _callbacks(config, objective, skip)
    logger = open_logger(config, first=world.first)
    with quiet():
        trainer = pl.Trainer(
            accelerator="gpu" if config.device == "cuda" else "cpu",
            devices=world.local_size,
            num_nodes=world.nodes,
            strategy=_strategy(config, world),
            sync_batchnorm=world.size > 1 and config.device == "cuda",  # torch has none for the CPU
            use_distributed_sampler=False,
            precision="bf16-mixed" if options.precision == "bf16" else "32-true",
            max_epochs=options.epochs,
            callbacks=callbacks,
            plugins=[WholeCheckpoints(), *([TorchElasticEnvironment()] if world.size > 1 else [])],
            logger=logger,
            # CPU kernels are deterministic as they are; asking for it only slows them.
            deterministic="warn" if config.device == "cuda" else False,
            num_sanity_val_steps=0,
            enable_progress_bar=False,
            enable_model_summary=False,
            log_every_n_steps=10,
        )
        try:
            state = last if last.is_file() else None
            trainer.fit(module, training, validation, ckpt_path=state, weights_only=True)
        except SystemExit:  # how Lightning leaves after Ctrl-C
            if not trainer.interrupted:
                raise
        finally:
            close_logger(logger)
    if trainer.interrupted:
        goes_on = f"from {last}" if last.is_file() else "at the beginning"
        raise KeyboardInterrupt(f"interrupted (the same command goes on {goes_on})")
    kept = torch.load(best.best_model_path, map_location="cpu", weights_only=True)
    module.to("cpu").load_state_dict(kept["state_dict"])
    lost = {name: len(of) for name, of in _of_all(module.unreadable, world).items()}
    return Trained(epoch=kept["epoch"] + 1, unreadable=sum(lost.values()), lost=lost["training"])


def _strategy(config: TrainConfig, world: World) -> Any:
    if world.size == 1:
        return "auto"
    return DDPStrategy(process_group_backend="nccl" if config.device == "cuda" else "gloo")


def _of_all(mine: dict[str, set[str]], world: World) -> dict[str, set[str]]:
    """What any process could not read."""
    if world.size == 1:
        return mine
    gathered: list[Any] = [None] * world.size
    torch.distributed.all_gather_object(gathered, mine)
    return {name: set().union(*(each[name] for each in gathered)) for name in mine}


class ObjectiveModule(pl.LightningModule):
    """Takes the steps of an objective; `config` is resolved."""

    def __init__(self, objective: Objective, config: TrainConfig) -> None:
        super().__init__()
        self.model = objective.network.to(memory_format=torch.channels_last)
        self.objective, self.config = objective, config
        self.options = _options(config)
        validated: Any = objective.validation
        self.images = len(objective.order.blocks) + len(validated)
        self.unreadable: dict[str, set[str]] = {"training": set(), "validation": set()}
        self.best: dict[str, float] = {}
        self.rank = 0

    @override
    def training_step(self, batch: Any, _index: int) -> dict[str, Tensor] | None:
        self._count(batch, "training")
        if len(batch[0]) < _FEWEST:
            if self.objective.share.size > 1:  # the other processes would wait for its gradient
                raise DataError(
                    f"all but {len(batch[0])} images of a batch cannot be read",
                    hint="mend the data, or train in one process",
                )
            return None
        figures = self.objective.losses(batch, self.global_step)
        self._check_finite(figures["loss"])
        self.log("loss", figures["loss"], prog_bar=False)
        return figures

    @override
    def validation_step(self, batch: Any, _index: int) -> None:
        images = 1
        if isinstance(batch, Batch):
            self._count(batch, "validation")
            if not (images := len(batch.pixels)):
                return
        figures = self.objective.validate(batch)
        if self.objective.monitor is None:
            plain = {name: float(value) for name, value in figures.items()}
            better = not self.best or self.objective.better(plain, self.best)
            if better:
                self.best, self.rank = plain, self.rank - 1
            self.log(_RANK, float(self.rank if better else self.rank + 1), batch_size=images)
        self.log_dict(figures, batch_size=images, sync_dist=self.objective.share.size > 1)

    @override
    def optimizer_step(self, *args: Any, **options: Any) -> None:
        super().optimizer_step(*args, **options)
        # Lightning drops gradients after the next forward pass, where memory is highest.
        self.zero_grad()

    @override
    def configure_optimizers(self) -> torch.optim.Optimizer:
        lr = self.options.lr
        assert lr is not None, "the configuration is resolved"
        return torch.optim.Adam(self.parameters(), lr=lr, weight_decay=self.options.weight_decay, fused=True)

    @override
    def configure_gradient_clipping(self, *_args: Any, **_options: Any) -> None:
        # Lightning refuses to clip for a fused optimiser, which is only unsafe with a gradient scaler; bf16 has none.
        if self.options.clip_norm > 0:
            torch.nn.utils.clip_grad_norm_(self.parameters(), self.options.clip_norm)

    @override
    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["unreadable"] = {name: sorted(of) for name, of in self.unreadable.items()}
        checkpoint["best"] = {"figures": dict(self.best), "rank": self.rank}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Those that version 0.1.0 wrote hold neither."""
        for name, of in checkpoint.get("unreadable", {}).items():
            self.unreadable[name].update(of)
        best = checkpoint.get("best", {"figures": {}, "rank": 0})
        self.best, self.rank = best["figures"], best["rank"]

    def _check_finite(self, loss: Tensor) -> None:
        if not math.isfinite(loss.item()):
            raise Diverged(
                f"the loss is {loss.item()} at epoch {self.current_epoch}, step {self.global_step}; the last good "
                f"state is in {self.config.out}/checkpoints",
                hint=f"try --lr below {self.options.lr:g}, --clip-norm, --kl-warmup or --precision 32",
            )

    def _count(self, batch: Any, where: str) -> None:
        """Unreadable images are named once and left out, until they are more than the stated share of all."""
        if not isinstance(batch, Batch):
            return
        for message in batch.unreadable:
            if message not in self.unreadable[where]:
                self.print(f"skipped: {message}")
        self.unreadable[where].update(batch.unreadable)
        lost = set().union(*self.unreadable.values())
        if len(lost) > self.config.max_unreadable * self.images:
            raise DataError(
                f"{len(lost)} of {self.images} images cannot be read, more than the allowed share of "
                f"{self.config.max_unreadable:g}; one of them: {min(lost)}",
                hint="mend the data, or raise --max-unreadable",
            )


class quiet(warnings.catch_warnings):
    """Keep Lightning's hints to itself: they speak of its own options, which are not the user's."""

    def __enter__(self) -> Any:
        value = super().__enter__()
        warnings.filterwarnings("ignore", module="pytorch_lightning")
        logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
        return value


def _callbacks(
    config: TrainConfig, objective: Objective, skip: SkipDone
) -> tuple[list[Callback], Checkpoint]:
    options, folder, monitor = _options(config), config.out / "checkpoints", objective.monitor or _RANK
    # All at the end of validation, so that `last.ckpt`, saved at the end of the epoch, holds their state.
    after_validation: dict[str, Any] = {"save_on_train_epoch_end": False}
    best = Checkpoint(folder, "best", monitor=monitor, enable_version_counter=False, **after_validation)
    callbacks: list[Callback] = [
        skip,
        CsvLog(config.out / "metrics.csv", objective.figures, objective.validated),
        ProgressBar(shown=("loss", *objective.validated[:2])),
        best,
        Checkpoint(
            folder, "{epoch:04d}", every_n_epochs=options.checkpoint_epochs, save_top_k=-1, **after_validation
        ),
    ]
    if options.patience:
        callbacks.append(EarlyStopping(monitor, patience=options.patience, check_on_train_epoch_end=False))
    # The last of all, so that the state of the others is in the checkpoint.
    callbacks.append(SaveLast(folder / LAST, options.checkpoint_steps))
    return callbacks, best


def _options(config: TrainConfig) -> GradientConfig:
    assert isinstance(config.method, GradientConfig), "trained by gradient"
    return config.method
