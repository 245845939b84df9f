"""What so many videos a day need: cores by stage, and how long files wait in the queue, simulated.

    python benchmarks/capacity.py [--costs benchmarks/out/scan.json] [--video 634.mp4] [--per-day 1000000] [--gpus 4]

Costs are seconds of CPU for a second of video, by stage, as `benchmarks/scan.py` measured them for one of its videos
and one face detector; `--per-file` is what every file costs besides (opened, hashed three times, written).

Files come at random (Poisson), at a rate that rises and falls with the day by `--swing` of its mean; their lengths are
lognormal around a mean of `--seconds`, most of them shorter. Each waits for a free core, in the order of arrival; one
core does one file. With `--gpus` a file is decoded by a core and then waits for a GPU, which finds and scores its faces
`--gpu-speed` times as fast as a core does: an assumption, to be replaced by a measurement of one's own.

The simulation (SimPy) is of a whole day, from an empty queue, by a seed. Printed as Markdown, by how much of the mean
load the cores are: utilisation, waiting times (percentiles over files), queue length when a file comes.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import simpy

DAY = 86400.0
STAGES = ("decode", "detect", "score", "rest")
ON_GPU = ("detect", "score")
LOADS = (0.6, 0.7, 0.8, 0.9, 1.0)
SIGMA = 1.0  # of the logarithm of lengths: the longest hundredth is six times as long as the mean


@dataclass(frozen=True, kw_only=True)
class Load:
    """What comes in a day."""

    per_day: int
    seconds: float
    swing: float


@dataclass(frozen=True, kw_only=True)
class Costs:
    """Seconds of a core for a second of video, by stage, and for a file."""

    stages: dict[str, float]
    per_file: float

    def of(self, stages: tuple[str, ...], lengths: np.ndarray) -> np.ndarray:
        """Seconds of a core that these stages of videos of these lengths take."""
        return lengths * sum(self.stages[name] for name in stages)


def day_of(load: Load, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Times of arrival in a day, sorted, and lengths, in seconds."""
    times: list[np.ndarray] = []
    wanted = random.poisson(load.per_day)
    while sum(map(len, times)) < wanted:
        tried = random.uniform(0, DAY, wanted)
        rate = 1 - load.swing * np.cos(2 * math.pi * tried / DAY)  # least at midnight
        times.append(tried[random.uniform(0, 1 + load.swing, wanted) < rate])
    lengths = random.lognormal(math.log(load.seconds) - SIGMA**2 / 2, SIGMA, wanted)
    return np.sort(np.concatenate(times)[:wanted]), lengths


def simulate(times: np.ndarray, stations: list[tuple[int, np.ndarray]]) -> dict[str, Any]:
    """Let files pass through stations, each of so many servers and with a service time a file.

    Returns:
        `utilisation` of each station until the last file is done; `waits`, seconds in all queues, a file each;
        `queue`, the files that wait when one comes, a file each.
    """
    env = simpy.Environment()
    servers = [simpy.Resource(env, capacity=number) for number, _ in stations]
    waits, queue = np.zeros(len(times)), np.zeros(len(times), int)

    def file(number: int) -> Generator[Any, Any, None]:
        for server, (_, service) in zip(servers, stations, strict=True):
            asked = env.now
            with server.request() as request:
                yield request
                waits[number] += env.now - asked
                yield env.timeout(service[number])

    def source() -> Generator[Any, Any, None]:
        for number, time in enumerate(times):
            yield env.timeout(max(time - env.now, 0.0))
            queue[number] = sum(len(server.queue) for server in servers)
            env.process(file(number))

    env.process(source())
    env.run()
    busy = [float(service.sum()) / (number * env.now) for number, service in stations]
    return {"utilisation": busy, "waits": waits, "queue": queue}


def row_of(found: dict[str, Any], cells: list[str]) -> str:
    """A line of the table."""
    waits, queue = found["waits"], found["queue"]
    shown = [f"{value:.0%}" for value in found["utilisation"]]
    shown = [" / ".join(shown), *(duration(np.percentile(waits, share)) for share in (50, 95, 99))]
    return "| " + " | ".join([*cells, *shown, f"{queue.mean():,.0f}", f"{queue.max():,}"]) + " |"


