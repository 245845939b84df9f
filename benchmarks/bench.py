"""How fast each model trains and scores: our path against the plain way, in turn, as ratios.

    python benchmarks/bench.py [--data FACES] [--models NAME ...] [--rounds 3]

Plain: contiguous float32 tensors, PIL decoding and resizing in a DataLoader, Adam as it comes. Ours: what
`verovolto train` and `verovolto evaluate` run. Both see the same JPEG faces (drawn ones without --data) at the
model's published size. Each model has a process of its own, in which the two take turns; a figure is the median
over rounds. Absolute speeds depend on what else the machine does, ratios hardly.

Writes `benchmarks/out/bench.json`:
`{"train": {MODEL: {images_per_s, plain_images_per_s, ratio, peak_mib, plain_peak_mib}}, "score": {...}, "machine"}`.
"""

from __future__ import annotations

import argparse
import io
import multiprocessing
import platform
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from PIL import Image
from rich.console import Console
from rich.table import Table
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms.v2 import functional as F

from verovolto.core.errors import InputError
from verovolto.core.files import write_json
from verovolto.data.face_batch import Preprocessing
from verovolto.data.faceset import FaceSet
from verovolto.detectors.fitting import TrainingData
from verovolto.detectors.registry import TrainConfig, flat
from verovolto.detectors.score_faces import read_batch
from verovolto.detectors.trivial.detector import trivial_scores
from verovolto.detectors.vae.detector import VAEDetector, vae_scores
from verovolto.detectors.vae.fit import VAEObjective
from verovolto.networks.registry import NETWORKS, Architecture, build, entry
from verovolto.networks.vae import VAE, negative_elbo, second_encoding_error
from verovolto.training.config import configure
from verovolto.training.data import EpochSampler, loader
from verovolto.training.engine import ObjectiveModule, quiet
from verovolto.training.fit import resolved
from verovolto.training.run_metadata import versions

OUT = Path(__file__).parent / "out" / "bench.json"
BATCH = 32
FACES = 256
FEWEST = 4 * BATCH  # a round trains on four batches


class PlainFaces(Dataset[torch.Tensor]):
    """The plain way to read: open with PIL, resize with PIL, to a normalised float tensor."""

    def __init__(self, faces: FaceSet, model: str) -> None:
        self.faces, self.known = faces, entry(model)

    def __len__(self) -> int:
        return len(self.faces)

    def __getitem__(self, row: int) -> torch.Tensor:
        image = Image.open(io.BytesIO(self.faces.encoded(row))).convert("RGB")
        image = image.resize((self.known.size, self.known.size), Image.Resampling.BILINEAR)
        pixels = F.to_dtype(F.pil_to_tensor(image), torch.float32, scale=True)
        out: torch.Tensor = F.normalize(pixels, list(self.known.mean), list(self.known.std))
        return out


def main() -> None:
    options = _options()
    result: dict[str, Any] = {"train": {}, "score": {}, "machine": machine()}
    with tempfile.TemporaryDirectory() as drawn:
        data = options.data or draw_faces(Path(drawn))
        for number, model in enumerate(options.models, 1):
            print(f"[{number}/{len(options.models)}] {model} …", flush=True)
            # A process a model: what one leaves in memory is not another's peak.
            with multiprocessing.get_context("spawn").Pool(1) as pool:
                train, score = pool.apply(measure, (model, data, options.rounds))
            result["train"][model], result["score"][model] = train, score
    write_json(OUT, result)
    show(result)
    print(f"written: {OUT}")


def measure(model: str, data: Path, rounds: int) -> tuple[dict[str, float], dict[str, float]]:
    """Training and scoring of one model."""
    faces = FaceSet.open(data)
    if "train" in faces.columns("split")["split"].to_pylist():
        faces = faces.select(split="train")
    faces = faces.take(np.arange(min(FACES, len(faces))))
    if len(faces) < FEWEST:
        raise InputError(f"{data} has {len(faces)} faces to measure with", hint=f"give {FEWEST} or more")
    training = in_turn(train_ours(model, faces), train_plain(model, faces), rounds)
    scoring = in_turn(score_ours(model, faces), score_plain(model, faces), rounds)
    scoring["bf16_images_per_s"] = in_turn(score_ours(model, faces, "bf16"), None, rounds)["images_per_s"]
    return training, scoring


Job = Callable[[], float]  # runs once, returns images per second


def in_turn(ours: Job, plain: Job | None, rounds: int) -> dict[str, float]:
    """Medians over rounds in which the two take turns, after one round that warms up."""
    speeds: dict[str, list[float]] = {"": [], "plain_": []}
    peaks: dict[str, float] = {}
    for number in range(rounds + 1):
        for name, job in (("", ours), ("plain_", plain)):
            if job is None:
                continue
            reset_peak()
            speed = job()
            peaks[f"{name}peak_mib"] = peak_mib()
            if number:
                speeds[name].append(speed)
    figures = {f"{name}images_per_s": statistics.median(found) for name, found in speeds.items() if found}
    if plain:
        figures["ratio"] = statistics.median(a / b for a, b in zip(speeds[""], speeds["plain_"], strict=True))
    return {name: round(value, 2) for name, value in (figures | peaks).items()}


class _Clock(pl.Callback):
    """Times the steps after the first one, loading included."""

    def __init__(self) -> None:
        self.times: list[float] = []

    def on_train_batch_end(self, *_args: Any) -> None:
        self.times.append(time.perf_counter())


