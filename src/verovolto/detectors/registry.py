"""All detector methods by name. A method is entered by `register`; nothing else lists them. Light to import.

What is not registered yet is looked for in the folders of `ROOMS`: the options in `FOLDER/__init__.py`, which imports
nothing heavy, the detector in `FOLDER/detector.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib import import_module
from pkgutil import iter_modules
from typing import TYPE_CHECKING, TypeVar

from verovolto.core.errors import InputError
from verovolto.detectors.config import MethodConfig

if TYPE_CHECKING:
    from verovolto.detectors.base import Detector, ModelRow

ROOMS = ("verovolto.detectors", "verovolto.experimental")
"""Packages whose folders hold a method each."""


@dataclass(frozen=True, kw_only=True)
class Method:
    """A registered name: the class of its detectors, its options, and where it was published or is described."""

    name: str
    detector: type[Detector]
    config: type[MethodConfig] | None
    source: str


_METHODS: dict[str, Method] = {}
D = TypeVar("D", bound="Detector")


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
