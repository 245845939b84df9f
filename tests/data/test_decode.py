from __future__ import annotations

import io
import os
import struct
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms, ImageOps

from verovolto.core.errors import DamagedImage, UnreadableImage
from verovolto.data import colour, decode, jpeg
from verovolto.data.decode import decode_image, image_size

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
    assert jpeg.header(data) == (48, 48, 3)
    assert image_size(data[:400] if jpeg.header(data[:400]) else data) == (48, 48)
    assert image_size(image(1, size=40, kind="PNG")) == (40, 40)
    assert jpeg.header(b"\xff\xd8\xff") is None
    with pytest.raises(UnreadableImage):
        image_size(b"nothing")


ORIENTED = Image.fromarray((np.mgrid[:16, :24][1] * 9 + np.mgrid[:16, :24][0] * 2).astype(np.uint8)).convert(
    "RGB"
)


def exif_segment(value: int, *, order: str = "<", type_: int = 3) -> bytes:
    """An APP1 segment whose EXIF holds the orientation alone, as SHORT (3), LONG (4) or BYTE (1)."""
    entry = struct.pack(f"{order}HHI", 0x0112, type_, 1) + struct.pack(
        f"{order}{ {1: 'B3x', 3: 'H2x', 4: 'I'}[type_] }", value
    )
    tiff = (b"II" if order == "<" else b"MM") + struct.pack(f"{order}HIH", 42, 8, 1) + entry + bytes(4)
    return segment(0xE1, b"Exif\0\0" + tiff)


def segment(marker: int, content: bytes) -> bytes:
    return bytes((0xFF, marker)) + struct.pack(">H", len(content) + 2) + content


XMP = segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0<x:xmpmeta/>")
TURNED_XMP = segment(0xE1, b'http://ns.adobe.com/xap/1.0/\0<x:xmpmeta tiff:Orientation="6"/>')


@pytest.mark.parametrize("value", [0, 1, 2, 3, 4, 5, 6, 7, 8, 9])
@pytest.mark.parametrize(
    "before",
    [b"", XMP, segment(0xE2, b"MPF\0" + bytes(40)), segment(0xFE, b"a note"), XMP + XMP],
    ids=["first", "XMP", "MPF", "comment", "XMP twice"],
)
@pytest.mark.parametrize(("order", "type_"), [("<", 3), (">", 3), ("<", 4), (">", 4), ("<", 1)])
@pytest.mark.filterwarnings("ignore:Image appears to be a malformed MPO")
def test_orientation_is_that_of_pillow_wherever_it_stands(
    value: int, before: bytes, order: str, type_: int
) -> None:
    plain = encode(ORIENTED, "JPEG", quality=90, subsampling=0)
    data = plain[:2] + before + exif_segment(value, order=order, type_=type_) + plain[2:]
    expected = ImageOps.exif_transpose(Image.open(io.BytesIO(data), formats=["JPEG"])).convert("RGB")
    found = decode_image(data).permute(1, 2, 0).numpy().astype(int)
    assert found.shape == np.asarray(expected).shape and np.abs(found - np.asarray(expected)).max() <= 2
    assert (found.shape[0] > found.shape[1]) == (5 <= value <= 8 and type_ != 1)


def test_orientation_in_xmp_alone_counts_and_odd_exif_does_not() -> None:
    plain = encode(ORIENTED, "JPEG")
    assert decode_image(plain[:2] + TURNED_XMP + plain[2:]).shape == (3, 24, 16)
    for odd in (b"Exif\0\0", b"Exif\0\0nonsense", b"Exif\0\0II*\0\xff\xff\xff\xff"):
        data = plain[:2] + segment(0xE1, odd) + plain[2:]
        assert torch.equal(decode_image(data), decode_image(plain))


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("value", range(1, 9))
def test_orientation_of_other_formats(kind: str, value: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = value
    options = {"lossless": True} if kind == "WEBP" else {}
    data = encode(ORIENTED, kind, exif=exif, **options)
    expected = np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(data))).convert("RGB"))
    np.testing.assert_array_equal(decode_image(data).permute(1, 2, 0).numpy(), expected)


LITTLECMS = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
PATCHES = np.random.default_rng(1).integers(30, 226, (4, 6, 3), dtype=np.uint8).repeat(16, 0).repeat(16, 1)