def train_ours(model: str, faces: FaceSet) -> Job:
    """The training loop as `verovolto train` runs it, three steps after the first."""
    config = resolved(
        configure(data=faces.path, model=model, out=Path("unused"), weights="none", batch_size=BATCH)
    )
    options = flat(config)
    net = build(
        Architecture.from_dict({"model": model, "size": options["size"], "second_encoder": variant(model)})
    )
    data = TrainingData(train=faces, choose=faces, calibrate=faces, fingerprint="", crop_rule=None)
    objective = VAEObjective(net, config, data)
    module = ObjectiveModule(objective, config)
    sampler = EpochSampler(faces, seed=0)
    batches = loader(
        objective.training,
        sampler,
        batch_size=BATCH,
        workers=config.workers or 0,
        pin=config.device == "cuda",
    )

    def job() -> float:
        clock = _Clock()
        with quiet():
            trainer = pl.Trainer(
                accelerator="gpu" if config.device == "cuda" else "cpu", devices=1, max_steps=4,
                precision="bf16-mixed" if options["precision"] == "bf16" else "32-true", callbacks=[clock],
                logger=False,
                enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
            )  # fmt: skip
            trainer.fit(module, batches)
        return BATCH * (len(clock.times) - 1) / (clock.times[-1] - clock.times[0])

    return job


def train_plain(model: str, faces: FaceSet) -> Job:
    """The plain loop, one step after the first."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    net = plain_network(model).to(device).train()
    optimiser = torch.optim.Adam(net.parameters(), lr=entry(model).lr)

    def step(x: torch.Tensor) -> None:
        x = x.to(device)
        optimiser.zero_grad()
        out = net(x, noise="normal")
        loss = negative_elbo(x, out).mean()
        if net.second_encoder is not None:
            loss = loss + second_encoding_error(net, out).mean()
        loss.backward()
        optimiser.step()
        loss.item()

    def job() -> float:
        batches = iter(DataLoader(PlainFaces(faces, model), batch_size=BATCH, shuffle=True))
        step(next(batches))
        return timed(lambda: step(next(batches)))

    return job


def score_ours(model: str, faces: FaceSet, precision: str = "32") -> Job:
    """Scoring as `verovolto evaluate` does it."""
    known = entry(model)
    arch = Architecture.from_dict({"model": model, "size": known.size, "second_encoder": variant(model)})
    device = "cuda" if torch.cuda.is_available() else "cpu"
    detector = VAEDetector(
        architecture=arch,
        model=build(arch).to(device),
        preprocessing=Preprocessing(size=known.size, mean=known.mean, std=known.std),
        default_score=known.score,
        precision=precision,  # type: ignore[arg-type]
    )
    starts = cycle(len(faces))

    def step() -> None:
        start = next(starts)
        _, batch = read_batch(faces, start, start + BATCH)
        trivial_scores(batch)
        detector.score_batch(batch)

    return lambda: timed(step, times=3)


def score_plain(model: str, faces: FaceSet) -> Job:
    """The same scores of contiguous float32 tensors, decoded by PIL in a DataLoader."""
    known = entry(model)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    net = plain_network(model).to(device).eval()

    def step(x: torch.Tensor) -> None:
        with torch.no_grad():
            x = x.to(device)
            {k: v.cpu() for k, v in vae_scores(net, x, net(x), std=known.std, beta=1.0).items()}

    def job() -> float:
        batches = iter(DataLoader(PlainFaces(faces, model), batch_size=BATCH))
        step(next(batches))
        return timed(lambda: step(next(batches)), times=2)

    return job


def plain_network(model: str) -> VAE:
    return build(
        Architecture.from_dict({"model": model, "size": entry(model).size, "second_encoder": variant(model)})
    )


def variant(model: str) -> str:
    """OC-FakeDect2 is measured with a second encoder of its own: with a shared one it is OC-FakeDect1."""
    return "separate" if model == "oc-fakedect2" else "shared"


def cycle(n: int) -> Iterator[int]:
    while True:
        yield from range(0, n - BATCH + 1, BATCH)


def timed(step: Callable[[], None], times: int = 1) -> float:
    start = time.perf_counter()
    for _ in range(times):
        step()
    return BATCH * times / (time.perf_counter() - start)


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
    (folder / "real").mkdir()
    random = np.random.default_rng(0)
    slope = np.linspace(0, 200, 224)[:, None, None]
    for number in range(FACES):
        pixels = np.clip(slope + random.normal(20, 15, (224, 224, 3)), 0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(folder / "real" / f"{number:04d}.jpg", quality=75)
    return folder


def machine() -> dict[str, Any]:
    """What was measured on."""
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else None
    cpu = platform.processor()
    info = Path("/proc/cpuinfo")
    if info.exists():
        lines = info.read_text().splitlines()
        cpu = next((x.partition(":")[2].strip() for x in lines if x.startswith("model name")), cpu)
    precision = flat(resolved(TrainConfig.of("oc-ae")))["precision"]
    return {
        "cpu": cpu, "gpu": gpu, "threads": torch.get_num_threads(), "training_precision": precision,
        "batch_size": BATCH, **versions(),
    }  # fmt: skip


def show(result: dict[str, Any]) -> None:
    """The ratios as a table."""
    table = Table(
        "", "model", "images/s", "plain images/s", "ratio", "peak MiB", "plain peak MiB", "bf16 images/s"
    )
    for kind in ("train", "score"):
        for model, row in result[kind].items():
            names = (
                "images_per_s",
                "plain_images_per_s",
                "ratio",
                "peak_mib",
                "plain_peak_mib",
                "bf16_images_per_s",
            )
            table.add_row(kind, model, *(f"{row[n]:,.1f}" if n in row else "" for n in names))
    Console(width=120).print(table)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, help="face set to read JPEGs from; drawn ones by default")
    parser.add_argument("--models", nargs="+", choices=list(NETWORKS), default=list(NETWORKS))
    parser.add_argument("--rounds", type=int, default=3, help="rounds after the one that warms up")
    return parser.parse_args()


if __name__ == "__main__":
    main()
