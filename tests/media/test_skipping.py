"""Frames that are not decoded change nothing about those that are: in drawn videos, and in the real clips."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path

import av
import pytest
import torch

from tests.media.drawing import grain, picture
from verovolto.media import DecodeReport, Frame, Limits, Sampling, Video, open_media
from verovolto.media import video as video_module
from verovolto.media.sampling import FirstOfSlot, FrameSelector
from verovolto.media.skipping import Picture, plan

OLDER = [  # frames a second, key frames and reference frames of many encoders
    ("libx264", "bframes=3:b-pyramid=normal"),
    ("libx264", "bframes=5:b-pyramid=strict:b-adapt=0"),
    ("libx264", "bframes=2:open-gop=1"),
    ("libx264", "bframes=0"),
    ("libx264", "bframes=3:interlaced=1"),
    ("libx265", "bframes=4:open-gop=1:b-pyramid=1"),
    ("libx265", "bframes=3:open-gop=0:temporal-layers=2"),
    ("libx265", "bframes=3:radl=2:open-gop=0"),
]


def drawn(
    path: Path, codec: str, params: str, *, frames: int = 75, keys_every: int = 30, rate: int = 25
) -> Path:
    """A video whose pictures move, so that each is predicted from others."""
    named = "x264-params" if codec == "libx264" else "x265-params"
    quiet = "" if codec == "libx264" else ":log-level=none:pools=1"
    with av.open(str(path), "w") as container:
        stream = container.add_stream(
            codec, rate=rate, options={named: f"{params}:keyint={keys_every}{quiet}"}
        )
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        for number in range(frames):
            pixels = picture(number)
            pixels[:, 30:60] = torch.from_numpy(grain(number // 5)).roll(number, 0)[:, 30:60].numpy()
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, "rgb24")))
        container.mux(stream.encode())
    return path


def read(path: Path, sampling: Sampling, limits: Limits | None = None) -> tuple[list[Frame], DecodeReport]:
    video = open_media(path, limits=limits)
    assert isinstance(video, Video)
    frames = list(video.frames(sampling))
    assert video.report is not None
    return frames, video.report


def every_frame(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Video, "_plan", lambda self, sampling: None)


def packets_decoded(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """A list that takes the number of packets of each plan that was followed."""
    made: list[int] = []
    decode = video_module._decode_planned

    def noted(packets: object, followed: object) -> object:
        made.append(followed.decoded)  # type: ignore[attr-defined]
        return decode(packets, followed)  # type: ignore[arg-type]

    monkeypatch.setattr(video_module, "_decode_planned", noted)
    return made


def assert_same(
    ours: tuple[list[Frame], DecodeReport], all_of_them: tuple[list[Frame], DecodeReport]
) -> None:
    assert [frame.index for frame in ours[0]] == [frame.index for frame in all_of_them[0]]
    assert [frame.time_s for frame in ours[0]] == [frame.time_s for frame in all_of_them[0]]
    assert all(torch.equal(a.image, b.image) for a, b in zip(ours[0], all_of_them[0], strict=True))
    assert ours[1] == all_of_them[1] and ours[1].last_s == all_of_them[1].last_s


@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
@pytest.mark.parametrize(("codec", "params"), OLDER, ids=[f"{codec}:{params}" for codec, params in OLDER])
def test_the_same_frames_come(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, codec: str, params: str, suffix: str
) -> None:
    path = drawn(tmp_path / f"a.{suffix}", codec, params)
    followed = packets_decoded(monkeypatch)
    samplings = [Sampling(fps=2), Sampling(fps=Fraction(7)), Sampling(count=4), Sampling(count=1)]
    planned = [read(path, sampling) for sampling in samplings]
    assert followed and max(followed) < 75, "nothing was left out"
    every_frame(monkeypatch)
    for sampling, ours in zip(samplings, planned, strict=True):
        assert_same(ours, read(path, sampling))


def test_half_of_the_frames_need_no_decoding(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    followed = packets_decoded(monkeypatch)
    read(
        drawn(tmp_path / "a.mp4", "libx264", "bframes=1:b-adapt=0:scenecut=0", keys_every=250),
        Sampling(fps=1),
    )
    assert followed[0] < 45  # of 75
    followed.clear()
    read(drawn(tmp_path / "b.mp4", "libx264", "bframes=0:scenecut=0", keys_every=5), Sampling(fps=1))
    assert followed[0] == 3  # what follows in each group, and groups that nobody looks at


def damaged(path: Path, out: Path, number: int, *, cut: bool = False) -> Path:
    """The video with the bytes of one packet changed, or without what follows it."""
    with av.open(str(path)) as container:
        packet = [p for p in container.demux(video=0) if p.size][number]
        position, size = packet.pos, packet.size
    content = bytearray(path.read_bytes())
    if cut:
        out.write_bytes(content[: position + size // 2])
        return out
    content[position + 4 : position + size] = bytes(
        255 - byte for byte in content[position + 4 : position + size]
    )
    out.write_bytes(content)
    return out


@pytest.mark.parametrize("number", [0, 1, 20, 31, 40, 74])
def test_damage_is_met_as_without_skipping(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """Every frame of this video refers to the one before, so that damage is seen wherever it lies."""
    whole = drawn(tmp_path / "a.mp4", "libx264", "bframes=0:scenecut=0:sliced-threads=0", keys_every=75)
    path = damaged(whole, tmp_path / "b.mp4", number)
    try:
        ours = read(path, Sampling(fps=5))
    except Exception as error:
        ours = type(error)  # type: ignore[assignment]
    every_frame(monkeypatch)
    if isinstance(ours, type):
        with pytest.raises(ours):
            read(path, Sampling(fps=5))
    else:
        assert_same(ours, read(path, Sampling(fps=5)))


def test_a_file_that_breaks_off_is_decoded_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = damaged(drawn(tmp_path / "a.mkv", "libx264", "bframes=3"), tmp_path / "b.mkv", 50, cut=True)
    followed = packets_decoded(monkeypatch)
    _, report = read(path, Sampling(fps=2))
    assert report.damage and not followed


def test_a_limit_in_seconds_holds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = drawn(tmp_path / "a.mp4", "libx264", "bframes=3")
    limits = [Limits(seconds=1.5), Limits(seconds=9.0)]
    ours = [read(path, Sampling(fps=2), limit) for limit in limits]
    assert [len(frames) for frames, _ in ours] == [3, 6] and ours[0][1].damage and not ours[1][1].damage
    every_frame(monkeypatch)
    for limit, found in zip(limits, ours, strict=True):
        assert_same(found, read(path, Sampling(fps=2), limit))


def test_frames_that_are_dropped_in_between_are_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A plan that is wrong costs time alone: every frame is decoded then."""
    path = drawn(tmp_path / "a.mp4", "libx264", "bframes=3", keys_every=25)
    expected = read(path, Sampling(fps=5))
    made = Video._plan

    def wrong(self: Video, sampling: Sampling) -> object:
        right = made(self, sampling)
        assert right is not None
        decode = bytearray(right.decode)
        decode[25:50] = bytes(25)  # frames that are wanted
        return type(right)(decode=bytes(decode), wanted=right.wanted, numbers=right.numbers, last=right.last)

    monkeypatch.setattr(Video, "_plan", wrong)
    assert_same(read(path, Sampling(fps=5)), expected)