def as_p3(pixels: np.ndarray) -> np.ndarray:
    """The levels that show the same colours in Display P3."""
    light = colour.srgb_to_linear(pixels / 255) @ np.linalg.inv(colour.conversion(colour.DISPLAY_P3)).T
    return (colour.linear_to_srgb(light.clip(0, 1)) * 255).round().astype(np.uint8)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_another_colour_profile_is_brought_to_srgb(kind: str) -> None:
    options = (
        {"quality": 95, "subsampling": 0} if kind == "JPEG" else {"lossless": True} if kind == "WEBP" else {}
    )
    profile = colour.rgb_profile(colour.DISPLAY_P3)
    wide = Image.fromarray(as_p3(PATCHES))
    found = (
        decode_image(encode(wide, kind, icc_profile=profile, **options)).permute(1, 2, 0).numpy().astype(int)
    )
    plain = decode_image(encode(wide, kind, **options)).permute(1, 2, 0).numpy().astype(int)
    assert np.abs(found - PATCHES)[8::16, 8::16].max() <= 5 < np.abs(plain - PATCHES)[8::16, 8::16].max()
    reference = ImageCms.profileToProfile(
        wide, ImageCms.ImageCmsProfile(io.BytesIO(profile)), ImageCms.createProfile("sRGB")
    )
    assert np.abs(found - np.asarray(reference))[8::16, 8::16].max() <= 5


def with_cicp(png: bytes, primaries: int, transfer: int) -> bytes:
    """A PNG that states its colours by their code points."""
    chunk = b"cICP" + bytes((primaries, transfer, 0, 1))
    return png[:33] + struct.pack(">I", 4) + chunk + struct.pack(">I", zlib.crc32(chunk)) + png[33:]


def test_colours_that_a_png_states_by_code_points() -> None:
    wide = encode(Image.fromarray(as_p3(PATCHES)), "PNG")
    found = decode_image(with_cicp(wide, 12, 13)).permute(1, 2, 0).numpy().astype(int)
    assert np.abs(found - PATCHES).max() <= 5 < np.abs(as_p3(PATCHES).astype(int) - PATCHES).max()
    plain = encode(Image.fromarray(PATCHES), "PNG")
    assert np.array_equal(decode_image(with_cicp(plain, 1, 13)).permute(1, 2, 0).numpy(), PATCHES)
    mapped = colour.tone_mapped(PATCHES.astype(np.uint16) * 257, "HLG")
    assert np.array_equal(decode_image(with_cicp(plain, 9, 18)).permute(1, 2, 0).numpy(), mapped)


def test_adobe_rgb_that_exif_alone_states() -> None:
    """Cameras write no profile: EXIF says that it is not sRGB, and the interoperability index which it is."""
    exif = Image.Exif()
    exif.get_ifd(0x8769)[0xA001] = 0xFFFF
    options = {"quality": 95, "subsampling": 0}
    image = Image.fromarray(PATCHES)
    plain = decode_image(encode(image, "JPEG", **options))
    assert torch.equal(decode_image(encode(image, "JPEG", exif=exif, **options)), plain)
    exif.get_ifd(0x8769)[0xA005] = {1: "R03"}
    found = decode_image(encode(image, "JPEG", exif=exif, **options)).numpy().astype(int)
    profile = colour.rgb_profile(colour.ADOBE_RGB, gamma=colour.ADOBE_GAMMA)
    expected = decode_image(encode(image, "JPEG", icc_profile=profile, **options)).numpy().astype(int)
    assert np.array_equal(found, expected) and np.abs(found - plain.numpy()).max() > 10


def test_profiles_with_orientation_grey_and_cmyk() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    profile = colour.rgb_profile(colour.DISPLAY_P3)
    image = Image.fromarray(as_p3(PATCHES))
    found = decode_image(encode(image, "JPEG", icc_profile=profile, exif=exif, quality=95, subsampling=0))
    assert np.abs(found.permute(1, 2, 0).numpy().astype(int) - np.rot90(PATCHES, -1))[8::16, 8::16].max() <= 5
    grey = bytearray(colour.rgb_profile(colour.SRGB, gamma=1.0))
    grey[16:20] = b"GRAY"
    grey = bytes(grey).replace(b"rTRC", b"kTRC")
    levels = Image.fromarray(np.full((8, 8), 55, np.uint8))
    assert int(decode_image(encode(levels, "PNG", icc_profile=grey))[0, 0, 0]) == pytest.approx(128, abs=2)
    assert int(decode_image(encode(levels, "JPEG", icc_profile=grey))[0, 0, 0]) == pytest.approx(128, abs=3)


@pytest.mark.parametrize(
    "profile",
    [
        b"",
        b"broken",
        colour.rgb_profile(colour.SRGB),
        ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes(),
    ],
)
def test_srgb_and_broken_profiles_change_no_pixel(profile: bytes) -> None:
    image = Image.fromarray(PATCHES)
    for kind in ("JPEG", "PNG"):
        assert torch.equal(
            decode_image(encode(image, kind, icc_profile=profile)), decode_image(encode(image, kind))
        )


