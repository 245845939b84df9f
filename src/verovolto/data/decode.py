"""Encoded image bytes to RGB pixels (upright, in sRGB, within limits, errors that say why not), and back."""

from __future__ import annotations

import io
import math
import re
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from PIL import Image, features
from torch import Tensor

from verovolto.core.errors import DamagedImage, UnreadableImage
from verovolto.data import jpeg
from verovolto.data.colour import (
    ADOBE_GAMMA,
    ADOBE_RGB,
    D65,
    HDR_TRANSFERS,
    SRGB,
    profile_of_code,
    rgb_profile,
    to_srgb,
    tone_mapped,
)

MAX_PIXELS = 1 << 26
"""Largest image that is decoded (67 million pixels): a few kilobytes can claim to be gigabytes of pixels."""

READS_AVIF = "avif" in features.modules and bool(features.check("avif"))  # Pillow has it from 11.3 on
_FORMATS = ("JPEG", "PNG", "WEBP", "PPM", "BMP", "GIF", "TIFF", *(["AVIF"] if READS_AVIF else []))
_ORIENTATION = 0x0112
_ORIENTATION_IN_XMP = re.compile(rb'tiff:Orientation(?:="|>)([0-9])')
_EXIF_IFD, _INTEROP_IFD, _COLOUR_SPACE, _NOT_SRGB = 0x8769, 0xA005, 0xA001, 0xFFFF
_TRANSPOSED = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_METADATA = (b"Exif\0\0", b"tiff:Orientation", b"ICC_PROFILE\0")
"""Marks in a JPEG's header without which its pixels are upright and in sRGB."""


def decode_image(
    encoded: bytes,
    *,
    name: str = "image",
    max_pixels: int | None = None,
    reduced: bool = False,
    damage: list[str] | None = None,
) -> Tensor:
    """Decode to uint8 `[3, H, W]`, RGB, upright by its EXIF orientation, in sRGB by its colour profile.

    JPEG in grey or colour goes through torchvision; CMYK JPEG and the others (PNG, WebP, AVIF, PGM/PPM, BMP, GIF, TIFF)
    through Pillow. 16-bit images keep their high byte, transparent pixels lie on black, of an animation the first
    frame is taken.

    Args:
        encoded: the file's bytes.
        name: for messages.
        max_pixels: bound on the pixels that are decoded; `MAX_PIXELS` if None.
        reduced: read a JPEG of more pixels at a half, quarter or eighth of its size, instead of refusing it.
        damage: gets in words what the decoder had to guess; None to raise `DamagedImage` there.

    Raises:
        DamagedImage: the decoder would have to guess a part of it.
        UnreadableImage: nothing can be decoded, or there are too many pixels.
    """
    if not encoded:
        raise UnreadableImage(f"{name}: the file is empty")
    most = MAX_PIXELS if max_pixels is None else max_pixels
    header = jpeg.header(encoded)
    if header is None:
        _note(_png_damage(encoded), name, damage)
        return _decode_other(encoded, name, most)
    scale = _reduction(header[0] * header[1], most) if reduced else 1
    # libjpeg fills what is missing of a truncated file with grey, Pillow refuses it: so that judges the rest.
    if scale == 1 and header[2] in (1, 3) and encoded.rstrip(b"\0").endswith(b"\xff\xd9"):
        _check_pixels(header[0], header[1], name, most)
        pixels, reason = jpeg.decode(encoded, name=name)
        _note(reason, name, damage)
        return _by_metadata(pixels, encoded)
    image = _decode_other(encoded, name, most * scale * scale, scale)
    _note(jpeg.damage(encoded), name, damage)
    return image


def _note(reason: str | None, name: str, damage: list[str] | None) -> None:
    if reason and damage is None:
        raise DamagedImage(f"{name}: {reason}", hint="copy or download it again")
    if reason and damage is not None:
        damage.append(reason)


def image_size(encoded: bytes, *, name: str = "image") -> tuple[int, int]:
    """Width and height in pixels as the header states them (before EXIF rotation), without decoding."""
    header = jpeg.header(encoded)
    if header is not None:
        return header[0], header[1]
    try:
        with opened_image(encoded) as image:
            return image.size
    except Exception as error:
        raise UnreadableImage(f"{name}: {_first_line(error)}") from error


