"""The ResNet-18 of torchvision and its pretrained weights."""

from __future__ import annotations

import pickle
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.error import URLError
from urllib.parse import urlparse

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from torchvision.models import ResNet18_Weights, resnet18

from verovolto.core.errors import WeightsError

IMAGENET = "imagenet"
NONE = "none"
_WEIGHTS = ResNet18_Weights.IMAGENET1K_V1
_FILE_NAME = Path(urlparse(_WEIGHTS.url).path).name
_TIMEOUT_S = 20.0


def resnet18_features() -> nn.Sequential:
    """ResNet-18 (He et al. 2016) without pooling and classifier: `[B, 3, s, s] -> [B, 512, s/32, s/32]`."""
    net = resnet18(weights=None)
    return nn.Sequential(
        nn.Sequential(net.conv1, net.bn1, net.relu, net.maxpool),
        net.layer1,
        net.layer2,
        net.layer3,
        net.layer4,
    )


def blocks_of(features: nn.Sequential) -> list[nn.Module]:
    """The stem and the residual blocks of `resnet18_features`, in their order."""
    stem, *layers = features
    return [stem, *(block for layer in layers for block in layer.children())]


def load_backbone(features: nn.Sequential, weights: str, *, cache: Path) -> None:
    """Fill `resnet18_features` with pretrained weights.

    `weights` is `imagenet` (torchvision's IMAGENET1K_V1, from torch's own cache if it is there, else fetched into
    `cache`), `none` (leave the random initialisation), or a file: a ResNet-18 state dict as `.pth` (read without
    running code) or `.safetensors`. Raises `WeightsError` where the weights cannot be had or do not fit.
    """
    if weights == NONE:
        return
    state = _imagenet_state(cache) if weights == IMAGENET else _file_state(Path(weights))
    net = resnet18(weights=None)
    # Old state dicts lack the batch counters, and a backbone saved without its classifier lacks `fc`.
    missing, unexpected = net.load_state_dict(
        {k: v for k, v in state.items() if not k.startswith("fc.")}, strict=False
    )
    missing = [k for k in missing if not k.startswith("fc.") and not k.endswith("num_batches_tracked")]
    if missing or unexpected:
        named = ", ".join([*missing, *unexpected][:3])
        raise WeightsError(
            f"{weights} holds no ResNet-18: {len(missing)} tensors missing, {len(unexpected)} unknown ({named}, …)",
            hint=f"give torchvision's {_FILE_NAME}, or --weights none",
        )
    stem = nn.Sequential(net.conv1, net.bn1, net.relu, net.maxpool)
    features.load_state_dict(nn.Sequential(stem, net.layer1, net.layer2, net.layer3, net.layer4).state_dict())


def _imagenet_state(cache: Path) -> dict[str, Tensor]:
    cached = Path(torch.hub.get_dir()) / "checkpoints" / _FILE_NAME
    if cached.is_file():
        return _file_state(cached)
    try:
        with _network_timeout():
            state: dict[str, Tensor] = _WEIGHTS.get_state_dict(
                progress=True, check_hash=True, model_dir=str(cache), weights_only=True
            )
            return state
    except (URLError, OSError, RuntimeError) as error:
        if cache.is_dir() and not any(cache.iterdir()):
            cache.rmdir()
        raise WeightsError(
            f"the ImageNet weights {_FILE_NAME} are not on this machine and could not be fetched ({error})",
            hint=f"copy {_FILE_NAME} here and give --weights {_FILE_NAME}, or start from random weights with "
            "--weights none",
        ) from error


@contextmanager
def _network_timeout() -> Iterator[None]:
    """A limit for torch.hub, which opens the address without one: a dead network would hang for ever."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(_TIMEOUT_S)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


def _file_state(path: Path) -> dict[str, Tensor]:
    if not path.is_file():
        raise WeightsError(
            f"no weights file {path}", hint=f"give torchvision's {_FILE_NAME}, or --weights none"
        )
    try:
        state = (
            load_file(path)
            if path.suffix == ".safetensors"
            else torch.load(path, map_location="cpu", weights_only=True)
        )
    except pickle.UnpicklingError as error:
        reason = str(error).splitlines()[0]
        raise WeightsError(
            f"{path} is refused: it holds more than tensors and could run code ({reason})",
            hint="save its state dict with torch.save or as safetensors; no other way of loading is tried",
        ) from error
    except (SafetensorError, RuntimeError, EOFError, OSError, ValueError) as error:
        raise WeightsError(f"{path} is no weights file ({error})", hint="is it complete?") from error
    if not isinstance(state, dict) or not all(isinstance(v, Tensor) for v in state.values()):
        raise WeightsError(
            f"{path} holds no state dict of tensors", hint="save net.state_dict(), not the network"
        )
    return state
