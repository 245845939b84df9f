"""The thesis's quirks: what the arm as published keeps of the text, the tables and the code, each by itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

from verovolto.core.errors import InputError

Quirk = Literal["uniform-noise", "mse", "leak", "test-epoch", "pooled", "max-f1", "strict", "3d-spectrum"]
NAMES: tuple[Quirk, ...] = get_args(Quirk)
AS_PUBLISHED: tuple[Quirk, ...] = tuple(name for name in NAMES if name not in ("uniform-noise", "mse"))
"""What the thesis's text and tables do. The other two are of its code, or of other figures in it."""


@dataclass(frozen=True, kw_only=True)
class About:
    """`number`: the row of the list in docs/thesis.md; what is done with the quirk, and what in its place without."""

    number: int
    published: str
    instead: str


QUIRKS: dict[Quirk, About] = {
    "uniform-noise": About(
        number=2,
        published="the noise of the reparametrisation is uniform in [0, 1), as the published code draws it",
        instead="it is standard normal",
    ),
    "mse": About(
        number=3,
        published="the reconstruction score is the mean squared error, and thresholds are in its units",
        instead="it is the root of that; rankings are the same",
    ),
    "leak": About(
        number=4,
        published="frames are drawn at random: people and videos stand on both sides",
        instead="training, validation and test share nobody; as many faces test and validate, where there are as many",
    ),
    "test-epoch": About(
        number=5,
        published="the epoch has the largest area under precision and recall on the test set",
        instead="it has the least loss on validation reals, and thresholds are set on the other half of these",
    ),
    "pooled": About(
        number=6,
        published="the first threshold is the 80th percentile of the test scores, real and fake pooled",
        instead="it is the 80th percentile of validation reals",
    ),
    "max-f1": About(
        number=7,
        published="the second threshold has the largest F1 of real on validation faces, fakes included",
        instead="it is that of the false-alarm rate asked for, of validation reals",
    ),
    "strict": About(
        number=8,
        published="a face is accepted if score < s, and s is at most the largest score",
        instead="a face is accepted if score <= s, and s can be infinite",
    ),
    "3d-spectrum": About(
        number=10,
        published="beside the power spectra stands the amplitude of the 3-D DFT, colour for an axis (a figure only)",
        instead="power spectra in two dimensions alone",
    ),
}


def quirks_in(names: Sequence[str]) -> tuple[Quirk, ...]:
    """The quirks of these names, in the order of the list; `none` and `all` stand alone.

    Raises `InputError`, listing the names there are, for another name or for none at all.
    """
    if tuple(names) in (("none",), ("all",)):
        return NAMES if names[0] == "all" else ()
    unknown = [name for name in names if name not in NAMES]
    if unknown or not names:
        said = f"no quirk is called {unknown[0]!r}" if unknown else "no name is given"
        raise InputError(f"--quirks: {said}", hint=f"there are {', '.join(NAMES)}; or none, or all, alone")
    return tuple(name for name in NAMES if name in names)


def told(kept: Sequence[Quirk]) -> list[dict[str, Any]]:
    """All quirks as JSON holds them, with whether each was kept, and whether it is where nothing is asked for."""
    return [
        {"name": name, "number": one.number, "kept": name in kept, "default": name in AS_PUBLISHED,
         "published": one.published, "instead": one.instead}
        for name, one in QUIRKS.items()
    ]  # fmt: skip
