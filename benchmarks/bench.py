"""How fast each model trains and scores: our path against the plain way, a peer, and the network alone, in turn.

    python benchmarks/bench.py [--data FACES] [--full | --models NAME ...] [--rounds 2] [--peers PYTHON] [--out FILE]

*Ours*: what `verovolto train` and `verovolto evaluate` run. *Plain*: contiguous float32 tensors, PIL decoding and
resizing in a DataLoader, Adam as it comes. *Network*: our training steps, and our scores in float32, of one batch in
memory. *Peer*: anomalib's GANomaly on the same faces, in an environment of its own (`peers/ganomaly_speed.py` says how
it is made; without it the peer is left out). All see the same JPEG faces (drawn ones without --data) at the model's
published size, in batches of 32, the peer of 8: its steps take long. Each model has a process of its own, in which the
ways take turns; a figure is the median over rounds, a ratio the median of theirs. Seconds are those of the CPU, on one
thread, so that they hold on a busy machine, too; with a GPU, those of the clock.

*of the matrix rate*: operations of training steps (three times those of the forward pass) a second, over the rate of
matrix products in the same precision, which is measured on the spot, as is the bandwidth of memory (`machine.py`).
*AUROC*: of the network after those few steps, where FACES has a test split of both classes. bf16 is left out where the
processor only emulates it.

The two networks of the thesis by default (a quarter of an hour on two cores with AVX2 alone); --full: all of them.

Writes `benchmarks/out/bench.json`: `{"machine", "rates", "train": {MODEL: {images_per_s, plain_images_per_s,
network_images_per_s, peer_images_per_s, over_plain, ...}}, "score": {MODEL: {...}}}`.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import statistics
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from rich.console import Console
from rich.table import Table

import machine
from verovolto.core.errors import InputError
from verovolto.core.files import write_json
from verovolto.data.faceset import FaceSet
from verovolto.detectors.registry import TrainConfig, flat
from verovolto.detectors.score_faces import score_faces
from verovolto.evaluation.metrics import Ranking, auroc, curves
from verovolto.networks.registry import NETWORKS, entry
from verovolto.training.fit import resolved
from ways import BATCH, Job
from ways.ours import Steps, detector, score_alone, score_ours
from ways.plain import score_plain, train_plain

HERE = Path(__file__).parent
OUT = HERE / "out" / "bench.json"
THESIS = ("resnet-ocvae1", "resnet-ocvae2")
PEER_BATCH = 8
PEERS = HERE.parent / ".venv-peers" / "bin" / "python"
FACES = 256
FEWEST = 4 * BATCH  # a round trains on four batches
JUDGED = 200  # faces of either class


def main() -> None:
    options = _options()
    torch.set_num_threads(1)
    result: dict[str, Any] = {"machine": described(), "rates": machine.rates(), "train": {}, "score": {}}
    with tempfile.TemporaryDirectory() as made:
        data = options.data or draw_faces(Path(made) / "drawn")
        peers = options.peers if options.peers.is_file() else None
        if peers is None:
            print(
                f"no peer is measured: there is no {options.peers} (peers/ganomaly_speed.py says how to make it)"
            )
        for number, model in enumerate(options.models or (list(NETWORKS) if options.full else THESIS), 1):
            print(f"[{number}] {model} …", flush=True)
            # A process a model: what one leaves in memory is not another's peak.
            with multiprocessing.get_context("spawn").Pool(1) as pool:
                words = (model, data, options.rounds, peers, Path(made), result["rates"])
                result["train"][model], result["score"][model] = pool.apply(measure, words)
    write_json(options.out, result)
    show(result)
    print(f"written: {options.out}")


def measure(
    model: str, data: Path, rounds: int, peers: Path | None, folder: Path, rates: Mapping[str, float]
) -> tuple[dict[str, float], dict[str, float]]:
    """Training and scoring of one model."""
    torch.set_num_threads(1)
    whole = FaceSet.open(data)
    split = "split" in whole.columns().column_names and "train" in whole.columns("split")["split"].to_pylist()
    faces = whole.select(split="train") if split else whole
    faces = faces.take(np.arange(min(FACES, len(faces))))
    if len(faces) < FEWEST:
        raise InputError(f"{data} has {len(faces)} faces to measure with", hint=f"give {FEWEST} or more")
    steps, precisions = Steps(model, faces), ("32", "bf16") if machine.has_bf16(rates) else ("32",)
    with peer(peers, faces, folder / "peer", entry(model).size) as asked:
        training = in_turn(
            {"": steps.ours, "plain": train_plain(model, faces), "network": steps.alone}
            | ({"peer": lambda: asked("train")} if asked else {}),
            rounds,
        )
        scoring = in_turn(
            {
                "": score_ours(model, faces), "plain": score_plain(model, faces), "network": score_alone(model, faces),
            }
            | ({"bf16": score_ours(model, faces, "bf16")} if "bf16" in precisions else {})
            | ({"peer": lambda: asked("score")} if asked else {}),
            rounds,
        )  # fmt: skip
    rate = rates[f"{'bf16' if steps.precision == 'bf16' else 'float32'}_gflops"]
    training["of_matrix_rate"] = round(3 * steps.gflops * training["images_per_s"] / rate, 3)
    return training, scoring | judged(steps, whole, precisions)


def in_turn(jobs: Mapping[str, Job], rounds: int) -> dict[str, float]:
    """Medians over rounds in which jobs take turns, after one round that warms up; ratios of the first to the others.

    Memory is that of this process: a peer's is not known.
    """
    speeds: dict[str, list[float]] = {name: [] for name in jobs}
    peaks: dict[str, float] = {}
    for number in range(rounds + 1):
        for name, job in jobs.items():
            reset_peak()
            speed = job()
            if name != "peer":
                peaks[named(name, "peak_mib")] = peak_mib()
            if number:
                speeds[name].append(speed)
    figures = {named(name, "images_per_s"): statistics.median(found) for name, found in speeds.items()}
    for name in list(jobs)[1:]:
        of = [ours / other for ours, other in zip(speeds[""], speeds[name], strict=True)]
        figures[f"over_{name}"] = statistics.median(of)
    return {name: round(value, 3) for name, value in (figures | peaks).items()}


def named(way: str, figure: str) -> str:
    return f"{way}_{figure}" if way else figure


@contextmanager
def peer(
    python: Path | None, faces: FaceSet, folder: Path, size: int
) -> Iterator[Callable[[str], float] | None]:
    """What asks the peer, which has an environment and a process of its own, to train or to score; None without it."""
    if python is None:
        yield None
        return
    (folder / "real").mkdir(parents=True, exist_ok=True)
    for row in range(len(faces)):
        (folder / "real" / f"{row:04d}.jpg").write_bytes(faces.encoded(row))
    words = [str(python), str(HERE / "peers" / "ganomaly_speed.py"), str(folder), str(size), str(PEER_BATCH)]
    one_thread = os.environ | {"OMP_NUM_THREADS": "1"}
    with subprocess.Popen(
        words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=one_thread
    ) as process:
        assert process.stdin and process.stdout
        pipes = process.stdin, process.stdout

        def ask(what: str) -> float:
            print(what, file=pipes[0], flush=True)
            return float(pipes[1].readline())

        if pipes[1].readline() != "ready\n":
            raise SystemExit("the peer does not start; what it said stands above")
        yield ask
        process.stdin.close()


def judged(steps: Steps, whole: FaceSet, precisions: Sequence[str]) -> dict[str, float]:
    """The AUROC of the network as it now is, in each precision, where there are test faces of both classes."""
    columns = whole.columns()
    if "split" not in columns.column_names:
        return {}
    label, split = (np.asarray(columns[name].to_pylist()) for name in ("label", "split"))
    rows = [np.flatnonzero((label == kind) & (split == "test"))[:JUDGED] for kind in ("real", "fake")]
    if not all(map(len, rows)):
        return {}
    faces, found = whole.take(np.sort(np.concatenate(rows))), {}
    for precision in precisions:
        table = score_faces(detector(steps.model, steps.module.model, precision), faces, batch_size=BATCH)
        ranking = Ranking.of(table.values(table.scores[0]), table.strings("label") == "fake")
        found[f"auroc_{precision}"] = round(float(auroc(curves(ranking, np.ones((1, len(faces)))))[0]), 4)
    return found


def reset_peak() -> None:
    """Start a new high-water mark of this process's memory (Linux), or of the GPU's."""
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
    elif Path("/proc/self/clear_refs").exists():
        Path("/proc/self/clear_refs").write_text("5")


def peak_mib() -> float:
    """Highest memory since `reset_peak`, in MiB: of the GPU if there is one, else resident."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated() / 2**20
    status = Path("/proc/self/status")
    if not status.exists():
        return float("nan")
    kib = next(line.split()[1] for line in status.read_text().splitlines() if line.startswith("VmHWM"))
    return int(kib) / 1024


