"""What the parts of a reproduction build on: the networks that both protocols trained, and what they scored."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from verovolto.core.workdir import Done, Steps
from verovolto.thesis.plan import Plan, Protocol, network_of


@dataclass(frozen=True, kw_only=True)
class Arm:
    """What training by a protocol gave by network, and what each checkpoint scored by network and epoch."""

    trained: Mapping[str, Done]
    scored: Mapping[str, dict[int, Done]]


@dataclass(frozen=True, kw_only=True)
class Context:
    """A reproduction whose networks are trained and judged. `judged` maps (protocol, model) to the steps that chose
    the epoch, filled the tables and drew the figures."""

    plan: Plan
    steps: Steps
    splits: Done
    arms: Mapping[Protocol, Arm]
    judged: Mapping[tuple[Protocol, str], tuple[Done, Done, Done]]

    @property
    def best(self) -> Protocol:
        """The protocol that parts build on: the sound one, where it was asked for."""
        return "honest" if "honest" in self.arms else "thesis"

    def chosen(self, protocol: Protocol, model: str) -> Done:
        """The step that scored a model's faces by the checkpoint which the protocol chose."""
        epoch = self.judged[protocol, model][0].result["epoch"]
        return self.arms[protocol].scored[network_of(model)][epoch]


def take_part(name: str, context: Context) -> dict[str, Any]:
    """Do a part; it takes steps of its own. Returns what `tables.json` holds of it."""
    return dict(import_module(f"verovolto.thesis.experiments.{name}.run").run(context))
