"""Options of PaDiM. Light to import."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from verovolto.detectors.registry import Limits, MethodConfig
from verovolto.networks import PADIM


@dataclass(frozen=True, kw_only=True)
class PadimConfig(MethodConfig, group=PADIM, models=(PADIM,)):
    """How many features describe a place."""

    at_least: ClassVar[Limits] = {"channels": 1}

    channels: int = 100
    """Channels of the features that are drawn, of 176."""
