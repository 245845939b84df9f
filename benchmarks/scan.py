"""How fast videos are scanned, stage by stage, and what memory a long one takes.

    python benchmarks/scan.py --detector DIR [--crop tight] --data DATA [--fps 2] [--rounds 3] [--memory]

DATA holds `ffpp-clips` (H.264, 4:4:4, 640x480 and 1280x720). A camera's 1080p is made of the larger clip: enlarged,
with grain so that it has the bit rate of a camera's video, 4:2:0, in H.264 and, where FFmpeg brings the encoder, HEVC.

Stages, in seconds of CPU for a second of video, on one thread: *decode* (every frame; those looked at become RGB),
*detect* (find faces), *score* (crop, conditions, detector), *rest* (tracks, verdict). *scan*: the whole of it, also as
seconds that pass for a second of video (below 1: faster than real time), on one core and on all. Face detectors and
cores take turns; a figure is the median of the rounds. What passes by the clock counts what else the machine does.

--memory: the most memory (VmHWM, Linux) of a process of its own that scans 10 minutes of 1080p, report's pictures
included, on one core; the part it had before it opened the video is given too.

Writes `benchmarks/out/scan.json`: `{"videos": [{name, codec, width, height, seconds, mbit_s, detectors: {NAME: {decode,
detect, score, rest, scan, faces, looked_at, wall_1, wall_all}}}], "memory": {...} or null, "fps", "cores", "machine"}`.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import platform
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import av
import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor

from verovolto.core.errors import InputError
from verovolto.core.files import write_json
from verovolto.core.parallel import cores
from verovolto.data.crop_rule import CropRule, read_rule
from verovolto.detectors.base import load_detector
from verovolto.faces.detection.base import Face
from verovolto.faces.detection.registry import DETECTORS
from verovolto.media import Video, open_media
from verovolto.scanning.result import TrackResult
from verovolto.scanning.run import open_context
from verovolto.scanning.scan_file import FrameScorer, TrackState, scan_file
from verovolto.scanning.settings import ScanContext, ScanSettings
from verovolto.scanning.verdict import decide_tracks

OUT = Path(__file__).parent / "out" / "scan.json"
SMALL, LARGE = "519.mp4", "634.mp4"
CODECS = {"h264": "libx264", "hevc": "libx265"}
OPTIONS = {
    "libx264": {"preset": "veryfast"},
    "libx265": {"preset": "ultrafast", "x265-params": "log-level=none"},
}
BIT_RATES = {"libx264": 8_000_000, "libx265": 5_000_000}
FRAMES = 200  # 8 s
GRAIN = 4.0  # grey levels
MINUTES = 10
STAGES = ("decode", "detect", "score", "rest")

T = TypeVar("T")


class Stages:
    """Seconds of CPU by stage; a stage within another counts for itself alone."""

    def __init__(self) -> None:
        self.spent: dict[str, float] = defaultdict(float)
        self._inner = 0.0

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        begin, before = time.process_time(), self._inner
        self._inner = 0.0
        try:
            yield
        finally:
            whole = time.process_time() - begin
            self.spent[name] += whole - self._inner
            self._inner = before + whole


class TimedScorer(FrameScorer):
    """The scan's own scorer, which notes what scoring takes."""

    def __init__(self, context: ScanContext, stages: Stages) -> None:
        super().__init__(context)
        self.stages, self.scored = stages, 0

    def _crop(self, image: Tensor, face: Face, state: TrackState) -> Tensor | None:
        with self.stages.stage("score"):
            return super()._crop(image, face, state)

    def _score(self) -> None:
        self.scored += len(self._pending)
        with self.stages.stage("score"):
            super()._score()


class TimedDetector:
    """A face detector that notes what it takes."""

    def __init__(self, context: ScanContext, stages: Stages) -> None:
        self._detector, self._stages = context.face_detector, stages
        self.name, self.confidence = self._detector.name, self._detector.confidence

    def detect(self, image: Tensor, **asked: float) -> list[Face]:
        with self._stages.stage("detect"):
            return self._detector.detect(image, **asked)

    def at_working_size(self, image: Tensor) -> tuple[Tensor, float]:
        with self._stages.stage("detect"):
            return self._detector.at_working_size(image)


class Staged(NamedTuple):
    """One scan: seconds of CPU of each stage, frames looked at, faces scored, and what became of the people."""

    spent: dict[str, float]
    looked_at: int
    faces: int
    tracks: tuple[TrackResult, ...]


