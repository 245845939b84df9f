from __future__ import annotations

import gc
import itertools
import weakref
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import psutil
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.media.drawing import CODECS, CORNER, picture, write_video
from verovolto.core.errors import InputError, VerovoltoError
from verovolto.media import DecodeReport, Frame, Limits, Sampling, UnreadableMedia, Video, open_media
from verovolto.media.types import DecodeCounter


def read(
    path: Path, sampling: Sampling | None = None, limits: Limits | None = None
) -> tuple[Video, list[Frame], DecodeReport]:
    video = open_media(path, limits=limits)
    assert isinstance(video, Video) and video.report is None
    frames = list(video.frames(sampling))
    assert video.report is not None and video.report.sampled == len(frames)
    return video, frames, video.report


def near(image: torch.Tensor, row: int, column: int, colour: np.ndarray = CORNER) -> bool:
    return bool(np.abs(image[:, row, column].numpy().astype(int) - colour).max() < 45)


@pytest.fixture(scope="module")
def noisy(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """60 frames, index first, a key frame every 12."""
    path = tmp_path_factory.mktemp("noisy") / "a.mp4"
    return write_video(path, frames=60, noisy=True, index_first=True).read_bytes()


@pytest.mark.parametrize("name", CODECS)
def test_each_codec_gives_its_frames_in_order(tmp_path: Path, name: str) -> None:
    codec, suffix = CODECS[name]
    video, frames, report = read(write_video(tmp_path / f"a.{suffix}", codec=codec))
    assert (video.info.codec, video.info.width, video.info.height) == (name, 96, 64)
    assert video.info.rate == 25 and video.info.duration_s == pytest.approx(0.8)
    assert video.info.declared_frames == (None if suffix == "webm" else 20)
    assert [frame.index for frame in frames] == list(range(20))
    np.testing.assert_allclose([frame.time_s for frame in frames], np.arange(20) / 25, atol=1e-3)
    greys = [float(frame.image[:, 50].float().mean()) for frame in frames]
    assert np.all(np.diff(greys) > 4)
    assert near(frames[0].image, 4, 4)
    assert report == DecodeReport(decoded_frames=20, sampled=20, damaged_frames=0, missing=0, damage=())


@pytest.mark.parametrize(
    ("codec", "pixels", "size"),
    [
        ("libx264", "yuv420p", (96, 64)),
        ("libx264", "yuv420p", (322, 50)),
        ("libx264", "yuvj420p", (96, 64)),
        ("libx264", "yuv444p", (33, 51)),
        ("libx264", "yuv444p", (96, 64)),
        ("libx264", "yuvj444p", (34, 50)),
        ("libx264", "yuv422p", (96, 66)),
        ("libx265", "yuv444p10le", (98, 65)),
        ("libx265", "yuv420p10le", (96, 64)),
    ],
)
def test_pixels_are_those_of_pyav(tmp_path: Path, codec: str, pixels: str, size: tuple[int, int]) -> None:
    path = write_video(tmp_path / "a.mp4", frames=5, noisy=True, codec=codec, pixels=pixels, size=size)
    with av.open(str(path)) as container:
        expected = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    _, frames, _ = read(path)
    for frame, plain in zip(frames, expected, strict=True):
        assert frame.image.is_contiguous()
        np.testing.assert_array_equal(frame.image.permute(1, 2, 0).numpy(), plain)


@pytest.mark.parametrize(
    ("rotate", "mirror", "clockwise", "row", "column"),
    [(270, False, 90, 4, -4), (180, False, 180, -4, -4), (90, False, 270, -4, 4), (0, True, 0, 4, -4)],
)
def test_a_phones_video_is_turned_upright(
    tmp_path: Path, rotate: int, mirror: bool, clockwise: int, row: int, column: int
) -> None:
    video, frames, _ = read(write_video(tmp_path / "a.mp4", frames=4, rotate=rotate, mirror=mirror))
    sideways = clockwise in (90, 270)
    assert (video.info.rotation, video.info.mirrored) == (clockwise, mirror)
    assert (video.info.width, video.info.height) == ((64, 96) if sideways else (96, 64))
    for frame in frames:
        assert frame.image.shape == (3, video.info.height, video.info.width) and frame.image.is_contiguous()
        assert near(frame.image, row, column)


def test_a_rate_that_varies_keeps_its_own_times(tmp_path: Path) -> None:
    stamps = [0, 40, 80, 600, 640, 680, 1500, 1510, 1520, 2050]
    path = write_video(tmp_path / "a.mkv", frames=10, stamps=stamps)
    _, frames, _ = read(path)
    np.testing.assert_allclose([frame.time_s for frame in frames], np.array(stamps) / 1000, atol=1e-9)
    _, frames, _ = read(path, Sampling(fps=2))
    assert [frame.index for frame in frames] == [0, 3, 6, 9]
    _, frames, _ = read(path, Sampling(count=3))
    assert [frame.index for frame in frames] == [0, 6, 8]


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "avi", "ts"])
def test_sampling_holds_in_every_container(tmp_path: Path, suffix: str) -> None:
    path = write_video(tmp_path / f"a.{suffix}", codec="mpeg4" if suffix == "avi" else "libx264", frames=50)
    _, frames, report = read(path, Sampling(fps=5))
    assert [frame.index for frame in frames] == list(range(0, 50, 5)) and report.decoded_frames == 50
    _, frames, report = read(path, Sampling(count=4))
    assert [frame.index for frame in frames] == [0, 13, 25, 38] and report.missing == 0
    _, frames, _ = read(path, Sampling(fps=Fraction(25)))
    assert len(frames) == 50


