"""The experiments besides the thesis's tables and figures: a folder each, with nothing of it anywhere else.

`run.py` has `run(context)`, which takes steps of its own and returns what `tables.json` holds of the experiment.
`page.py` has `TITLE`, `figures(result) -> {name: PNG}` and `findings(result) -> sentences`; `page.html.j2` shows the
result as `result`, the module as `shown`, and the figures as `images["NAME-FIGURE"]`. `plan.PARTS` says the order.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from types import ModuleType
from typing import Any

from verovolto.thesis.plan import Context


@dataclass(frozen=True, kw_only=True)
class Experiment:
    """What an experiment does, and the module that shows it."""

    run: Callable[[Context], dict[str, Any]]
    page: ModuleType


def load(name: str) -> Experiment:
    """The experiment in the folder of this name."""
    return Experiment(
        run=import_module(f"{__name__}.{name}.run").run, page=import_module(f"{__name__}.{name}.page")
    )
