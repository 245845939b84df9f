"""Videos: decoded once from beginning to end, frame by frame, in bounded memory."""

from __future__ import annotations

import math
import re
import weakref
from array import array
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import cast

import numpy as np
import torch
from av.container import InputContainer
from av.packet import Packet
from av.sidedata.sidedata import SideDataContainer, Type
from av.video.frame import VideoFrame
from av.video.plane import VideoPlane
from av.video.reformatter import VideoReformatter
from av.video.stream import VideoStream
from PIL import Image
from torch import Tensor

from verovolto.core.errors import InputError
from verovolto.data.colour import HDR_TRANSFERS, profile_of_code, to_srgb, tone_mapped
from verovolto.media.container import Orientation, is_cut_off, orientation_of, reason, video_stream
from verovolto.media.sampling import Sampling, Timestamps, selector_of
from verovolto.media.skipping import FORMATS, NotAsPlanned, Plan, reader_of
from verovolto.media.skipping import plan as plan_of
from verovolto.media.types import (
    COPY_AGAIN,
    DecodeCounter,
    DecodeReport,
    FileType,
    Frame,
    Limits,
    UnreadableMedia,
)


@dataclass(frozen=True, kw_only=True)
class VideoInfo:
    """Properties that a video declares.

    Attributes:
        width: pixels across of its first frame as players show it: of square pixels, upright.
        height: pixels down, likewise.
        stored_size: (width, height) of the frame as it is coded, turned upright.
        rotation: clockwise turn that is applied to the stored frames, degrees: 0, 90, 180 or 270.
        mirrored: whether they are mirrored left to right before that turn.
        codec: FFmpeg's name of the coding: `h264`, `hevc`, `vp9`, `av1`, …
        rate: frames a second on average; None where unknown.
        duration_s: declared duration, seconds; None where unknown.
        declared_frames: number of frames that the container declares; None where it declares none.
        pixel_aspect: width over height of a pixel as stored; frames are stretched by it, along the shorter side.
        transfer: `HLG` or `PQ` for video of high dynamic range, which is tone-mapped to sRGB; None for any other.
    """

    width: int
    height: int
    stored_size: tuple[int, int]
    rotation: int
    mirrored: bool
    codec: str
    rate: Fraction | None
    duration_s: float | None
    declared_frames: int | None
    pixel_aspect: Fraction
    transfer: str | None = None