@contextmanager
def opened_image(encoded: bytes) -> Iterator[Image.Image]:
    """Open with Pillow, without its remarks on odd metadata and its own limit of pixels: ours are in place of it."""
    limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
    try:
        with warnings.catch_warnings(), Image.open(io.BytesIO(encoded), formats=_FORMATS) as image:
            warnings.simplefilter("ignore")
            if image.format == "PNG":
                image.info["cicp"] = _png_colour_code(encoded)
            yield image
    finally:
        Image.MAX_IMAGE_PIXELS = limit


def _reduction(pixels: int, most: int) -> int:
    """1, 2, 4 or 8: by how much a JPEG's sides are divided while it is decoded, to have at most so many pixels."""
    return next((scale for scale in (1, 2, 4) if pixels <= most * scale * scale), 8)


def _by_metadata(image: Tensor, encoded: bytes) -> Tensor:
    """A JPEG's pixels turned upright and brought to sRGB, where its header says that they are not."""
    head = encoded[: jpeg.metadata_bytes(encoded)]
    if not any(mark in head for mark in _METADATA):
        return image
    try:
        with opened_image(encoded) as opened:
            orientation, profile = _orientation(opened), _profile(opened)
    except Exception:  # metadata that Pillow cannot read: nobody can
        return image
    if orientation is None and profile is None:
        return image
    grey = profile is not None and profile[16:20] == b"GRAY"
    pixels = Image.fromarray(image[0].numpy() if grey else image.permute(1, 2, 0).contiguous().numpy())
    return _to_tensor(to_srgb(pixels, profile), orientation)


def _orientation(image: Image.Image) -> Image.Transpose | None:
    """What turns an image upright, as Pillow's exif_transpose does; None for nothing.

    That function writes the metadata anew besides, and fails at what is odd in it.
    """
    try:
        value = image.getexif().get(_ORIENTATION)
        if value is None and (stated := _ORIENTATION_IN_XMP.search(image.info.get("xmp", b""))):
            value = int(stated[1])  # as getexif reads it from Pillow 11.2 on
        return None if value is None else _TRANSPOSED.get(value)
    except Exception:  # Pillow raises nearly anything on hostile metadata
        return None


def _decode_other(encoded: bytes, name: str, most: int, scale: int = 1) -> Tensor:
    try:
        with opened_image(encoded) as image:
            _check_pixels(*image.size, name, most)
            if scale > 1:
                image.draft(image.mode, (math.ceil(image.width / scale), math.ceil(image.height / scale)))
            image.load()
            if image.format == "TIFF" and image.mode == "I":
                raise ValueError("TIFF of 32-bit whole numbers, or of numbers with a sign, is not supported")
            return to_pixels(image)
    except UnreadableImage:
        raise
    except Exception as error:  # Pillow's plugins raise nearly anything on hostile bytes
        reason = _first_line(error)
        if encoded[:4] in (b"II*\0", b"MM\0*") and reason == "not an image":
            reason = "TIFF whose form of pixels is not supported; save it with 8 or 16 bits a colour"
        raise UnreadableImage(f"{name}: {reason}") from error


def _png_damage(encoded: bytes) -> str | None:
    """Compare the checksums of a PNG's critical chunks, which Pillow does not."""
    at = 8 if encoded[:8] == b"\x89PNG\r\n\x1a\n" else len(encoded)
    while at + 12 <= len(encoded):
        end = at + 8 + _number(encoded[at : at + 4])
        kind = encoded[at + 4 : at + 8]
        stated = encoded[end : end + 4]
        if kind[:1].isupper() and len(stated) == 4 and zlib.crc32(encoded[at + 4 : end]) != _number(stated):
            return "damaged PNG (a checksum does not fit its data)"
        at = end + 4
    return None


def _png_colour_code(encoded: bytes) -> tuple[int, int] | None:
    """Primaries and transfer function that a PNG states by their code points (chunk cICP; PNG 3, 11.3.2.6)."""
    at = 8
    while at + 12 <= len(encoded) and encoded[at + 4 : at + 8] not in (b"IDAT", b"IEND"):
        if encoded[at + 4 : at + 8] == b"cICP":
            return encoded[at + 8], encoded[at + 9]
        at += 12 + _number(encoded[at : at + 4])
    return None


