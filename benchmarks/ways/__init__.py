"""Ways to train and to score that `bench.py` compares: each is a job that runs once and says how fast it was."""

from __future__ import annotations

import time
from collections.abc import Callable

import torch

from verovolto.networks.registry import Architecture, build, entry
from verovolto.networks.vae import VAE

BATCH = 32
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"

now = time.perf_counter if DEVICE == "cuda" else time.process_time
"""Of the CPU, the seconds that this process has computed: what else the machine does counts less."""

Job = Callable[[], float]  # runs once, returns images per second


def network(model: str) -> VAE:
    return build(architecture(model))


def architecture(model: str) -> Architecture:
    return Architecture.from_dict(
        {"model": model, "size": entry(model).size, "second_encoder": variant(model)}
    )


def variant(model: str) -> str:
    """OC-FakeDect2 is measured with a second encoder of its own: with a shared one it is OC-FakeDect1."""
    return "separate" if model == "oc-fakedect2" else "shared"


def timed(step: Callable[[], None], times: int = 1) -> float:
    start = now()
    for _ in range(times):
        step()
    return BATCH * times / (now() - start)