class Video:
    """A video file that opened and gave at least one frame. Holds no open file and no pixels.

    Attributes:
        path: where it is.
        file_type: that of its container.
        info: what it declares.
        report: of the last `frames()` that was read to its end; None before.
    """

    def __init__(self, *, path: Path, file_type: FileType, info: VideoInfo, limits: Limits) -> None:
        self.path, self.file_type, self.info = path, file_type, info
        self.report: DecodeReport | None = None
        self._limits = limits

    def __repr__(self) -> str:
        return f"Video({str(self.path)!r}, {self.info})"

    def frames(self, sampling: Sampling | None = None, *, threads: int = 1) -> Iterator[Frame]:
        """Decode forward and yield the sampled frames, in order of time, each with a time above the last.

        Only sampled frames are converted to RGB, and none is kept: memory does not depend on the length, but for
        17 bytes a frame of a plan. The file is read to its end whatever is sampled, so that `report` can say what
        is missing. Packets that do not decode are counted and passed over; so are frames that the decoder made up
        in part, and those that were predicted from them, up to the next key frame: the next sound frame is sampled
        in their stead.

        Frames that are not sampled and from which none is predicted are not decoded (see `media.skipping`), so that
        damage within them is not seen. At any other fault every frame is decoded, from the beginning.

        Args:
            sampling: which frames; all by default. Of some the file is read once more beforehand, without
                decoding, for its time stamps.
            threads: of the decoder.

        Raises:
            InputError: `threads` is below 1.
            UnreadableMedia: the file has gone, or no longer opens.
        """
        if threads < 1:
            raise InputError(f"a decoder needs at least 1 thread, not {threads}")
        self.report, sampling = None, sampling or Sampling()
        cut_off, last = is_cut_off(self.path, self.file_type), -math.inf
        plan = None if cut_off else self._plan(sampling)
        if plan is not None:
            counter = self._counter()
            try:
                for tick, frame in self._as_planned(plan, counter, threads):
                    yield frame
                    last = tick
                self.report = counter.result()
                return
            except NotAsPlanned:
                pass
        counter = self._counter()
        counter.cut_off = cut_off
        for tick, frame in self._every_frame(sampling, counter, threads):
            if tick > last:
                yield frame
        self.report = counter.result()

    def _counter(self) -> DecodeCounter:
        info = self.info
        return DecodeCounter(declared_frames=info.declared_frames, declared_s=info.duration_s, rate=info.rate)

    def _every_frame(
        self, sampling: Sampling, counter: DecodeCounter, threads: int
    ) -> Iterator[tuple[int, Frame]]:
        """Decode all, and give those sampled with their time stamps."""
        converter = _FrameConverter(self.info.pixel_aspect, self._limits.frame_pixels)
        with video_stream(self.path, self.file_type, self._limits, threads=threads) as (container, stream):
            timestamps = _timestamps(stream)
            selector = selector_of(sampling, timestamps.time_base, self._ticks)
            for raw, tick, sound in _decode(container, stream, counter, timestamps, self._limits.seconds):
                if not sound or not selector.take(tick):
                    continue
                image = converter.rgb(raw, counter)
                if image is not None:
                    counter.sampled += 1
                    yield tick, Frame(index=counter.decoded - 1, time_s=counter.last_s, image=image)

    def _plan(self, sampling: Sampling) -> Plan | None:
        """Which packets need decoding; None where all do."""
        if sampling == Sampling() or self.file_type.format not in FORMATS:
            return None
        with video_stream(self.path, self.file_type, self._limits) as (container, stream):
            read = reader_of(stream.codec_context)
            if read is None:
                return None
            timestamps = _timestamps(stream)
            packets = (
                (packet.pts, packet.is_discard, read(memoryview(packet)))
                for packet in _packets(container, stream, DecodeCounter())
                if packet.size
            )
            made = plan_of(packets, lambda ticks: selector_of(sampling, timestamps.time_base, lambda: ticks))
            if made is None or self._limits.seconds is None:
                return made
            timestamps.tick(made.wanted[0])
            return made if timestamps.seconds(made.last) <= self._limits.seconds else None

    def _as_planned(self, plan: Plan, counter: DecodeCounter, threads: int) -> Iterator[tuple[int, Frame]]:
        """Decode what the plan names, and give the frames sampled with their time stamps.

        Raises:
            NotAsPlanned: at the first sign that every frame has to be decoded.
        """
        converter = _FrameConverter(self.info.pixel_aspect, self._limits.frame_pixels)
        wanted = deque(zip(plan.wanted, plan.numbers, strict=True))
        with video_stream(self.path, self.file_type, self._limits, threads=threads) as (container, stream):
            timestamps = _timestamps(stream)
            timestamps.tick(plan.wanted[0])  # the first of all is always among them
            for raw in _decode_planned(_packets(container, stream, counter), plan):
                stamp = cast(int, raw.pts)
                if not wanted or stamp < wanted[0][0]:
                    continue
                tick, number = wanted.popleft()
                image = converter.rgb(raw, counter) if stamp == tick else None
                if image is None:
                    raise NotAsPlanned("a frame is missing")
                counter.sampled += 1
                yield tick, Frame(index=number, time_s=timestamps.seconds(tick), image=image)
            counter.decoded, counter.last_s = plan.frames, timestamps.seconds(plan.last)
        if wanted or counter.faults:
            raise NotAsPlanned("frames are missing")

    def _ticks(self) -> array[int]:
        """Time stamps of all frames in order of time, read from the packets: 8 bytes a frame."""
        parts = [array("q")]
        decoded_at = -math.inf
        with video_stream(self.path, self.file_type, self._limits) as (container, stream):
            timestamps = _timestamps(stream)
            for packet in _packets(container, stream, DecodeCounter()):
                stamp = packet.dts if packet.pts is None else packet.pts
                if not packet.size or packet.is_discard or stamp is None:
                    continue
                if packet.dts is not None:  # Matroska leaves out the first ones
                    if packet.dts < decoded_at:  # streams that were joined: time begins again
                        parts.append(array("q"))
                    decoded_at = packet.dts
                parts[-1].append(stamp)
        # By the same rule as for decoded frames, so that both have the same ticks.
        ticks = array("q", (timestamps.tick(stamp) for part in parts for stamp in sorted(set(part))))
        if self._limits.seconds is None:
            return ticks
        last = timestamps.tick_at(self._limits.seconds)
        return array("q", (tick for tick in ticks if tick <= last))


