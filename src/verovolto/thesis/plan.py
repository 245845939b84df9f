"""What is to be reproduced, with which deviations from the sound protocol, and what the experiments build on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

from verovolto.core.errors import InputError
from verovolto.core.files import check_out
from verovolto.core.workdir import Done, Steps
from verovolto.data.faceset import FaceSet
from verovolto.data.score_table import ScoreTable
from verovolto.evaluation.groups import Sample
from verovolto.networks.registry import entry
from verovolto.networks.resnet_ocvae1 import check_resnet_size

Deviation = Literal["uniform-noise", "mse", "leak", "test-epoch", "pooled", "max-f1", "strict", "3d-spectrum"]
NAMES: tuple[Deviation, ...] = get_args(Deviation)
AS_PUBLISHED: tuple[Deviation, ...] = tuple(name for name in NAMES if name not in ("uniform-noise", "mse"))
"""What the thesis's text and tables do. The other two are of its code, or of other figures in it."""
Protocol = Literal["thesis", "honest"]
"""`thesis` is the protocol as published, `honest` the sound one, as steps and files call it."""
PROTOCOLS: tuple[Protocol, ...] = get_args(Protocol)

PARTS: tuple[str, ...] = (
    "comparison", "memorisation", "forgeries", "spectra", "contamination", "controls",
)  # fmt: skip
"""The experiments besides the thesis's tables and figures, in the order of the document: folders of
`thesis.experiments`."""


@dataclass(frozen=True, kw_only=True)
class Description:
    """`number`: the row of the list in docs/thesis.md; what is done with the deviation, and what without it."""

    number: int
    published: str
    instead: str


# Name, row of the list in docs/thesis.md, what is done with the deviation, and what without it.
_DEVIATIONS: tuple[tuple[Deviation, int, str, str], ...] = (
    ("uniform-noise", 2, "the noise of the reparametrisation is uniform in [0, 1), as the published code draws it",
     "it is standard normal"),
    ("mse", 3, "the reconstruction score is the mean squared error, and thresholds are in its units",
     "it is the root of that; rankings are the same"),
    ("leak", 4, "frames are drawn at random: people and videos stand on both sides",
     "training, validation and test share nobody; as many faces test and validate, where there are as many"),
    ("test-epoch", 5, "the epoch has the largest area under precision and recall on the test set",
     "it has the least loss on validation reals, and thresholds are set on the other half of these"),
    ("pooled", 6, "the first threshold is the 80th percentile of the test scores, real and fake pooled",
     "it is the 80th percentile of validation reals"),
    ("max-f1", 7, "the second threshold has the largest F1 of real on validation faces, fakes included",
     "it is that of the false-alarm rate asked for, of validation reals"),
    ("strict", 8, "a face is accepted if score < s, and s is at most the largest score",
     "a face is accepted if score <= s, and s can be infinite"),
    ("3d-spectrum", 10,
     "beside the power spectra stands the amplitude of the 3-D DFT, colour for an axis (a figure only)",
     "power spectra in two dimensions alone"),
)  # fmt: skip
DEVIATIONS = {
    name: Description(number=number, published=published, instead=instead)
    for name, number, published, instead in _DEVIATIONS
}


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


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The settings of a reproduction; see `commands.reproduce.reproduce` for each."""

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
    deviations: tuple[Deviation, ...] = AS_PUBLISHED
    control_size: int = 64
    control_epochs: int = 4
    dry_run: bool = False

    def __post_init__(self) -> None:
        for model in self.models:
            entry(model)  # raises the error that lists what there is
        if not self.models or len(set(self.models)) < len(self.models):
            raise InputError("--models names no model, or one twice", hint="separate them by commas")
        for part in self.parts:
            if part not in PARTS:
                raise InputError(f"--parts: no part is called {part!r}", hint=f"there are {', '.join(PARTS)}")
        if self.deviations:
            deviations_in(self.deviations)  # raises the error that lists what there is
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
        try:
            check_resnet_size(self.control_size)
        except InputError as error:
            hint = "give a multiple of 32, or leave controls out of --parts"
            raise InputError(f"--control-size: {error.message}", hint=hint) from None
        if self.control_epochs < 1:
            raise InputError(f"--control-epochs {self.control_epochs} is below 1")

    @property
    def networks(self) -> tuple[str, ...]:
        """The networks to train: a model that is another one's network with another score needs none of its own."""
        return tuple(dict.fromkeys(network_of(model) for model in self.models))

    @property
    def checkpoints(self) -> tuple[int, ...]:
        """Epochs that are evaluated, counted from 1."""
        return tuple(range(self.every, self.epochs + 1, self.every))

    def kept(self, protocol: Protocol, *of: Deviation) -> list[Deviation]:
        """The deviations, of those named or of all, that a protocol keeps: the sound one has none."""
        return [name for name in of or NAMES if protocol == "thesis" and name in self.deviations]

    def score_of(self, protocol: Protocol, model: str) -> str:
        """The score that a model is evaluated by under a protocol."""
        score = entry(model).score
        return "mse" if score == "rmse" and self.kept(protocol, "mse") else score

    def sample(self, table: ScoreTable, score: str) -> Sample:
        """The faces of a table that have a score, with the resamples behind every interval."""
        return Sample.of(table, score, resamples=self.resamples, seed=self.seed)

    @property
    def training_settings(self) -> dict[str, Any]:
        """The settings that weights depend on, as steps record them."""
        return self._some("epochs", "every", "size", "latent", "batch_size", "weights", "seed", "device", "precision",
                          "threads")  # fmt: skip

    @property
    def evaluation_settings(self) -> dict[str, Any]:
        """The settings that figures depend on, besides the weights."""
        return self._some("false_alarm", "resamples", "seed")

    @property
    def bootstrap(self) -> dict[str, int]:
        """Number and seed of the resamples, as keyword arguments."""
        return self._some("resamples", "seed")

    def _some(self, *names: str) -> dict[str, Any]:
        return {name: getattr(self, name) for name in names}


