"""A calibration as tensors and JSON values, the two things that a detector's folder holds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from verovolto.calibration.thresholds import Calibration


def tensors_of(known: Calibration, key: str) -> dict[str, Tensor]:
    """Every score that it holds, under names that begin with `key`."""
    tensors = {key: torch.from_numpy(np.ascontiguousarray(known.values))}
    for method, values in known.fakes.items():
        tensors[f"{key}/fakes/{method}"] = torch.from_numpy(np.ascontiguousarray(values))
    return tensors if known.videos is None else tensors | tensors_of(known.videos, f"{key}/videos")


def metadata(known: Calibration) -> dict[str, Any]:
    """The rest of it, as JSON values."""
    written: dict[str, Any] = {"clusters": known.clusters, "cluster": known.cluster, "fakes": [*known.fakes]}
    return written if known.videos is None else written | {"videos": metadata(known.videos)}


def read_calibration(
    score: str, written: Mapping[str, Any], tensors: Mapping[str, Tensor], key: str
) -> Calibration:
    """Put together what `tensors_of` and `metadata` gave. Raises `KeyError` where a part is missing."""
    videos = written.get("videos")
    return Calibration(
        score=score,
        values=tensors[key].numpy(),
        clusters=written["clusters"],
        cluster=written["cluster"],
        fakes={method: tensors[f"{key}/fakes/{method}"].numpy() for method in written.get("fakes", ())},
        videos=None if videos is None else read_calibration(score, videos, tensors, f"{key}/videos"),
    )