def test_four_frames_are_a_video(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", frames=4)
    for sampling, expected in ((Sampling(), 4), (Sampling(fps=2), 1), (Sampling(count=100), 4)):
        _, frames, report = read(path, sampling)
        assert len(frames) == expected and not report.damage


def test_a_video_can_be_read_again_and_left_early(tmp_path: Path) -> None:
    video = open_media(write_video(tmp_path / "a.mp4"))
    started = video.frames()
    next(started)
    started.close()
    assert video.report is None
    first, again = ([frame.image for frame in video.frames(threads=n)] for n in (1, 2))
    assert len(first) == 20 and all(map(torch.equal, first, again))
    with pytest.raises(InputError, match="thread"):
        next(video.frames(threads=0))


def test_a_truncated_video_gives_what_is_there(noisy: bytes, tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    path.write_bytes(noisy[: len(noisy) // 2])
    video, frames, report = read(path)
    assert video.info.declared_frames == 60
    assert 20 < len(frames) < 40
    assert report.missing == 60 - report.decoded_frames
    assert f"{report.missing} of 60 frames are missing" in report.damage
    _, spread_out, _ = read(path, Sampling(count=5))
    assert 4 <= len(spread_out) <= 5 and spread_out[-1].time_s > 0.6


def test_a_truncated_matroska_is_measured_by_its_duration(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mkv", frames=100, noisy=True)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    _, frames, report = read(path)
    assert 40 < len(frames) < 60
    assert abs(report.missing - (100 - report.decoded_frames)) <= 1 and report.damage


@pytest.mark.parametrize(
    ("suffix", "codec"),
    [("flv", "libx264"), ("ts", "libx264"), ("m2ts", "libx264"), ("mpg", "mpeg2video"), ("ogg", "libvpx")],
)
@pytest.mark.parametrize("share", [0.41, 0.6, 0.77])
def test_every_container_that_breaks_off_is_damaged(
    tmp_path: Path, suffix: str, codec: str, share: float
) -> None:
    path = write_video(tmp_path / f"a.{suffix}", codec=codec, frames=60, noisy=True)
    _, whole, report = read(path)
    assert len(whole) == 60 and not report.damage
    path.write_bytes(path.read_bytes()[: round(path.stat().st_size * share)])
    _, frames, report = read(path)
    assert 0 < len(frames) < 60 and report.damage


def test_a_still_picture_at_the_end_is_no_damage(tmp_path: Path) -> None:
    """A screen recording: nothing changes any more, and the last frame stands for 20 seconds."""
    with av.open(str(tmp_path / "a.mp4"), "w") as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        frames = [av.VideoFrame.from_ndarray(picture(number), "rgb24") for number in range(5)]
        packets = [packet for frame in (*frames, None) for packet in stream.encode(frame)]
        packets[-1].duration = 20 * 25
        container.mux(packets)
    video, found, report = read(tmp_path / "a.mp4")
    assert (video.info.duration_s or 0) > 20 and len(found) == 5
    assert not report.damage and not report.missing


def test_frames_that_an_avi_drops_are_no_damage(tmp_path: Path) -> None:
    """For each there is an entry without data in its index, which says that the picture stays."""
    with av.open(str(tmp_path / "a.avi"), "w") as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        for number in range(30):
            for packet in stream.encode(av.VideoFrame.from_ndarray(picture(number), "rgb24")):
                packet.pts = packet.dts = 4 * (packet.pts or 0)
                container.mux(packet)
        container.mux(stream.encode())
    video, frames, report = read(tmp_path / "a.avi")
    assert len(frames) == 30 and not report.damage and not report.missing
    assert (video.info.declared_frames or 0) > 100, "the header counts those too"


def test_two_fields_may_lie_in_packets_of_their_own() -> None:
    """Cameras that record fields (PAFF) give half a picture in a packet."""
    counter = DecodeCounter(declared_frames=200, packets=200)
    for number in range(100):
        counter.count(number / 25, sound=True)
    assert not counter.result().damage and not counter.result().missing
    nothing = DecodeCounter(packets=200)
    nothing.count(0.0, sound=True)
    assert "of 200 packets of pictures only 1 gave one" in nothing.result().damage


def test_a_video_cut_off_before_its_index_says_so(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", noisy=True)
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 6 // 10])
    with pytest.raises(UnreadableMedia, match="lacks its index"):
        open_media(path)


def test_patched_frames_are_counted_and_never_sampled(noisy: bytes, tmp_path: Path) -> None:
    data = bytearray(noisy)
    hole = np.random.default_rng(0).integers(0, 256, 4000, dtype=np.uint8).tobytes()
    data[len(data) // 2 : len(data) // 2 + len(hole)] = hole
    path, whole = tmp_path / "a.mp4", tmp_path / "whole.mp4"
    path.write_bytes(data)
    whole.write_bytes(noisy)
    _, frames, report = read(path)
    assert report.damaged_frames + report.missing > 0 and report.damage
    assert len(frames) == report.decoded_frames - report.damaged_frames < 60
    # Whatever comes after the next key frame is exactly as if nothing had happened.
    assert torch.equal(frames[-1].image, read(whole)[1][-1].image)


def test_decoding_stops_at_the_limit_of_seconds(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", frames=100)
    _, frames, report = read(path, limits=Limits(seconds=1.0))
    assert len(frames) == 26 and report.missing == 0 and "limit of 1 s" in report.damage[0]
    _, frames, _ = read(path, Sampling(count=4), Limits(seconds=1.0))
    assert [frame.index for frame in frames] == [0, 7, 13, 20]


def test_large_frames_and_files_are_refused(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4")
    for limits, said in ((Limits(frame_pixels=6000), "96 x 64"), (Limits(video_bytes=100), "100")):
        with pytest.raises(UnreadableMedia, match=said):
            open_media(path, limits=limits)


def test_a_video_that_has_gone_meanwhile(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4")
    video = open_media(path)
    path.unlink()
    with pytest.raises(UnreadableMedia, match="No such file"):
        next(video.frames())


@pytest.mark.parametrize("rotate", [0, 90])
def test_no_frame_is_kept(tmp_path: Path, rotate: int) -> None:
    path = write_video(tmp_path / "a.mp4", frames=200, size=(640, 480), keys_every=50, rotate=rotate)
    process = psutil.Process()
    before = grown = alive = 0
    last: weakref.ref[torch.Tensor] | None = None
    gc.collect()
    gc.disable()  # what only the collector frees piles up until it happens to run
    try:
        for frame in open_media(path).frames():
            alive += last is not None and last() is not None
            last = weakref.ref(frame.image)
            if frame.index == 50:
                before = process.memory_info().rss
            grown = process.memory_info().rss - before
    finally:
        gc.enable()
    # 150 further frames are 138 MB as RGB, and 69 MB as the decoder makes them.
    assert alive == 0 and grown < 20 * 2**20


def test_what_is_kept_of_a_frame_is_never_written_over(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", frames=12, noisy=True)
    frames = open_media(path).frames()
    kept = []
    for frame, keep in zip(
        frames,
        itertools.cycle(
            (
                lambda image: image,
                lambda image: image[0, 3:9],
                lambda image: image.numpy()[:, 5],
                lambda image: torch.from_numpy(image.permute(1, 2, 0).numpy()),
                lambda image: None,
            )
        ),
    ):
        part = keep(frame.image)
        kept.append((part, None if part is None else np.asarray(part).copy()))
    assert len(kept) == 12
    for part, then in kept:
        assert then is None or np.array_equal(np.asarray(part), then)


def test_memory_of_dropped_frames_is_used_again(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", frames=12)
    assert len({frame.image.data_ptr() for frame in open_media(path).frames()}) == 2


def flipped(data: bytes, flips: list[tuple[int, int]]) -> bytes:
    out = bytearray(data)
    for at, mask in flips:
        out[at % len(out)] ^= mask
    return bytes(out)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], bytes]:
    folder = tmp_path_factory.mktemp("small")
    made = {
        "mp4": write_video(folder / "a.mp4", frames=6, size=(32, 32), keys_every=3).read_bytes(),
        "webm": write_video(folder / "a.webm", frames=6, size=(32, 32), codec="libvpx-vp9").read_bytes(),
    }
    return made.__getitem__


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.sampled_from(["mp4", "mp4", "webm"]),
    st.lists(st.tuples(st.integers(0, 1 << 16), st.integers(1, 255)), min_size=1, max_size=8),
    st.sampled_from([Sampling(), Sampling(fps=5), Sampling(count=3)]),
)
def test_flipped_bytes_give_frames_or_our_error(
    small: Callable[[str], bytes],
    tmp_path: Path,
    suffix: str,
    flips: list[tuple[int, int]],
    sampling: Sampling,
) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(flipped(small(suffix), flips))
    try:
        found = open_media(path, limits=Limits(frame_pixels=1 << 20))
        frames = list(found.frames(sampling))
    except VerovoltoError as error:
        assert str(path) in str(error)
        return
    report = found.report
    assert report is not None and report.sampled == len(frames) <= max(report.decoded_frames, 0)
    assert len(frames) <= 3 or sampling.count is None
    times = [frame.time_s for frame in frames]
    assert all(a < b for a, b in itertools.pairwise(times)) and all(time >= 0 for time in times)
    assert all(frame.image.dtype == torch.uint8 and frame.image.shape[0] == 3 for frame in frames)


@pytest.mark.data
def test_the_real_clips_are_read_whole(real_data: Path) -> None:
    folder = real_data / "ffpp-clips" / "original_sequences" / "youtube" / "c23" / "videos"
    for name, size, declared in (("519.mp4", (640, 480), 751), ("634.mp4", (1280, 720), 338)):
        video, frames, report = read(folder / name, Sampling(fps=1))
        assert (video.info.width, video.info.height) == size and video.info.codec == "h264"
        assert report.decoded_frames == declared and report.missing == 0 and not report.damage
        assert len(frames) == -(-declared // 25)
