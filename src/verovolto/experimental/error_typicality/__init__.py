"""Options of the typicality of errors. Light to import."""

from __future__ import annotations

from dataclasses import dataclass

from verovolto.detectors.registry import MethodConfig
from verovolto.networks import ERROR_TYPICALITY, Density


@dataclass(frozen=True, kw_only=True)
class TypicalityConfig(MethodConfig, group=ERROR_TYPICALITY, models=(ERROR_TYPICALITY,)):
    """What is fitted to the errors of real faces."""

    density: Density = "gaussian"
    """Distribution that is fitted to the errors of real faces."""
