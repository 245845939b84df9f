"""Videos are read as players show them: square pixels, sRGB, the main stream, all joined parts."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import torch

from tests.media.drawing import CORNER, grain, picture, write_video
from verovolto.data import colour
from verovolto.data.file_types import file_type_of_bytes
from verovolto.media import Limits, Sampling, Video, open_media
from verovolto.media.video import _square


def opened(path: Path, limits: Limits | None = None) -> Video:
    video = open_media(path, limits=limits)
    assert isinstance(video, Video)
    return video


def with_aspect(path: Path, aspect: Fraction, *, rotate: int = 0) -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        stream.codec_context.sample_aspect_ratio = aspect
        if rotate:
            stream.set_display_rotation(rotate)
        for i in range(6):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture(i), "rgb24")))
        container.mux(stream.encode())
    return path


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "ts"])
@pytest.mark.parametrize(
    ("aspect", "rotate", "shown"),
    [
        (Fraction(4, 3), 0, (128, 64)),
        (Fraction(1, 2), 0, (96, 128)),
        (Fraction(2), 0, (192, 64)),
        (Fraction(1), 0, (96, 64)),
        (Fraction(200, 201), 0, (96, 64)),
    ],
)
def test_frames_are_of_square_pixels(
    tmp_path: Path, suffix: str, aspect: Fraction, rotate: int, shown: tuple[int, int]
) -> None:
    video = opened(with_aspect(tmp_path / f"a.{suffix}", aspect, rotate=rotate))
    assert (video.info.width, video.info.height) == shown and video.info.stored_size == (96, 64)
    assert video.info.pixel_aspect == aspect
    frames = list(video.frames())
    assert len(frames) == 6 and all(frame.image.shape == (3, shown[1], shown[0]) for frame in frames)
    assert np.abs(frames[0].image[:, 4, 4].numpy().astype(int) - CORNER).max() < 40


def test_a_turned_frame_is_stretched_as_it_was_stored(tmp_path: Path) -> None:
    video = opened(with_aspect(tmp_path / "a.mp4", Fraction(4, 3), rotate=90))
    assert (video.info.width, video.info.height) == (64, 128)
    assert next(video.frames()).image.shape == (3, 128, 64)


def test_stretching_never_exceeds_the_limit() -> None:
    assert _square(100, 100, Fraction(2), 20_000) == (200, 100)
    assert _square(100, 100, Fraction(2), 19_999) == (100, 50)
    assert _square(100, 100, Fraction(1, 2), 19_999) == (50, 100)


def hdr(path: Path, levels: np.ndarray, transfer: int) -> Path:
    """A 10-bit HEVC video of even pictures in BT.2020, whose transfer function is stated."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(
            "libx265", rate=25, options={"x265-params": "log-level=none:pools=1:qp=4"}
        )
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p10le"
        context = stream.codec_context
        context.color_primaries, context.color_trc, context.colorspace = 9, transfer, 9
        for _ in range(3):
            pixels = np.broadcast_to((levels * 65535).round().astype(np.uint16), (64, 64, 3))
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), "rgb48le")
            frame = frame.reformat(format="yuv420p10le", dst_colorspace=9)
            frame.color_primaries, frame.color_trc, frame.colorspace = 9, transfer, 9
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def test_tone_mapping_keeps_greys_grey_and_their_order() -> None:
    for transfer in ("HLG", "PQ"):
        ramp = np.linspace(0, 65535, 256).astype(np.uint16)[:, None].repeat(3, 1)[None]
        mapped = colour.tone_mapped(ramp, transfer)[0].astype(int)
        assert (np.diff(mapped, axis=0) >= 0).all() and np.ptp(mapped, axis=1).max() <= 1
        assert mapped[0].max() == 0 and mapped[-1].min() == 255
    # White paper, 203 cd/m2, is 75 % of HLG and 58 % of PQ (ITU-R BT.2408): bright, with room for lights above it.
    for transfer, level in (("HLG", 0.75), ("PQ", 0.58)):
        paper = colour.tone_mapped(np.full((1, 1, 3), level * 65535, np.uint16), transfer)
        assert 225 <= paper.min() <= 250


@pytest.mark.parametrize(("transfer", "name"), [(18, "HLG"), (16, "PQ")])
def test_video_of_high_dynamic_range_is_tone_mapped(tmp_path: Path, transfer: int, name: str) -> None:
    levels = np.array((0.55, 0.45, 0.40))
    video = opened(hdr(tmp_path / "a.mp4", levels, transfer))
    assert video.info.transfer == name
    found = next(video.frames()).image[:, 32, 32].numpy().astype(int)
    expected = colour.tone_mapped((levels * 65535).astype(np.uint16)[None, None], name)[0, 0].astype(int)
    assert np.abs(found - expected).max() <= 8
    assert opened(write_video(tmp_path / "b.mp4")).info.transfer is None