def test_a_png_may_state_its_colours_in_numbers() -> None:
    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    plain = encode(Image.fromarray(np.full((4, 4, 3), 55, np.uint8)), "PNG")
    linear = plain[:33] + chunk(b"gAMA", struct.pack(">I", 100_000)) + plain[33:]
    assert int(decode_image(linear)[0, 0, 0]) == pytest.approx(128, abs=2)
    usual = plain[:33] + chunk(b"gAMA", struct.pack(">I", 45_455)) + plain[33:]
    assert abs(int(decode_image(usual)[0, 0, 0]) - 55) <= 3
    named = plain[:33] + chunk(b"sRGB", b"\0") + chunk(b"gAMA", struct.pack(">I", 100_000)) + plain[33:]
    assert int(decode_image(named)[0, 0, 0]) == 55


@pytest.mark.parametrize("type_", [np.int32, np.float32])
def test_tiff_of_other_numbers_is_refused_in_words(type_: type) -> None:
    data = encode(Image.fromarray(np.full((8, 8), 90, type_)), "TIFF")
    with pytest.raises(UnreadableImage, match="not supported"):
        decode_image(data)
    # Three floats a pixel, which Pillow has no mode for.
    grey = encode(Image.fromarray(np.zeros((8, 8), np.uint8)), "TIFF")
    with pytest.raises(UnreadableImage, match="TIFF"):
        decode_image(
            grey.replace(struct.pack("<HHIHH", 258, 3, 1, 8, 0), struct.pack("<HHIHH", 258, 3, 1, 24, 0))
        )


DRAWN = (
    {"quality": 75}, {"quality": 90, "subsampling": 0}, {"quality": 85, "progressive": True},
    {"quality": 80, "restart_marker_rows": 1}, {"quality": 80, "optimize": True},
)  # fmt: skip


def grainy(seed: int, **options: Any) -> bytes:
    pixels = np.random.default_rng(seed).normal(128, 50, (12, 16, 3)).clip(0, 255).astype(np.uint8)
    return encode(Image.fromarray(pixels).resize((160, 120), Image.Resampling.BICUBIC), "JPEG", **options)


@pytest.mark.parametrize("options", DRAWN, ids=str)
def test_where_the_decoder_has_to_guess_a_jpeg_is_damaged(options: dict[str, Any], capfd: Any) -> None:
    data = grainy(1, **options)
    start = jpeg.metadata_bytes(data) + 40
    whole = decode_image(data)
    spoilt = {
        "cut": data[:start] + data[start + 300 :],
        "extraneous": data[:-2] + b"\x12" * 40 + data[-2:],
        "early end": data[: len(data) * 2 // 3] + b"\xff\xd9",
        "trailing": data[:start] + data[start + 300 :] + b"trailer",
    }
    for name, encoded in spoilt.items():
        with pytest.raises(
            DamagedImage, match=r"face: damaged JPEG \((premature|bad|\d+ extr|found|parts|blocks).*\)"
        ):
            decode_image(encoded, name="face")
            pytest.fail(name)
    assert torch.equal(decode_image(data + b"trailer"), whole) or options  # trailers alone do no harm
    assert not any(capfd.readouterr()), "what libjpeg says is said by us"


def test_restart_markers_out_of_order_are_heard() -> None:
    data = grainy(2, quality=80, restart_marker_rows=1)
    for old, new in ((b"\xff\xd2", b"\xff\xd5"), (b"\xff\xd1", b"")):
        with pytest.raises(DamagedImage):
            decode_image(data.replace(old, new, 1))


def test_what_others_write_to_standard_error_meanwhile_is_passed_on(capfd: Any) -> None:
    heard: list[str] = []
    with jpeg._libjpeg_warnings(heard):
        os.write(2, b"before Corrupt JPEG data: bad Huffman code\nafter\n")
        os.write(2, b"Warning: unknown JFIF revision number 9.09\n")
    assert heard == ["bad Huffman code"] and capfd.readouterr().err == "before after\n"


def test_a_png_whose_checksum_does_not_fit_is_damaged() -> None:
    data = bytearray(encode(Image.fromarray(PATCHES), "PNG", compress_level=0))
    data[len(data) // 2] ^= 1
    with pytest.raises(DamagedImage, match="checksum"):
        decode_image(bytes(data))


def test_a_large_jpeg_may_be_read_at_a_part_of_its_size() -> None:
    data = encode(Image.fromarray(PATCHES), "JPEG", quality=95)  # 96 x 64
    for most, size in ((6144, (64, 96)), (6143, (32, 48)), (1000, (16, 24)), (100, (8, 12))):
        image = decode_image(data, max_pixels=most, reduced=True)
        assert tuple(image.shape[1:]) == size
    with pytest.raises(UnreadableImage, match="--max-megapixels"):
        decode_image(data, max_pixels=90, reduced=True)
    with pytest.raises(UnreadableImage, match="limit is 6,143"):
        decode_image(data, max_pixels=6143)


def test_bytes_after_the_end_of_a_jpeg_do_no_harm(image: Draw) -> None:
    data = image(5, size=32)
    assert decode_image(data + b"trailer").shape == (3, 32, 32)