def duration(seconds: float) -> str:
    """`0 s`, `41 s`, `12 min`, `3.2 h`."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"


def measured(path: Path, video: str, detector: str, per_file: float) -> Costs:
    """The costs of one video of what `benchmarks/scan.py` wrote."""
    if not path.is_file():
        raise SystemExit(f"{path} is not there: run benchmarks/scan.py first, or give --stage-costs")
    found = {each["name"]: each["detectors"] for each in json.loads(path.read_text())["videos"]}
    if video not in found or detector not in found[video]:
        raise SystemExit(f"{path} has no {video} with {detector}; it has {', '.join(found)}")
    return Costs(stages={name: found[video][detector][name] for name in STAGES}, per_file=per_file)


def show_stages(load: Load, costs: Costs) -> float:
    """Print the cores that each stage needs on average; gives their sum."""
    whole = load.per_day * load.seconds / DAY
    needs = {name: whole * costs.stages[name] for name in STAGES}
    needs["per file"] = load.per_day * costs.per_file / DAY
    print(
        f"{load.per_day:,} videos of {load.seconds:g} s a day are {whole:,.0f} seconds of video a second.\n"
    )
    print(f"| | {' | '.join(needs)} | all |\n|---|{'---|' * (len(needs) + 1)}")
    total = sum(needs.values())
    given = [*(costs.stages[name] for name in STAGES), costs.per_file]
    print(f"| seconds of a core | {' | '.join(f'{each:.3f}' for each in given)} | |")
    print(
        f"| cores, at the mean | {' | '.join(f'{each:,.0f}' for each in needs.values())} | {total:,.0f} |\n"
    )
    return total


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--costs", type=Path, default=Path(__file__).parent / "out" / "scan.json")
    parser.add_argument("--video", default="634.mp4")
    parser.add_argument("--face-detector", default="mtcnn")
    parser.add_argument("--stage-costs", type=float, nargs=4, metavar=tuple(name.upper() for name in STAGES))
    parser.add_argument("--per-file", type=float, default=0.1)
    parser.add_argument("--per-day", type=int, default=1_000_000)
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--swing", type=float, default=0.3)
    parser.add_argument("--loads", type=float, nargs="+", default=list(LOADS))
    parser.add_argument("--gpus", type=int, nargs="*", default=[])
    parser.add_argument("--gpu-speed", type=float, default=40.0)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    load = Load(per_day=args.per_day, seconds=args.seconds, swing=args.swing)
    costs = (
        Costs(stages=dict(zip(STAGES, args.stage_costs, strict=True)), per_file=args.per_file)
        if args.stage_costs
        else measured(args.costs, args.video, args.face_detector, args.per_file)
    )
    total = show_stages(load, costs)
    times, lengths = day_of(load, np.random.default_rng(args.seed))
    rest = " | utilisation | wait, median | 95 % | 99 % | queue, mean | most |\n|---|---|---|---|---|---|---|"
    print(f"| cores{rest}---|")
    for share in args.loads:
        cores = max(1, math.ceil(total / share))
        found = simulate(times, [(cores, costs.of(STAGES, lengths) + costs.per_file)])
        print(row_of(found, [f"{cores:,} (mean load {share:.0%})"]), flush=True)
    if args.gpus:
        on_core = tuple(name for name in STAGES if name not in ON_GPU)
        needed = (costs.of(on_core, lengths) + costs.per_file).sum() / DAY
        cores = max(1, math.ceil(needed / 0.7))
        print(f"\n| cores | GPUs{rest}---|---|")
        for gpus in args.gpus:
            stations = [
                (cores, costs.of(on_core, lengths) + costs.per_file),
                (gpus, costs.of(ON_GPU, lengths) / args.gpu_speed),
            ]
            print(row_of(simulate(times, stations), [f"{cores:,}", f"{gpus}"]), flush=True)


if __name__ == "__main__":
    main()
