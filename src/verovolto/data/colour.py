"""Colour profiles: pictures of another colour space are brought to sRGB, the one that detectors are trained in."""

from __future__ import annotations

import io
import struct
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from PIL import Image, ImageCms

TOLERANCE = 3
"""Grey levels: a profile that moves no colour further is sRGB under another name, and pixels stay as they are."""

SRGB = ((0.64, 0.33), (0.30, 0.60), (0.15, 0.06))
DISPLAY_P3 = ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060))
BT2020 = ((0.708, 0.292), (0.170, 0.797), (0.131, 0.046))
ADOBE_RGB = ((0.64, 0.33), (0.21, 0.71), (0.15, 0.06))
"""Primaries of red, green and blue, CIE 1931 (x, y)."""

D65 = (0.3127, 0.3290)
ADOBE_GAMMA = 563 / 256
_OF_CODE = {9: BT2020, 11: DISPLAY_P3, 12: DISPLAY_P3}
HDR_TRANSFERS = {16: "PQ", 18: "HLG"}
"""Transfer characteristics of high dynamic range, by their code points (ITU-T H.273)."""
_D50 = np.array((0.9642, 1.0, 0.8249))
_BRADFORD = np.array(((0.8951, 0.2664, -0.1614), (-0.7502, 1.7135, 0.0367), (0.0389, -0.0685, 1.0296)))
_MODES = {b"RGB ": "RGB", b"GRAY": "L", b"CMYK": "CMYK"}


def to_srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    """Bring an image of mode RGB, L or CMYK from its ICC profile to RGB in sRGB.

    A profile that cannot be read, or is of another kind of image, is ignored, as viewers do.
    """
    if profile and _MODES.get(profile[16:20]) == image.mode:
        transform = _transform(profile, image.mode)
        if transform is not None:
            return ImageCms.applyTransform(image, transform) or image
    return image.convert("RGB")


@lru_cache(maxsize=32)
def _transform(profile: bytes, mode: str) -> ImageCms.ImageCmsTransform | None:
    """The transform to sRGB; None where there is none, or nothing to do."""
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        transform = ImageCms.buildTransform(source, ImageCms.createProfile("sRGB"), mode, "RGB")
        if mode != "CMYK":
            colours = _colours(mode)
            moved = ImageCms.applyTransform(colours, transform)
            change = np.asarray(moved).astype(int) - np.asarray(colours.convert("RGB"))
            if np.abs(change).max() <= TOLERANCE:
                return None
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return None
    return transform


def _colours(mode: str) -> Image.Image:
    """Every 16th level of each channel, or all greys."""
    if mode == "L":
        return Image.fromarray(np.arange(256, dtype=np.uint8)[None])
    levels = np.append(np.arange(0, 256, 16), 255).astype(np.uint8)
    return Image.fromarray(np.stack(np.meshgrid(levels, levels, levels), -1).reshape(1, -1, 3))


def rgb_profile(
    primaries: Sequence[Sequence[float]],
    *,
    white: Sequence[float] = D65,
    gamma: float | None = None,
) -> bytes:
    """Make the ICC profile of an RGB space (ICC.1:2001-04, three-component matrix-based).

    Args:
        primaries: (x, y) of red, green and blue.
        white: (x, y) of white.
        gamma: exponent of the transfer function; None for that of sRGB.
    """
    to_xyz = _primaries_to_xyz(primaries, white)
    adapted = _adaptation(_xyz(white)) @ to_xyz  # profiles are relative to D50
    tags = {b"wtpt": _xyz_tag(_D50)}
    tags |= {
        name: _xyz_tag(column) for name, column in zip((b"rXYZ", b"gXYZ", b"bXYZ"), adapted.T, strict=True)
    }
    tags |= dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), _curve_tag(gamma))
    tags[b"desc"] = b"desc\0\0\0\0" + struct.pack(">I", 4) + b"RGB\0" + bytes(78)
    tags[b"cprt"] = b"text\0\0\0\0none\0"
    table, body, at = struct.pack(">I", len(tags)), b"", 128 + 4 + 12 * len(tags)
    for name, data in tags.items():
        table += name + struct.pack(">II", at + len(body), len(data))
        body += data + bytes(-len(data) % 4)
    size = 128 + len(table) + len(body)
    head = struct.pack(">I4xI4s4s4s12x4s", size, 0x02400000, b"mntr", b"RGB ", b"XYZ ", b"acsp")
    illuminant = struct.pack(">3i", *(round(value * 65536) for value in _D50))
    return head.ljust(68, b"\0") + illuminant + bytes(48) + table + body


