"""Photos: read within limits, decoded, upright, as RGB."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor

from verovolto.core.errors import InputError, UnreadableImage
from verovolto.data.decode import READS_AVIF, decode_image, image_size
from verovolto.media.decode_report import DecodeReport, Frame
from verovolto.media.sampling import Sampling
from verovolto.media.types import FileType, Limits, UnreadableMedia


@dataclass(frozen=True, kw_only=True, eq=False)
class Photo:
    """A decoded photo.

    Attributes:
        path: where it was read from.
        file_type: what it is.
        image: uint8 `[3, H, W]`, RGB, upright.
    """

    path: Path
    file_type: FileType
    image: UInt8[Tensor, "3 h w"]

    @property
    def width(self) -> int:
        """Pixels across, upright."""
        return int(self.image.shape[2])

    @property
    def height(self) -> int:
        """Pixels down, upright."""
        return int(self.image.shape[1])

    def frames(self, sampling: Sampling | None = None, *, threads: int = 1) -> Iterator[Frame]:
        """Yield the photo as the only frame of a video, so that callers need not tell the two apart."""
        yield Frame(index=0, time_s=0.0, image=self.image)

    @property
    def report(self) -> DecodeReport:
        """One frame, nothing missing."""
        return DecodeReport(decoded_frames=1, sampled=1, damaged_frames=0, missing=0, damage=())


def open_photo(path: Path, file_type: FileType, limits: Limits) -> Photo:
    """Read and decode the photo at `path`.

    The limits are checked before anything is decoded. EXIF orientation is applied (HEIC states its own, which
    is applied instead); grey, CMYK, palette and 16-bit pictures become 8-bit RGB, of 16 bits the high byte is
    kept, transparent pixels lie on black, of an animation the first frame is taken.

    Raises:
        UnreadableMedia: more bytes than `limits.photo_bytes`, or the file cannot be read, or its format is
            known but not supported.
        UnreadableImage: more pixels than `limits.photo_pixels`, or damaged data.
        InputError: a HEIC photo, and the package that reads it is not installed.
    """
    encoded = _read(path, limits.photo_bytes)
    if file_type.format == "avif" and not READS_AVIF:
        raise UnreadableMedia(
            f"{path}: this Pillow reads no AVIF photos", hint="pip install --upgrade pillow"
        )
    if file_type.format == "heic":
        return Photo(path=path, file_type=file_type, image=_decode_heic(encoded, str(path), limits))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow's remark on large images, which are refused here anyhow
        width, height = image_size(encoded, name=str(path))
    _check_pixels(width, height, limits, str(path))
    return Photo(path=path, file_type=file_type, image=decode_image(encoded, name=str(path)))


def _check_pixels(width: int, height: int, limits: Limits, name: str) -> None:
    """Raise `UnreadableImage` when a photo of this size exceeds the limits, or has no pixels."""
    if not 0 < width * height <= limits.photo_pixels:
        raise UnreadableImage(
            f"{name}: {width} x {height} pixels, the limit is {limits.photo_pixels:,} in all",
            hint="shrink the photo, or raise the limit",
        )


def _read(path: Path, limit: int) -> bytes:
    try:
        with path.open("rb") as handle:
            encoded = handle.read(limit + 1)  # never more than the limit, whatever the file's size claims
    except OSError as error:
        raise UnreadableMedia(f"{path}: cannot be read ({error.strerror})") from error
    if len(encoded) > limit:
        raise UnreadableMedia(
            f"{path}: a photo of more than {limit:,} bytes, which is the limit", hint="raise the limit"
        )
    return encoded


def _decode_heic(encoded: bytes, name: str, limits: Limits) -> Tensor:
    try:
        import pillow_heif
    except ImportError as error:
        raise InputError(
            f"{name}: reading HEIC photos needs the package pillow-heif",
            hint='install it with: pip install "verovolto[heic]"',
        ) from error
    try:
        heif: Any = pillow_heif.open_heif(io.BytesIO(encoded), convert_hdr_to_8bit=True)
        width, height = heif.size
        _check_pixels(width, height, limits, name)
        pixels = rgb_on_black(np.asarray(heif))
    except UnreadableImage:
        raise
    except Exception as error:  # as with Pillow, hostile bytes raise nearly anything
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise UnreadableImage(f"{name}: damaged HEIC ({reason})") from error
    return torch.from_numpy(np.ascontiguousarray(pixels.transpose(2, 0, 1)))


def rgb_on_black(pixels: UInt8[np.ndarray, "h w *c"]) -> UInt8[np.ndarray, "h w 3"]:
    """Bring grey `[H, W]` or `[H, W, 1]`, grey with alpha, RGB or RGBA bytes to RGB, transparency on black."""
    if pixels.dtype != np.uint8:
        raise ValueError(f"{pixels.dtype} pixels are not supported")
    if pixels.ndim == 2:
        pixels = pixels[:, :, None]
    channels = pixels.shape[2]
    colour = pixels[:, :, : 3 if channels >= 3 else 1]
    if channels in (2, 4):
        # In 16 bits: the product reaches 255 * 255; + 127 rounds to the nearest.
        product = colour.astype(np.uint16) * pixels[:, :, -1:]
        colour = ((product + 127) // 255).astype(np.uint8)
    return np.broadcast_to(colour, (*colour.shape[:2], 3))
