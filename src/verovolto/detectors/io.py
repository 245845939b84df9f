"""A detector's folder: `model.safetensors` and `detector.json`, with digests that show damage and careless edits.

They do not show a forger, who would write a new digest. No pickle is read.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from safetensors.torch import save as to_safetensors
from torch import Tensor

from verovolto.calibration.thresholds import Calibration
from verovolto.core.errors import DetectorError
from verovolto.core.files import atomic_path, sha256_file, write_json

SCHEMA_VERSION = 1
JSON_NAME, WEIGHTS_NAME = "detector.json", "model.safetensors"
LICENCES = ("WEIGHTS_LICENSE.md", "LICENSE", "LICENSE.md", "LICENSE.txt")
"""Names of a licence beside a detector, the first that is there counts."""

DEFAULT = "default"
"""What the detector that is used where none is named is called on the command line."""

SHIPPED = (DEFAULT, "lite0", "free")
"""Detectors that come along: the default one, the former, and one whose weights are under a free licence."""

FOLDER = Path(__file__).parent / DEFAULT
"""Weights, model card and licence of the default one; those of the others lie beside it. The terms of the data that a
detector learned from go with its weights."""


def write_folder(folder: Path, tensors: Mapping[str, Tensor], description: Mapping[str, Any]) -> None:
    """Write both files; each appears whole, the weights first."""
    # `save_file` would make the file readable by its owner alone, and hide a full disk in an error of its own.
    with atomic_path(folder / WEIGHTS_NAME) as part:
        part.write_bytes(to_safetensors({name: value.contiguous().cpu() for name, value in tensors.items()}))
    whole = {
        "schema_version": SCHEMA_VERSION,
        **description,
        "files": {WEIGHTS_NAME: sha256_file(folder / WEIGHTS_NAME)},
    }
    write_json(folder / JSON_NAME, whole | {"digest": digest_of(whole)})


def find_folder(path: Path) -> Path:
    """The detector's folder, given itself or the run folder that it lies in."""
    return path / "detector" if (path / "detector" / JSON_NAME).is_file() else path


def read_description(folder: Path) -> dict[str, Any]:
    """What `detector.json` holds. Raises `DetectorError` when it is missing, of another version, damaged or edited."""
    file = folder / JSON_NAME
    if not file.is_file():
        there = (
            ", ".join(sorted(p.name for p in folder.iterdir())[:6]) if folder.is_dir() else "no such folder"
        )
        raise DetectorError(
            f"no detector in {folder}: {JSON_NAME} is missing (there is: {there or 'nothing'})",
            hint="make one with verovolto train",
        )
    try:
        description = json.loads(file.read_text(encoding="utf-8"))
    except (ValueError, OSError) as error:
        raise DetectorError(f"{file} cannot be read: {error}", hint="copy the folder again") from error
    version = description.get("schema_version") if isinstance(description, dict) else None
    if version != SCHEMA_VERSION:
        raise DetectorError(
            f"{file} has schema version {version}, this verovolto reads {SCHEMA_VERSION}",
            hint="use the verovolto that wrote it, or train it again",
        )
    digest = description.pop("digest", None)
    if digest != digest_of(description):
        raise DetectorError(
            f"{file} was changed after it was written", hint="copy the folder again, or train it again"
        )
    return dict(description)


def read_tensors(folder: Path, description: Mapping[str, Any]) -> dict[str, Tensor]:
    """The tensors that belong to a description. Raises `DetectorError` when they are missing, damaged or others."""
    file = folder / WEIGHTS_NAME
    if not file.is_file():
        raise DetectorError(f"{file} is missing", hint="copy the whole folder")
    if sha256_file(file) != description["files"][WEIGHTS_NAME]:
        raise DetectorError(
            f"{file} was changed or damaged after it was written", hint="copy the folder again"
        )
    try:
        return load_file(file)
    except SafetensorError as error:
        raise DetectorError(
            f"{file} is no safetensors file: {error}", hint="copy the folder again"
        ) from error


def digest_of(description: Mapping[str, Any]) -> str:
    """SHA-256 of a description in canonical form, as 64 hexadecimal digits."""
    canonical = json.dumps(description, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(canonical.encode()).hexdigest()


def detector_folder(given: Path | str | None = None) -> Path:
    """The folder of a detector: the one given, or that of a detector that comes along, by its name (`SHIPPED`).

    A folder of your own that is called the same comes first. Raises `DetectorError` where the one meant is missing.
    """
    name = DEFAULT if given is None else str(given)
    if name not in SHIPPED or (given is not None and Path(given).exists()):
        return Path(name)
    folder = FOLDER.with_name(name)
    if not (folder / JSON_NAME).is_file():
        what = "no detector is given, and none comes" if name == DEFAULT else f"no detector {name} comes"
        raise DetectorError(
            f"{what} with this version",
            hint="train one on real faces with verovolto train, and give its folder",
        )
    return folder


def calibration_tensors(calibration: Calibration, key: str) -> dict[str, Tensor]:
    """Its scores, under names that begin with `key`."""
    tensors = {key: torch.from_numpy(np.ascontiguousarray(calibration.values))}
    for kind in ("fakes", "sources"):
        for name, values in getattr(calibration, kind).items():
            tensors[f"{key}/{kind}/{name}"] = torch.from_numpy(np.ascontiguousarray(values))
    videos = calibration.videos
    return tensors if videos is None else tensors | calibration_tensors(videos, f"{key}/videos")


def calibration_metadata(calibration: Calibration) -> dict[str, Any]:
    """The rest of it, as JSON values."""
    written: dict[str, Any] = {
        "clusters": calibration.clusters, "cluster": calibration.cluster, "fakes": [*calibration.fakes]
    }  # fmt: skip
    if calibration.sources:
        written["sources"] = [*calibration.sources]
    if calibration.source_clusters:
        written["source_clusters"] = dict(calibration.source_clusters)
    if calibration.fake_clusters is not None:
        written["fake_clusters"] = calibration.fake_clusters
    if calibration.frame_correlation is not None:
        written["frame_correlation"] = calibration.frame_correlation
    videos = calibration.videos
    return written if videos is None else written | {"videos": calibration_metadata(videos)}


def read_calibration(
    score: str, written: Mapping[str, Any], tensors: Mapping[str, Tensor], key: str
) -> Calibration:
    """The inverse of `calibration_tensors` and `calibration_metadata`.

    Args:
        score: Name of the score.
        written: What `calibration_metadata` gave.
        tensors: What `calibration_tensors` gave, maybe among others.
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
        sources={name: tensors[f"{key}/sources/{name}"].numpy() for name in written.get("sources", ())},
        source_clusters=written.get("source_clusters", {}),
        fake_clusters=written.get("fake_clusters"),
        frame_correlation=written.get("frame_correlation"),
        videos=None if videos is None else read_calibration(score, videos, tensors, f"{key}/videos"),
    )
