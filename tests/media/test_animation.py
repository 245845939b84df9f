"""Moving pictures in a photograph's format are videos; what lies behind a photograph is not."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from verovolto.data.decode import READS_AVIF
from verovolto.media import Limits, Photo, Sampling, Video, open_media

LEVELS = (20, 120, 220, 60)
SHOWN_MS = (100, 200, 300, 400)
FORMATS = ["gif", "webp", "png", *(["avif"] if READS_AVIF else [])]


def animated(path: Path, **given: Any) -> Path:
    """Four grey frames of 60 x 40 pixels, shown for 0.1, 0.2, 0.3 and 0.4 s."""
    first, *others = (Image.fromarray(np.full((40, 60, 3), level, np.uint8)) for level in LEVELS)
    lossless = {"lossless": True} if path.suffix == ".webp" else {}
    first.save(path, save_all=True, append_images=others, **{"duration": list(SHOWN_MS), **lossless, **given})
    return path


def jpegs(*sizes: tuple[int, int]) -> list[bytes]:
    encoded = []
    for level, size in zip(LEVELS, sizes, strict=False):
        out = io.BytesIO()
        Image.new("RGB", size, (level, level, level)).save(out, "JPEG")
        encoded.append(out.getvalue())
    return encoded


@pytest.mark.parametrize("name", FORMATS)
def test_an_animation_is_a_video_with_its_own_times(tmp_path: Path, name: str) -> None:
    video = open_media(animated(tmp_path / f"a.{name}"))
    assert isinstance(video, Video) and (video.file_type.category, video.file_type.format) == ("video", name)
    frames = list(video.frames())
    assert [frame.time_s for frame in frames] == [0.0, 0.1, 0.3, 0.6]
    means = [float(frame.image.float().mean()) for frame in frames]
    assert np.allclose(means, LEVELS, atol=1) and {tuple(f.image.shape) for f in frames} == {(3, 40, 60)}
    assert video.info.duration_s == 1.0 and (video.info.width, video.info.height) == (60, 40)
    assert video.report is not None and video.report.decoded_frames == 4 and not video.report.damage
    assert [frame.time_s for frame in video.frames(Sampling(fps=2))] == [0.0, 0.6]
    assert [frame.index for frame in video.frames(Sampling(count=2))] == [0, 3]


@pytest.mark.parametrize("name", ["gif", "png"])
def test_an_animation_that_breaks_off_is_damaged(tmp_path: Path, name: str) -> None:
    whole = animated(tmp_path / f"a.{name}").read_bytes()
    (tmp_path / f"b.{name}").write_bytes(whole[: len(whole) * 2 // 3])
    video = open_media(tmp_path / f"b.{name}")
    assert len(list(video.frames())) == 2
    assert video.report is not None and "missing" in video.report.damage[-1]


def test_a_picture_for_programs_that_know_no_animations_is_no_frame(tmp_path: Path) -> None:
    path = animated(tmp_path / "a.png", default_image=True, duration=list(SHOWN_MS[1:]))
    means = [int(frame.image.float().mean()) for frame in open_media(path).frames()]
    assert means == list(LEVELS[1:])


def test_frames_without_a_duration_last_as_browsers_show_them(tmp_path: Path) -> None:
    video = open_media(animated(tmp_path / "a.gif", duration=0))
    assert [frame.time_s for frame in video.frames()] == [0.0, 0.1, 0.2, 0.3]


@pytest.mark.parametrize("name", ["gif", "webp", "png"])
def test_a_still_picture_is_a_photo(tmp_path: Path, name: str) -> None:
    Image.new("RGB", (60, 40)).save(tmp_path / f"a.{name}")
    assert isinstance(open_media(tmp_path / f"a.{name}"), Photo)


def test_limits_hold_for_animations(tmp_path: Path) -> None:
    video = open_media(animated(tmp_path / "a.gif"), limits=Limits(seconds=0.2))
    assert len(list(video.frames())) == 2
    assert video.report is not None and video.report.damage == ("decoded up to the limit of 0.2 s",)


def test_jpegs_one_after_the_other_are_a_video(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"".join(jpegs(*[(64, 48)] * 4)))
    video = open_media(tmp_path / "a.jpg")
    assert isinstance(video, Video) and video.file_type.format == "mjpeg"
    assert np.allclose([float(f.image.float().mean()) for f in video.frames()], LEVELS, atol=3)


def test_what_lies_behind_a_photograph_is_none(tmp_path: Path) -> None:
    one, smaller = jpegs((64, 48), (32, 24))
    (tmp_path / "preview.jpg").write_bytes(one + smaller)
    (tmp_path / "data.jpg").write_bytes(one + b"\0" * 64 + b"MotionPhoto_Data" + one)
    first, *others = (Image.new("RGB", (64, 48), (level, level, level)) for level in LEVELS)
    first.save(tmp_path / "several.mpo", save_all=True, append_images=others)
    try:
        with Image.open(tmp_path / "several.mpo") as written:
            written.load()
    except OSError:  # Pillow 11.1 and 11.2 write files of this kind that no release reads
        (tmp_path / "several.mpo").unlink()
    for path in tmp_path.iterdir():
        [frame] = open_media(path).frames()
        assert isinstance(open_media(path), Photo) and abs(float(frame.image.float().mean()) - LEVELS[0]) < 3