def draw_faces(folder: Path) -> Path:
    """JPEG pictures of noise over a gradient, 224 px: as costly to decode as faces."""
    (folder / "real").mkdir(parents=True)
    random = np.random.default_rng(0)
    slope = np.linspace(0, 200, 224)[:, None, None]
    for number in range(FACES):
        pixels = np.clip(slope + random.normal(20, 15, (224, 224, 3)), 0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(folder / "real" / f"{number:04d}.jpg", quality=75)
    return folder


def described() -> dict[str, Any]:
    """What was measured on."""
    precision = flat(resolved(TrainConfig.of("oc-ae")))["precision"]
    return machine.described() | {"training_precision": precision, "batch_size": BATCH}


WAYS = ("", "plain", "network", "peer", "bf16")


def show(result: Mapping[str, Any]) -> None:
    """Speeds, ratios to ours and memory as a table; the machine's rates below."""
    table = Table(
        "", "model", "ours", *(f"{way}\n(ours / it)" for way in WAYS[1:]), "MiB", "plain MiB", "rest"
    )
    for kind in ("train", "score"):
        for model, row in result[kind].items():
            cells = [f"{row['images_per_s']:,.1f}"]
            for way in WAYS[1:]:
                speed = row.get(named(way, "images_per_s"))
                cells.append("" if speed is None else f"{speed:,.1f}\n({row[f'over_{way}']:.2f})")
            cells += [f"{row[name]:,.0f}" for name in ("peak_mib", "plain_peak_mib")]
            rest = (
                f"{name} {row[name]}" for name in ("of_matrix_rate", "auroc_32", "auroc_bf16") if name in row
            )
            table.add_row(kind, model, *cells, "\n".join(rest))
    Console(width=150).print(table)
    print(f"{result['machine']['cpu']}: {result['rates']}")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, help="face set to read JPEGs from; drawn ones by default")
    parser.add_argument("--models", nargs="+", choices=list(NETWORKS))
    parser.add_argument("--out", type=Path, default=OUT)
    parser.add_argument("--full", action="store_true", help="all models")
    parser.add_argument("--peers", type=Path, default=PEERS, help="Python of the peer's environment")
    parser.add_argument("--rounds", type=int, default=2, help="rounds after the one that warms up")
    return parser.parse_args()


if __name__ == "__main__":
    main()
