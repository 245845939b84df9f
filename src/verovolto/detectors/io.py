"""A detector's folder: `model.safetensors` and `detector.json`, with digests that show damage and careless edits.

They do not show a forger, who would write a new digest. No pickle is read.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file
from safetensors.torch import save as to_safetensors
from torch import Tensor

from verovolto.core.errors import DetectorError
from verovolto.core.files import atomic_path, sha256_file, write_json

SCHEMA_VERSION = 1
JSON_NAME, WEIGHTS_NAME = "detector.json", "model.safetensors"


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
