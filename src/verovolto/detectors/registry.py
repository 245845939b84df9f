"""Detectors out of their folders, whatever their kind."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from verovolto.calibration.input_domain import Domain
from verovolto.calibration.io import read_calibration
from verovolto.calibration.thresholds import Threshold
from verovolto.core.errors import DetectorError, InputError
from verovolto.detectors.base import SavedDetector
from verovolto.detectors.feature_baseline.detector import FeatureBaselineDetector
from verovolto.detectors.fusion.detector import PARTS, FusedDetector
from verovolto.detectors.io import digest_of, find_folder, read_description, read_tensors
from verovolto.detectors.region_discriminant.detector import FeatureDetector
from verovolto.detectors.vae.detector import VAEDetector
from verovolto.experimental.blend.detector import BlendDetector
from verovolto.experimental.error_typicality.detector import TypicalityDetector

_KINDS: dict[str, Callable[..., SavedDetector]] = {
    VAEDetector.kind: VAEDetector.assemble,
    FeatureDetector.kind: FeatureDetector.assemble,
    TypicalityDetector.kind: TypicalityDetector.assemble,
    FusedDetector.kind: FusedDetector.assemble,
    FeatureBaselineDetector.kind: FeatureBaselineDetector.assemble,
    BlendDetector.kind: BlendDetector.assemble,
}


def load_detector(path: Path, device: str = "cpu") -> SavedDetector:
    """See `Detector.load`."""
    _check_device(device)
    folder = find_folder(path)
    description = read_description(folder)
    tensors = read_tensors(folder, description)
    kind = description.get("kind")
    if kind not in _KINDS:
        raise DetectorError(
            f"{folder} holds a detector of kind {kind!r}, this verovolto knows {', '.join(_KINDS)}",
            hint="use the verovolto that wrote it",
        )
    try:
        common = _common(description, tensors)
        if kind == FusedDetector.kind:
            common["detectors"] = _parts(folder, description, device)
        return _KINDS[kind](description, tensors, torch.device(device), **common)
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise DetectorError(
            f"{folder} does not describe a detector: {error}", hint="train it again"
        ) from error


def _parts(folder: Path, description: Mapping[str, Any], device: str) -> list[SavedDetector]:
    """The detectors that a fusion is made of, each a folder of its own; they must be those that it was made of."""
    found = []
    for i, written in enumerate(description["parts"]):
        part = folder / PARTS / str(i)
        if digest_of(read_description(part)) != written["digest"]:
            raise DetectorError(
                f"{part} is another detector than the one that was fused", hint="copy the whole folder again"
            )
        found.append(load_detector(part, device))
    return found


def _common(description: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> dict[str, Any]:
    return {
        "default_score": description["score"],
        "calibration": {
            name: read_calibration(name, written, tensors, f"calibration.{name}")
            for name, written in description["calibration"].items()
        },
        "thresholds": [Threshold.from_dict(threshold) for threshold in description["thresholds"]],
        "domain": Domain.from_dict(description.get("domain", {})),
        "metadata": description["about"],
    }


def _check_device(device: str) -> None:
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise InputError(f"there is no device {device!r} here: {reason}", hint="use cpu or cuda") from error
