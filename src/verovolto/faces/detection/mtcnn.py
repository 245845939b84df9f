"""MTCNN, the face detector of OC-FakeDect, on images of any size.

Zhang et al., "Joint Face Detection and Alignment Using Multitask Cascaded Convolutional Networks", IEEE
Signal Processing Letters 23(10), 2016. The networks are in `mtcnn_cascade`; their weights come inside the
facenet-pytorch wheel: nothing is fetched from a network.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor

from verovolto.faces.detection.base import (
    CONFIDENT,
    Face,
    best_first,
    check_image,
    check_sides,
    one_thread,
    resized,
    working_scale,
)
from verovolto.faces.detection.mtcnn_cascade import Cascade

LONG_SIDE = 640
"""Images are shrunk to this long side: detection time grows with the pixels, boxes hardly change."""

SHORT_SIDE = 160
"""Small images are enlarged to this short side, so that a face that fills them is found."""

SMALLEST_FACE = 20
"""Side of the smallest face looked for, in pixels of the image after scaling."""


class MTCNNDetector:
    """MTCNN on one CPU thread (two OpenMP threads are many times slower on a busy machine).

    Deterministic. The networks are loaded at the first detection; a pickled detector loads its own again, so
    that it can be sent to worker processes.
    """

    name = "mtcnn"
    confidence = CONFIDENT

    def __init__(self, *, long_side: int = LONG_SIDE, short_side: int = SHORT_SIDE) -> None:
        check_sides("MTCNN", short=short_side, long=long_side, smallest=SMALLEST_FACE)
        self.long_side = long_side
        self.short_side = short_side
        self._network: Cascade | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_network": None}

    def detect(self, image: UInt8[Tensor, "3 h w"]) -> list[Face]:
        """Find all faces of an RGB image.

        Args:
            image: uint8 `[3, H, W]`, upright.

        Returns:
            Faces in pixels of `image`, best first (see `base.best_first`); empty when there is none.

        Raises:
            InputError: the image is not uint8 `[3, H, W]`, or has no pixels.
            WeightsError: the package with the weights is not installed.
        """
        check_image(image)
        scale = working_scale(image.shape[1], image.shape[2], long=self.long_side, short=self.short_side)
        with one_thread():
            if self._network is None:
                self._network = Cascade()
            [found] = self._network(resized(image, scale)[None], SMALLEST_FACE)
        # The resized image's exact ratio differs from `scale` by the rounding of its sides: below 1 pixel.
        return best_first(
            Face(
                box=(float(b[0]), float(b[1]), float(b[2]), float(b[3])),
                score=min(max(float(s), 0.0), 1.0),
                landmarks=torch.from_numpy(p),
            )
            for b, s, p in zip(
                found.boxes / scale, found.scores, found.landmarks / np.float32(scale), strict=True
            )
            if b[2] > b[0] and b[3] > b[1]
        )
