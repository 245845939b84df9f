"""From a decoded crop to a network's input: the same few steps in training and in scoring."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2 import functional as F

_SPLITMIX_STEP = np.uint64(0x9E3779B97F4A7C15)


def resize(image: Tensor, size: int) -> Tensor:
    """Resize a uint8 `[3, H, W]` crop to `[3, size, size]`, bilinear with antialiasing, still uint8."""
    if image.shape[-2:] == (size, size):
        return image
    out: Tensor = F.resize(image, [size, size], interpolation=InterpolationMode.BILINEAR, antialias=True)
    return out


def normalise(pixels: Tensor, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """uint8 `[B, 3, h, w]` to float32 `(pixels / 255 - mean) / std` per channel, on the tensor's device."""
    m = torch.tensor(mean, device=pixels.device).view(1, 3, 1, 1)
    s = torch.tensor(std, device=pixels.device).view(1, 3, 1, 1)
    return pixels.float().div_(255).sub_(m).div_(s)


def flip(image: Tensor, *, horizontal: bool, vertical: bool) -> Tensor:
    """Mirror a `[3, h, w]` image left-right and upside down, where asked."""
    axes = [axis for axis, wanted in ((2, horizontal), (1, vertical)) if wanted]
    return image.flip(axes) if axes else image


def random_bits(seed: int, epoch: int, index: int) -> int:
    """64 random bits that depend on nothing but seed, epoch and index (splitmix64, Steele et al. 2014).

    Augmentation drawn from them is the same whatever ran before, in whichever worker process.
    """
    state: NDArray[np.uint64] = np.array([seed, epoch, index], dtype=np.int64).view(np.uint64)
    mixed = np.uint64(0)
    with np.errstate(over="ignore"):
        for word in state:
            mixed = _splitmix(mixed ^ word)
    return int(mixed)


def _splitmix(x: np.uint64) -> np.uint64:
    x = x + _SPLITMIX_STEP
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))
