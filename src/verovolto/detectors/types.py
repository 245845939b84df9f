"""What a detector gives back."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class Scores:
    """Named score columns, float32 `[B]`, higher = more likely fake; never clamped.

    `default` names the column a verdict is based on; `p_value` is its conformal p-value, float64 `[B]` in
    (0, 1], small = unlike the real faces the detector was calibrated on (None without a calibration).
    `anomaly_map`, where it was asked for and the detector knows it: float32 `[B, h, w]`, not negative, large
    where the anomaly lies.
    """

    columns: dict[str, Float[Tensor, " b"]]
    default: str
    p_value: NDArray[np.float64] | None = None
    anomaly_map: Float[Tensor, "b h w"] | None = None

    def __getitem__(self, name: str) -> Float[Tensor, " b"]:
        return self.columns[name]

    def __len__(self) -> int:
        return len(self.columns[self.default])

    @property
    def score(self) -> Float[Tensor, " b"]:
        """The default score."""
        return self.columns[self.default]


@dataclass(frozen=True, kw_only=True)
class Explanation:
    """What a detector sees, on the CPU.

    `inputs`: float32 `[B, 3, H, W]` in [0, 1]; `anomaly_map`: `[B, h, w]`, not negative, large where the
    anomaly lies: of a detector that reconstructs the root mean square error over channels, in normalised
    units. Such a detector has `reconstructions` `[B, 3, H, W]` too (clipped to [0, 1] for display), `latents`:
    posterior means `[B, Z]`, and `kl`: nats per dimension `[B, Z]`; another has None.
    """

    inputs: Float[Tensor, "b 3 H W"]
    anomaly_map: Float[Tensor, "b h w"]
    reconstructions: Float[Tensor, "b 3 H W"] | None = None
    latents: Float[Tensor, "b z"] | None = None
    kl: Float[Tensor, "b z"] | None = None


@dataclass(frozen=True, kw_only=True)
class ModelRow:
    """A row of `verovolto models`: the flags of a variant, what it learns, the size of its input, its default score."""

    variant: str = ""
    parameters: str
    input: str
    score: str
