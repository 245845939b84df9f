"""Options of the Mahalanobis distance: none. Light to import."""

from __future__ import annotations

from dataclasses import dataclass

from verovolto.detectors.registry import MethodConfig
from verovolto.networks import MAHALANOBIS


@dataclass(frozen=True, kw_only=True)
class MahalanobisConfig(MethodConfig, group=MAHALANOBIS, models=(MAHALANOBIS,)):
    """There is nothing to choose."""
