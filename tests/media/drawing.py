"""Small videos and photos, written by the tests themselves."""

from __future__ import annotations

import io
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from PIL import Image

CODECS = {
    "h264": ("libx264", "mp4"),
    "hevc": ("libx265", "mp4"),
    "vp9": ("libvpx-vp9", "webm"),
    "av1": ("libsvtav1", "mp4"),
    "mpeg4": ("mpeg4", "avi"),
}
_QUIET = {"libx265": {"x265-params": "log-level=none:pools=1"}, "libsvtav1": {"preset": "12"}}

CORNER = np.array((250, 20, 20))
"""Colour of the top left corner of every picture as drawn: it shows how a picture lies."""


def picture(number: int, width: int = 96, height: int = 64) -> np.ndarray:
    """uint8 `[H, W, 3]`: a red top left corner, a blue top right one, and grey that tells the frame's number."""
    pixels = np.full((height, width, 3), 40 + 8 * (number % 24), np.uint8)
    pixels[: height // 4, : width // 4] = CORNER
    pixels[: height // 4, -width // 4 :] = (20, 20, 250)
    return pixels


def grain(number: int, width: int = 96, height: int = 64) -> np.ndarray:
    """uint8 `[H, W, 3]` noise: frames of some hundred bytes each, so that a cut falls between frames."""
    return np.random.default_rng(number).integers(0, 256, (height, width, 3), dtype=np.uint8)


def write_video(
    path: Path,
    *,
    frames: int = 20,
    codec: str = "libx264",
    rate: int = 25,
    size: tuple[int, int] = (96, 64),
    rotate: int = 0,
    mirror: bool = False,
    stamps: Sequence[int] | None = None,
    keys_every: int = 12,
    noisy: bool = False,
    pixels: str = "yuv420p",
    index_first: bool = False,
) -> Path:
    """Write a video without sound. `rotate` is counter-clockwise, degrees; `stamps` are milliseconds."""
    options = {"movflags": "faststart"} if index_first else {}
    with av.open(str(path), "w", options=options) as container:
        stream = container.add_stream(
            codec, rate=rate, options={"g": str(keys_every), **_QUIET.get(codec, {})}
        )
        stream.width, stream.height, stream.pix_fmt = *size, pixels
        if stamps is not None:
            stream.codec_context.time_base = Fraction(1, 1000)
        if rotate or mirror:
            stream.set_display_rotation(rotate, hflip=mirror)
        for i in range(frames):
            drawn = grain(i, *size) if noisy else picture(i, *size)
            frame = av.VideoFrame.from_ndarray(drawn, "rgb24")
            if stamps is not None:
                frame.pts, frame.time_base = stamps[i], Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def write_sound(path: Path) -> Path:
    """An MP4 that holds sound alone."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=44100)
        for i in range(10):
            frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
            frame.sample_rate, frame.pts = 44100, 1024 * i
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()
