"""Clips of bright squares, and a face detector that takes them for faces: fast, exact, and it pickles."""

from __future__ import annotations

import os
import signal
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
import torch
from PIL import Image
from scipy import ndimage
from torch import Tensor

from verovolto.data.crop_rule import CropRule
from verovolto.faces.detection.base import Face, best_first

Square = tuple[int, int, int]
"""Left, top and side, in pixels."""

RULE = CropRule(detector="bright", scale=1.0)
POISON = (20, 200, 20)


@dataclass(frozen=True, kw_only=True)
class BrightSquares:
    """A bright square is a face, its brightness the confidence. `deadly`: a green picture kills the process, every
    time or, where it names a file, while that file is there (it is deleted)."""

    name: str = "bright"
    confidence: float = 0.9
    deadly: bool = False
    once: Path | None = None

    def detect(self, image: Tensor) -> list[Face]:
        pixels = image.numpy().astype(int)
        if pixels[1].mean() > pixels[0].mean() + 60:
            self._die()
        regions, _ = ndimage.label(pixels.min(axis=0) > 140)
        faces = []
        for rows, columns in ndimage.find_objects(regions):
            if rows.stop - rows.start < 4:
                continue
            score = float(np.median(pixels[:, rows, columns])) / 255
            box = tuple(float(v) for v in (columns.start, rows.start, columns.stop, rows.stop))
            faces.append(Face(box=box, score=score, landmarks=torch.zeros(5, 2)))
        return best_first(faces)

    def at_working_size(self, image: Tensor) -> tuple[Tensor, float]:
        return image, 1.0

    def _die(self) -> None:
        if self.once is not None:
            if not self.once.exists():
                return
            self.once.unlink()
        if self.deadly:
            os.kill(os.getpid(), signal.SIGKILL)


def picture(
    squares: Sequence[Square], *, level: int = 255, ground: tuple[int, int, int] = (50, 50, 50)
) -> np.ndarray:
    """uint8 `[72, 96, 3]`."""
    pixels = np.full((72, 96, 3), ground, np.uint8)
    for left, top, side in squares:
        pixels[top : top + side, left : left + side] = level
    return pixels


def clip(
    path: Path,
    squares: Sequence[Square] = ((24, 16, 32),),
    *,
    frames: int = 8,
    level: int = 255,
    ground: tuple[int, int, int] = (50, 50, 50),
) -> Path:
    """A video of 8 frames a second with the same squares in every frame, its index first."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w", format="mp4", options={"movflags": "faststart"}) as container:
        stream = container.add_stream("libx264", rate=8, options={"g": "4", "crf": "10"})
        stream.width, stream.height, stream.pix_fmt = 96, 72, "yuv420p"
        drawn = picture(squares, level=level, ground=ground)
        noise = np.random.default_rng(0)
        for _ in range(frames):
            grain = noise.integers(0, 8, drawn.shape, dtype=np.uint8)  # so that every frame takes some bytes
            container.mux(
                stream.encode(av.VideoFrame.from_ndarray(drawn - np.minimum(grain, drawn), "rgb24"))
            )
        container.mux(stream.encode())
    return path


def photo(path: Path, squares: Sequence[Square] = ((24, 16, 32),)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(picture(squares)).save(path)
    return path


def cut(path: Path, share: float) -> Path:
    """Keep the first part of a file."""
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    return path