REFERENCE = Picture(begins=False, layer=0, refers=True, parameters=False)
NO_REFERENCE = Picture(begins=False, layer=0, refers=False, parameters=False)
IDR = Picture(begins=True, layer=0, refers=True, parameters=False)


def every(step: int) -> Callable[[Sequence[int]], FrameSelector]:
    return lambda ticks: FirstOfSlot(Fraction(1, step), Fraction(1))


def decoded(packets: list[tuple[int, Picture]], step: int) -> list[int] | None:
    made = plan([(stamp, False, picture) for stamp, picture in packets], every(step))
    return None if made is None else list(made.decode)


def test_what_nobody_refers_to_is_left_out() -> None:
    assert decoded([(0, IDR), (2, REFERENCE), (1, NO_REFERENCE), (3, NO_REFERENCE), (4, REFERENCE)], 4) == [
        1, 1, 0, 0, 1,
    ]  # fmt: skip
    assert decoded([(0, IDR), (1, NO_REFERENCE), (2, REFERENCE), (3, IDR), (4, REFERENCE)], 3) == [
        1,
        0,
        0,
        1,
        0,
    ]


def test_lower_sub_layers_and_parameter_sets_are_kept() -> None:
    low = Picture(begins=False, layer=0, refers=False, parameters=False)
    high = Picture(begins=False, layer=1, refers=False, parameters=False)
    assert decoded([(0, IDR), (2, low), (1, high), (3, REFERENCE)], 3) == [1, 1, 0, 1]
    sets = Picture(begins=True, layer=0, refers=True, parameters=True)
    assert decoded([(0, IDR), (1, REFERENCE), (2, sets), (3, REFERENCE)], 9) == [1, 0, 1, 0]


@pytest.mark.parametrize(
    "packets",
    [
        [],
        [(0, False, IDR), (None, False, REFERENCE)],
        [(0, True, IDR), (1, False, REFERENCE)],
        [(0, False, IDR), (1, False, None)],
        [(0, False, IDR), (0, False, NO_REFERENCE)],
        [(0, False, REFERENCE), (1, False, NO_REFERENCE)],
        [(5, False, IDR), (9, False, NO_REFERENCE), (0, False, IDR), (1, False, NO_REFERENCE)],
    ],
    ids=["nothing", "no stamp", "cut away", "not read", "twice", "no beginning", "time goes back"],
)
def test_what_is_not_plain_has_no_plan(packets: list[tuple[int | None, bool, Picture | None]]) -> None:
    assert plan(packets, every(3)) is None


@pytest.mark.data
@pytest.mark.slow
def test_the_real_clips_give_the_same_frames(real_data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = sorted(real_data.glob("*-clips/**/*.mp4"))
    followed = packets_decoded(monkeypatch)
    planned = [read(path, Sampling(fps=2)) for path in paths]
    assert len(followed) > 0.9 * len(paths)
    every_frame(monkeypatch)
    for path, ours in zip(paths, planned, strict=True):
        assert_same(ours, read(path, Sampling(fps=2)))
