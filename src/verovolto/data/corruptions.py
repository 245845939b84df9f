"""Common image corruptions, each with levels from mild to severe, as pure functions of uint8 `[3, H, W]` crops.

After Hendrycks & Dietterich, "Benchmarking Neural Network Robustness to Common Corruptions and Perturbations", ICLR
2019. Only noise is random, and depends on nothing but the seed, the corruption, the level and the number of the
face.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import conv2d, pad
from torchvision.io import ImageReadMode, decode_jpeg, encode_jpeg
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2 import functional as F

from verovolto.core.errors import InputError
from verovolto.data.face_batch import luma, random_bits


class CorruptedImage(NamedTuple):
    """A corrupted crop, uint8 `[3, H, W]` of the size it had, and the size of its file in bytes (None without one)."""

    image: Tensor
    encoded_bytes: int | None


Change = Callable[[Tensor, float, int], CorruptedImage]
"""From a crop, a level and 64 random bits to the corrupted crop."""


@dataclass(frozen=True, kw_only=True)
class Corruption:
    """One corruption and its levels.

    Attributes:
        name: a word, as files and flags spell it.
        title: for headings.
        parameter: what a level is a value of, with its unit.
        phrase: a level in words, `{}` where the value goes.
        levels: values of the parameter, from mild to severe.
    """

    name: str
    title: str
    parameter: str
    phrase: str
    levels: tuple[float, ...]
    change: Change

    def apply(
        self,
        image: Tensor,
        level: float | None,
        *,
        encoded_bytes: int | None = None,
        seed: int = 0,
        face: int,
    ) -> CorruptedImage:
        """Corrupt a crop.

        Args:
            image: uint8 `[3, H, W]`.
            level: value of the parameter; None leaves the crop as it is.
            encoded_bytes: size of the crop's file.
            seed: of the noise, >= 0.
            face: number of the face in its set, which decides the noise together with the seed.

        Raises:
            InputError: for what is no crop.
        """
        if image.dtype != torch.uint8 or image.ndim != 3 or image.shape[0] != 3 or not image.numel():
            raise InputError(
                f"a tensor of {image.dtype} with shape {tuple(image.shape)} is no crop",
                hint="give uint8 [3, H, W]",
            )
        if level is None:
            return CorruptedImage(image, encoded_bytes)
        code = zlib.crc32(f"{self.name} {level:g}".encode())
        return self.change(image, level, random_bits(seed, code, face))

    def describe(self) -> dict[str, Any]:
        """As JSON can hold it."""
        names = ("name", "title", "parameter", "phrase")
        return {**{name: getattr(self, name) for name in names}, "levels": list(self.levels)}


def jpeg(image: Tensor, quality: float, _: int = 0) -> CorruptedImage:
    """JPEG, 4:2:0, of a quality in 1 to 100 (libjpeg's scale), and back."""
    encoded = encode_jpeg(image.contiguous(), int(quality))
    return CorruptedImage(decode_jpeg(encoded, mode=ImageReadMode.RGB), len(encoded))


def downscale(image: Tensor, factor: float, _: int = 0) -> CorruptedImage:
    """Shrink both sides by a factor in (0, 1] and enlarge again, bilinear with antialiasing both ways."""
    height, width = image.shape[-2:]
    small = [max(1, round(height * factor)), max(1, round(width * factor))]
    for size in (small, [height, width]):
        # As floats: torch's resize of bytes stops with an internal error at crops that are one pixel wide.
        x = F.resize(image.float(), size, interpolation=InterpolationMode.BILINEAR, antialias=True)
        image = _to_bytes(x)
    return CorruptedImage(image, None)


def blur(image: Tensor, percent: float, _: int = 0) -> CorruptedImage:
    """Gaussian blur, its standard deviation in percent of the crop's shorter side; borders are mirrored."""
    shorter = min(image.shape[-2:])
    sigma = max(percent / 100 * shorter, 1e-6)
    half = min(math.ceil(3 * sigma), shorter - 1)  # a mirror shows no more than there is
    bell = torch.exp(-0.5 * (torch.arange(-half, half + 1) / sigma).square())
    bell = (bell / bell.sum()).view(1, 1, -1)
    x = pad(image.float().unsqueeze(1), (half, half, half, half), mode="reflect")
    x = conv2d(conv2d(x, bell.unsqueeze(2)), bell.unsqueeze(3))
    return CorruptedImage(_to_bytes(x.squeeze(1)), None)


def noise(image: Tensor, deviation: float, bits: int) -> CorruptedImage:
    """Independent Gaussian noise in every channel of every pixel, standard deviation in grey levels of 255."""
    drawn = torch.from_numpy(_normals(image.numel(), bits)).view(image.shape)
    return CorruptedImage(_to_bytes(image.float() + deviation * drawn), None)


def darkening(image: Tensor, gain: float, _: int = 0) -> CorruptedImage:
    """All grey levels times a gain in [0, 1]."""
    return CorruptedImage(_to_bytes(gain * image.float()), None)


def contrast(image: Tensor, factor: float, _: int = 0) -> CorruptedImage:
    """Distances from the crop's mean luma times a factor in [0, 1]."""
    mean = luma(image).mean()
    return CorruptedImage(_to_bytes(mean + factor * (image.float() - mean)), None)


_FACTORS = (0.75, 0.5, 0.25)
CORRUPTIONS = tuple(
    Corruption(name=name, title=title, parameter=parameter, phrase=phrase, levels=levels, change=change)
    for name, title, parameter, phrase, levels, change in (
        ("jpeg", "JPEG compression", "quality", "quality {}", (95.0, 75.0, 50.0, 30.0), jpeg),
        ("downscale", "Low resolution", "sides, factor", "sides × {}", _FACTORS, downscale),
        ("blur", "Blur", "sigma, % of the side", "sigma {} % of the side", (0.5, 1.0, 2.0), blur),
        ("noise", "Noise", "sd, grey levels of 255", "sd {} grey levels", (5.0, 10.0, 20.0), noise),
        ("darkening", "Low light", "brightness, factor", "brightness × {}", _FACTORS, darkening),
        ("contrast", "Low contrast", "contrast, factor", "contrast × {}", _FACTORS, contrast),
    )
)
"""What a detector is tried on, each with its levels from mild to severe."""


def _to_bytes(x: Tensor) -> Tensor:
    return x.round().clamp(0, 255).to(torch.uint8)


def _normals(n: int, bits: int) -> NDArray[np.float32]:
    """`[n]` standard normal numbers (Box & Muller, 1958) out of the raw words of Philox, whose stream NumPy keeps."""
    words = np.random.Philox(key=bits).random_raw(2 * ((n + 1) // 2))
    radial, angular = (((words >> np.uint64(11)) + 0.5) * 2.0**-53).reshape(2, -1)
    radius, angle = np.sqrt(-2 * np.log(radial)), 2 * np.pi * angular
    return np.concatenate([radius * np.cos(angle), radius * np.sin(angle)])[:n].astype(np.float32)
