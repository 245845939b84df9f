"""Pure functions of decoded crops and of seeds: what training and scoring do to a face, and the order of an epoch."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float, UInt8
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import conv2d
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2 import functional as F

from verovolto.core.errors import InputError

LUMA = (0.299, 0.587, 0.114)
"""Weights of red, green and blue by ITU-R BT.601, as JPEG uses them."""
_LAPLACIAN = ((0.0, 1.0, 0.0), (1.0, -4.0, 1.0), (0.0, 1.0, 0.0))
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
    """Mirror a `[3, h, w]` image left-right and upside down, as asked."""
    axes = [axis for axis, wanted in ((2, horizontal), (1, vertical)) if wanted]
    return image.flip(axes) if axes else image


def luma(image: UInt8[Tensor, "3 h w"]) -> Float[Tensor, "h w"]:
    """Luma of an RGB image by ITU-R BT.601, float32 in [0, 255]."""
    return (image.float() * torch.tensor(LUMA).view(3, 1, 1)).sum(0)


def laplacian_variance(luma: Float[Tensor, "h w"]) -> Float[Tensor, ""]:
    """Variance of the 3x3 Laplacian over the inner pixels, the usual measure of focus (Pech-Pacheco et al. 2000).

    Needs at least 3x3 pixels. Its unit is the square of `luma`'s.
    """
    return conv2d(luma[None, None], torch.tensor(_LAPLACIAN).view(1, 1, 3, 3)).var(correction=0)


def random_bits(seed: int, epoch: int, index: int) -> int:
    """64 random bits that depend on seed, epoch and index alone (splitmix64, Steele et al. 2014).

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


def epoch_order(blocks: NDArray[np.int64], *, seed: int, epoch: int, window: int = 4096) -> NDArray[np.int64]:
    """Permutation of the rows for one epoch: row groups shuffled, then rows within windows of `window` rows.

    A window of 4096 rows spans 64 row groups of 64 rows, which the reader's cache holds, so that each row group
    is read about once an epoch; a window of at least n rows is a uniform shuffle. The keys are the raw 64-bit
    words of Philox (Salmon et al., SC 2011), whose stream NumPy keeps from version to version.

    Args:
        blocks: int64 `[n]`, the row group of each row (`FaceSet.blocks`).
        seed: of the run, >= 0.
        epoch: its number, >= 0.
        window: rows that are shuffled among themselves, >= 1.

    Returns:
        int64 `[n]`, a function of the arguments alone.

    Raises:
        InputError: for an argument out of range.

    >>> epoch_order(np.arange(12) // 4, seed=1, epoch=2, window=4).tolist()
    [4, 5, 7, 6, 0, 1, 2, 3, 11, 9, 10, 8]
    """
    if seed < 0 or epoch < 0 or window < 1:
        raise InputError(f"seed {seed}, epoch {epoch}, window {window}: seed and epoch >= 0, window >= 1")
    random = np.random.Philox(np.random.SeedSequence([seed, epoch]))
    groups, group_of_row = np.unique(np.asarray(blocks), return_inverse=True)
    rank = np.empty(len(groups), dtype=np.int64)
    rank[np.argsort(random.random_raw(len(groups)), kind="stable")] = np.arange(len(groups))
    by_group = np.argsort(rank[group_of_row], kind="stable")
    windows = np.arange(len(by_group)) // window
    shuffled = np.lexsort((random.random_raw(len(by_group)), windows))
    return np.asarray(by_group[shuffled], dtype=np.int64)
