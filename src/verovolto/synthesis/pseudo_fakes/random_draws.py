"""Random numbers in the few forms that forgeries need, all out of one generator a forgery."""

from __future__ import annotations

import math

import torch
from numpy.random import Generator
from torch import Tensor


def uniform(rng: Generator, low: float, high: float) -> float:
    """A number drawn evenly from `[low, high)`."""
    return float(rng.uniform(low, high))


def log_uniform(rng: Generator, low: float, high: float) -> float:
    """A number in `[low, high)` whose logarithm is drawn evenly; 0 < low <= high."""
    return math.exp(rng.uniform(math.log(low), math.log(high)))


def bernoulli(rng: Generator, probability: float) -> bool:
    """True with a probability in [0, 1]."""
    return bool(rng.random() < probability)


def normals(rng: Generator, deviation: float, *shape: int) -> Tensor:
    """Normal numbers of mean 0 and a standard deviation, float32 of a shape."""
    return torch.from_numpy(rng.normal(0, deviation, shape)).float()
