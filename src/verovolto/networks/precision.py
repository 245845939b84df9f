"""The arithmetic that a network computes in."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch


def arithmetic(device: str, precision: str) -> AbstractContextManager[Any]:
    """Inside it a network computes in `precision`: 32, or bf16 where torch holds that to be enough."""
    return torch.autocast(device, dtype=torch.bfloat16) if precision == "bf16" else nullcontext()
