"""`verovolto train`: real faces in, a calibrated detector out."""

from __future__ import annotations

import inspect
import math
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import MISSING, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_origin, get_type_hints

from cyclopts import Group, Parameter
from docstring_parser import parse_from_object

from verovolto.detectors.registry import TrainConfig, configs
from verovolto.training.config import (
    RUN_OPTIONS,
    config_of,
    configure,
    declared,
    group_of,
    options_of,
    read_options,
    unused,
)

if TYPE_CHECKING:
    from verovolto.detectors.base import Detector

_SEPARATOR = "__"  # between the group and the name of an option, in parameters


def train(*, from_run: Path | None = None, **given: Any) -> None:
    """Train a one-class model on the real faces of a set, choose its epoch, calibrate it, write a detector.

    A run that was stopped, even killed, goes on where it was when the same command is given again. All flags
    can also stand in a TOML file: `--config FILE`, such as the `config.toml` of an earlier run; flags win.

    Parameters
    ----------
    from_run:
        Do not train: take the network of this finished run. For the models that are another one's network with
        another default score: oc-fakedect2 (of oc-fakedect1) and resnet-ocvae-latent (of resnet-ocvae2). For
        error-typicality: fit it to what this VAE makes of the selection reals.
    """
    from verovolto.detectors.base import load_detector
    from verovolto.training.data import World
    from verovolto.training.fit import derive, run

    config = config_of_flags(given)
    folder = derive(config, from_run) if from_run else run(config)
    if not World.here().first:
        return
    detector = load_detector(folder)
    print("\n".join(detector.summary_lines()))
    print(f"detector: {(folder / 'detector').resolve()}")
    print(f"next: {next_step(detector, folder, config.data)}")


def config_of_flags(given: Mapping[str, Any]) -> TrainConfig:
    """The run that flags ask for, by the names of the parameters. Raises `InputError` for those of other models."""
    model = given["model"]
    kind = config_of(model)
    options = {}
    for key, value in given.items():
        group, _, name = key.rpartition(_SEPARATOR)
        group = group.replace("_", "-")
        if name not in RUN_OPTIONS:
            flag = f"--{'.'.join(filter(None, (group, name.replace('_', '-'))))}"
            if not kind.uses(name, model) or group not in ("", group_of(kind, name)):
                raise unused(name, model, flag, group or None)
        options[name] = value
    return configure(**options)


def file_options(values: Mapping[str, Any], words: Sequence[str], where: Path) -> dict[str, Any]:
    """The options in a TOML file that the model takes; see `training.config.read_options`."""
    named = [word.partition("=")[2] or after for word, after in zip(words, [*words[1:], ""], strict=True)
             if word.partition("=")[0] == "--model"]  # fmt: skip
    model = named[-1] if named else values.get("model")
    return read_options(values, str(model), where) if model in configs() else dict(values)


def next_step(detector: Detector, folder: Path, data: Path) -> str:
    """The command that evaluates a finished run, at a false-alarm rate that its calibration supports."""
    calibrated = detector.metadata["calibrated_on"]
    words = ["verovolto", "evaluate", folder, "--data", data, "--split", "test", "--out", folder / "test"]
    if any(refused["false_alarm"] == 0.1 for refused in calibrated["refused_rates"]):
        words += ["--false-alarm", f"{math.ceil(1000 / (calibrated['real'] + 1)) / 1000:g}"]
    return shlex.join(map(str, words))


def _parameters() -> Iterator[inspect.Parameter]:
    """The flags: those of every run, those of the groups, and hidden the plain names that these had before."""
    hints = {**get_type_hints(TrainConfig), "model": Literal.__getitem__(tuple(configs()))}
    for each in fields(TrainConfig):
        if each.name in RUN_OPTIONS:
            yield _parameter(each.name, hints[each.name], each.default, help=_help(TrainConfig)[each.name])
    hidden: dict[str, Any] = {}
    for group, options in declared().items():
        for name, (declaring, each) in options.items():
            kind = get_type_hints(declaring)[name]
            text, panel = _help(declaring)[name], _panel(group)
            shown: dict[str, Any] = {"help": text, "group": panel, "show_default": _default(each.default)}
            if not group:
                yield _parameter(name, kind, None, **shown)
                continue
            flag = f"--{group}.{name.replace('_', '-')}"
            key = f"{group.replace('-', '_')}{_SEPARATOR}{name}"
            yield _parameter(key, kind, None, name=flag, **shown)
            hidden[name] = kind
    for name, kind in hidden.items():
        yield _parameter(name, kind, None, show=False)


def _parameter(name: str, kind: Any, default: Any, /, **options: Any) -> inspect.Parameter:
    default = inspect.Parameter.empty if default is MISSING else default
    if get_origin(kind) is tuple:
        options["consume_multiple"] = True  # --reals A B C, as well as --reals A --reals B
    optional = kind if default is not None else kind | None
    annotation: Any = Annotated.__class_getitem__((optional, Parameter(**options)))  # type: ignore[attr-defined]
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, annotation=annotation, default=default)


def _help(declaring: type) -> dict[str, str]:
    """The docstrings below the fields of a class."""
    return {each.arg_name: each.description or "" for each in parse_from_object(declaring).params}


def _panel(group: str) -> Group:
    models = [
        name for name, kind in configs().items() if any(base.group == group for base in options_of(kind))
    ]
    return Group(group or "Training by gradient", help=f"For {', '.join(models)}.", sort_key=2)


def _default(value: Any) -> Any:
    return False if value is None else lambda _: str(value)


_FLAGS = [*_parameters()]
_FROM = (
    inspect.signature(train)
    .parameters["from_run"]
    .replace(annotation=Annotated[Path | None, Parameter(name="--from")])
)
train.__signature__ = inspect.Signature([*_FLAGS, _FROM])  # type: ignore[attr-defined]
train.__annotations__ = {each.name: each.annotation for each in (*_FLAGS, _FROM)}
