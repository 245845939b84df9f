"""All detector methods by name, and the options of their training. Light to import.

A method is entered by `register`; nothing else lists them. What is not registered yet is looked for in the folders of
`ROOMS`: the options in `FOLDER/__init__.py`, which imports nothing heavy, the detector in `FOLDER/detector.py`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from typing import TYPE_CHECKING, Any, ClassVar, Literal, TypeVar

from verovolto.core.errors import InputError

if TYPE_CHECKING:
    from verovolto.detectors.base import Detector, ModelRow

Limits = Mapping[str, float]

ROOMS = ("verovolto.detectors", "verovolto.experimental")
"""Packages whose folders hold a method each."""

_METHODS: dict[str, Method] = {}
D = TypeVar("D", bound="Detector")


@dataclass(frozen=True, kw_only=True)
class MethodConfig:
    """Options of a method: a frozen dataclass whose fields are flags of `verovolto train`.

    `class PadimConfig(MethodConfig, group="padim", models=("padim",))` makes the flags `--padim.FIELD` and says which
    models take them; a docstring below a field is its help. What a subclass inherits stays in the group it was declared
    in; the group "" has flags without a prefix.
    """

    group: ClassVar[str] = ""
    at_least: ClassVar[Limits] = {}
    at_most: ClassVar[Limits] = {}
    above_0: ClassVar[tuple[str, ...]] = ()
    by_model: ClassVar[dict[str, type[MethodConfig]]] = {}
    """The options of every model that is known so far."""

    def __init_subclass__(cls, *, group: str | None = None, models: tuple[str, ...] = ()) -> None:
        super().__init_subclass__()
        if group is not None:
            cls.group = group
        MethodConfig.by_model.update(dict.fromkeys(models, cls))

    @classmethod
    def uses(cls, name: str, model: str) -> bool:
        """Whether this model of the method makes anything of a field."""
        return name in {each.name for each in fields(cls)}

    def problems(self) -> Iterator[str]:
        """All that is wrong with the values."""
        yield from out_of_limits(self)


@dataclass(frozen=True, kw_only=True)
class GradientConfig(MethodConfig):
    """How a network is trained by gradient."""

    at_least: ClassVar[Limits] = {
        "epochs": 1, "batch_size": 2, "checkpoint_epochs": 1, "checkpoint_steps": 1, "patience": 0, "clip_norm": 0.0,
        "weight_decay": 0.0,
    }  # fmt: skip
    above_0: ClassVar[tuple[str, ...]] = ("lr",)

    epochs: int = 50
    """Passes over the training data."""
    batch_size: int | None = None
    """Images a step. Default: as published."""
    lr: float | None = None
    """Adam's learning rate. Default: as published."""
    weight_decay: float = 0.0
    """Adam's L2 penalty."""
    clip_norm: float = 0.0
    """Clip the gradient's norm; 0 does not. With --vae.reduction sum norms of 1e4 are usual."""
    precision: Literal["auto", "32", "bf16"] = "auto"
    """Arithmetic of training; auto takes bf16 on a GPU that has it, and on CPUs with AMX, and 32 elsewhere."""
    patience: int = 0
    """Stop after this many epochs without a better one on the selection reals; 0 never does."""
    checkpoint_epochs: int = 10
    """Keep a checkpoint of every so many epochs."""
    checkpoint_steps: int = 200
    """Save the state to resume from every so many steps, besides each epoch's end."""
    logger: Literal["csv", "tensorboard", "mlflow", "wandb"] = "tensorboard"
    """Where the losses go beside metrics.csv: a folder of TensorBoard, a run of MLflow (a database in the run folder,
    or MLFLOW_TRACKING_URI) or of Weights & Biases (kept there, or WANDB_MODE=online); csv for nowhere else."""


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """A training run: what every run has, and the options of its method."""

    at_least: ClassVar[Limits] = {"limit": 2, "workers": 0, "threads": 1, "seed": 0, "max_unreadable": 0.0}
    at_most: ClassVar[Limits] = {"threads": 256, "workers": 256, "seed": 2**32 - 1, "max_unreadable": 1.0}
    above_0: ClassVar[tuple[str, ...]] = ()

    data: Path
    """Face set: a folder real/ fake/, a folder with manifest.csv, or Parquet."""
    model: str
    """What to train; `verovolto models` lists all."""
    out: Path
    """Run folder. A run that was stopped goes on where it was."""
    train_split: str = "train"
    """Split to train on; its reals alone are used."""
    reals: tuple[Path, ...] = ()
    """Face sets of other collections whose real faces are learned from and calibrated on as well, each as much as the
    first. Sets without splits are cut in two by their people."""
    val_split: str = "val"
    """Split whose people are cut in two: one half selects the epoch, the other calibrates the thresholds."""
    crop_rule: str | None = None
    """Rule by which faces are looked at: ffpp, tight, dfdc, wide, or a JSON file. Sets that do not say how they were
    cropped are taken to be cropped by it, wider crops (prepare --crop wide) are cut down to it. It goes with the
    detector, which crops faces out of photos and videos by it. Default: the rule of the set."""
    limit: int | None = None
    """Use this many training faces at most, drawn by the seed."""
    max_unreadable: float = 0.01
    """Share of unreadable images past which the run stops."""
    seed: int = 0
    """Seed of everything random."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where to train; auto takes a GPU for what is trained by gradient."""
    workers: int | None = None
    """Processes that decode images, or compute features. Default: for networks none on a CPU and up to 8 beside a GPU,
    otherwise one a core."""
    threads: int | None = None
    """Threads of the arithmetic; weights depend on it in the last bits. Default: all cores."""
    method: MethodConfig = field(default_factory=MethodConfig)

    @classmethod
    def of(cls, model: str) -> TrainConfig:
        """A model with all options left out, of no data."""
        return cls(data=Path(), model=model, out=Path(), method=MethodConfig.by_model[model]())

    def __post_init__(self) -> None:
        problems = [*out_of_limits(self), *self.method.problems()]
        if self.train_split == self.val_split:
            problems.append(
                f"--train-split and --val-split are both {self.val_split}: thresholds need faces not trained on"
            )
        if problems:
            raise InputError("; ".join(problems), hint="see verovolto train --help")