def _number(data: bytes) -> int:
    return int.from_bytes(data, "big")


def to_pixels(image: Image.Image) -> Tensor:
    """A Pillow image as uint8 `[3, H, W]`, RGB, upright, in sRGB: by the same rules as a file that holds it."""
    return _to_tensor(_to_rgb(image), _orientation(image))


def _to_tensor(image: Image.Image, orientation: Image.Transpose | None) -> Tensor:
    upright = image if orientation is None else image.transpose(orientation)
    return torch.from_numpy(np.array(upright)).permute(2, 0, 1).contiguous()


def encode_jpeg(image: Tensor) -> bytes:
    """JPEG of quality 95 without chroma subsampling of uint8 `[3, H, W]`; the same bytes for the same pixels."""
    out = io.BytesIO()
    pixels = image.permute(1, 2, 0).contiguous().numpy()
    Image.fromarray(pixels).save(out, "JPEG", quality=95, subsampling=0)
    return out.getvalue()


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode == "F":
        raise ValueError("floating-point pixels are not supported")
    profile = _profile(image)
    if image.mode == "I" or image.mode.startswith("I;16"):
        high = np.asarray(image).astype(np.int64) >> 8
        if image.mode == "I" and high.max(initial=0) > 255:
            raise ValueError("32-bit pixels are not supported")
        return to_srgb(Image.fromarray(np.clip(high, 0, 255).astype(np.uint8)), profile)
    grey = image.mode in ("L", "LA", "1")
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", rgba.size, (0, 0, 0, 255)), rgba)
    if image.mode == "CMYK":
        return to_srgb(image, profile)
    primaries, transfer = image.info.get("cicp") or (0, 0)
    if primaries == 9 and transfer in HDR_TRANSFERS:
        levels = np.asarray(image.convert("RGB")).astype(np.uint16) * 257
        return Image.fromarray(tone_mapped(levels, HDR_TRANSFERS[transfer]))
    return to_srgb(image.convert("L" if grey else "RGB"), profile)


def _profile(image: Image.Image) -> bytes | None:
    """The colour profile that an image carries or, as PNG and EXIF may, states otherwise; None for sRGB."""
    info: dict[Any, Any] = image.info
    if info.get("cicp"):  # has the last word
        return profile_of_code(info["cicp"][0])
    if not info.get("icc_profile") and _says_adobe_rgb(image):
        return rgb_profile(ADOBE_RGB, gamma=ADOBE_GAMMA)
    if info.get("icc_profile") or "srgb" in info or not ("gamma" in info or "chromaticity" in info):
        return info.get("icc_profile") or None
    numbers = info.get("chromaticity") or (*D65, *(edge for xy in SRGB for edge in xy))
    gamma = 1 / info["gamma"] if info.get("gamma") else None
    if image.mode in ("L", "LA", "1", "I", "I;16"):
        return None
    try:
        return rgb_profile((numbers[2:4], numbers[4:6], numbers[6:8]), white=numbers[:2], gamma=gamma)
    except (ArithmeticError, ValueError, np.linalg.LinAlgError):
        return None


def _says_adobe_rgb(image: Image.Image) -> bool:
    """Whether EXIF says that the colours are those of Adobe RGB (DCF 2.0): no sRGB, and the option file's mark."""
    try:
        exif = image.getexif()
        return (
            exif.get_ifd(_EXIF_IFD).get(_COLOUR_SPACE) == _NOT_SRGB
            and str(exif.get_ifd(_INTEROP_IFD).get(1, "")).strip("\0 ") == "R03"
        )
    except Exception:  # Pillow raises nearly anything on hostile metadata
        return False


def _check_pixels(width: int, height: int, name: str, most: int) -> None:
    if width * height > most:
        raise UnreadableImage(
            f"{name}: {width} x {height} pixels, the limit is {most:,} in all",
            hint="shrink it, or allow more with --max-megapixels",
        )
    if width * height == 0:
        raise UnreadableImage(f"{name}: {width} x {height} pixels")


def _first_line(error: Exception) -> str:
    text = str(error).strip().splitlines()
    # Pillow names the buffer it read from, which says nothing to anybody.
    return "not an image" if not text or "cannot identify image" in text[0] else text[0]
