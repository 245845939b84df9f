"""Options of PatchCore. Light to import."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from verovolto.detectors.registry import Limits, MethodConfig
from verovolto.networks import PATCHCORE


@dataclass(frozen=True, kw_only=True)
class PatchcoreConfig(MethodConfig, group=PATCHCORE, models=(PATCHCORE,)):
    """How large the memory is."""

    at_least: ClassVar[Limits] = {"memory": 10}

    memory: int = 5000
    """Patches of training faces that are kept, 10 or more. Time to score a face grows with them."""
