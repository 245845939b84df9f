"""A calibration as tensors and JSON values, the two parts of a detector's folder."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from verovolto.calibration.thresholds import Calibration


def tensors_of(calibration: Calibration, key: str) -> dict[str, Tensor]:
    """Its scores, under names that begin with `key`."""
    tensors = {key: torch.from_numpy(np.ascontiguousarray(calibration.values))}
    for method, values in calibration.fakes.items():
        tensors[f"{key}/fakes/{method}"] = torch.from_numpy(np.ascontiguousarray(values))
    videos = calibration.videos
    return tensors if videos is None else tensors | tensors_of(videos, f"{key}/videos")


def metadata(calibration: Calibration) -> dict[str, Any]:
    """The rest of it, as JSON values."""
    written: dict[str, Any] = {
        "clusters": calibration.clusters, "cluster": calibration.cluster, "fakes": [*calibration.fakes]
    }  # fmt: skip
    videos = calibration.videos
    return written if videos is None else written | {"videos": metadata(videos)}


def read_calibration(
    score: str, written: Mapping[str, Any], tensors: Mapping[str, Tensor], key: str
) -> Calibration:
    """The inverse of `tensors_of` and `metadata`.

    Args:
        score: Name of the score.
        written: What `metadata` gave.
        tensors: What `tensors_of` gave, maybe among others.
        key: The key it was given.

    Raises:
        KeyError: When a part is missing.
    """
    videos = written.get("videos")
    return Calibration(
        score=score,
        values=tensors[key].numpy(),
        clusters=written["clusters"],
        cluster=written["cluster"],
        fakes={method: tensors[f"{key}/fakes/{method}"].numpy() for method in written.get("fakes", ())},
        videos=None if videos is None else read_calibration(score, videos, tensors, f"{key}/videos"),
    )
