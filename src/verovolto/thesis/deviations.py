"""Where the thesis's text, tables and code deviate from the sound protocol; each can be kept or left by itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

from verovolto.core.errors import InputError

Deviation = Literal["uniform-noise", "mse", "leak", "test-epoch", "pooled", "max-f1", "strict", "3d-spectrum"]
NAMES: tuple[Deviation, ...] = get_args(Deviation)
AS_PUBLISHED: tuple[Deviation, ...] = tuple(name for name in NAMES if name not in ("uniform-noise", "mse"))
"""What the thesis's text and tables do. The other two are of its code, or of other figures in it."""


@dataclass(frozen=True, kw_only=True)
class Description:
    """`number`: the row of the list in docs/thesis.md; what is done with the deviation, and what without it."""

    number: int
    published: str
    instead: str


DEVIATIONS: dict[Deviation, Description] = {
    "uniform-noise": Description(
        number=2, published="the noise of the reparametrisation is uniform in [0, 1), as the published code draws it",
        instead="it is standard normal",
    ),
    "mse": Description(
        number=3, published="the reconstruction score is the mean squared error, and thresholds are in its units",
        instead="it is the root of that; rankings are the same",
    ),
    "leak": Description(
        number=4, published="frames are drawn at random: people and videos stand on both sides",
        instead="training, validation and test share nobody; as many faces test and validate, where there are as many",
    ),
    "test-epoch": Description(
        number=5, published="the epoch has the largest area under precision and recall on the test set",
        instead="it has the least loss on validation reals, and thresholds are set on the other half of these",
    ),
    "pooled": Description(
        number=6, published="the first threshold is the 80th percentile of the test scores, real and fake pooled",
        instead="it is the 80th percentile of validation reals",
    ),
    "max-f1": Description(
        number=7, published="the second threshold has the largest F1 of real on validation faces, fakes included",
        instead="it is that of the false-alarm rate asked for, of validation reals",
    ),
    "strict": Description(
        number=8, published="a face is accepted if score < s, and s is at most the largest score",
        instead="a face is accepted if score <= s, and s can be infinite",
    ),
    "3d-spectrum": Description(
        number=10,
        published="beside the power spectra stands the amplitude of the 3-D DFT, colour for an axis (a figure only)",
        instead="power spectra in two dimensions alone",
    ),
}  # fmt: skip


def deviations_in(names: Sequence[str]) -> tuple[Deviation, ...]:
    """The deviations of these names, in the order of the list; `none` and `all` stand alone.

    Raises:
        InputError: listing the names there are, for another name or for none at all.
    """
    if tuple(names) in (("none",), ("all",)):
        return NAMES if names[0] == "all" else ()
    unknown = [name for name in names if name not in NAMES]
    if unknown or not names:
        problem = f"no deviation is called {unknown[0]!r}" if unknown else "no name is given"
        raise InputError(
            f"--deviations: {problem}", hint=f"there are {', '.join(NAMES)}; or none, or all, alone"
        )
    return tuple(name for name in NAMES if name in names)


def to_json(kept: Sequence[Deviation]) -> list[dict[str, Any]]:
    """All deviations as JSON holds them, with whether each was kept, and whether it is by default."""
    return [
        {"name": name, "number": one.number, "kept": name in kept, "default": name in AS_PUBLISHED,
         "published": one.published, "instead": one.instead}
        for name, one in DEVIATIONS.items()
    ]  # fmt: skip
