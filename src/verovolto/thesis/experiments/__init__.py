"""The experiments besides the thesis's tables and figures: a folder each, with nothing of it anywhere else.

Its package has `run(context)`, which takes steps of its own and returns what `tables.json` holds of the experiment, and
how that is shown: `TITLE`, `figures(result) -> {name: PNG}` and `findings(result) -> sentences`. One that trains
networks has `planned(context)`, too, which says what is to come (`thesis.estimate.Trainings`). `page.html.j2` gets the
result as `result`, the package as `shown`, and the figures as `images["NAME-FIGURE"]`. `plan.PARTS` says the order.
"""

from __future__ import annotations

from importlib import import_module
from types import ModuleType


def load(name: str) -> ModuleType:
    """The experiment in the folder of this name."""
    return import_module(f"{__name__}.{name}")
