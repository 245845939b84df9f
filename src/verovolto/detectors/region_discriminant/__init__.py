"""Options of the region discriminant. Light to import."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from typing_extensions import override

from verovolto.detectors.registry import Limits, MethodConfig
from verovolto.networks import BACKBONE_LIBRARIES, DISCRIMINANT, DISCRIMINANT_BACKBONES


@dataclass(frozen=True, kw_only=True)
class RegionDiscriminantConfig(MethodConfig, group=DISCRIMINANT, models=(DISCRIMINANT,)):
    """How a region discriminant is fitted."""

    at_least: ClassVar[Limits] = {"size": 4, "forgeries": 1, "untouched": 2, "wear": 0.0, "sources": 0.0}
    above_0: ClassVar[tuple[str, ...]] = ("shrinkage",)

    size: int | None = None
    """Side of the input in pixels, a multiple of 32. Default: the backbone's own."""
    trunk: str = "lite0"
    """The frozen network whose features are used: lite0, lite1, lite2, clip-vit-b16, or for research timm:NAME or
    torchvision:NAME (with =FILE.safetensors where there is no network)."""
    forgeries: int = 3000
    """Forgeries made of the training reals."""
    untouched: int = 3000
    """Untouched training reals that the spread of real faces is measured on, at most: of every source an equal part."""
    shrinkage: float = 3.0
    """How little a direction is trusted along which real faces hardly differ, above 0."""
    wear: float = 1.0
    """Weight of benign corruptions (low resolution, blur, noise, light, compression), 0 or more. Without it the ranking
    is a little better, and small or compressed faces are taken for fakes."""
    sources: float = 1.0
    """Weight of what differs between the sources of real faces (the set and those of --reals), 0 or more. Without it
    faces of other collections are taken for fakes."""

    forged_of: tuple[str, ...] = ()
    """Sources of real faces, by the names of their sets, that the forgeries are made of. Default: all. Clear, diverse
    faces are the better material."""

    @override
    def problems(self) -> Iterator[str]:
        yield from super().problems()
        library, _, network = self.trunk.partition(":")
        if self.trunk not in DISCRIMINANT_BACKBONES and not (library in BACKBONE_LIBRARIES and network):
            known = ", ".join((*DISCRIMINANT_BACKBONES, *(f"{each}:NAME" for each in BACKBONE_LIBRARIES)))
            yield f"--{DISCRIMINANT}.trunk {self.trunk} is none of {known}"
