"""A network's stages with their shapes and parameters, traced by running it once.

Nothing is written down twice: modules are watched by hooks, what is done between them (flattening, resizing) by a
`TorchFunctionMode`, so that a description cannot differ from the network. On the `meta` device nothing is computed.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torchvision.models.resnet import BasicBlock

from verovolto.networks.lite0_ocvae import Lite0Block
from verovolto.networks.registry import Architecture, build
from verovolto.networks.resnet_ocvae2 import DecoderBlock
from verovolto.networks.vae import VAE

Shape = tuple[int, ...]
"""Of one face: `(C, H, W)` of feature maps, `(Z,)` of a vector."""

Role = Literal["encoder", "bottleneck", "decoder", "second encoder"]
Kind = Literal[
    "convolution", "transposed convolution", "residual", "linear", "norm", "activation", "pooling", "resize",
    "reshape", "sampling", "other",
]  # fmt: skip

IMAGE = -1
"""What a stage reads when it reads the face itself."""

_CONVOLUTIONS = (nn.Conv2d, nn.ConvTranspose2d)
_RESIDUAL = (BasicBlock, DecoderBlock, Lite0Block)
_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d)


@dataclass(frozen=True, kw_only=True)
class Stage:
    """One step of a network: a layer with the normalisation and activation behind it, or a residual block.

    `layers` says in words what it does, `modules` are the names of the modules it consists of, in order (none for
    plain operations), `kernel` the side of its filters in pixels (0 where it has none), `reads` the places in
    `NetworkSummary.stages` of the stages it reads (`IMAGE` for the face). `parameters` counts those met here first.
    """

    name: str
    kind: Kind
    layers: str
    input: Shape
    output: Shape
    parameters: int
    role: Role
    reads: tuple[int, ...]
    kernel: int = 0
    modules: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class NetworkSummary:
    """All stages in the order in which they run, and the places among them of mu, logvar and z.

    A plain auto-encoder has no `logvar`, and its `z` is `mu`.
    """

    stages: tuple[Stage, ...]
    image: Shape
    mu: int
    logvar: int | None
    z: int

    @property
    def parameters(self) -> int:
        """Of all stages together."""
        return sum(stage.parameters for stage in self.stages)

    def of(self, role: Role) -> list[Stage]:
        """The stages of one part, in order."""
        return [stage for stage in self.stages if stage.role == role]


def summarize(architecture: Architecture) -> NetworkSummary:
    """Trace the network of an architecture; raises `InputError` where there is no such network."""
    with torch.device("meta"):  # shapes without memory or arithmetic
        network = build(architecture)
    return trace(network)


def trace(network: VAE) -> NetworkSummary:
    """Trace a network by running one empty face through it, on the device where its weights are.

    The network is left as it was. Raises `ValueError` where mu or logvar is made by an operation that gives
    several tensors at once, which is not followed.
    """
    device = next(network.parameters()).device
    x = torch.zeros(1, 3, network.size, network.size, device=device)
    record = _Recorder(network, x)
    with _evaluating(network), torch.inference_mode(), record.hooked():
        with record.role_of("encoder"):
            posterior = network.encode(x)
        mu = z_place = record.head(posterior.mu, "μ")
        z, logvar = posterior.mu, None
        if posterior.logvar is not None:
            logvar = record.head(posterior.logvar, "log σ²")
            z = posterior.sample(torch.zeros_like(posterior.mu))
            z_place = record.sampling(posterior.mu, posterior.logvar, z)
        with record.role_of("decoder"):
            x_hat = network.decode(z)
        if network.second_encoder is not None:
            with record.role_of("second encoder"):
                network.encode_again(x_hat)
    return NetworkSummary(stages=tuple(record.stages), image=_shape(x), mu=mu, logvar=logvar, z=z_place)


class _Recorder:
    """Notes every module and operation that a face passes, and which stage made which tensor."""

    def __init__(self, network: VAE, x: Tensor) -> None:
        self.stages: list[Stage] = []
        self._network = network
        self._role: Role = "encoder"
        self._inside = 0
        self._counted: set[int] = set()
        self._made = {id(x): IMAGE}
        self._kept = [x]  # a tensor that is let go could leave its id to another

    @contextmanager
    def hooked(self) -> Iterator[None]:
        handles = []
        for name, module in _units(self._network):
            handles.append(module.register_forward_pre_hook(self._enter))
            handles.append(module.register_forward_hook(self._leave(name)))
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    @contextmanager
    def role_of(self, role: Role) -> Iterator[None]:
        self._role = role
        with _Operations(self):
            yield

    def head(self, tensor: Tensor, symbol: str) -> int:
        """Make the stage that gave a parameter of the posterior part of the bottleneck; returns its place."""
        if id(tensor) not in self._made:
            raise ValueError(f"what makes the latent of {type(self._network).__name__} cannot be followed")
        place = self._made[id(tensor)]
        stage = self.stages[place]
        self.stages[place] = replace(stage, role="bottleneck", layers=f"{symbol}: {stage.layers}")
        return place

    def sampling(self, mu: Tensor, logvar: Tensor, z: Tensor) -> int:
        self._role = "bottleneck"
        self._add("z", "sampling", "z = μ + σ · ε", [mu, logvar], z)
        return len(self.stages) - 1

    def operation(self, name: str, inputs: list[Tensor], output: Tensor) -> None:
        """Note an operation outside all modules, unless it has nothing to do with the face or gives it back."""
        inputs = [tensor for tensor in inputs if id(tensor) in self._made]
        if self._inside or not inputs or any(output is tensor for tensor in inputs):
            return
        kind, layers = _operation_in_words(name, _shape(inputs[0]), _shape(output))
        self._add(layers, kind, layers, inputs, output)

    def _enter(self, _module: nn.Module, _args: Any) -> None:
        self._inside += 1

    def _leave(self, name: str) -> Any:
        def note(module: nn.Module, args: tuple[Tensor, ...], output: Tensor) -> None:
            self._inside -= 1
            kind, layers, kernel = _module_in_words(module)
            new = [weights for weights in module.parameters() if id(weights) not in self._counted]
            self._counted.update(map(id, new))
            parameters = sum(weights.numel() for weights in new)
            self._add(name, kind, layers, list(args), output, parameters, kernel, (name,))

        return note

    def _add(
        self, name: str, kind: Kind, layers: str, inputs: list[Tensor], output: Tensor, parameters: int = 0,
        kernel: int = 0, modules: tuple[str, ...] = (),
    ) -> None:  # fmt: skip
        reads = tuple(dict.fromkeys(self._made[id(tensor)] for tensor in inputs))
        stage = Stage(
            name=name, kind=kind, layers=layers, input=_shape(inputs[0]), output=_shape(output),
            parameters=parameters, role=self._role, reads=reads, kernel=kernel, modules=modules,
        )  # fmt: skip
        merged = _merged(self.stages[-1], stage) if reads == (len(self.stages) - 1,) and self.stages else None
        if merged is None:
            self.stages.append(stage)
        else:
            self.stages[-1] = merged
        self._made[id(output)] = len(self.stages) - 1
        self._kept.append(output)


class _Operations(TorchFunctionMode):
    """Passes the operations called while it is active on to a recorder."""

    def __init__(self, record: _Recorder) -> None:
        super().__init__()
        self._record = record

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        output = func(*args, **(kwargs or {}))
        if isinstance(output, Tensor):
            inputs = [value for value in (*args, *(kwargs or {}).values()) if isinstance(value, Tensor)]
            self._record.operation(func.__name__, inputs, output)
        return output


def in_words(shape: Shape) -> str:
    """`64 × 56 × 56`, or `25,088` for a vector."""
    return " × ".join(f"{size:,}" for size in shape)


def _merged(before: Stage, after: Stage) -> Stage | None:
    """The two as one stage, where the second belongs to the first; None where it stands for itself."""
    if before.role != after.role:
        return None
    if before.kind == after.kind == "reshape":
        kind, layers = _operation_in_words("view", before.input, after.output)
        return replace(before, name=layers, kind=kind, layers=layers, output=after.output)
    if after.kind not in ("norm", "activation"):
        return None
    return replace(
        before,
        layers=f"{before.layers}, {after.layers}",
        parameters=before.parameters + after.parameters,
        modules=before.modules + after.modules,
        output=after.output,
    )


def _units(network: nn.Module, name: str = "") -> Iterator[tuple[str, nn.Module]]:
    """The modules that count as one step: residual blocks, convolutions, and layers without layers inside."""
    for part, module in network.named_children():
        full = f"{name}.{part}" if name else part
        if isinstance(module, _RESIDUAL + _CONVOLUTIONS) or not any(module.children()):
            yield full, module
        else:
            yield from _units(module, full)


def _module_in_words(module: nn.Module) -> tuple[Kind, str, int]:
    """Kind, words and kernel of a module."""
    if isinstance(module, _RESIDUAL):
        filters = [inner for inner in module.modules() if isinstance(inner, _CONVOLUTIONS)]
        up = "transposed " if isinstance(filters[0], nn.ConvTranspose2d) else ""
        kernel = max(inner.kernel_size[0] for inner in filters)
        words = f"residual block of {kernel}×{kernel} {up}convolutions"
        if isinstance(module, Lite0Block):
            words = f"inverted residual block, {kernel}×{kernel} depthwise"
        return "residual", words + _stride(max(inner.stride[0] for inner in filters)), kernel
    if isinstance(module, _CONVOLUTIONS):
        kind: Kind = "convolution" if isinstance(module, nn.Conv2d) else "transposed convolution"
        kernel = module.kernel_size[0]
        return kind, f"{kind} {kernel}×{kernel}{_stride(module.stride[0])}", kernel
    if isinstance(module, nn.MaxPool2d):
        kernel, stride = (
            side if isinstance(side, int) else side[0] for side in (module.kernel_size, module.stride)
        )
        return "pooling", f"max pooling {kernel}×{kernel}{_stride(stride)}", kernel
    if isinstance(module, nn.Linear):
        return "linear", "linear", 0
    if isinstance(module, _NORMS):
        return "norm", "batch norm", 0
    if isinstance(module, nn.ReLU | nn.ReLU6):
        return "activation", type(module).__name__, 0
    return "other", type(module).__name__, 0


def _operation_in_words(name: str, before: Shape, after: Shape) -> tuple[Kind, str]:
    """Kind and words of an operation, by what it does to the shape where that tells all."""
    if name == "interpolate":
        times, rest = divmod(after[-1], before[-1])
        return "resize", f"bilinear ×{times}" if not rest else f"bilinear, to {after[-1]}×{after[-1]}"
    if name == "mean" and len(before) == 3 and len(after) == 1:
        return "pooling", "average pooling"
    if name in ("flatten", "unflatten", "view", "reshape", "expand", "__getitem__"):
        if math.prod(before) != math.prod(after):
            return "reshape", f"spread over {after[-2]}×{after[-1]}"
        return "reshape", "flatten" if len(after) == 1 else "reshape"
    return ("activation" if before == after else "other"), name


def _stride(stride: int) -> str:
    return "" if stride == 1 else f", stride {stride}"


def _shape(tensor: Tensor) -> Shape:
    return tuple(tensor.shape[1:])


@contextmanager
def _evaluating(network: nn.Module) -> Iterator[None]:
    """Batch norms as in use: a single face has no variance, and the running figures stay as they are."""
    modes = [(module, module.training) for module in network.modules()]
    network.eval()
    try:
        yield
    finally:
        for module, mode in modes:
            module.training = mode
