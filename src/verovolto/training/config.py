"""Configurations out of flags and files: which option belongs to which model, under all names it ever had. Light."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import MISSING, Field, fields
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from verovolto.core.errors import InputError
from verovolto.detectors.registry import MethodConfig, TrainConfig, configs

RUN_OPTIONS = tuple(each.name for each in fields(TrainConfig) if each.name != "method")
"""What every run has."""

# Version 0.1.0 wrote the options of all models into `config.toml`, some of them as it had resolved them.
_ALSO_UNSET = {"weights": "none", "precision": "32"}


def configure(*, model: str, data: Path, out: Path, **options: Any) -> TrainConfig:
    """A run with options by their plain names (`epochs`, `channels`), of the run and of the method alike.

    Args:
        model: what to train.
        data: the face set.
        out: run folder.
        **options: all others.

    Raises:
        InputError: an unknown model, an option that it does not have, or a value that cannot be.
    """
    kind = config_of(model)
    own = {each.name for each in fields(kind)}
    for name in options:
        if name not in own and name not in RUN_OPTIONS:
            raise unused(name, model, f"the option {name}")
    given = {name: value for name, value in options.items() if name in own}
    method = kind(**{name: tuple(each) if isinstance(each, list) else each for name, each in given.items()})
    common = {name: value for name, value in options.items() if name not in own}
    common["reals"] = tuple(Path(each) for each in common.get("reals") or ())
    return TrainConfig(model=model, data=data, out=out, method=method, **common)


def config_of(model: str) -> type[MethodConfig]:
    """The options of a model. Raises `InputError` where there is none of the name."""
    if (found := configs().get(model)) is None:
        raise InputError(f"no model is called {model!r}", hint=f"there are {', '.join(configs())}")
    return found


def group_of(kind: type[MethodConfig], name: str) -> str:
    """The group that an option of a method belongs to."""
    return dict(_fields_of(kind))[name][0].group


def options_of(kind: type[MethodConfig]) -> set[type[MethodConfig]]:
    """The classes that declare the options of a method."""
    return {declaring for _, (declaring, _) in _fields_of(kind)}


def declared() -> dict[str, dict[str, tuple[type[MethodConfig], Field[Any]]]]:
    """Every option of a method: by its group and name the class that declares it, and its field."""
    found: dict[str, dict[str, tuple[type[MethodConfig], Field[Any]]]] = {}
    for kind in configs().values():
        for name, (declaring, each) in _fields_of(kind):
            found.setdefault(declaring.group, {}).setdefault(name, (declaring, each))
    return found


def users(name: str, group: str | None = None) -> tuple[str, ...]:
    """The models that take an option (of a group)."""
    return tuple(
        model
        for model, kind in configs().items()
        for field, (declaring, _) in _fields_of(kind)
        if field == name and group in (None, declaring.group) and kind.uses(name, model)
    )


def unused(name: str, model: str, what: str, group: str | None = None) -> InputError:
    """The error for an option that a model does not take: it says which do.

    Args:
        name: of the option.
        model: that does not take it.
        what: the option as it was given.
        group: that it was given in.
    """
    models = users(name, group)
    if not models:
        near = get_close_matches(
            name, [*RUN_OPTIONS, *(each for of in declared().values() for each in of)], n=1
        )
        return InputError(f"there is no option {name}", hint=f"did you mean {near[0]}?" if near else None)
    return InputError(f"{model} makes nothing of {what}", hint=f"it is for {', '.join(models)}")


def read_options(
    values: Mapping[str, Any], model: str, where: Path, *, stored: bool = False
) -> dict[str, Any]:
    """The options in a TOML file that a model takes, by their plain names, out of flat or nested tables.

    Flat files of version 0.1.0 hold the options of all models: those of others are passed over where they were left out
    or resolved, and refused where they were given. Unknown keys are kept, to be refused by whoever takes the rest.

    Args:
        values: what the file holds.
        model: what is trained.
        where: the file, for errors.
        stored: of a run folder, where options of other models were without effect: refuse none.

    Raises:
        InputError: an option that the model does not take.
    """
    kind = config_of(model)
    own = {name: declaring.group for name, (declaring, _) in _fields_of(kind)}
    found = {}
    for key, value in _flattened(values):
        group, _, name = key.rpartition(".")
        mine = name in own and group in ("", own[name])
        if (mine and (stored or kind.uses(name, model))) or (not group and not users(name)):
            found[name] = value
        elif not (stored or ((mine or not group) and _left_out(name, value))):
            raise unused(name, model, f"{key} in {where}", group or None)
    return found


def _flattened(values: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        name = key.replace("-", "_")
        if isinstance(value, Mapping):
            yield from ((f"{key}.{inner}", each) for inner, each in _flattened(value))
        else:
            yield name, value


def _left_out(name: str, value: Any) -> bool:
    """Whether a value is what an option has that nobody gave."""
    defaults = [each.default for of in declared().values() for key, (_, each) in of.items() if key == name]
    return value in defaults or value == _ALSO_UNSET.get(name, MISSING)


def _fields_of(kind: type[MethodConfig]) -> Iterator[tuple[str, tuple[type[MethodConfig], Field[Any]]]]:
    """Each field with the class that declares it."""
    for each in fields(kind):
        declaring = next(
            base for base in reversed(kind.__mro__) if each.name in vars(base).get("__annotations__", {})
        )
        yield each.name, (declaring, each)