@lru_cache(maxsize=8)
def profile_of_code(primaries: int) -> bytes | None:
    """The ICC profile of colour primaries by their code point (ITU-T H.273); None for those of sRGB or unknown."""
    return rgb_profile(_OF_CODE[primaries]) if primaries in _OF_CODE else None


def conversion(primaries: Sequence[Sequence[float]]) -> np.ndarray:
    """Matrix `[3, 3]` from linear RGB of these primaries to linear sRGB, both of white D65."""
    matrix: np.ndarray = np.linalg.inv(_primaries_to_xyz(SRGB, D65)) @ _primaries_to_xyz(primaries, D65)
    return matrix


def _xyz(xy: Sequence[float]) -> np.ndarray:
    return np.array((xy[0] / xy[1], 1.0, (1 - xy[0] - xy[1]) / xy[1]))


def _primaries_to_xyz(primaries: Sequence[Sequence[float]], white: Sequence[float]) -> np.ndarray:
    columns = np.stack([_xyz(xy) for xy in primaries], 1)
    return columns * np.linalg.solve(columns, _xyz(white))


def _adaptation(white: np.ndarray) -> np.ndarray:
    """From `white` to D50 (Bradford)."""
    gains = np.diag(_BRADFORD @ _D50 / (_BRADFORD @ white))
    matrix: np.ndarray = np.linalg.inv(_BRADFORD) @ gains @ _BRADFORD
    return matrix


def _xyz_tag(values: np.ndarray) -> bytes:
    return b"XYZ \0\0\0\0" + struct.pack(">3i", *(round(float(value) * 65536) for value in values))


def _curve_tag(gamma: float | None) -> bytes:
    level = np.linspace(0, 1, 1024)
    linear = srgb_to_linear(level) if gamma is None else level**gamma
    return b"curv\0\0\0\0" + struct.pack(">I1024H", 1024, *(round(float(x) * 65535) for x in linear))


REFERENCE_WHITE, _HLG_PEAK, _KNEE = 203.0, 1000.0, 0.8
"""Luminance, cd/m2, of white paper (ITU-R BT.2408) and of the display that HLG is made for; and the share of white
up to which tone mapping leaves all as it is."""


def tone_mapped(levels: np.ndarray, transfer: str) -> np.ndarray:
    """Bring a picture of high dynamic range and BT.2020 primaries to sRGB.

    White paper becomes white; what is brighter is compressed into the upper fifth, up to 1000 cd/m2.

    Args:
        levels: uint16 `[H, W, 3]`.
        transfer: `HLG` or `PQ` (ITU-R BT.2100).

    Returns:
        uint8 `[H, W, 3]`.
    """
    light = _light(transfer)[levels]
    if transfer == "HLG":  # the system gamma of a display of 1000 cd/m2
        luminance = light @ np.array((0.2627, 0.6780, 0.0593), np.float32)
        light = light * luminance[..., None] ** 0.2 * np.float32(_HLG_PEAK / REFERENCE_WHITE)
    light = (light @ conversion(BT2020).T.astype(np.float32)).clip(0)
    peak = light.max(-1, keepdims=True)
    over = (peak - _KNEE).clip(0) / (1 - _KNEE)
    most = (_HLG_PEAK / REFERENCE_WHITE - _KNEE) / (1 - _KNEE)
    mapped = np.minimum(peak, _KNEE) + (1 - _KNEE) * over * (1 + over / most**2) / (1 + over)
    shown = (light * (mapped / peak.clip(1e-6))).clip(0, 1)
    return np.asarray((linear_to_srgb(shown) * 255).round(), np.uint8)


@lru_cache(maxsize=2)
def _light(transfer: str) -> np.ndarray:
    """Light of each of 65,536 levels, float32: for HLG that of the scene in [0, 1], for PQ relative to white paper."""
    level = np.arange(65536) / 65535
    if transfer == "HLG":
        a, b, c = 0.17883277, 0.28466892, 0.55991073
        light = np.where(level <= 0.5, level**2 / 3, (np.exp((level - c) / a) + b) / 12)
    else:
        power = level ** (32 / 2523)
        light = ((power - 3424 / 4096).clip(0) / (2413 / 128 - 2392 / 128 * power)) ** (16384 / 2610)
        light *= 10000 / REFERENCE_WHITE
    return light.astype(np.float32)


def srgb_to_linear(level: np.ndarray) -> np.ndarray:
    """Linear light of sRGB levels, both in [0, 1] (IEC 61966-2-1)."""
    return np.where(level <= 0.04045, level / 12.92, ((level + 0.055) / 1.055) ** 2.4)


def linear_to_srgb(light: np.ndarray) -> np.ndarray:
    """Levels in sRGB of linear light, both in [0, 1]: inverse of `srgb_to_linear`."""
    return np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