def by_stage(path: Path, context: ScanContext) -> Staged:
    """A scan, with what its stages take."""
    stages = Stages()
    scorer = TimedScorer(replace(context, face_detector=TimedDetector(context, stages)), stages)
    with stages.stage("decode"):
        frames = open_media(path).frames(context.settings.sampling)
    while True:
        with stages.stage("decode"):
            frame = next(frames, None)
        if frame is None:
            break
        with stages.stage("rest"):
            scorer.add(frame)
    with stages.stage("rest"):
        tracks = decide_tracks(
            scorer.tracks(), context.calibration, context.detector.domain, context.settings.false_alarm
        )
    return Staged(dict(stages.spent), scorer.frames, scorer.scored, tracks)


def on_threads(threads: int, job: Callable[[], T]) -> T:
    """What `job` gives with so many threads of torch."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        return job()
    finally:
        torch.set_num_threads(before)


def whole(path: Path, context: ScanContext, threads: int) -> tuple[float, float]:
    """Seconds of CPU and by the clock that a scan takes."""
    cpu, clock = time.process_time(), time.perf_counter()
    result = on_threads(threads, lambda: scan_file(path, context, threads=threads))
    if result.status != "ok":
        raise SystemExit(f"{path}: {result.problems}")
    return time.process_time() - cpu, time.perf_counter() - clock


def measure(path: Path, contexts: dict[str, ScanContext], rounds: int) -> dict[str, Any]:
    """Figures of one video, for a second of it, with every face detector."""
    video = open_media(path)
    assert isinstance(video, Video) and video.info.duration_s
    seconds = video.info.duration_s
    found: dict[str, dict[str, list[float]]] = {name: defaultdict(list) for name in contexts}
    counts: dict[str, dict[str, int]] = {}
    for number in range(rounds):
        for name, context in contexts.items():
            Console(stderr=True).print(f"{path.name}: round {number + 1} of {rounds}, {name}")
            staged = on_threads(1, lambda context=context: by_stage(path, context))  # type: ignore[misc]
            counts[name] = {"looked_at": staged.looked_at, "faces": staged.faces}
            for stage, taken in staged.spent.items():
                found[name][stage].append(taken / seconds)
            for key, threads in (("1", 1), ("all", cores())):
                cpu, clock = whole(path, context, threads)
                found[name][f"wall_{key}"].append(clock / seconds)
                if threads == 1:
                    found[name]["scan"].append(cpu / seconds)
    return {
        "name": path.name,
        "codec": video.info.codec,
        "width": video.info.width,
        "height": video.info.height,
        "seconds": seconds,
        "mbit_s": round(path.stat().st_size * 8e-6 / seconds, 2),
        "detectors": {
            name: counts[name] | {key: round(statistics.median(times), 4) for key, times in each.items()}
            for name, each in found.items()
        },
    }


def make(source: Path, out: Path, encoder: str) -> Path:
    """The clip's first seconds as 1080p: enlarged, with grain, 4:2:0. The grain is the same at every call."""
    bernoulli = np.random.default_rng(0)
    grain = bernoulli.normal(0, GRAIN, (1080 + 64, 1920 + 64)).round().astype(np.int16)
    with av.open(str(source)) as given, av.open(str(out), "w") as made:
        stream = made.add_stream(encoder, rate=25, options=OPTIONS[encoder] | {"threads": str(cores())})
        stream.width, stream.height, stream.pix_fmt = 1920, 1080, "yuv420p"
        stream.bit_rate = BIT_RATES[encoder]
        for number, frame in enumerate(given.decode(video=0)):
            if number == FRAMES:
                break
            large = frame.reformat(width=1920, height=1080, format="yuv420p").to_ndarray()
            y, x = bernoulli.integers(64, size=2)
            luma = large[:1080]
            luma[:] = np.clip(luma + grain[y : y + 1080, x : x + 1920], 0, 255)
            drawn = av.VideoFrame.from_ndarray(large, "yuv420p")
            drawn.pts, drawn.time_base = number, Fraction(1, 25)
            made.mux(stream.encode(drawn))
        made.mux(stream.encode())
    return out


def looped(source: Path, out: Path, seconds: float) -> Path:
    """The video again and again, without coding it anew, until it lasts so long."""
    with av.open(str(source)) as given:
        stream = given.streams.video[0]
        packets = [packet for packet in given.demux(stream) if packet.size]
        assert stream.time_base is not None
        rate = stream.average_rate or Fraction(25)
        shown, decoded = [p.pts or 0 for p in packets], [p.dts or 0 for p in packets]
        # From the first to the last of either: with B-pictures decoding begins before the first is shown.
        length = max(max(times) - min(times) for times in (shown, decoded)) + round(
            1 / rate / stream.time_base
        )
        with av.open(str(out), "w") as made:
            into, start = made.add_stream_from_template(stream), 0
            while start * stream.time_base < seconds:
                for packet in packets:
                    again = av.Packet(bytes(packet))
                    again.pts, again.dts = (packet.pts or 0) + start, (packet.dts or 0) + start
                    again.time_base, again.duration = packet.time_base, packet.duration
                    again.is_keyframe, again.stream = packet.is_keyframe, into
                    made.mux(again)
                start += length
    return out


