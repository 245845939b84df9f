"""Galleries of faces: which ones to show, and how. Pure functions of arrays.

A card is the input, its reconstruction and the error, one above the other.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

CELL = 112  # pixels a side
MOSAIC = 7  # tiles a side of a face that must not be recognised


@dataclass(frozen=True, kw_only=True)
class Face:
    """One face of a gallery.

    Attributes:
        image: uint8 `[H, W, 3]`.
        reconstruction: uint8 `[H, W, 3]`, or None.
        error: Float `[h, w]`, not negative, or None.
        caption: The text below it.
    """

    image: np.ndarray
    reconstruction: np.ndarray | None
    error: np.ndarray | None
    caption: str


@dataclass(frozen=True, kw_only=True)
class Gallery:
    """Faces shown together, under a title and a sentence on how they were picked."""

    name: str
    title: str
    text: str
    faces: Sequence[Face]


@dataclass(frozen=True, kw_only=True)
class Pick:
    """Rows picked for a gallery, reals first."""

    name: str
    title: str
    text: str
    rows: np.ndarray


def pick(scores: np.ndarray, fake: np.ndarray, threshold: float, *, each: int = 4) -> list[Pick]:
    """Choose the faces of three galleries: the best, the worst and the most confused.

    Best: the lowest-scoring reals and highest-scoring fakes. Worst: the opposite. Most confused: nearest to
    the threshold.

    Args:
        scores: `[n]`.
        fake: Boolean `[n]`.
        threshold: Where the score is cut; infinite: the median score stands in.
        each: Number of faces of either class.
    """
    classes = (np.flatnonzero(~fake), np.flatnonzero(fake))
    reals, fakes = (rows[np.argsort(scores[rows], kind="stable")] for rows in classes)
    middle = threshold if np.isfinite(threshold) else float(np.median(scores))
    near = [rows[np.argsort(np.abs(scores[rows] - middle), kind="stable")][:each] for rows in (reals, fakes)]
    galleries = (
        ("best", "Best", "The reals that score lowest and the fakes that score highest: where the score works.",
         [reals[:each], fakes[::-1][:each]]),
        ("worst", "Worst", "The reals that score highest and the fakes that score lowest: where the score fails.",
         [reals[::-1][:each], fakes[:each]]),
        ("confused", "Most confused", "The faces nearest to the threshold.", near),
    )  # fmt: skip
    return [
        Pick(name=name, title=title, text=text, rows=np.concatenate(rows))
        for name, title, text, rows in galleries
    ]


def strip(face: Face, *, top_error: float, hide: bool = False) -> np.ndarray:
    """A card: uint8 `[rows * CELL, CELL, 3]`. `top_error` is the brightest end of the error's colour scale.

    With `hide`, each picture is a mosaic of 7 x 7 tiles in which nobody can be recognised.
    """
    cells = [face.image]
    if face.reconstruction is not None:
        cells.append(face.reconstruction)
    if face.error is not None:
        cells.append(anomaly_map(face.error, top_error))
    return np.concatenate([framed(cell, hide=hide) for cell in cells])


def strips(gallery: Gallery, *, hide: bool = False) -> list[np.ndarray]:
    """The cards of a gallery, their errors on one scale (99th percentile of the gallery's)."""
    top = top_of([face.error for face in gallery.faces if face.error is not None])
    return [strip(face, top_error=top, hide=hide) for face in gallery.faces]


def top_of(errors: Sequence[np.ndarray]) -> float:
    """The brightest end of a colour scale shared by maps `[h, w]` (their 99th percentile); 1 without any."""
    return float(np.quantile(np.concatenate([error.ravel() for error in errors]), 0.99)) if errors else 1.0


def anomaly_map(error: np.ndarray, top: float) -> np.ndarray:
    """A map `[h, w]` in colours, uint8 `[h, w, 3]`: dark at 0, brightest from `top` up."""
    from matplotlib import colormaps  # slow to import, and a scan without a report draws nothing

    scaled = np.clip(error / max(top, 1e-12), 0.0, 1.0)
    return np.asarray((colormaps["inferno"](scaled)[..., :3] * 255).round().astype(np.uint8))


def side_by_side(cards: Sequence[np.ndarray], gap: int = 6) -> np.ndarray:
    """Cards of one height as one image, uint8 `[h, w, 3]`, white between them."""
    height = max(len(card) for card in cards)
    columns: list[np.ndarray] = []
    for card in cards:
        padded = np.full((height, card.shape[1], 3), 255, np.uint8)
        padded[: len(card)] = card
        columns += [padded, np.full((height, gap, 3), 255, np.uint8)]
    return np.concatenate(columns[:-1], axis=1)


def png(image: np.ndarray) -> bytes:
    """PNG bytes of a uint8 image `[H, W, 3]`."""
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, format="PNG", optimize=True)
    return buffer.getvalue()


def framed(image: np.ndarray, *, hide: bool, size: tuple[int, int] = (CELL, CELL)) -> np.ndarray:
    """A picture brought to `size` (width, height), uint8 `[height, width, 3]`; with `hide` as 7 x 7 tiles."""
    picture = Image.fromarray(np.ascontiguousarray(image)).convert("RGB")
    if hide:
        picture = picture.resize((MOSAIC, MOSAIC), Image.Resampling.BOX)
        return np.asarray(picture.resize(size, Image.Resampling.NEAREST))
    return np.asarray(picture.resize(size, Image.Resampling.BICUBIC))
