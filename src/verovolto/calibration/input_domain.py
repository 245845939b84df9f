"""The input domain of a detector: the range of conditions among the faces that it was calibrated on. Pure functions.

A p-value holds for faces like those calibrated on. A face far outside their range of sharpness, brightness or contrast,
or with a score that none of them comes near, is not like them, so nothing can be said of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from verovolto.calibration.thresholds import Calibration
from verovolto.core.errors import DetectorError
from verovolto.data.face_batch import FaceBatch, laplacian_variance, luma, resize
from verovolto.faces.crop import WORKING_SIDE

CONDITIONS = ("sharpness", "brightness", "contrast")
DISTANCE = "distance"
"""The detector's own measure of how far a face lies from all real faces, whatever it is, where it has one."""

DISTANCE_RATE = 0.01
"""Share of real faces that may lie further than the domain reaches, in each of the sources calibrated on."""

MARGIN = 0.1
"""Share of a range by which it is widened: its ends are those of a few hundred faces, and the next may lie beyond."""

FAR_ABOVE = 1.0
"""A score is an anomaly up to this many widths of the calibration's range above it; beyond, it is out of the domain."""


def conditions(batch: FaceBatch) -> dict[str, Float[Tensor, " b"]]:
    """Measure crops at one size: `sharpness`, `brightness` and `contrast`, float32 `[B]` each.

    Sharpness is log10 of the Laplacian's variance + 1; the others are mean and deviation of the luma, 0 to 255.
    """
    planes = [luma(resize(image, WORKING_SIDE)) for image in batch.images]
    return {
        "sharpness": torch.stack([(laplacian_variance(plane) + 1).log10() for plane in planes]),
        "brightness": torch.stack([plane.mean() for plane in planes]),
        "contrast": torch.stack([plane.std(correction=0) for plane in planes]),
    }


@dataclass(frozen=True, kw_only=True)
class Domain:
    """Lowest and highest value of each condition among held-out real faces; empty where nobody measured.

    `distance`, where the detector measures it, has 0 and the limit at which `DISTANCE_RATE` of real faces are left out.
    """

    ranges: Mapping[str, tuple[float, float]] = field(default_factory=dict)

    @staticmethod
    def of(measured: Mapping[str, np.ndarray]) -> Domain:
        """The range of each condition `[n]`."""
        return Domain(ranges={name: (float(v.min()), float(v.max())) for name, v in measured.items()})

    @staticmethod
    def from_dict(written: Mapping[str, object]) -> Domain:
        """Read what `to_dict` wrote.

        Raises:
            DetectorError: For anything else.
        """
        ranges = {}
        for name, pair in written.items():
            if not (name in (*CONDITIONS, DISTANCE) and isinstance(pair, list | tuple) and len(pair) == 2):
                raise DetectorError(
                    f"the range of {name!r} is not one of {', '.join(CONDITIONS)} with two ends"
                )
            ranges[name] = (float(pair[0]), float(pair[1]))
        return Domain(ranges=ranges)

    def to_dict(self) -> dict[str, list[float]]:
        """The ranges as JSON values."""
        return {name: list(pair) for name, pair in self.ranges.items()}

    def outside(self, measured: Mapping[str, float]) -> tuple[str, ...]:
        """Which conditions lie outside their widened range, as phrases.

        >>> Domain(ranges={"sharpness": (1.0, 2.0)}).outside({"sharpness": 0.5})
        ('sharpness below that of the faces calibrated on',)
        """
        phrases = []
        for name, (low, high) in self.ranges.items():
            if name == DISTANCE:
                if measured.get(name, 0.0) > high:
                    phrases.append("unlike every kind of face calibrated on")
                continue
            margin = MARGIN * (high - low)
            if measured[name] < low - margin:
                phrases.append(f"{name} below that of the faces calibrated on")
            elif measured[name] > high + margin:
                phrases.append(f"{name} above that of the faces calibrated on")
        return tuple(phrases)


def outside_scores(score: float, calibration: Calibration) -> tuple[str, ...]:
    """Why a score is out of the domain of a calibration, as phrases; empty where it is not.

    Slightly above the real faces it is the anomaly looked for; below them all, or far above, it is not.
    """
    low, high = float(calibration.values[0]), float(calibration.values[-1])
    width = high - low
    if score < low - MARGIN * width:
        return ("score below that of every face calibrated on",)
    if score > high + FAR_ABOVE * width:
        return ("score far above that of every face calibrated on",)
    return ()
