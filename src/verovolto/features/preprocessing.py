"""How a face crop becomes a network's input."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from verovolto.data.face_batch import FaceBatch
from verovolto.data.transforms import normalise, resize


@dataclass(frozen=True, kw_only=True)
class Preprocessing:
    """How a crop becomes the network's input; a face cropped by another rule is an anomaly to the detector.

    `crop_rule` is the rule of the faces it was trained on (see `faces.crop`), None where that is unknown.
    """

    size: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    resize_filter: Literal["bilinear-antialias"] = "bilinear-antialias"
    crop_rule: dict[str, Any] | None = None

    def __call__(self, batch: FaceBatch, device: torch.device) -> Tensor:
        """Crops to a float32 `[B, 3, size, size]` tensor, channels last, on `device`."""
        pixels = torch.stack([resize(image, self.size) for image in batch.images])
        x = normalise(pixels.to(device, non_blocking=True), self.mean, self.std)
        return x.contiguous(memory_format=torch.channels_last)

    def pictures(self, x: Tensor) -> Tensor:
        """Inputs, or what a network made of them, `[B, 3, h, w]` as pictures: in [0, 1], contiguous, on the CPU."""
        mean, std = (torch.tensor(part, device=x.device).view(1, 3, 1, 1) for part in (self.mean, self.std))
        return (x * std + mean).clamp(0, 1).cpu().contiguous()

    @staticmethod
    def from_dict(written: Mapping[str, Any]) -> Preprocessing:
        """Read what `dataclasses.asdict` gave."""
        return Preprocessing(**{**written, "mean": tuple(written["mean"]), "std": tuple(written["std"])})
