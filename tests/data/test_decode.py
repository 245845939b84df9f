from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from verovolto.core.errors import UnreadableImage
from verovolto.data import decode
from verovolto.data.decode import decode_image, image_size, jpeg_header

Draw = Callable[..., bytes]


def encode(image: Image.Image, kind: str, **options: object) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def test_a_jpeg_decodes_to_what_pillow_sees(image: Draw) -> None:
    data = image(1, size=64)
    expected = np.asarray(Image.open(io.BytesIO(data)).convert("RGB")).astype(int)
    found = decode_image(data)
    assert found.dtype == torch.uint8 and found.shape == (3, 64, 64)
    # The two libraries may carry different builds of libjpeg, whose inverse transforms differ by a level.
    assert np.abs(found.permute(1, 2, 0).numpy().astype(int) - expected).max() <= 2


@pytest.mark.parametrize("kind", ["PNG", "BMP", "PPM", "TIFF"])
def test_lossless_formats_keep_every_pixel(kind: str) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    found = decode_image(encode(Image.fromarray(pixels), kind))
    np.testing.assert_array_equal(found.permute(1, 2, 0).numpy(), pixels)


@pytest.mark.parametrize(
    ("mode", "kind"), [("L", "JPEG"), ("CMYK", "JPEG"), ("L", "PPM"), ("P", "PNG"), ("1", "PNG")]
)
def test_other_colour_modes_become_rgb(mode: str, kind: str) -> None:
    red = Image.new("RGB", (16, 8), (200, 30, 30)).convert(mode)
    found = decode_image(encode(red, kind))
    expected = np.asarray(red.convert("RGB")).astype(int)
    assert found.shape == (3, 8, 16)
    assert np.abs(found.permute(1, 2, 0).numpy().astype(int) - expected).max() <= 12


def test_sixteen_bits_keep_the_high_byte() -> None:
    grey = (np.arange(256, dtype=np.uint16).reshape(16, 16) << 8) + 77
    found = decode_image(encode(Image.fromarray(grey), "PNG"))
    np.testing.assert_array_equal(found[0].numpy(), np.arange(256).reshape(16, 16))
    pgm = b"P5 16 16 65535\n" + grey.astype(">u2").tobytes()
    np.testing.assert_array_equal(decode_image(pgm)[2].numpy(), np.arange(256).reshape(16, 16))


def test_transparent_pixels_lie_on_black() -> None:
    pixels = np.full((2, 2, 4), 255, dtype=np.uint8)
    pixels[0, 0, 3] = 0
    found = decode_image(encode(Image.fromarray(pixels), "PNG"))
    assert found[:, 0, 0].tolist() == [0, 0, 0] and found[:, 1, 1].tolist() == [255, 255, 255]


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_exif_orientation_is_applied(kind: str) -> None:
    picture = Image.new("RGB", (32, 16), "black")
    picture.paste((255, 255, 255), (0, 0, 16, 16))  # bright left half
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees clockwise: bright above
    found = decode_image(encode(picture, kind, exif=exif)).float()
    assert found.shape == (3, 32, 16)
    assert found[:, :14].mean() > 240 and found[:, 18:].mean() < 15


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "PPM", "BMP"])
@pytest.mark.parametrize("keep", [0.0, 0.3, 0.9])
def test_truncated_images_are_named(image: Draw, kind: str, keep: float) -> None:
    data = image(3, size=64, kind=kind)
    with pytest.raises(UnreadableImage, match=r"^some/face\.x: "):
        decode_image(data[: int(len(data) * keep)], name="some/face.x")


@settings(max_examples=60, deadline=None)
@given(
    st.binary(max_size=200), st.sampled_from([b"", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"P6 ", b"GIF89a"])
)
def test_garbage_is_unreadable_and_nothing_else(data: bytes, head: bytes) -> None:
    try:
        found = decode_image(head + data + b"\xff\xd9")
    except UnreadableImage:
        return
    assert found.dtype == torch.uint8 and found.shape[0] == 3


def test_an_image_that_claims_too_many_pixels_is_refused(
    image: Draw, monkeypatch: pytest.MonkeyPatch
) -> None:
    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", 100_000, 100_000, 8, 2, 0, 0, 0)
    bomb = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"") + chunk(b"IEND", b"")
    with pytest.raises(UnreadableImage, match="limit"):
        decode_image(bomb)
    monkeypatch.setattr(decode, "MAX_PIXELS", 100)
    with pytest.raises(UnreadableImage, match="64 x 64 pixels, the limit is 100"):
        decode_image(image(1, size=64))


def test_headers_state_sizes_without_decoding(image: Draw) -> None:
    data = image(1, size=48)
    assert jpeg_header(data) == (48, 48, 3)
    assert image_size(data[:400] if jpeg_header(data[:400]) else data) == (48, 48)
    assert image_size(image(1, size=40, kind="PNG")) == (40, 40)
    assert jpeg_header(b"\xff\xd8\xff") is None
    with pytest.raises(UnreadableImage):
        image_size(b"nothing")


def test_bytes_after_the_end_of_a_jpeg_do_no_harm(image: Draw) -> None:
    data = image(5, size=32)
    assert decode_image(data + b"trailer").shape == (3, 32, 32)
