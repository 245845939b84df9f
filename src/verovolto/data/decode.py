"""Encoded image bytes to RGB pixels, with limits and a clear error for what cannot be read, and back."""

from __future__ import annotations

import io
import warnings

import numpy as np
import torch
from PIL import Image, ImageOps, features
from torch import Tensor
from torchvision.io import ImageReadMode, decode_jpeg

from verovolto.core.errors import UnreadableImage

MAX_PIXELS = 1 << 26
"""Largest image that is decoded (67 million pixels): a few kilobytes can claim to be gigabytes of pixels."""

READS_AVIF = bool(features.check("avif"))
_FORMATS = ("JPEG", "PNG", "WEBP", "PPM", "BMP", "GIF", "TIFF", *(["AVIF"] if READS_AVIF else []))
_SOF = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}


def decode_image(encoded: bytes, *, name: str = "image") -> Tensor:
    """Decode to uint8 `[3, H, W]`, RGB, turned upright by its EXIF orientation.

    JPEG in grey or colour goes through torchvision; CMYK JPEG and the others (PNG, WebP, AVIF, PGM/PPM, BMP, GIF, TIFF)
    through Pillow. 16-bit images keep their high byte, transparent pixels lie on black, of an animation the first
    frame is taken. Raises `UnreadableImage`, which names `name`, for damaged or truncated data and for more than
    `MAX_PIXELS` pixels.
    """
    if not encoded:
        raise UnreadableImage(f"{name}: the file is empty")
    header = jpeg_header(encoded)
    # libjpeg fills what is missing of a truncated file with grey, Pillow refuses it: so that judges the rest.
    if header is not None and header[2] in (1, 3) and encoded.rstrip(b"\0").endswith(b"\xff\xd9"):
        _check_pixels(header[0], header[1], name)
        try:
            return _decode_jpeg(encoded)
        except RuntimeError as error:
            raise UnreadableImage(f"{name}: damaged JPEG ({_first_line(error)})") from error
    return _decode_other(encoded, name)


def image_size(encoded: bytes, *, name: str = "image") -> tuple[int, int]:
    """Width and height in pixels as the header states them (before EXIF rotation), without decoding."""
    header = jpeg_header(encoded)
    if header is not None:
        return header[0], header[1]
    try:
        with Image.open(io.BytesIO(encoded), formats=_FORMATS) as image:
            return image.size
    except Exception as error:
        raise UnreadableImage(f"{name}: {_first_line(error)}") from error


def jpeg_header(encoded: bytes) -> tuple[int, int, int] | None:
    """(width, height, components) from a JPEG's frame header; None where there is none."""
    if encoded[:2] != b"\xff\xd8":
        return None
    at = 2
    while at + 9 < len(encoded) and encoded[at] == 0xFF:
        marker = encoded[at + 1]
        if marker == 0xFF:  # a fill byte
            at += 1
        elif marker in _SOF:
            height = int.from_bytes(encoded[at + 5 : at + 7], "big")
            width = int.from_bytes(encoded[at + 7 : at + 9], "big")
            return width, height, encoded[at + 9]
        else:
            at += 2 + int.from_bytes(encoded[at + 2 : at + 4], "big")
    return None


def _decode_jpeg(encoded: bytes) -> Tensor:
    data = torch.frombuffer(bytearray(encoded), dtype=torch.uint8)
    image: Tensor = decode_jpeg(data, mode=ImageReadMode.RGB, apply_exif_orientation=True)
    return image


def _decode_other(encoded: bytes, name: str) -> Tensor:
    try:
        with warnings.catch_warnings(), Image.open(io.BytesIO(encoded), formats=_FORMATS) as image:
            warnings.simplefilter("ignore")  # Pillow's own remarks on odd metadata
            _check_pixels(*image.size, name)
            image.load()
            return to_pixels(image)
    except UnreadableImage:
        raise
    except Exception as error:  # Pillow's plugins raise nearly anything on hostile bytes
        raise UnreadableImage(f"{name}: {_first_line(error)}") from error


def to_pixels(image: Image.Image) -> Tensor:
    """A Pillow image as uint8 `[3, H, W]`, RGB, upright: by the same rules as a file that holds it."""
    pixels = np.array(_to_rgb(ImageOps.exif_transpose(image)))
    return torch.from_numpy(pixels).permute(2, 0, 1).contiguous()


def encode_jpeg(image: Tensor) -> bytes:
    """JPEG of quality 95 without chroma subsampling of uint8 `[3, H, W]`; the same bytes for the same pixels."""
    out = io.BytesIO()
    pixels = image.permute(1, 2, 0).contiguous().numpy()
    Image.fromarray(pixels).save(out, "JPEG", quality=95, subsampling=0)
    return out.getvalue()


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode == "F":
        raise ValueError("floating-point pixels are not supported")
    if image.mode == "I" or image.mode.startswith("I;16"):
        high = np.asarray(image).astype(np.int64) >> 8
        return Image.fromarray(np.clip(high, 0, 255).astype(np.uint8)).convert("RGB")
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", rgba.size, (0, 0, 0, 255)), rgba).convert("RGB")
    return image.convert("RGB")


def _check_pixels(width: int, height: int, name: str) -> None:
    if width * height > MAX_PIXELS:
        raise UnreadableImage(f"{name}: {width} x {height} pixels, the limit is {MAX_PIXELS:,} in all")
    if width * height == 0:
        raise UnreadableImage(f"{name}: {width} x {height} pixels")


def _first_line(error: Exception) -> str:
    text = str(error).strip().splitlines()
    # Pillow names the buffer it read from, which says nothing to anybody.
    return "not an image" if not text or "cannot identify image" in text[0] else text[0]
