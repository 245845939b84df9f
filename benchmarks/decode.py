"""How fast videos are decoded: our way against a plain PyAV loop, in turn, as ratios; and what memory it takes.

    python benchmarks/decode.py VIDEO-OR-FOLDER... [--fps 2] [--rounds 3]

Plain: `av.open`, `container.decode`, `to_ndarray(format="rgb24")` of the same frames, one thread, and nothing
counted, checked or turned. Ours: `open_media(...).frames(...)`. Each is run for every frame, and for --fps frames
a second. A figure is the median of the rounds, in seconds of CPU; a ratio above 1 means that ours is faster.
Peak memory is that of a process of its own that reads the file once, less what it had before it opened it (Linux).

Writes `benchmarks/out/decode.json`: `{"videos": [{path, codec, width, height, seconds, frames, all: {plain_s, ours_s,
ratio}, sampled: {...}, peak_mib: {plain, ours}}], "fps", "machine"}`.
"""

from __future__ import annotations

import argparse
import multiprocessing
import platform
import statistics
import time
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
from rich.console import Console
from rich.table import Table

from verovolto.core.errors import VerovoltoError
from verovolto.core.files import write_json
from verovolto.media import Sampling, Video, open_media
from verovolto.media.sampling import FirstOfSlot

OUT = Path(__file__).parent / "out" / "decode.json"

Reader = Callable[[Path, float | None], int]


def plain(path: Path, fps: float | None) -> int:
    """Frames converted by PyAV alone."""
    found = 0
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stream.codec_context.thread_count = 1
        wanted = FirstOfSlot(Fraction(fps), stream.time_base) if fps else None
        for frame in container.decode(stream):
            if wanted is None or wanted.take(frame.pts):
                found += frame.to_ndarray(format="rgb24").shape[2] == 3
    return found


def ours(path: Path, fps: float | None) -> int:
    """Frames handed on by verovolto."""
    return sum(1 for _ in open_media(path).frames(Sampling(fps=fps)))


def measure(path: Path, fps: float, rounds: int) -> dict[str, Any] | None:
    """Figures of one file; None for what is not a video."""
    try:
        video = open_media(path)
    except VerovoltoError:
        return None
    if not isinstance(video, Video):
        return None
    info = video.info
    frames = sum(1 for _ in video.frames())
    return {
        "path": path.name,
        "codec": info.codec,
        "width": info.width,
        "height": info.height,
        "seconds": info.duration_s,
        "frames": frames,
        "all": in_turn(path, None, rounds),
        "sampled": in_turn(path, fps, rounds),
        "peak_mib": {"plain": peak(plain, path), "ours": peak(ours, path)},
    }


def in_turn(path: Path, fps: float | None, rounds: int) -> dict[str, float]:
    """Seconds of CPU of both readers, which take turns, and how much faster ours is."""
    taken: dict[str, list[float]] = {"plain": [], "ours": []}
    counts = set()
    for _ in range(rounds):
        for name, reader in (("plain", plain), ("ours", ours)):
            begin = time.process_time()
            counts.add(reader(path, fps))
            taken[name].append(time.process_time() - begin)
    if len(counts) != 1:
        raise SystemExit(f"{path}: the two readers disagree about the number of frames: {sorted(counts)}")
    plain_s, ours_s = (statistics.median(taken[name]) for name in ("plain", "ours"))
    return {"plain_s": round(plain_s, 3), "ours_s": round(ours_s, 3), "ratio": round(plain_s / ours_s, 3)}


def peak(reader: Reader, path: Path) -> float:
    """MiB that reading every frame of the file adds to a fresh process."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return round(pool.apply(_added_memory, (reader, path)), 1)


def _added_memory(reader: Reader, path: Path) -> float:
    # Not getrusage: its mark is handed down from the parent process.
    def high_water() -> float:
        lines = Path("/proc/self/status").read_text().splitlines()
        return int(next(line.split()[1] for line in lines if line.startswith("VmHWM"))) / 1024

    before = high_water()
    reader(path, None)
    return high_water() - before


def files(paths: list[Path]) -> Iterator[Path]:
    """The files themselves, and those below the folders, in order of name."""
    for path in paths:
        yield from (each for each in sorted(path.rglob("*")) if each.is_file()) if path.is_dir() else [path]


def show(found: list[dict[str, Any]], fps: float) -> None:
    table = Table("video", "size", "frames", "all", f"at {fps:g}/s", "CPU s per s", "peak MiB (plain)")
    for one in found:
        every, few = one["all"], one["sampled"]
        table.add_row(
            f"{one['path']} ({one['codec']})",
            f"{one['width']}x{one['height']}",
            str(one["frames"]),
            f"{every['ratio']:.2f}",
            f"{few['ratio']:.2f}",
            f"{few['ours_s'] / one['seconds']:.4f}" if one["seconds"] else "",
            f"{one['peak_mib']['ours']} ({one['peak_mib']['plain']})",
        )
    Console().print(table)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("paths", nargs="+", type=Path)
    parser.add_argument("--fps", type=float, default=2.0)
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    measured = [measure(path, args.fps, args.rounds) for path in files(args.paths)]
    found = [one for one in measured if one is not None]
    show(found, args.fps)
    write_json(
        OUT,
        {"videos": found, "fps": args.fps, "machine": f"{platform.machine()} {platform.processor()}".strip()},
    )


if __name__ == "__main__":
    main()