def open_video(path: Path, file_type: FileType, limits: Limits) -> Video:
    """Open the video at `path`, and decode its first frame.

    Raises:
        UnreadableMedia: it does not open, holds no video, exceeds a limit, or not one frame can be decoded.
    """
    with video_stream(path, file_type, limits) as (container, stream):
        declared = (stream.codec_context.width, stream.codec_context.height)
        _check_frame(path, declared, limits)
        counter = DecodeCounter()
        first = next(_decode(container, stream, counter, _timestamps(stream), None), None)
        if first is None:
            why = f" ({counter.faults.most_common(1)[0][0]})" if counter.faults else ""
            raise UnreadableMedia(f"{path}: no frame of it can be decoded{why}", hint=COPY_AGAIN)
        # Everything is read before the container closes: afterwards a stream has no attributes.
        info = _info(container, stream, first[0], limits)
        return Video(path=path, file_type=file_type, info=info, limits=limits)


def _check_frame(path: Path, size: tuple[int, int], limits: Limits) -> None:
    if size[0] * size[1] > limits.frame_pixels:
        raise UnreadableMedia(
            f"{path}: frames of {size[0]} x {size[1]} pixels, the limit is {limits.frame_pixels:,} in all",
            hint="shrink the video, or allow more with --max-megapixels",
        )


def _info(container: InputContainer, stream: VideoStream, first: VideoFrame, limits: Limits) -> VideoInfo:
    orientation = _orientation(first)
    aspect = _aspect(stream)
    width, height = orientation.size(*_square(first.width, first.height, aspect, limits.frame_pixels))
    return VideoInfo(
        width=width,
        height=height,
        rotation=orientation.rotation,
        mirrored=orientation.mirrored,
        codec=_codec_name(stream),
        rate=stream.average_rate or stream.guessed_rate or None,
        duration_s=_duration(container, stream),
        declared_frames=stream.frames if stream.frames > 0 else None,
        stored_size=orientation.size(first.width, first.height),
        pixel_aspect=aspect,
        transfer=HDR_TRANSFERS.get(int(first.color_trc)),
    )


def _aspect(stream: VideoStream) -> Fraction:
    """Width over height of a pixel, of the container where it says so, else of the codec; 1 for what is nonsense."""
    aspect = stream.sample_aspect_ratio or Fraction(1)
    return aspect if Fraction(1, 16) <= aspect <= 16 else Fraction(1)


def _square(width: int, height: int, aspect: Fraction, most: int) -> tuple[int, int]:
    """The frame's (width, height) in square pixels: the shorter side grows or, beyond `most` pixels, the other shrinks.

    Less than a hundredth is left as it is: such aspects come of sizes that are rounded to whole blocks.
    """
    if abs(aspect - 1) < Fraction(1, 100):
        return width, height
    larger = (round(width * aspect), height) if aspect > 1 else (width, round(height / aspect))
    if larger[0] * larger[1] <= most:
        return larger
    smaller = (width, round(height / aspect)) if aspect > 1 else (round(width * aspect), height)
    return max(1, smaller[0]), max(1, smaller[1])


def _codec_name(stream: VideoStream) -> str:
    """The coding, not the decoder: AV1 is decoded by `libdav1d`."""
    return str(stream.codec_context.codec.canonical_name)


def _duration(container: InputContainer, stream: VideoStream) -> float | None:
    """Seconds: of the stream where it says so (Matroska in a tag), else of the whole file."""
    if stream.duration and stream.time_base:
        return float(stream.duration * stream.time_base)
    tag = re.fullmatch(r"(\d+):(\d\d):(\d\d(?:\.\d+)?)", stream.metadata.get("DURATION", ""))
    if tag:
        return int(tag[1]) * 3600 + int(tag[2]) * 60 + float(tag[3])
    return container.duration / 1e6 if container.duration else None


def _timestamps(stream: VideoStream) -> Timestamps:
    rate = stream.average_rate or stream.guessed_rate or None
    return Timestamps(time_base=stream.time_base or Fraction(1, 1000), rate=rate, start=stream.start_time)


