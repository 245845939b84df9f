"""MTCNN, the face detector of OC-FakeDect, on images of any size.

Zhang et al., "Joint Face Detection and Alignment Using Multitask Cascaded Convolutional Networks", IEEE Signal
Processing Letters 23(10), 2016, section II. What is computed is what facenet-pytorch computes, with its weights; how is
different: maxima of slices in the place of a pooling operator (2/5 of its time), all candidates and levels cut out of
one table of sums (1/4 of it), many candidates and frames at a time. The weights come inside facenet-pytorch's wheel and
are read as data, without the package's training code: nothing is fetched from a network.

    P-Net  every place of every level of the pyramid   12 x 12  -> face or not, box
    R-Net  what P-Net takes for a face                 24 x 24  -> face or not, box
    O-Net  what R-Net takes for a face                 48 x 48  -> face or not, box, five landmarks
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor
from torch.nn.functional import conv2d, linear, pad, prelu
from torchvision.ops import batched_nms

from verovolto.core.errors import WeightsError
from verovolto.core.files import read_from_package
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

LONG_SIDE = 640
"""Images are shrunk to this long side: detection time grows with the pixels, boxes hardly change."""

SHORT_SIDE = 160
"""Small images are enlarged to this short side, so that a face that fills them is found."""

SMALLEST_FACE = 20
"""Side of the smallest face looked for, in pixels of the image after scaling."""

FACTOR = 0.709
"""From one level of the pyramid to the next."""

THRESHOLDS = (0.6, 0.7, 0.7)
"""Probability of a face from which on a candidate of P-, R- and O-Net is kept."""

_CELL, _STRIDE = 12, 2
_OVERLAP_LEVEL, _OVERLAP = 0.5, 0.7
_AT_ONCE = 512
"""Candidates that pass R- or O-Net together: so much memory, and no more."""

State = dict[str, Tensor]
INSTALL = "pip install --no-deps facenet-pytorch==2.5.3"
SHA256 = {
    "pnet": "a2a71925e0b9996a42f63e47efc1ca19043e69558b5c523b978d611dfae49c8f",
    "rnet": "bbb937de72efc9ef83b186c49f5f558467a1d7e3453a8ece0d71a886633f6a86",
    "onet": "165bfbe42940416ccfb977545cf0e976d5bf321f67083ae2aaaa5c764280118d",
}
"""Of the files of weights."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Found:
    """The faces of one image: boxes float64 `[N, 4]`, scores `[N]`, landmarks float32 `[N, 5, 2]`; in its pixels."""

    boxes: np.ndarray
    scores: np.ndarray
    landmarks: np.ndarray


@dataclass(frozen=True, kw_only=True, eq=False)
class _Candidates:
    """What may be faces: boxes `[N, 4]`, scores `[N]`, and the image of the batch that each is in, `[N]`."""

    boxes: Float[Tensor, "n 4"]
    scores: Float[Tensor, " n"]
    image: Int[Tensor, " n"]

    def __len__(self) -> int:
        return len(self.boxes)

    def take(self, rows: Tensor) -> _Candidates:
        return _Candidates(boxes=self.boxes[rows], scores=self.scores[rows], image=self.image[rows])


