"""A batch of face crops, out of whatever a user may call images, and how crops become a network's input.

Before it the pure functions of crops and of seeds: what training and scoring do to a face, and the order of an epoch.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float, UInt8
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.nn.functional import conv2d
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2 import functional as F

from verovolto.core.errors import InputError, UnreadableImage
from verovolto.data.decode import decode_image, to_pixels

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


@dataclass(frozen=True, kw_only=True)
class FaceBatch:
    """Face crops to score.

    Attributes:
        images: uint8 `[3, H, W]` RGB tensors, sizes may differ.
        encoded_bytes: size of the encoded image that each came from, None where it never was a file.
    """

    images: Sequence[Tensor]
    encoded_bytes: Sequence[int | None]

    def __len__(self) -> int:
        return len(self.images)


def to_batch(images: Any) -> FaceBatch:
    """Gather what a user may call images into a `FaceBatch`.

    Takes one image or a sequence (or a stacked tensor/array): paths, PIL images, uint8 arrays `[H, W, 3]` or
    `[H, W]`, tensors `[3, H, W]` as uint8 or as floats in [0, 1]. Raises `InputError` for anything else and
    `UnreadableImage` for a file that does not decode.

    >>> [tuple(image.shape) for image in to_batch([np.zeros((48, 40), np.uint8), torch.rand(3, 96, 96)]).images]
    [(3, 48, 40), (3, 96, 96)]
    """
    faces = [_to_face(image) for image in _as_list(images)]
    return FaceBatch(images=[face for face, _ in faces], encoded_bytes=[size for _, size in faces])


def _as_list(images: Any) -> list[Any]:
    if isinstance(images, (str, Path, Image.Image)):
        return [images]
    if isinstance(images, Tensor):
        return [images] if images.ndim == 3 else list(images)
    if isinstance(images, np.ndarray):
        # Three dimensions are one image: [3, H, W] read as three grey ones would be a silent mistake.
        return list(images) if images.ndim == 4 else [images]
    if isinstance(images, (bytes, bytearray)) or not isinstance(images, Iterable):
        return [images]
    return list(images)


def _to_face(image: Any) -> tuple[Tensor, int | None]:
    if isinstance(image, (str, Path)):
        try:
            encoded = Path(image).read_bytes()
        except OSError as error:
            raise UnreadableImage(
                f"{image} cannot be read: {error.strerror}", hint="check the path"
            ) from error
        return decode_image(encoded, name=str(image)), len(encoded)
    if isinstance(image, Image.Image):
        return _from_pil(image), None
    if isinstance(image, np.ndarray):
        return _from_array(image), None
    if isinstance(image, Tensor):
        return _from_tensor(image), None
    raise InputError(
        f"cannot take a {type(image).__name__} as an image", hint="give a path, PIL image, array or tensor"
    )


def _from_pil(image: Image.Image) -> Tensor:
    if 0 in image.size:
        raise InputError(f"an image of {image.size[0]} x {image.size[1]} pixels is no image")
    try:
        return to_pixels(image)
    except (OSError, ValueError, SyntaxError) as error:  # Pillow decodes here; what it raises has many kinds
        raise UnreadableImage(f"the PIL image cannot be read: {error}") from error


def _from_array(image: NDArray[Any]) -> Tensor:
    channels = image.shape[-1] if image.ndim == 3 else 3
    if image.dtype != np.uint8 or image.ndim not in (2, 3) or channels not in (1, 3, 4) or not image.size:
        raise InputError(
            f"an array of {image.dtype} with shape {image.shape} is no image",
            hint="give uint8 [H, W, 3] or [H, W]",
        )
    return to_pixels(Image.fromarray(image[..., 0] if channels == 1 else image))


def _from_tensor(image: Tensor) -> Tensor:
    image = image.detach().cpu()
    if image.ndim != 3 or image.shape[0] != 3 or not image.numel():
        raise InputError(f"a tensor of shape {tuple(image.shape)} is no image", hint="give [3, H, W]")
    if image.dtype == torch.uint8:
        return image
    low, high = float(image.min()), float(image.max())
    if not image.is_floating_point() or not (low >= 0.0 and high <= 1.0):
        raise InputError(
            f"a tensor of {image.dtype} between {low:.3g} and {high:.3g} is no image",
            hint="give uint8, or floats in [0, 1] before any normalisation",
        )
    return (image * 255).round().to(torch.uint8)


@dataclass(frozen=True, kw_only=True)
class Preprocessing:
    """How a crop becomes the network's input; a face cropped by another rule is an anomaly to the detector.

    `crop_rule` is the rule of the faces it was trained on (see `faces.crop`), None where that is unknown.
    """

    size: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    resize_filter: Literal["bilinear-antialias"] = "bilinear-antialias"
    crop_rule: dict[str, Any] | None = None

    def __call__(self, batch: FaceBatch, device: torch.device) -> Tensor:
        """Crops to a float32 `[B, 3, size, size]` tensor, channels last, on `device`."""
        pixels = torch.stack([resize(image, self.size) for image in batch.images])
        x = normalise(pixels.to(device, non_blocking=True), self.mean, self.std)
        return x.contiguous(memory_format=torch.channels_last)

    def pictures(self, x: Tensor) -> Tensor:
        """Inputs, or what a network made of them, `[B, 3, h, w]` as pictures: in [0, 1], contiguous, on the CPU."""
        mean, std = (torch.tensor(part, device=x.device).view(1, 3, 1, 1) for part in (self.mean, self.std))
        return (x * std + mean).clamp(0, 1).cpu().contiguous()

    @staticmethod
    def from_dict(written: Mapping[str, Any]) -> Preprocessing:
        """Read what `dataclasses.asdict` gave."""
        return Preprocessing(**{**written, "mean": tuple(written["mean"]), "std": tuple(written["std"])})