def out_of_limits(config: TrainConfig | MethodConfig) -> Iterator[str]:
    """The numbers of a configuration that are not finite, or outside their limits."""
    kinds = [kind for kind in type(config).__mro__ if "at_least" in vars(kind) or "above_0" in vars(kind)]
    low, high = (
        {k: v for kind in kinds for k, v in getattr(kind, name).items()} for name in ("at_least", "at_most")
    )
    above_0 = {name for kind in kinds for name in kind.above_0}  # type: ignore[attr-defined]
    for each in fields(config):
        value, flag = getattr(config, each.name), f"--{each.name.replace('_', '-')}"
        if not isinstance(value, int | float):
            continue
        if not math.isfinite(value):
            yield f"{flag} {value} is no finite number"
        elif value < low.get(each.name, -math.inf):
            yield f"{flag} {value} is below {low[each.name]}"
        elif value > high.get(each.name, math.inf):
            yield f"{flag} {value} is above {high[each.name]}"
        elif each.name in above_0 and value <= 0:
            yield f"{flag} {value} is not above 0"


def flat(config: TrainConfig) -> dict[str, Any]:
    """All values by name, those of the method beside those of the run: no two have one name."""
    own = {each.name: getattr(config, each.name) for each in fields(config) if each.name != "method"}
    return own | {each.name: getattr(config.method, each.name) for each in fields(config.method)}


@dataclass(frozen=True, kw_only=True)
class Method:
    """A registered name: the class of its detectors, its options, and where it was published or is described."""

    name: str
    detector: type[Detector]
    config: type[MethodConfig] | None
    source: str


def register(
    *names: str, config: type[MethodConfig] | None = None, source: str | Mapping[str, str] = ""
) -> Callable[[type[D]], type[D]]:
    """Enter a detector class under its names: it can be trained, listed and loaded from then on.

    Args:
        names: as `--model` takes them.
        config: options of its training; None where it cannot be trained.
        source: publication or page, for all names or by name.
    """

    def enter(detector: type[D]) -> type[D]:
        for name in names:
            where = source if isinstance(source, str) else source[name]
            _METHODS[name] = Method(name=name, detector=detector, config=config, source=where)
            if config is not None:
                MethodConfig.by_model[name] = config
        return detector

    return enter


def method(name: str) -> Method:
    """The method of a model. Raises `InputError` with the names there are."""
    config = configs().get(name)
    folder = "" if config is None else config.__module__.rpartition(".")[2]
    found = _search(lambda each: each.name == name, [folder])
    if found is None:
        raise InputError(f"no model is called {name!r}", hint=f"there are {', '.join(configs())}")
    return found


def methods() -> dict[str, Method]:
    """All methods by name."""
    _search(lambda each: False, [])
    return dict(_METHODS)


def model_rows(size: int | None = None) -> list[tuple[str, ModelRow, str]]:
    """What can be trained: its name, a row of each variant, and its source; with `size` what takes that many pixels."""
    everything = methods()
    return [
        (name, row, everything[name].source)
        for name in configs()
        for row in everything[name].detector.describe(name, size)
    ]


def markdown_table() -> str:
    """The models as a table for the documents."""
    rows = [("model", "variant", "parameters", "input", "score", "source")]
    for name, row, source in model_rows():
        rows.append(
            (f"`{name}`", row.variant and f"`{row.variant}`", row.parameters, row.input, row.score, source)
        )
    rows.insert(1, ("---", "---", "---", "---", "---", "---"))
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def method_of_kind(kind: str, names: Iterable[str]) -> Method | None:
    """The method whose detectors are of this `kind` and one of these names; else any of the kind, None without one."""
    wanted = {kind, *names}
    found = _search(lambda each: each.detector.kind == kind and each.name in wanted, wanted)
    return found or next((each for each in _METHODS.values() if each.detector.kind == kind), None)


def configs() -> dict[str, type[MethodConfig]]:
    """Options of every model that can be trained, by its name; no detector is imported for them."""
    for folder in _folders():
        import_module(folder)
    return dict(sorted(MethodConfig.by_model.items(), key=lambda each: each[1].__module__))


def _search(wanted: Callable[[Method], bool], names: Iterable[str]) -> Method | None:
    """The first method that is wanted; folders called as one of the `names` are looked into first."""
    first = {name.replace("-", "_") for name in names}
    found = next(filter(wanted, _METHODS.values()), None)
    for folder in sorted(_folders(), key=lambda each: each.rpartition(".")[2] not in first):
        if found is not None:
            break
        import_module(f"{folder}.detector")
        found = next(filter(wanted, _METHODS.values()), None)
    return found


def _folders() -> Iterator[str]:
    for room in ROOMS:
        yield from (
            f"{room}.{each.name}" for each in iter_modules(import_module(room).__path__) if each.ispkg
        )