def memory(path: Path, detector: Path, settings: ScanSettings) -> dict[str, Any]:
    """MiB at the most of a process of its own that scans the video, and before it opened it."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_scan_alone, (path, detector, settings))


def high_water() -> float:
    """The most memory that this process has had, in MiB."""
    # Not getrusage: its mark is handed down from the parent process.
    lines = Path("/proc/self/status").read_text().splitlines()
    return round(int(next(line.split()[1] for line in lines if line.startswith("VmHWM"))) / 1024, 1)


def _scan_alone(path: Path, detector: Path, settings: ScanSettings) -> dict[str, Any]:
    torch.set_num_threads(1)
    context = open_context(load_detector(detector), settings)
    before, cpu = high_water(), time.process_time()
    result = scan_file(path, context)
    if result.status != "ok" or not result.duration_s:
        raise SystemExit(f"{path}: {result.problems}")
    return {
        "minutes": round(result.duration_s / 60, 2),
        "width": result.width,
        "height": result.height,
        "looked_at": result.frames,
        "tracks": len(result.tracks),
        "peak_mib": high_water(),
        "before_mib": before,
        "cpu_s_per_s": round((time.process_time() - cpu) / result.duration_s, 4),
        "face_detector": context.face_detector.name,
    }


def open_contexts(detector: Path, crop: CropRule | None, fps: float) -> dict[str, ScanContext]:
    """A context for each face detector for whose boxes the crop rule can be restated."""
    opened, contexts = load_detector(detector), {}
    for name in DETECTORS:
        try:
            contexts[name] = open_context(opened, ScanSettings(crop=crop, face_detector=name, fps=fps))
        except InputError as error:
            Console(stderr=True).print(f"{name} is left out: {error}")
    return contexts


def find(data: Path, name: str) -> Path:
    found = sorted(data.rglob(name))
    if not found:
        raise SystemExit(f"{data} holds no {name}: it needs ffpp-clips")
    return found[0]


def videos(data: Path, folder: Path) -> list[Path]:
    """The clips, and 1080p as far as FFmpeg can encode it."""
    paths = [find(data, SMALL), find(data, LARGE)]
    for codec, encoder in CODECS.items():
        try:
            av.codec.Codec(encoder, "w")
        except ValueError:
            Console(stderr=True).print(f"no encoder {encoder}: 1080p {codec} is left out")
            continue
        Console(stderr=True).print(f"making 1080p in {codec} ...")
        paths.append(make(paths[1], folder / f"1080p-{codec}.mp4", encoder))
    return paths


def show(found: list[dict[str, Any]], told: dict[str, Any] | None) -> None:
    table = Table("video", "size", "Mbit/s", "faces by", *STAGES, "scan", "1 core", f"{cores()} cores")
    for one in found:
        for name, each in one["detectors"].items():
            table.add_row(
                f"{one['name']} ({one['codec']})",
                f"{one['width']}x{one['height']}",
                f"{one['mbit_s']}",
                name,
                *(f"{each[key]:.3f}" for key in (*STAGES, "scan", "wall_1", "wall_all")),
            )
    Console(width=150).print(table)
    if told:
        Console().print_json(json.dumps(told))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--detector", type=Path, required=True)
    parser.add_argument("--crop", type=read_rule)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--fps", type=float, default=2.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--memory", action="store_true")
    args = parser.parse_args()
    told = None
    with tempfile.TemporaryDirectory() as made:
        paths = videos(args.data, Path(made))
        contexts = open_contexts(args.detector, args.crop, args.fps)
        found = [measure(path, contexts, args.rounds) for path in paths]
        if args.memory and len(paths) > 2:
            long = looped(paths[2], Path(made) / "long.mp4", MINUTES * 60)
            told = memory(long, args.detector, ScanSettings(crop=args.crop, fps=args.fps, pictures=True))
    show(found, told)
    machine = f"{platform.machine()} {platform.processor()}".strip()
    write_json(OUT, {"videos": found, "memory": told, "fps": args.fps, "cores": cores(), "machine": machine})


if __name__ == "__main__":
    main()
