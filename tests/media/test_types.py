from __future__ import annotations

import inspect
import os
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from tests.media.drawing import encoded, write_sound, write_video
from verovolto.commands.prepare import prepare
from verovolto.commands.scan import scan
from verovolto.core.errors import InputError, VerovoltoError
from verovolto.media import Limits, UnreadableMedia, file_type_of, open_media
from verovolto.media.types import file_type_of_bytes


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("JPEG", "jpeg"),
        ("PNG", "png"),
        ("WEBP", "webp"),
        ("TIFF", "tiff"),
        ("BMP", "bmp"),
        ("GIF", "gif"),
        ("PPM", "ppm"),
    ],
)
def test_photos_are_known_by_content(tmp_path: Path, kind: str, name: str) -> None:
    path = tmp_path / "holiday.mp4"
    path.write_bytes(encoded(Image.new("RGB", (9, 5)), kind))
    found = file_type_of(path)
    assert (found.category, found.format) == ("photo", name)


@pytest.mark.parametrize(
    ("name", "codec", "format_"),
    [
        ("a.mp4", "libx264", "mp4"),
        ("a.mov", "libx264", "mp4"),
        ("a.mkv", "libx264", "matroska"),
        ("a.webm", "libvpx-vp9", "matroska"),
        ("a.avi", "mpeg4", "avi"),
        ("a.ts", "libx264", "mpegts"),
        ("a.flv", "libx264", "flv"),
        ("a.mpg", "mpeg1video", "mpeg"),
        ("a.ivf", "libvpx-vp9", "ivf"),
        ("a.wmv", "mpeg4", "asf"),
    ],
)
def test_videos_are_known_by_content_and_open(tmp_path: Path, name: str, codec: str, format_: str) -> None:
    path = write_video(tmp_path / name, codec=codec, frames=6).rename(tmp_path / "photo.jpg")
    assert (file_type_of(path).category, file_type_of(path).format) == ("video", format_)
    assert len(list(open_media(path).frames())) == 6


def heif_head(major: bytes, *compatible: bytes) -> bytes:
    body = b"ftyp" + major + b"\0\0\0\0" + b"".join(compatible)
    return (len(body) + 4).to_bytes(4, "big") + body


def test_still_pictures_in_the_form_of_mp4() -> None:
    for head, name in [
        (heif_head(b"heic", b"mif1", b"heic"), "heic"),
        (heif_head(b"mif1", b"mif1", b"heic"), "heic"),
        (heif_head(b"mif1", b"mif1", b"avif"), "avif"),
        (heif_head(b"avif", b"mif1", b"miaf"), "avif"),
        (heif_head(b"isom", b"iso2", b"avc1"), "mp4"),
        (heif_head(b"qt  ", b"qt  "), "mp4"),
    ]:
        found = file_type_of_bytes(head)
        assert found is not None and found.format == name, head


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "empty file"),
        (b"<html>not found</html>", "text file"),
        ("Così è, se vi pare".encode() * 300, "text file"),
        (b"#EXTM3U\n#EXTINF:1,\nhttp://localhost/x.ts\n", "text file"),
        (b"ID3\x04" + bytes(60), "sound file"),
        (b"RIFF\x24\0\0\0WAVEfmt ", "sound file"),
        (bytes(5000), "file of zeros"),
        (bytes(range(200, 256)) * 9, "unknown kind"),
    ],
)
def test_what_is_no_photo_or_video_is_named(tmp_path: Path, content: bytes, said: str) -> None:
    path = tmp_path / "video.mp4"
    path.write_bytes(content)
    with pytest.raises(UnreadableMedia, match=said) as raised:
        open_media(path)
    assert str(path) in str(raised.value) and raised.value.hint


def test_sound_alone_is_no_video(tmp_path: Path) -> None:
    with pytest.raises(UnreadableMedia, match="sound alone"):
        open_media(write_sound(tmp_path / "a.mp4"))


@pytest.mark.parametrize("name", ["missing.mp4", "", "nul\0.mp4"])
def test_a_path_without_a_file_is_wrong_use(tmp_path: Path, name: str) -> None:
    with pytest.raises(VerovoltoError):
        file_type_of(tmp_path / name)


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.mp4")
    with pytest.raises(InputError, match="not a file"):
        file_type_of(tmp_path / "pipe.mp4")


@pytest.mark.parametrize("name", ["photo.jpg", "video.mp4"])
def test_an_unreadable_file_says_so(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / name
    path.write_bytes(b"\xff\xd8\xff")
    path.chmod(0)
    if os.access(path, os.R_OK):  # root reads everything

        def denied(*_: object, **__: object) -> None:
            raise PermissionError(13, "Permission denied")

        monkeypatch.setattr(Path, "open", denied)
    with pytest.raises(UnreadableMedia, match="Permission denied"):
        open_media(path)


@pytest.mark.parametrize(
    "name", ["con spazi e già.mp4", "файл 视频.mp4", "http:__x?y=1&z.mp4", "%04d.mp4", "-i.mp4"]
)
def test_names_of_any_kind(tmp_path: Path, name: str) -> None:
    path = write_video(tmp_path / "plain.mp4", frames=4).rename(tmp_path / name)
    video = open_media(path)
    assert len(list(video.frames())) == 4 and video.path == path


@given(
    st.binary(max_size=600)
    | st.sampled_from([b"P6", b"BM", b"RIFF", b"GIF8", b"\0\0\0\x20ftyp"]).flatmap(
        lambda start: st.binary(max_size=60).map(lambda rest: start + rest)
    )
)
def test_any_bytes_have_a_kind_or_none(head: bytes) -> None:
    found = file_type_of_bytes(head)
    assert found is None or found.category in ("photo", "video")


@pytest.mark.parametrize("wrong", [{"photo_bytes": 0}, {"seconds": -1.0}, {"photo_pixels": 1 << 40}])
def test_limits_that_mean_nothing_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(InputError):
        Limits(**wrong)


def test_limits_as_commands_take_them() -> None:
    limits = Limits.of(megapixels=100, megabytes=0.5)
    assert (limits.photo_pixels, limits.frame_pixels) == (100_000_000, 100_000_000)
    assert (limits.photo_bytes, limits.video_bytes) == (500_000, 500_000)
    assert Limits.of() == Limits()
    with pytest.raises(InputError, match="--max-megapixels"):
        Limits.of(megapixels=0)


def test_hints_at_limits_name_flags_that_exist(tmp_path: Path) -> None:
    photo, video = tmp_path / "a.png", write_video(tmp_path / "a.mp4", frames=3)
    photo.write_bytes(encoded(Image.new("RGB", (90, 50)), "PNG"))
    small = {"photo_pixels": 100, "photo_bytes": 50, "video_bytes": 50, "frame_pixels": 100}
    for path, names in ((photo, ("photo_pixels", "photo_bytes")), (video, ("video_bytes", "frame_pixels"))):
        for name in names:
            with pytest.raises(VerovoltoError) as raised:
                open_media(path, limits=Limits(**{name: small[name]}))
            [flag] = re.findall(r"--[a-z-]+", raised.value.hint or "")
            for command in (scan, prepare):
                assert flag[2:].replace("-", "_") in inspect.signature(command).parameters