def network_of(model: str) -> str:
    """The model whose network is trained for this one."""
    return entry(model).twin or model


def names_in(text: str) -> tuple[str, ...]:
    """`a,b` as its names."""
    return tuple(name.strip() for name in text.split(",") if name.strip())


def split_file(folder: Path, protocol: Protocol) -> Path:
    """Where the split of a protocol lies in the folder of its step."""
    return folder / f"{protocol}.parquet"


@dataclass(frozen=True, kw_only=True)
class ProtocolRun:
    """What training by a protocol gave by network, and what each checkpoint scored by network and epoch."""

    trained: Mapping[str, Done]
    scored: Mapping[str, dict[int, Done]]


@dataclass(frozen=True, kw_only=True)
class Evaluated:
    """The steps that chose a model's epoch under a protocol, filled its rows of the tables and drew its figures."""

    choice: Done
    table: Done
    figures: Done

    @property
    def name(self) -> str:
        """`honest-oc-ae`."""
        return f"{self.table.result['protocol']}-{self.table.result['model']}"

    @property
    def epoch(self) -> int:
        """The epoch that the protocol chose."""
        return int(self.choice.result["epoch"])

    @property
    def score(self) -> str:
        """The score that the protocol evaluates by."""
        return str(self.choice.result["score"])

    def pictures(self) -> dict[str, bytes]:
        """The figures as PNG by name."""
        drawn = self.figures
        return {name: (drawn.folder / f"{name}.png").read_bytes() for name in drawn.result["figures"]}


@dataclass(frozen=True, kw_only=True)
class Context:
    """A reproduction: its steps by protocol and by protocol and model, which experiments build on once all are done."""

    plan: Plan
    steps: Steps
    splits: Done
    runs: dict[Protocol, ProtocolRun] = field(default_factory=dict)
    evaluated: dict[tuple[Protocol, str], Evaluated] = field(default_factory=dict)

    @property
    def best(self) -> Protocol:
        """The protocol that experiments build on: the sound one, where it was asked for."""
        return "honest" if "honest" in self.plan.protocols else "thesis"

    def split(self, protocol: Protocol) -> Done:
        """The split of one protocol alone, for the steps that read nothing of the other.

        They are done again when it changes, and not when the other does.
        """
        result = self.splits.result["cuts"][protocol]
        folder, key = self.splits.folder, result["fingerprint"]
        return Done(name=f"splits-{protocol}", folder=folder, key=key, result=result)

    def data(self, protocol: Protocol) -> Path:
        """The split file of a protocol."""
        return split_file(self.splits.folder, protocol)

    def faces(self, protocol: Protocol) -> FaceSet:
        """The faces with the split of a protocol."""
        return FaceSet.open(self.data(protocol))

    def chosen(self, protocol: Protocol, model: str) -> Done:
        """The step that scored a model's faces by the checkpoint which the protocol chose."""
        return self.runs[protocol].scored[network_of(model)][self.evaluated[protocol, model].epoch]
