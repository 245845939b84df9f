"""Drawn faces with made-up landmarks, some of them missing."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tests.conftest import draw_face
from verovolto.core.errors import UnreadableImage

SIDE = 64
COUNT = 30
WITHOUT_LANDMARKS = (4, 17)
_PLACES = np.array([[0.35, 0.4], [0.65, 0.4], [0.5, 0.55], [0.37, 0.75], [0.63, 0.75]])


class Drawn:
    """Drawn faces as pictures; it counts how often each is read."""

    def __init__(self, count: int = COUNT, side: int = SIDE, unreadable: tuple[int, ...] = ()) -> None:
        self.side, self.unreadable = side, unreadable
        self.read = [0] * count

    def __len__(self) -> int:
        return len(self.read)

    def image(self, i: int, /) -> Tensor:
        self.read[i] += 1
        if i in self.unreadable:
            raise UnreadableImage(f"face {i}: damaged")
        return torch.from_numpy(np.array(draw_face(i, size=self.side))).permute(2, 0, 1).contiguous()


def drawn_landmarks(count: int = COUNT, side: int = SIDE) -> NDArray[np.float32]:
    """Landmarks where they are drawn, give or take a pixel; two faces have none."""
    jitter = np.random.default_rng(0).normal(0, 0.01, (count, 5, 2))
    points = np.stack([(_PLACES + jitter[i]) * side + _shift(i, side) for i in range(count)]).astype(
        np.float32
    )
    points[[i for i in WITHOUT_LANDMARKS if i < count]] = np.nan
    return points


def _shift(seed: int, side: int) -> NDArray[np.int64]:
    """How far `draw_face` moves a face: the draw after those of three colours."""
    random = np.random.default_rng(seed)
    for _ in range(3):
        random.integers(0, 256, 3)
    return random.integers(-side // 12, side // 12 + 1, 2)