def _decode(
    container: InputContainer,
    stream: VideoStream,
    counter: DecodeCounter,
    timestamps: Timestamps,
    seconds: float | None,
) -> Iterator[tuple[VideoFrame, int, bool]]:
    """Yield each decoded frame, its time stamp, and whether it is sound; count, note faults, go on.

    A decoder patches what it lost with pixels from elsewhere and says so once; every frame predicted from the
    patch is as wrong and looks well to it. So nothing is sound between a fault and the next key frame.
    """
    sound = True
    for packet in _packets(container, stream, counter):
        try:
            frames = packet.decode()
        except Exception as error:  # av.error.FFmpegError, and what PyAV lets through on hostile bytes
            counter.failed += 1
            counter.faults[f"data that does not decode: {reason(error)}"] += 1
            sound = False
            continue
        for frame in frames:
            tick = timestamps.tick(frame.pts)
            time_s = timestamps.seconds(tick)
            if seconds is not None and time_s > seconds:
                counter.stopped = f"decoded up to the limit of {seconds:g} s"
                return
            sound = not frame.is_corrupt and (sound or frame.key_frame)
            counter.count(time_s, sound)
            yield frame, tick, sound


def _packets(
    container: InputContainer, stream: VideoStream, counter: DecodeCounter
) -> Iterator[Packet[VideoStream]]:
    """Packets of one stream up to the end, or to where the container cannot be read any further."""
    packets = container.demux(stream)
    empty: Packet[VideoStream] | None = None
    while True:
        try:
            packet = next(packets)
        except StopIteration:
            break
        except Exception as error:
            counter.faults[f"the file cannot be read past {counter.last_s:.2f} s: {reason(error)}"] += 1
            return
        if (
            not packet.size
        ):  # the last one asks the decoder for what it still holds; one before says "as before"
            empty = packet
            continue
        counter.packets += 1
        counter.discarded += packet.is_discard
        yield packet
    if empty is not None:
        yield empty


def _decode_planned(packets: Iterator[Packet[VideoStream]], plan: Plan) -> Iterator[VideoFrame]:
    """Decode the packets that the plan names. Raises `NotAsPlanned` where not each gives one sound frame."""
    number, missing = 0, 0
    for packet in packets:
        if packet.size:
            number += 1
            if number > plan.frames:
                raise NotAsPlanned("the file has grown")
            if not plan.decode[number - 1]:
                continue
            missing += 1
        try:
            frames = packet.decode()
        except Exception as error:
            raise NotAsPlanned(reason(error)) from error
        for frame in frames:
            if frame.is_corrupt or frame.pts is None:
                raise NotAsPlanned("a frame is not sound")
            missing -= 1
            yield frame
        if missing > _MOST_HELD:
            raise NotAsPlanned("frames are missing")
    if number != plan.frames or missing:
        raise NotAsPlanned("frames are missing")


_MOST_HELD = 96
"""Frames that a decoder may hold back: 16 for their order, and one a thread."""


def _orientation(frame: VideoFrame) -> Orientation:
    # In PyAV 18 this is annotated as a dictionary and iterates over values; items by number work.
    side_data = cast(SideDataContainer, frame.side_data)
    for at in range(len(side_data)):
        data = side_data[at]
        if data.type == Type.DISPLAYMATRIX:
            return orientation_of(bytes(data))
    return orientation_of(None)


class _FrameConverter:
    """Turns decoded frames into upright RGB; keeps what is the same from one frame to the next."""

    def __init__(self, aspect: Fraction, most: int) -> None:
        self._aspect, self._most = aspect, most
        self._reformatter = VideoReformatter()
        self._buffers = _BufferPool()
        self._rotation: int | None = None
        self._orientation = orientation_of(None)

    def rgb(self, frame: VideoFrame, counter: DecodeCounter) -> Tensor | None:
        """uint8 `[3, H, W]`; colours by the matrix and range that the frame states, by BT.601 where none is."""
        try:
            orientation = self._orientation_of(frame)
            size = _square(frame.width, frame.height, self._aspect, self._most)
            width, height = orientation.size(*size)
            image = self._buffers.get((3, height, width))
            planes = [orientation.apply(plane) for plane in _rgb_planes(frame, self._reformatter, size)]
            _copy(image, planes)
        except Exception as error:
            counter.faults[f"a frame that cannot be converted to RGB: {reason(error)}"] += 1
            return None
        return torch.from_numpy(image)

    def _orientation_of(self, frame: VideoFrame) -> Orientation:
        # A frame whose side data was looked at refers to itself in a circle, so that its pixels stay until the
        # next round of garbage collection: hundreds of frames. The rotation is read without that.
        if frame.rotation != self._rotation:
            self._rotation, self._orientation = frame.rotation, _orientation(frame)
        return self._orientation


