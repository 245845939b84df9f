"""What is to be reproduced: checked before anything is computed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from verovolto.core.errors import InputError
from verovolto.core.files import check_out
from verovolto.thesis.deviations import AS_PUBLISHED, NAMES, Quirk, quirks_in

Protocol = Literal["thesis", "honest"]
PROTOCOLS: tuple[Protocol, ...] = get_args(Protocol)

PARTS: tuple[str, ...] = ("comparison", "forgeries", "spectra", "contamination", "controls")
"""What is done besides the thesis's tables and figures, in the order of the document; each is a module `NAME` beside
this one, which does it, and a module `NAME` of `thesis.experiments`, which shows it."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """See `commands.reproduce.reproduce` for each."""

    data: Path
    out: Path
    protocols: tuple[Protocol, ...]
    models: tuple[str, ...]
    parts: tuple[str, ...]
    method: str | None
    epochs: int
    every: int
    size: int | None
    latent: int | None
    limit: int | None
    batch_size: int | None
    weights: str
    seed: int
    false_alarm: float
    resamples: int
    no_faces: bool
    device: Literal["auto", "cpu", "cuda"]
    precision: Literal["auto", "32", "bf16"]
    threads: int | None
    quirks: tuple[Quirk, ...] = AS_PUBLISHED
    control_size: int = 64
    control_epochs: int = 4

    def __post_init__(self) -> None:
        from verovolto.networks.registry import entry

        for model in self.models:
            entry(model)  # raises the error that lists what there is
        if not self.models or len(set(self.models)) < len(self.models):
            raise InputError("--models names no model, or one twice", hint="separate them by commas")
        for part in self.parts:
            if part not in PARTS:
                raise InputError(f"--parts: no part is called {part!r}", hint=f"there are {', '.join(PARTS)}")
        if self.quirks:
            quirks_in(self.quirks)  # raises the error that lists what there is
        if not 1 <= self.every <= self.epochs:
            raise InputError(
                f"--every {self.every} of --epochs {self.epochs} leaves no checkpoint to judge",
                hint="--every lies between 1 and --epochs",
            )
        if not 0 < self.false_alarm < 1:
            raise InputError(f"--false-alarm lies between 0 and 1, not {self.false_alarm:g}")
        if self.resamples < 0 or self.seed < 0:
            raise InputError(f"--resamples {self.resamples} and --seed {self.seed} cannot be negative")
        if "controls" in self.parts:
            self._check_controls()
        check_out(self.out)

    def _check_controls(self) -> None:
        """Refuse before anything is trained what the controls would be refused for at the end."""
        from verovolto.networks.resnet_ocvae1 import check_resnet_size

        try:
            check_resnet_size(self.control_size)
        except InputError as error:
            raise InputError(
                f"--control-size: {error.message}",
                hint="give a multiple of 32, or leave controls out of --parts",
            ) from None
        if self.control_epochs < 1:
            raise InputError(f"--control-epochs {self.control_epochs} is below 1")

    @property
    def networks(self) -> tuple[str, ...]:
        """The networks to train: a model that is another one's network with another score needs none of its own."""
        return tuple(dict.fromkeys(network_of(model) for model in self.models))

    @property
    def checkpoints(self) -> tuple[int, ...]:
        """Epochs that are judged, counted from 1."""
        return tuple(range(self.every, self.epochs + 1, self.every))

    def kept(self, protocol: Protocol, *of: Quirk) -> list[Quirk]:
        """The quirks, of those named or of all, that the arm of a protocol keeps: the sound one has none."""
        return [name for name in of or NAMES if protocol == "thesis" and name in self.quirks]

    def score_of(self, protocol: Protocol, model: str) -> str:
        """The score that a model is judged by under a protocol."""
        score = score_of(model)
        return "mse" if score == "rmse" and self.kept(protocol, "mse") else score

    def training(self) -> dict[str, Any]:
        """The settings that weights depend on."""
        names = (
            "epochs",
            "every",
            "size",
            "latent",
            "batch_size",
            "weights",
            "seed",
            "device",
            "precision",
            "threads",
        )
        return {name: getattr(self, name) for name in names}

    def controlling(self) -> dict[str, Any]:
        """The settings that the weights of the controls depend on, besides what sets each apart."""
        names = ("control_size", "control_epochs", "batch_size", "device", "precision", "threads")
        # Whose the seed is, the network's own or the plan's, has to be told apart.
        return {**{name: getattr(self, name) for name in names}, "plan_seed": self.seed}

    def judging(self) -> dict[str, Any]:
        """The settings that figures depend on, besides the weights."""
        return {name: getattr(self, name) for name in ("false_alarm", "resamples", "seed")}


def network_of(model: str) -> str:
    """The model whose network is trained for this one."""
    from verovolto.networks.registry import entry

    return entry(model).twin or model


def score_of(model: str) -> str:
    """The score that a model is judged by."""
    from verovolto.networks.registry import entry

    return entry(model).score


def names_in(text: str) -> tuple[str, ...]:
    """`a,b` as its names."""
    return tuple(name.strip() for name in text.split(",") if name.strip())
