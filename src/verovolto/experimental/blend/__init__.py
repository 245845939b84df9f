"""Options of the network that finds blends. Light to import."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from typing_extensions import override

from verovolto.detectors.registry import Limits
from verovolto.detectors.vae import VariationalConfig
from verovolto.networks import BLEND_VAE


@dataclass(frozen=True, kw_only=True)
class BlendConfig(VariationalConfig, group="blend", models=(BLEND_VAE,)):
    """How the two heads are trained."""

    at_least: ClassVar[Limits] = {"forgeries": 1, "reconstruction_weight": 0.0, "blend_weight": 0.0}

    forgeries: int = 3000
    """Forgeries made of the training reals."""
    reconstruction_weight: float = 10.0
    """Weight of the negative ELBO of real faces, in nats a pixel value, which 10 makes about as large as the other
    head's losses; 0 trains without that head."""
    blend_weight: float = 1.0
    """Weight of the blend map's cross-entropy and of the ranking of pairs; 0 trains without that head."""

    @override
    def problems(self) -> Iterator[str]:
        yield from super().problems()
        if self.reconstruction_weight == self.blend_weight == 0:
            yield "--reconstruction-weight and --blend-weight are both 0: nothing would be trained"
