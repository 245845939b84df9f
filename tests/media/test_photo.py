from __future__ import annotations

import io
import struct
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from tests.media.drawing import CORNER, encoded, picture
from verovolto.core.errors import InputError, UnreadableImage, VerovoltoError
from verovolto.data import colour
from verovolto.media import Limits, Photo, UnreadableMedia, open_media, photo
from verovolto.media.photo import rgb_on_black

heif = pytest.importorskip("pillow_heif")


def saved(tmp_path: Path, data: bytes, name: str = "a.bin") -> Path:
    path = tmp_path / name
    path.write_bytes(data)
    return path


def png_header(width: int, height: int) -> bytes:
    """A PNG that claims a size and holds next to nothing."""

    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(bytes(99)))
        + chunk(b"IEND", b"")
    )


def heic(pixels: np.ndarray) -> bytes:
    out = io.BytesIO()
    image = Image.fromarray(pixels)
    heif.from_pillow(image).save(out, quality=95)
    return out.getvalue()


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_a_photo_is_rgb_upright_and_one_frame(tmp_path: Path, kind: str) -> None:
    photo = open_media(saved(tmp_path, encoded(Image.fromarray(picture(3)), kind)))
    assert isinstance(photo, Photo)
    assert photo.image.dtype == torch.uint8 and photo.image.shape == (3, 64, 96)
    assert (photo.width, photo.height) == (96, 64)
    assert np.abs(photo.image[:, 4, 4].numpy().astype(int) - CORNER).max() < 30
    [frame] = photo.frames()
    assert frame.image is photo.image and (frame.index, frame.time_s) == (0, 0.0)
    assert photo.report.sampled == 1 and not photo.report.damage


@pytest.mark.parametrize(
    ("tag", "row", "column"), [(1, 4, 4), (3, -4, -4), (6, 4, -4), (8, -4, 4), (2, 4, -4)]
)
def test_exif_orientation_is_applied(tmp_path: Path, tag: int, row: int, column: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = tag
    photo = open_media(saved(tmp_path, encoded(Image.fromarray(picture(0)), "JPEG", exif=exif, quality=95)))
    assert photo.image.shape == ((3, 96, 64) if tag in (6, 8) else (3, 64, 96))
    assert np.abs(photo.image[:, row, column].numpy().astype(int) - CORNER).max() < 30


def test_heic_is_decoded(tmp_path: Path) -> None:
    photo = open_media(saved(tmp_path, heic(picture(2))))
    assert photo.file_type.format == "heic" and photo.image.shape == (3, 64, 96)
    assert photo.image.is_contiguous()
    assert np.abs(photo.image.numpy().transpose(1, 2, 0).astype(int) - picture(2)).mean() < 6


def test_heic_of_many_pixels_is_refused_before_it_is_decoded(tmp_path: Path) -> None:
    with pytest.raises(UnreadableImage, match="96 x 64 pixels"):
        open_media(saved(tmp_path, heic(picture(2))), limits=Limits(photo_pixels=1000))


def test_heic_without_its_package_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    with pytest.raises(InputError, match=r"verovolto\[heic\]"):
        open_media(saved(tmp_path, heic(picture(2))))


@pytest.mark.parametrize("at", [0.3, 0.6, 0.9])
def test_a_heic_cut_short_is_unreadable(tmp_path: Path, at: float) -> None:
    data = heic(np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8))
    with pytest.raises(UnreadableImage):
        open_media(saved(tmp_path, data[: int(at * len(data))]))


def test_avif_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(photo, "READS_AVIF", False)
    with pytest.raises(UnreadableMedia, match="AVIF"):
        open_media(saved(tmp_path, b"\0\0\0\x1cftypavif\0\0\0\0mif1miaf"))


@pytest.mark.skipif(not photo.READS_AVIF, reason="this Pillow reads no AVIF")
def test_avif_is_read_where_pillow_reads_it(tmp_path: Path) -> None:
    read = open_media(saved(tmp_path, encoded(Image.fromarray(picture(3)), "AVIF")))
    assert isinstance(read, Photo) and read.image.shape == (3, 64, 96)
    assert (read.image[:, 4, 4] - torch.tensor(CORNER)).abs().max() < 40


@given(st.sampled_from([1, 2, 3, 4]), st.integers(0, 255), st.integers(0, 255))
def test_grey_and_transparent_pixels_become_rgb(channels: int, value: int, alpha: int) -> None:
    pixels = np.full((2, 3, channels), value, np.uint8)
    if channels in (2, 4):
        pixels[..., -1] = alpha
    rgb = rgb_on_black(pixels)
    assert rgb.shape == (2, 3, 3) and rgb.dtype == np.uint8
    expected = round(value * alpha / 255) if channels in (2, 4) else value
    assert (rgb == expected).all()


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("side", [8_200, 10_000, 20_000])
def test_a_bomb_of_pixels_is_refused_by_its_header(tmp_path: Path, side: int) -> None:
    path = saved(tmp_path, png_header(side, side))
    assert path.stat().st_size < 200
    with pytest.raises(UnreadableImage, match=rf"{side} x {side} pixels|\({side**2} pixels\)"):
        open_media(path)