class Cascade:
    """The networks with their weights, on the CPU.

    Args:
        states: weights of P-, R- and O-Net, by the names of facenet-pytorch; None for the published ones.
    """

    def __init__(self, states: Sequence[State] | None = None) -> None:
        # Channels last: the order that convolutions on CPUs are fastest with.
        self._p, self._r, self._o = (
            {name: _last(value) for name, value in state.items()} for state in states or load_states()
        )

    def __call__(self, images: UInt8[Tensor, "b 3 h w"], smallest: float = SMALLEST_FACE) -> list[Found]:
        """The faces of images of one size.

        Args:
            images: RGB.
            smallest: side of the smallest face that is looked for, pixels.
        """
        with torch.inference_mode():
            sums = SumTable(images)
            scales = pyramid(sums.height, sums.width, smallest)
            if not scales:
                return [_nothing() for _ in images]
            refined = self._refine(sums, self._propose(sums, scales))
            return self._output(sums, refined, len(images))

    def _propose(self, sums: SumTable, scales: Sequence[float]) -> _Candidates:
        """P-Net over the pyramid, each box moved as the network says, as squares."""
        levels = [self._of_level(sums.scaled(scale), scale) for scale in scales]
        boxes, scores, moves, image = (torch.cat(parts) for parts in zip(*levels, strict=True))
        keep = batched_nms(boxes, scores, image, _OVERLAP)
        boxes, moves = boxes[keep], moves[keep]
        sides = (boxes[:, 2:] - boxes[:, :2]).repeat(1, 2)
        return _Candidates(boxes=squares(boxes + moves * sides), scores=scores[keep], image=image[keep])

    def _of_level(self, small: Tensor, scale: float) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Boxes, scores, moves and images of the places that P-Net takes for faces, in pixels of the image."""
        weights = self._p
        x = largest(_activated(_normalised(small), weights, 1), 2, 2)
        x = _activated(_activated(x, weights, 2), weights, 3)
        face = _face(conv2d(x, weights["conv4_1.weight"], weights["conv4_1.bias"]))
        image, row, column = (face >= THRESHOLDS[0]).nonzero(as_tuple=True)
        moves = conv2d(x, weights["conv4_2.weight"], weights["conv4_2.bias"])[image, :, row, column]
        corner = torch.stack((column, row), dim=1).float() * _STRIDE
        boxes = torch.cat((((corner + 1) / scale).floor(), ((corner + _CELL) / scale).floor()), dim=1)
        scores = face[image, row, column]
        keep = batched_nms(boxes, scores, image, _OVERLAP_LEVEL)
        return boxes[keep], scores[keep], moves[keep], image[keep]

    def _refine(self, sums: SumTable, proposed: _Candidates) -> _Candidates:
        """R-Net on each."""
        proposed = proposed.take(sums.inside(proposed.boxes))
        scores, moves = _in_parts(self._r_net, sums, proposed, 24)
        keep = (scores > THRESHOLDS[1]).nonzero()[:, 0]
        boxes, scores, image, moves = proposed.boxes[keep], scores[keep], proposed.image[keep], moves[keep]
        keep = batched_nms(boxes, scores, image, _OVERLAP)
        return _Candidates(
            boxes=squares(moved(boxes[keep], moves[keep])), scores=scores[keep], image=image[keep]
        )

    def _output(self, sums: SumTable, refined: _Candidates, count: int) -> list[Found]:
        """O-Net on each; of faces that cover one another the surest."""
        refined = refined.take(sums.inside(refined.boxes))
        scores, moves, places = _in_parts(self._o_net, sums, refined, 48)
        keep = (scores > THRESHOLDS[2]).nonzero()[:, 0]
        boxes, scores, image = refined.boxes[keep], scores[keep], refined.image[keep]
        sides = boxes[:, 2:] - boxes[:, :2] + 1
        # Five across, then five down.
        points = torch.stack(
            [
                places[keep, 5 * axis : 5 * axis + 5] * sides[:, axis, None] + boxes[:, axis, None] - 1
                for axis in (0, 1)
            ],
            dim=2,
        )
        boxes = moved(boxes, moves[keep])
        found = []
        for number in range(count):
            rows = (image == number).nonzero()[:, 0].numpy()
            of_image = boxes.numpy()[rows], scores.numpy()[rows], points.numpy()[rows]
            kept = uncovered(of_image[0], of_image[1])
            found.append(
                Found(
                    boxes=of_image[0][kept].astype(np.float64), scores=of_image[1][kept].astype(np.float64),
                    landmarks=of_image[2][kept],
                )
            )  # fmt: skip
        return found

    def _r_net(self, x: Tensor) -> tuple[Tensor, ...]:
        weights = self._r
        x = largest(_activated(x, weights, 1), 3, 2)
        x = largest(_activated(x, weights, 2), 3, 2)
        x = _dense(_flat(_activated(x, weights, 3)), weights, "4")
        return _face(_linear(x, weights, "dense5_1")), _linear(x, weights, "dense5_2")

    def _o_net(self, x: Tensor) -> tuple[Tensor, ...]:
        weights = self._o
        x = largest(_activated(x, weights, 1), 3, 2)
        x = largest(_activated(x, weights, 2), 3, 2)
        x = largest(_activated(x, weights, 3), 2, 2)
        x = _dense(_flat(_activated(x, weights, 4)), weights, "5")
        return (
            _face(_linear(x, weights, "dense6_1")),
            _linear(x, weights, "dense6_2"),
            _linear(x, weights, "dense6_3"),
        )


class SumTable:
    """Sums over all rectangles from the upper left corner on: the mean of any rectangle takes four look-ups.

    Crow, "Summed-Area Tables for Texture Mapping", SIGGRAPH 1984. Whole numbers: nothing is rounded.

    Args:
        images: of one size.
    """

    def __init__(self, images: UInt8[Tensor, "b 3 h w"]) -> None:
        self.height, self.width = (int(side) for side in images.shape[2:])
        # The three colours of a place side by side; columns are added up last, whole lines at a time.
        sums = images.permute(2, 0, 3, 1).int().cumsum(2, dtype=torch.int32)
        table = np.zeros((len(images), self.height + 1, self.width + 1, 3), np.int32)
        np.cumsum(sums.numpy(), axis=0, out=table[:, 1:, 1:].transpose(1, 0, 2, 3))
        self._sums = torch.from_numpy(table).view(-1, 3)

    def inside(self, boxes: Float[Tensor, "n 4"]) -> Int[Tensor, " m"]:
        """The boxes of which some lies in the image."""
        x, y, right, bottom = self._cut(boxes)
        return ((right > x - 1) & (bottom > y - 1)).nonzero()[:, 0]

    def scaled(self, scale: float) -> Float[Tensor, "b 3 h w"]:
        """The images made smaller, by the means of areas."""
        size = [int(side * scale + 1) for side in (self.height, self.width)]
        ends = [torch.tensor([0]), torch.tensor([self.height]), torch.tensor([self.width])]
        top, below = (each[0] for each in _bins(ends[0], ends[1], size[0]))
        left, beyond = (each[0] for each in _bins(ends[0], ends[2], size[1]))
        table = self._sums.view(-1, self.height + 1, self.width + 1, 3)
        lines = table.index_select(1, below) - table.index_select(1, top)
        total = lines.index_select(2, beyond) - lines.index_select(2, left)
        count = (below - top)[:, None, None] * (beyond - left)[:, None]
        return (total / count).movedim(3, 1)

    def crops(self, candidates: _Candidates, side: int) -> Float[Tensor, "n 3 side side"]:
        """The pixels in the boxes, brought to one size by the means of areas, as adaptive average pooling has them."""
        x, y, right, bottom = self._cut(candidates.boxes)
        top, below = _bins(y - 1, bottom, side)
        left, beyond = _bins(x - 1, right, side)
        start = candidates.image.view(-1, 1, 1) * (self.height + 1) * (self.width + 1)

        def at(rows: Tensor, columns: Tensor) -> Tensor:
            places = start + rows[:, :, None] * (self.width + 1) + columns[:, None, :]
            return self._sums[places.flatten()]

        total = at(below, beyond) - at(top, beyond) - at(below, left) + at(top, left)
        count = (below - top)[:, :, None] * (beyond - left)[:, None, :]
        return (total / count.view(-1, 1)).view(len(candidates), side, side, 3).movedim(3, 1)

    def _cut(self, boxes: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """The boxes cut off at the border, in whole pixels, counted from 1 and with both ends."""
        x, y, right, bottom = boxes.trunc().long().unbind(1)
        return x.clamp(min=1), y.clamp(min=1), right.clamp(max=self.width), bottom.clamp(max=self.height)


def _bins(start: Tensor, end: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """First pixel and the one after the last of `count` bins from `start` to `end`, `[N, count]` each."""
    length, number = (end - start)[:, None], torch.arange(count)
    first = number * length // count
    last = -(-(number + 1) * length // count)
    return start[:, None] + first, start[:, None] + last


def pyramid(height: int, width: int, smallest: float) -> list[float]:
    """Scales at which faces of `smallest` pixels and more fill the twelve pixels of P-Net, the finest first.

    They are steps of one ladder, from `SMALLEST_FACE` on: a larger face is seen on the same levels, whatever `smallest`
    is. The coarsest is always among them.
    """
    scale = _CELL / SMALLEST_FACE
    short = min(height, width) * scale
    scales = []
    while short >= _CELL:
        scales.append(scale)
        scale, short = scale * FACTOR, short * FACTOR
    return [scale for scale in scales if scale * smallest <= _CELL] or scales[-1:]


def largest(x: Float[Tensor, "b c h w"], window: int, stride: int) -> Float[Tensor, "b c H W"]:
    """The largest value of each window, windows at the border cut off: max pooling, rounded up.

    Maxima of slices are the same numbers, many times faster than torch's operator on one thread.
    """
    for axis in (2, 3):
        size = x.shape[axis]
        count = -(-(size - window) // stride) + 1
        short = (count - 1) * stride + window - size
        if short > 0:
            x = pad(x, (0, short) if axis == 3 else (0, 0, 0, short), value=-torch.inf)
        parts = [x.narrow(axis, at, (count - 1) * stride + 1) for at in range(window)]
        parts = [part[:, :, ::stride] if axis == 2 else part[..., ::stride] for part in parts]
        x = parts[0]
        for part in parts[1:]:
            x = torch.maximum(x, part)
    return x


def squares(boxes: Float[Tensor, "n 4"]) -> Float[Tensor, "n 4"]:
    """Boxes with their shorter side made as long as the other, about the same centre."""
    sides = boxes[:, 2:] - boxes[:, :2]
    long = sides.amax(1, keepdim=True)
    corner = boxes[:, :2] + sides * 0.5 - long * 0.5
    return torch.cat((corner, corner + long), dim=1)


def moved(boxes: Float[Tensor, "n 4"], by: Float[Tensor, "n 4"]) -> Float[Tensor, "n 4"]:
    """Boxes moved by shares of their sides."""
    return boxes + by * (boxes[:, 2:] - boxes[:, :2] + 1).repeat(1, 2)


def uncovered(boxes: np.ndarray, scores: np.ndarray) -> list[int]:
    """The boxes, surest first, that share no more than `_OVERLAP` of the smaller box with a surer one."""
    kept: list[int] = []
    areas = (boxes[:, 2] - boxes[:, 0] + 1) * (boxes[:, 3] - boxes[:, 1] + 1)
    rest = np.argsort(scores)
    while rest.size:
        best, rest = int(rest[-1]), rest[:-1]
        kept.append(best)
        low = np.maximum(boxes[best, :2], boxes[rest, :2])
        high = np.minimum(boxes[best, 2:], boxes[rest, 2:])
        shared = np.maximum(0.0, high - low + 1).prod(axis=1)
        rest = rest[shared / np.minimum(areas[best], areas[rest]) <= _OVERLAP]
    return kept


def load_states() -> list[State]:
    """The published weights of P-, R- and O-Net, read as data out of facenet-pytorch's files.

    Raises:
        WeightsError: the package is not installed, or holds other files.
    """
    files = (
        read_from_package(
            "facenet_pytorch", f"data/{name}.pt", sha256=digest, what="MTCNN weights", hint=INSTALL,
            error=WeightsError, missing="the face detector mtcnn needs the weights in the package facenet-pytorch",
        )
        for name, digest in SHA256.items()
    )  # fmt: skip
    return [torch.load(BytesIO(file), map_location="cpu", weights_only=True) for file in files]


def _in_parts(
    network: Callable[[Tensor], tuple[Tensor, ...]], sums: SumTable, candidates: _Candidates, side: int
) -> tuple[Tensor, ...]:
    """What a network makes of the candidates, not too many at once."""
    rows = torch.split(torch.arange(len(candidates)), _AT_ONCE)
    parts = [network(_normalised(sums.crops(candidates.take(some), side))) for some in rows]
    return tuple(torch.cat(each) for each in zip(*parts, strict=True))


def _last(value: Tensor) -> Tensor:
    return value.contiguous(memory_format=torch.channels_last) if value.ndim == 4 else value


def _normalised(pixels: Tensor) -> Tensor:
    return (pixels - 127.5) * 0.0078125


def _activated(x: Tensor, weights: State, number: int) -> Tensor:
    """A convolution and its activation, channels last: `prelu` itself is slow at that."""
    name = f"conv{number}"
    x = conv2d(x, weights[f"{name}.weight"], weights[f"{name}.bias"])
    return torch.addcmul(x.clamp(min=0), x.clamp_(max=0), weights[f"prelu{number}.weight"].view(1, -1, 1, 1))


def _dense(x: Tensor, weights: State, number: str) -> Tensor:
    return prelu(_linear(x, weights, f"dense{number}"), weights[f"prelu{number}.weight"])


def _linear(x: Tensor, weights: State, name: str) -> Tensor:
    return linear(x, weights[f"{name}.weight"], weights[f"{name}.bias"])


def _flat(x: Tensor) -> Tensor:
    """Across before down, as the weights have it."""
    return x.permute(0, 3, 2, 1).flatten(1)


def _face(logits: Tensor) -> Tensor:
    """Probability of a face out of the logits of none and one."""
    return logits.softmax(1)[:, 1]


def _nothing() -> Found:
    return Found(boxes=np.zeros((0, 4)), scores=np.zeros(0), landmarks=np.zeros((0, 5, 2), np.float32))


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

    def at_working_size(self, image: UInt8[Tensor, "3 h w"]) -> tuple[UInt8[Tensor, "3 H W"], float]:
        """The image with a long side of at most `long_side` pixels, and a short one of `short_side` where that fits."""
        check_image(image)
        scale = working_scale(image.shape[1], image.shape[2], long=self.long_side, short=self.short_side)
        return resized(image, scale), scale

    def detect(self, image: UInt8[Tensor, "3 h w"], *, smallest: float = 0.0) -> list[Face]:
        """Find all faces of an RGB image.

        Args:
            image: uint8 `[3, H, W]`, upright.
            smallest: smaller faces need not be found, pixels; those of `image`, not of the scaled one.

        Returns:
            Faces in pixels of `image`, best first (see `base.best_first`); empty when there is none.

        Raises:
            InputError: the image is not uint8 `[3, H, W]`, or has no pixels.
            WeightsError: the package with the weights is not installed.
        """
        image, scale = self.at_working_size(image)
        with one_thread():
            if self._network is None:
                self._network = Cascade()
            [found] = self._network(image[None], smallest * scale)
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