def test_wide_colours_of_a_video_are_brought_to_srgb(tmp_path: Path) -> None:
    """BT.2020 primaries, of ordinary dynamic range."""
    levels = np.array((0.60, 0.45, 0.40))
    video = opened(hdr(tmp_path / "a.mp4", levels, 14))
    assert video.info.transfer is None
    found = next(video.frames()).image[:, 32, 32].numpy().astype(int)
    light = colour.srgb_to_linear(levels) @ colour.conversion(colour.BT2020).T
    expected = colour.linear_to_srgb(light.clip(0, 1)) * 255
    assert np.abs(found - expected).max() <= 8 < np.abs(levels * 255 - expected).max()


def test_sound_that_lasts_longer_is_no_damage(tmp_path: Path) -> None:
    for suffix in ("mkv", "flv", "mp4"):
        path = tmp_path / f"a.{suffix}"
        with av.open(str(path), "w") as container:
            video = container.add_stream("libx264", rate=25)
            video.width, video.height, video.pix_fmt = 96, 64, "yuv420p"
            sound = container.add_stream("aac", rate=44100)
            for i in range(25):
                container.mux(video.encode(av.VideoFrame.from_ndarray(picture(i), "rgb24")))
            container.mux(video.encode())
            for i in range(300):
                frame = av.AudioFrame.from_ndarray(
                    np.zeros((1, 1024), np.float32), format="fltp", layout="mono"
                )
                frame.sample_rate, frame.pts = 44100, 1024 * i
                container.mux(sound.encode(frame))
            container.mux(sound.encode())
        read = opened(path)
        assert len(list(read.frames())) == 25
        assert read.report is not None and not read.report.damage and not read.report.missing


def test_hidden_frames_are_no_damage(tmp_path: Path) -> None:
    path = tmp_path / "a.webm"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libvpx", rate=25, options={"auto-alt-ref": "1", "lag-in-frames": "16"})
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        for i in range(60):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(grain(i // 10), "rgb24")))
        container.mux(stream.encode())
    video = opened(path)
    frames = len(list(video.frames()))
    assert video.report is not None and not video.report.damage and frames == video.report.decoded_frames


@pytest.mark.parametrize(
    ("suffix", "codec"), [("mp4", "libx264"), ("avi", "mpeg4"), ("ivf", "libvpx"), ("wmv", "mpeg4")]
)
def test_a_file_that_breaks_off_is_damaged(tmp_path: Path, suffix: str, codec: str) -> None:
    path = write_video(
        tmp_path / f"a.{suffix}", codec=codec, frames=50, noisy=True, index_first=suffix == "mp4"
    )
    whole = opened(path)
    list(whole.frames())
    assert whole.report is not None and not whole.report.damage
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])
    cut = opened(path)
    list(cut.frames())
    assert cut.report is not None and cut.report.damage


def test_a_thumbnail_that_comes_first_is_not_the_video(tmp_path: Path) -> None:
    path = tmp_path / "a.mkv"
    with av.open(str(path), "w") as container:
        streams = [container.add_stream("libx264", rate=25) for _ in range(2)]
        for stream, size in zip(streams, ((32, 32), (96, 64)), strict=True):
            stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        for i in range(5):
            for stream, size in zip(streams, ((32, 32), (96, 64)), strict=True):
                container.mux(stream.encode(av.VideoFrame.from_ndarray(picture(i, *size), "rgb24")))
        for stream in streams:
            container.mux(stream.encode())
    assert opened(path).info.stored_size == (96, 64)


def test_both_parts_of_joined_streams_are_sampled(tmp_path: Path) -> None:
    one = write_video(tmp_path / "one.ts", frames=50).read_bytes()
    path = tmp_path / "joined.ts"
    path.write_bytes(one + one)
    video = opened(path)
    frames = list(video.frames(Sampling(count=4)))
    assert [frame.index for frame in frames] == [0, 25, 50, 75]
    assert len(list(video.frames())) == 100 and video.report is not None and not video.report.missing


@pytest.mark.parametrize("cut", [1, 37, 100, 187])
def test_a_transport_stream_may_begin_inside_a_packet(tmp_path: Path, cut: int) -> None:
    data = write_video(tmp_path / "a.ts", frames=50, noisy=True).read_bytes()
    path = tmp_path / "b.ts"
    path.write_bytes(data[188 * 20 + cut :])
    assert opened(path).file_type.format == "mpegts"
    assert file_type_of_bytes(bytes(4096)) is None


def test_a_duration_never_lies_below_the_last_frame(tmp_path: Path) -> None:
    video = opened(write_video(tmp_path / "a.mp4", frames=50))
    list(video.frames())
    assert video.report is not None and video.report.last_s == pytest.approx(49 / 25)


def test_plain_frames_are_as_before(tmp_path: Path) -> None:
    """Where nothing is to be stretched or mapped, pixels are those of the plain conversion."""
    path = write_video(tmp_path / "a.mp4", frames=3, noisy=True)
    with av.open(str(path)) as container:
        plain = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    for frame, expected in zip(opened(path).frames(), plain, strict=True):
        assert torch.equal(frame.image.permute(1, 2, 0), torch.from_numpy(expected))