class _BufferPool:
    """Memory for pictures, used again once nothing refers to the picture that was in it.

    Blocks of this size go back to the system when they are freed, and come again page by page, which takes longer
    than to fill them: 1.2 of 6.9 ms a frame at 1280 x 720, 2.6 of 7.1 at 1080p.
    """

    def __init__(self) -> None:
        # One suffices: a caller that asks for the next picture holds the last one alone.
        self._free: np.ndarray | None = None

    def get(self, shape: tuple[int, int, int]) -> np.ndarray:
        """A uint8 array of any content that keeps its memory for as long as it, or a tensor made of it, lives."""
        memory, self._free = self._free, None
        if memory is None or memory.shape != shape:
            memory = np.empty(shape, np.uint8)
        view = memory[:]
        weakref.finalize(view, self._release, memory).atexit = False
        return view

    def _release(self, memory: np.ndarray) -> None:
        self._free = memory


_BAND = 64
"""Rows that are copied at once, of all three colours before the next: so many stay in the processor's cache until they
are pulled apart."""


def _copy(out: np.ndarray, planes: list[np.ndarray]) -> None:
    """Fill `out`, `[3, H, W]`, with three `[H, W]`."""
    for begin in range(0, out.shape[1], _BAND):
        for channel, plane in enumerate(planes):
            out[channel, begin : begin + _BAND] = plane[begin : begin + _BAND]


_ALIKE = {"yuv444p", "yuvj444p", "yuv444p10le"}
"""Formats that FFmpeg turns into planes of RGB and into interleaved RGB with the same pixels, whatever the size."""

_ALIKE_IN_BLOCKS = {"yuv420p", "yuvj420p"}
"""Formats for which that holds if whole blocks of 16 x 2 pixels fill the frame: else the one way blends colours
differently and leaves the last columns empty. Of other formats colours are blended differently at any size."""


def _rgb_planes(frame: VideoFrame, converter: VideoReformatter, size: tuple[int, int]) -> list[np.ndarray]:
    """Red, green and blue of a frame brought to a size, uint8 `[H, W]` each, as views; the pixels of PyAV's `rgb24`."""
    width, height = size
    if int(frame.color_trc) in HDR_TRANSFERS:
        [packed] = converter.reformat(
            frame, width, height, "rgb48le", interpolation="BICUBIC", threads=1
        ).planes
        levels = np.frombuffer(cast(bytes, packed), "<u2").reshape(-1, packed.line_size // 2)
        rgb = tone_mapped(
            levels[:height, : 3 * width].reshape(height, width, 3), HDR_TRANSFERS[int(frame.color_trc)]
        )
        return [rgb[..., channel] for channel in range(3)]
    profile = profile_of_code(int(frame.color_primaries))
    if profile is not None or size != (frame.width, frame.height):
        [packed] = converter.reformat(
            frame, width, height, "rgb24", interpolation="BICUBIC", threads=1
        ).planes
        pixels = _lines(packed)[:height, : 3 * width]
        if profile is not None:
            shown = Image.fromarray(np.ascontiguousarray(pixels).reshape(height, width, 3))
            pixels = np.asarray(to_srgb(shown, profile)).reshape(height, 3 * width)
        return [pixels[:, channel::3] for channel in range(3)]
    stored = frame.format.name
    blocks = width % 16 == 0 and height % 2 == 0
    if stored in _ALIKE or (stored in _ALIKE_IN_BLOCKS and blocks):
        green, blue, red = converter.reformat(frame, format="gbrp", threads=1).planes
        return [_lines(plane)[:height, :width] for plane in (red, green, blue)]
    # To pull interleaved pixels apart takes several times as long as to copy planes.
    [packed] = converter.reformat(frame, format="rgb24", threads=1).planes
    pixels = _lines(packed)[:height, : 3 * width]
    return [pixels[:, channel::3] for channel in range(3)]


def _lines(plane: VideoPlane) -> np.ndarray:
    """The bytes of a plane as a view, line by line with what pads them."""
    return np.frombuffer(cast(bytes, plane), np.uint8).reshape(-1, plane.line_size)
