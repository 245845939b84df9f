"""Photos: read within limits, decoded, upright, in sRGB.

What moves in their formats is read as a video: animated GIF, WebP, PNG and AVIF, and JPEGs one after the other.
"""

from __future__ import annotations

import io
from array import array
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import torch
from av import CodecContext, Packet
from av.error import FFmpegError, InvalidDataError
from jaxtyping import UInt8
from PIL import Image
from torch import Tensor

from verovolto.core.errors import InputError, UnreadableImage
from verovolto.data import jpeg
from verovolto.data.colour import profile_of_code, to_srgb
from verovolto.data.decode import READS_AVIF, decode_image, image_size, opened_image, to_pixels
from verovolto.media.container import reason
from verovolto.media.sampling import Sampling, selector_of
from verovolto.media.types import DecodeCounter, DecodeReport, FileType, Frame, Limits, UnreadableMedia
from verovolto.media.video import Video, VideoInfo, open_video

_MILLISECOND = Fraction(1, 1000)
_SHORTEST_MS, _DEFAULT_MS = 10, 100
"""A frame that states 10 ms or less is shown for 100 ms, as browsers do."""

_ANIMATED = {"gif", "webp", "png", "avif"}
_LOOKED_INTO = 1 << 26
"""Bytes of a JPEG in which a second one is looked for."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Photo:
    """A decoded photo.

    Attributes:
        path: where it was read from.
        file_type: what it is.
        image: uint8 `[3, H, W]`, RGB, upright; a very large photo at a half, quarter or eighth of its size.
        stored: (width, height) of the file's picture turned upright, before anything is reduced.
        damage: what the decoder had to guess, in words: the picture is no evidence; empty for a sound photo.
    """

    path: Path
    file_type: FileType
    image: UInt8[Tensor, "3 h w"]
    stored: tuple[int, int]
    damage: tuple[str, ...] = ()

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
        """One frame, sound or damaged, nothing missing."""
        return DecodeReport(
            decoded_frames=1, sampled=1, damaged_frames=len(self.damage[:1]), missing=0, damage=self.damage
        )


def open_photo(path: Path, file_type: FileType, limits: Limits) -> Photo:
    """Read and decode the photo at `path`.

    The limits are checked before anything is decoded: a JPEG of more pixels is read at a half, quarter or eighth of its
    size, a HEIC of up to four times as many is halved. EXIF orientation is applied (HEIC states its own, which is
    applied instead), other colour spaces are brought to sRGB; grey, CMYK, palette and 16-bit pictures become 8-bit RGB,
    of 16 bits the high byte is kept, transparent pixels lie on black.

    Raises:
        UnreadableMedia: more bytes than `limits.photo_bytes`, or the file cannot be read, or its format is
            known but not supported.
        UnreadableImage: too many pixels, or nothing can be decoded.
        InputError: a HEIC photo, and the package that reads it is not installed.
    """
    encoded, name = _read(path, limits.photo_bytes), str(path)
    if file_type.format == "avif" and not READS_AVIF:
        raise UnreadableMedia(
            f"{path}: this Pillow reads no AVIF photos", hint="pip install --upgrade pillow"
        )
    if file_type.format == "heic":
        image, stored = _decode_heic(encoded, name, limits)
        return Photo(path=path, file_type=file_type, image=image, stored=stored)
    width, height = image_size(encoded, name=name)
    _check_pixels(width, height, limits, name, reducible=64 if file_type.format == "jpeg" else 1)
    damage: list[str] = []
    image = decode_image(encoded, name=name, max_pixels=limits.photo_pixels, reduced=True, damage=damage)
    if file_type.format == "jpeg" and not damage and _runs_over(encoded):
        damage.append("damaged JPEG (blocks of it run over)")
    turned = (width > height) != (image.shape[2] > image.shape[1])
    stored = (height, width) if turned else (width, height)
    return Photo(path=path, file_type=file_type, image=image, stored=stored, damage=tuple(damage))


def _check_pixels(width: int, height: int, limits: Limits, name: str, *, reducible: int = 1) -> None:
    """Raise `UnreadableImage` when a photo of this size exceeds the limits, or has no pixels.

    `reducible` is how many times as many pixels as the limit allows it may have, since it is read smaller.
    """
    if not 0 < width * height <= limits.photo_pixels * reducible:
        raise UnreadableImage(
            f"{name}: {width} x {height} pixels, the limit is {limits.photo_pixels:,} in all",
            hint="shrink the photo, or allow more with --max-megapixels",
        )


def _runs_over(encoded: bytes) -> bool:
    """Decode a JPEG's scans with FFmpeg as well, which sees what libjpeg takes for granted: blocks that run over.

    Metadata is left out, and what FFmpeg has no code for (12 bits, arithmetic coding, rare samplings) is not held
    against the picture.
    """
    kept = [b"\xff\xd8"]
    first_scan = len(encoded)
    for marker, start, end in jpeg.segments(encoded):
        if marker == 0xDA:
            first_scan = start - 4
            break
        if not (0xE0 <= marker <= 0xEF or marker == 0xFE):
            kept.append(encoded[start - 4 : end])
    decoder = CodecContext.create("mjpeg", "r")
    decoder.options = {"err_detect": "explode", "max_pixels": str((1 << 31) - 1)}
    try:
        decoder.decode(Packet(b"".join(kept) + encoded[first_scan:]))
    except InvalidDataError:
        return True
    except (FFmpegError, ValueError):
        return False
    return False


def _read(path: Path, limit: int) -> bytes:
    try:
        with path.open("rb") as handle:
            encoded = handle.read(limit + 1)  # never more than the limit, whatever the file's size claims
    except OSError as error:
        raise UnreadableMedia(f"{path}: cannot be read ({error.strerror})") from error
    if len(encoded) > limit:
        raise UnreadableMedia(
            f"{path}: a photo of more than {limit:,} bytes, which is the limit",
            hint="shrink it, or allow more with --max-megabytes",
        )
    return encoded


def _decode_heic(encoded: bytes, name: str, limits: Limits) -> tuple[Tensor, tuple[int, int]]:
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
        _check_pixels(width, height, limits, name, reducible=4)
        pixels = rgb_on_black(np.asarray(heif))
        image = to_srgb(Image.fromarray(pixels), _heif_profile(heif.info))
        if width * height > limits.photo_pixels:
            image = image.reduce(2)
    except UnreadableImage:
        raise
    except Exception as error:  # as with Pillow, hostile bytes raise nearly anything
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise UnreadableImage(f"{name}: damaged HEIC ({reason})") from error
    return torch.from_numpy(np.ascontiguousarray(np.asarray(image).transpose(2, 0, 1))), (width, height)


def _heif_profile(info: dict[str, Any]) -> bytes | None:
    """The ICC profile of a HEIC; where it states code points instead (ITU-T H.273), one made of its primaries."""
    if info.get("icc_profile"):
        return bytes(info["icc_profile"])
    return profile_of_code(int((info.get("nclx_profile") or {}).get("color_primaries") or 0))


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


def open_animation(path: Path, file_type: FileType, limits: Limits) -> Video | None:
    """Open a file of a photograph's format as a video; None where it does not hold several frames.

    What phones and cameras put behind a photograph (MPO, depth, another size of it) and the pages of a TIFF are no
    frames. A file that does not open gives None: who opens it as a photograph says why.

    Raises:
        UnreadableMedia: JPEGs one after the other, of which none can be decoded, or too large.
    """
    if file_type.format == "jpeg":
        several = _holds_jpegs(path)
        return open_video(path, FileType(category="video", format="mjpeg"), limits) if several else None
    if file_type.format not in _ANIMATED:
        return None
    with suppress(Exception):  # Pillow's plugins raise nearly anything on hostile bytes
        if path.stat().st_size <= limits.photo_bytes:
            return _animation(path, file_type, limits)
    return None


def _holds_jpegs(path: Path) -> bool:
    """Whether JPEGs of one size follow each other with nothing between them, as recorders write them (raw MJPEG)."""
    try:
        with path.open("rb") as handle:
            encoded = handle.read(_LOOKED_INTO)
    except OSError:
        return False
    if b"\xff\xd9\xff\xd8\xff" not in encoded or b"MPF\0" in encoded[: jpeg.metadata_bytes(encoded)]:
        return False
    first, end = jpeg.header(encoded), jpeg.end(encoded)
    return first is not None and jpeg.header(encoded[end:]) == first


def _animation(path: Path, file_type: FileType, limits: Limits) -> Video | None:
    encoded = path.read_bytes()
    with opened_image(encoded) as image:
        declared = getattr(image, "n_frames", 1) - _unshown(image)
        size = image.size
        if declared < 2 or size[0] * size[1] > limits.frame_pixels:
            return None
        shown = to_pixels(image)
    ends = array("q")
    with suppress(Exception):  # where it breaks off, decoding says so
        ends.extend(at + lasts for at, lasts, _ in _pictures(encoded))
    if len(ends) < 2:
        return None
    height, width = int(shown.shape[1]), int(shown.shape[2])
    info = VideoInfo(
        width=width,
        height=height,
        stored_size=(width, height),
        rotation=0,
        mirrored=False,
        codec=file_type.format,
        rate=Fraction(1000 * len(ends), ends[-1]),
        duration_s=ends[-1] / 1000,
        declared_frames=declared,
        pixel_aspect=Fraction(1),
    )
    return Animation(
        path=path, file_type=FileType(category="video", format=file_type.format), info=info, limits=limits
    )


class Animation(Video):
    """An animated image: its bytes are read anew each time, of its frames none is kept."""

    def frames(self, sampling: Sampling | None = None, *, threads: int = 1) -> Iterator[Frame]:
        """Yield the sampled frames as `Video.frames` does, each with the time at which it is shown."""
        if threads < 1:
            raise InputError(f"a decoder needs at least 1 thread, not {threads}")
        self.report = None
        counter = DecodeCounter(declared_frames=self.info.declared_frames)
        encoded = self.path.read_bytes()
        selector = selector_of(sampling or Sampling(), _MILLISECOND, self._ticks)
        try:
            for at, _, image in _pictures(encoded):
                if self._limits.seconds is not None and at > 1000 * self._limits.seconds:
                    counter.stopped = f"decoded up to the limit of {self._limits.seconds:g} s"
                    break
                counter.count(at / 1000, sound=True)
                if selector.take(at):
                    counter.sampled += 1
                    yield Frame(index=counter.decoded - 1, time_s=at / 1000, image=to_pixels(image))
        except Exception as error:  # Pillow's plugins raise nearly anything on hostile bytes
            counter.faults[f"data that does not decode: {reason(error)}"] += 1
        if not counter.stopped:
            counter.failed = max(0, (self.info.declared_frames or 0) - counter.decoded)
        self.report = counter.result()

    def _ticks(self) -> array[int]:
        ticks = array("q")
        with suppress(Exception):
            ticks.extend(at for at, _, _ in _pictures(self.path.read_bytes()))
        return ticks


def _pictures(encoded: bytes) -> Iterator[tuple[int, int, Image.Image]]:
    """Beginning and duration in milliseconds of each frame, and the image at that frame."""
    at = 0
    with opened_image(encoded) as image:
        for number in range(_unshown(image), getattr(image, "n_frames", 1)):
            image.seek(number)
            image.load()
            stated = float(image.info.get("duration") or 0)
            lasts = round(stated) if stated > _SHORTEST_MS else _DEFAULT_MS
            yield at, lasts, image
            at += lasts


def _unshown(image: Image.Image) -> int:
    """1 where the first picture of a PNG is for programs alone that know no animations."""
    return int(bool(getattr(image, "default_image", False)))