def test_a_limit_of_ones_own(tmp_path: Path) -> None:
    path = saved(tmp_path, encoded(Image.new("RGB", (40, 30)), "PNG"))
    assert open_media(path, limits=Limits(photo_pixels=1200)).image.shape == (3, 30, 40)
    with pytest.raises(UnreadableImage, match="limit is 1,199"):
        open_media(path, limits=Limits(photo_pixels=1199))
    with pytest.raises(UnreadableMedia, match="more than 50 bytes"):
        open_media(path, limits=Limits(photo_bytes=50))


def test_a_photo_cut_short_is_unreadable(tmp_path: Path) -> None:
    data = encoded(Image.fromarray(picture(1)), "JPEG")
    with pytest.raises(UnreadableImage):
        open_media(saved(tmp_path, data[: len(data) // 2]))


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.sampled_from(["JPEG", "PNG", "WEBP"]),
    st.lists(st.tuples(st.integers(0), st.integers(1, 255)), max_size=6),
)
def test_flipped_bytes_give_a_picture_or_our_error(
    tmp_path: Path, kind: str, flips: list[tuple[int, int]]
) -> None:
    data = bytearray(encoded(Image.fromarray(picture(1, 32, 24)), kind))
    for at, mask in flips:
        data[at % len(data)] ^= mask
    try:
        found = open_media(saved(tmp_path, bytes(data)), limits=Limits(photo_pixels=1 << 20))
    except VerovoltoError as error:
        assert str(tmp_path) in str(error)
        return
    images = [frame.image for frame in found.frames()]
    assert all(image.dtype == torch.uint8 and image.shape[0] == 3 for image in images)


def spoilt_jpeg() -> bytes:
    """A JPEG with a hole in its data, which libjpeg decodes all the same."""
    data = encoded(
        Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 96, 3), dtype=np.uint8)), "JPEG"
    )
    return data[:2000] + data[2600:]


def test_a_damaged_photo_says_so(tmp_path: Path) -> None:
    photo = open_media(saved(tmp_path, spoilt_jpeg()))
    assert isinstance(photo, Photo) and photo.damage == photo.report.damage
    assert photo.report.damaged_frames == 1 and photo.damage[0].startswith("damaged JPEG (")


def test_a_block_that_runs_over_is_heard_of_by_the_other_decoder(tmp_path: Path) -> None:
    data = encoded(
        Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 96, 3), dtype=np.uint8)), "JPEG"
    )
    caught = 0
    for at in range(700, 1500, 4):
        spoilt = bytearray(data)
        if 0xFF in spoilt[at - 1 : at + 1]:
            continue
        spoilt[at] ^= 0x18 if spoilt[at] != 0xE7 else 0x10
        photo = open_media(saved(tmp_path, bytes(spoilt)))
        caught += "run over" in "".join(photo.report.damage)
    assert caught > 0 and not open_media(saved(tmp_path, data)).report.damage


def test_a_photo_of_today_passes_at_a_part_of_its_size(tmp_path: Path) -> None:
    path = saved(tmp_path, encoded(Image.fromarray(picture(3)), "JPEG", quality=95))
    photo = open_media(path, limits=Limits(photo_pixels=2000))
    assert isinstance(photo, Photo) and (photo.width, photo.height) == (48, 32) and photo.stored == (96, 64)
    assert np.abs(photo.image[:, 4, 4].numpy().astype(int) - CORNER).max() < 30
    large = saved(tmp_path, encoded(Image.new("L", (16320, 12240), 90), "JPEG", quality=5), "phone.jpg")
    photo = open_media(large)
    assert photo.image.shape == (3, 6120, 8160)


def test_heic_of_another_colour_space_and_of_many_pixels(tmp_path: Path) -> None:
    out = io.BytesIO()
    profile = colour.rgb_profile(colour.DISPLAY_P3)
    grey = Image.new("RGB", (64, 64), (200, 60, 60))
    heif.from_pillow(grey).save(out, quality=95, icc_profile=profile)
    photo = open_media(saved(tmp_path, out.getvalue()))
    [[red], [green], _] = photo.image[:, 32, 32:33].tolist()
    assert red > 210 and green < 55
    photo = open_media(saved(tmp_path, heic(picture(2))), limits=Limits(photo_pixels=2000))
    assert photo.image.shape == (3, 32, 48) and photo.stored == (96, 64)
