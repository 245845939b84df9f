"""What a machine can do, measured on the spot: the rate of matrix products, the bandwidth of its memory.

    python benchmarks/machine.py [--rounds 5]

The limits that speeds are set against. *matrix*: the best of the rounds of a product of two square matrices that fit
no cache, in float32 and in bf16 (smaller ones where that is emulated), GFLOP/s (a multiplication and an addition are
two). *memory*: the best of the rounds of a copy of 256 MB, bytes read and written, GB/s. On one thread, in seconds of
CPU, or on the GPU where there is one.
"""

from __future__ import annotations

import argparse
import json
import platform
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from verovolto.training.run_metadata import versions
from ways import DEVICE, now

SIDE = {"cpu": 2048, "cuda": 8192}
COPIED = 1 << 28


def rates(rounds: int = 5) -> dict[str, float]:
    """`float32_gflops`, `bf16_gflops` and `memory_gb_s` of this machine."""
    side = SIDE[DEVICE]
    found = {"float32_gflops": matrix_rate(torch.float32, side, rounds)}
    # A processor without bf16 emulates it, and would take minutes for products of this size.
    small = matrix_rate(torch.bfloat16, side // 4, 1)
    found["bf16_gflops"] = small
    if has_bf16(found):
        found["bf16_gflops"] = matrix_rate(torch.bfloat16, side, rounds)
    source = torch.ones(COPIED, dtype=torch.uint8, device=DEVICE)
    target = torch.empty_like(source)
    found["memory_gb_s"] = round(2 * COPIED / quickest(lambda: target.copy_(source), rounds) / 1e9, 1)
    return found


def has_bf16(rates: Mapping[str, float]) -> bool:
    """Whether the machine multiplies in bf16, and does not emulate it at a small part of the speed."""
    return rates["bf16_gflops"] > rates["float32_gflops"] / 4


def matrix_rate(dtype: torch.dtype, side: int, rounds: int) -> float:
    """GFLOP/s of the product of two square matrices."""
    a, b = (torch.randn(side, side, device=DEVICE, dtype=dtype) for _ in range(2))
    return round(2 * side**3 / quickest(lambda: a @ b, rounds) / 1e9, 1)


def quickest(job: Callable[[], Tensor], rounds: int) -> float:
    """Seconds of the quickest of so many calls, after one that warms up."""
    taken = []
    for _ in range(rounds + 1):
        begin = now()
        job()
        if DEVICE == "cuda":
            torch.cuda.synchronize()
        taken.append(now() - begin)
    return min(taken[1:])


def described() -> dict[str, Any]:
    """The machine in words."""
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else None
    cpu, info = platform.processor(), Path("/proc/cpuinfo")
    if info.exists():
        lines = info.read_text().splitlines()
        facts = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}
        wide = [
            name for name in ("avx512f", "avx512_bf16", "amx_bf16") if name in facts.get("flags", "").split()
        ]
        cpu = f"{facts.get('model name', cpu)} ({', '.join(wide) or 'no AVX-512'})"
    return {"cpu": cpu, "gpu": gpu, "threads": torch.get_num_threads(), **versions()}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5)
    torch.set_num_threads(1)
    print(json.dumps(described() | rates(parser.parse_args().rounds), indent=2))


if __name__ == "__main__":
    main()
