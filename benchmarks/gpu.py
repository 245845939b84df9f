"""Speed of every model on this device: training steps in bf16 with compile, its share of the matrix rate, crops scored.

    python benchmarks/gpu.py --data FACES --out FILE.jsonl [--models NAME ...] [--steps 300] [--crops 100000] [--smoke]

Appends a line of JSON for each figure, and leaves out what FILE already holds. *matrix*: the rate of bf16 products of
8192 x 8192, measured on the spot. *train*: images/s of `steps` steps after 20 to warm up, on pixels in memory, bf16
autocast, `torch.compile`; `share`: 3 x the forward pass's operations x images/s over the matrix rate. *score*: crops/s
of the default detector, resizing included. --smoke: small sizes, two steps, 32 crops, no compile.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from verovolto.data.face_batch import FaceBatch
from verovolto.data.faceset import FaceSet
from verovolto.detectors.base import Detector
from verovolto.networks.registry import NETWORKS, Architecture, build, entry
from verovolto.networks.vae import negative_elbo

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


def timed(job: Callable[[], Any], times: int) -> float:
    """Seconds of one call, on average over so many."""
    _wait()
    begin = time.perf_counter()
    for _ in range(times):
        job()
    _wait()
    return (time.perf_counter() - begin) / times


def _wait() -> None:
    if DEVICE == "cuda":
        torch.cuda.synchronize()


def matrix(smoke: bool) -> dict[str, Any]:
    side = 256 if smoke else 8192
    a, b = (torch.randn(side, side, device=DEVICE, dtype=torch.bfloat16) for _ in range(2))
    timed(lambda: a @ b, 3)
    return {"tflops": 2 * side**3 / timed(lambda: a @ b, 20) / 1e12}


def train(model: str, smoke: bool, steps: int, rate: float) -> dict[str, Any]:
    """Training steps of one network on random pixels."""
    known = entry(model)
    size, batch = (64, 4) if smoke else (known.size, known.batch_size)
    net = (
        build(replace(Architecture(model=model, size=size)))
        .to(DEVICE, memory_format=torch.channels_last)
        .train()
    )
    x = torch.randn(batch, 3, size, size, device=DEVICE).contiguous(memory_format=torch.channels_last)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        net(x)
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-4, fused=True)
    run = net if smoke else torch.compile(net)

    def step() -> None:
        with torch.autocast(DEVICE, torch.bfloat16):
            loss = negative_elbo(x, run(x, noise="normal")).mean()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()

    timed(step, 1 if smoke else 20)
    speed = batch / timed(step, steps)
    per_image = counter.get_total_flops() / batch
    found = {
        "images_per_s": speed,
        "share": 3 * per_image * speed / (rate * 1e12),
        "batch": batch,
        "size": size,
    }
    if DEVICE == "cuda":
        found["peak_mib"] = torch.cuda.max_memory_allocated() / 2**20
    return found


def score(data: Path, crops: int, smoke: bool) -> dict[str, Any]:
    """The default detector over crops of the set, again and again."""
    detector = Detector.default(device=DEVICE)
    faces = FaceSet.open(data)
    images = [faces.image(row) for row in np.arange(min(len(faces), 16 if smoke else 4096))]
    size = 16 if smoke else 256
    batches = [FaceBatch(images=images[i : i + size], encoded_bytes=[None] * len(images[i : i + size]))
               for i in range(0, len(images), size)]  # fmt: skip
    rounds = max(1, crops // len(images))
    seconds = timed(lambda: [detector.score_batch(batch) for batch in batches], rounds)
    return {"crops": rounds * len(images), "crops_per_s": len(images) / seconds}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--models", nargs="+", default=list(NETWORKS), choices=list(NETWORKS))
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--crops", type=int, default=100_000)
    parser.add_argument("--smoke", action="store_true")
    given = parser.parse_args()
    steps, crops = (2, 32) if given.smoke else (given.steps, given.crops)
    done = [json.loads(line) for line in given.out.read_text().splitlines()] if given.out.exists() else []
    known = {each["what"]: each for each in done}
    name = torch.cuda.get_device_name() if DEVICE == "cuda" else "cpu"

    def take(what: str, job: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        if what not in known:
            known[what] = {"what": what, "device": name, "torch": torch.__version__, **job()}
            with given.out.open("a", encoding="utf-8") as file:
                file.write(json.dumps(known[what]) + "\n")
            print(json.dumps(known[what]), flush=True)
        return known[what]

    rate = take("matrix", lambda: matrix(given.smoke))["tflops"]
    for model in given.models:
        take(f"train {model}", lambda model=model: train(model, given.smoke, steps, rate))  # type: ignore[misc]
    take("score", lambda: score(given.data, crops, given.smoke))


if __name__ == "__main__":
    main()
