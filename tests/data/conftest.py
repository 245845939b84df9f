"""Small drawn sets of faces in every form."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image


def drawn(seed: int, *, size: int = 24, kind: str = "JPEG") -> bytes:
    """An encoded image of smooth random colours."""
    small = np.random.default_rng(seed).integers(0, 256, (4, 4, 3), dtype=np.uint8)
    out = io.BytesIO()
    Image.fromarray(small).resize((size, size), Image.Resampling.BICUBIC).save(out, kind)
    return out.getvalue()


def manifest_rows(people: int, *, rows_each: int = 4) -> list[dict[str, Any]]:
    """Half of the rows real, half fake; train, val and test share nobody; fakes are paired with reals."""
    rows = []
    for person in range(people):
        split = ("train", "val", "test")[person % 3]
        for k in range(rows_each):
            label = "real" if k % 2 == 0 else "fake"
            rows.append(
                {
                    "path": f"images/{label}_{person}_{k}.jpg",
                    "label": label,
                    "split": split,
                    "source_video": f"v{person}_{k // 2}",
                    "identity": f"p{person}",
                    "pair": f"pair{person}_{k // 2}",
                    "note": f"n{k}",
                }
            )
    return rows


def write_manifest(folder: Path, rows: Sequence[dict[str, Any]], *, name: str = "manifest.csv") -> Path:
    """The manifest, and an image for each row that has a path inside the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for index, row in enumerate(rows):
        file = folder / str(row.get("path", "x"))
        if ".." not in file.parts:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(drawn(index))
    with (folder / name).open("w", newline="", encoding="utf-8") as handle:
        writer = csv.DictWriter(handle, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return folder


@pytest.fixture
def image() -> Callable[..., bytes]:
    return drawn


@pytest.fixture
def rows() -> Callable[..., list[dict[str, Any]]]:
    return manifest_rows


@pytest.fixture
def manifest() -> Callable[..., Path]:
    return write_manifest


@pytest.fixture
def faces_folder(tmp_path: Path) -> Path:
    """72 people, 288 rows: several row groups."""
    return write_manifest(tmp_path / "set", manifest_rows(72))
