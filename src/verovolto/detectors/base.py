"""The contract of a detector: what is trained, saved, loaded, evaluated and scanned with.

A method is one class in a folder of its own, entered by the decorator `detectors.registry.register`. What all have in
common (calibration, thresholds, input domain, preprocessing, metadata) stands here, once.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor, nn

import verovolto
from verovolto.calibration.input_domain import Domain
from verovolto.calibration.thresholds import Calibration, Threshold
from verovolto.core.errors import DetectorError, InputError
from verovolto.data.face_batch import FaceBatch, Preprocessing, to_batch
from verovolto.detectors.io import (
    calibration_metadata,
    calibration_tensors,
    detector_folder,
    find_folder,
    read_calibration,
    read_description,
    read_tensors,
    write_folder,
)
from verovolto.detectors.registry import method_of_kind, methods

if TYPE_CHECKING:
    from verovolto.detectors.fitting import Run, TrainingData
    from verovolto.detectors.registry import TrainConfig
    from verovolto.scanning.result import Scan


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


@dataclass(frozen=True, kw_only=True)
class SavedState:
    """What a detector's folder holds: `detector.json`, the tensors, and of them the fields that all detectors have."""

    folder: Path
    description: Mapping[str, Any]
    tensors: Mapping[str, Tensor]
    common: dict[str, Any]

    def tensors_of(self, prefix: str) -> dict[str, Tensor]:
        """Those whose names begin with `prefix.`, without it."""
        start = f"{prefix}."
        return {
            name.removeprefix(start): self.tensors[name] for name in self.tensors if name.startswith(start)
        }


@dataclass(kw_only=True, eq=False)
class Detector(ABC):
    """Scores face crops: higher = more likely fake.

    A method implements `score_batch`, `state` and `from_state`, and `fit` where it can be trained.

    Attributes:
        kind: how the method is called in `detector.json`.
        in_processes: whether several processes can train it together.
        name: of the model, as `verovolto models` lists it.
        score_names: all scores it gives, the default one first.
        default_score: the score that a verdict is based on.
        calibration: held-out real scores by the name of the score.
        thresholds: the named thresholds chosen at training time.
        domain: the range of conditions (sharpness, brightness, contrast) of the faces calibrated on.
        metadata: where the detector comes from, JSON values.
        preprocessing: how a crop becomes the network's input; None of a detector that takes crops as they are.
        device: where the arithmetic is done.
        folder: that it was loaded from; None of one that was made here.
    """

    kind: ClassVar[str]
    in_processes: ClassVar[bool] = False

    name: str = ""
    score_names: tuple[str, ...] = ()
    default_score: str = ""
    calibration: dict[str, Calibration] = field(default_factory=dict)
    thresholds: list[Threshold] = field(default_factory=list)
    domain: Domain = field(default_factory=Domain)
    metadata: dict[str, Any] = field(default_factory=dict)
    preprocessing: Preprocessing | None = None
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    folder: Path | None = None

    @property
    def crop_rule(self) -> dict[str, Any] | None:
        """The rule by which faces must be cropped (see `data.crop_rule`); None where it is unknown."""
        return None if self.preprocessing is None else self.preprocessing.crop_rule

    @staticmethod
    def load(path: str | Path, *, device: str = "cpu") -> Detector:
        """Open a detector folder, or the `detector/` of a run folder.

        Raises:
            DetectorError: a file is missing, of another version, damaged or edited.
        """
        return load_detector(Path(path), device)

    @staticmethod
    def default(*, device: str = "cpu") -> Detector:
        """The detector that comes with the package; see its model card in `verovolto/detectors/default`.

        >>> Detector.default().name
        'region-discriminant'
        """
        return load_detector(detector_folder(), device)

    @staticmethod
    def from_pretrained(
        path_or_id: str | Path = "default",
        *,
        revision: str | None = None,
        local_files_only: bool = False,
        cache_dir: str | Path | None = None,
        device: str = "cpu",
    ) -> Detector:
        """Open a detector by the name of one that comes along, by its folder, or by `OWNER/NAME` on the model hub.

        What comes from the hub is safetensors and JSON, and is checked against its digests; `metadata["hub"]` keeps the
        repository and the commit.

        >>> Detector.from_pretrained("default").name
        'region-discriminant'

        Args:
            path_or_id: `default`, a folder, or `OWNER/NAME` (extra `hub`).
            revision: branch, tag or commit on the hub; a commit is the same for good.
            local_files_only: take what was fetched before, and ask nobody.
            cache_dir: where fetched detectors are kept; the hub's own place without (variable HF_HOME).
            device: where the arithmetic is done.

        Raises:
            DetectorError: there is no such detector, or what came is damaged.
            InputError: the extra `hub` is not installed.
        """
        opened: Detector = _pretrained().from_pretrained(
            path_or_id,
            revision=revision,
            local_files_only=local_files_only,
            cache_dir=cache_dir,
            device=device,
        )
        return opened

    def save_pretrained(self, folder: str | Path, *, licence: str | None = None) -> Path:
        """Write the detector with a README for the hub, made of its model card; card and licence come along.

        Args:
            folder: new, or of a detector that is to be replaced.
            licence: of the weights: an identifier of the hub's list, such as `cc-by-4.0`; by default the file that
                states it beside the detector, or what its metadata say.

        Returns:
            The folder.
        """
        saved: Path = _pretrained().save_pretrained(self, Path(folder), licence=licence)
        return saved

    def push_to_hub(
        self,
        repository: str,
        *,
        licence: str | None = None,
        private: bool = False,
        message: str | None = None,
    ) -> str:
        """Send the detector to the model hub (extra `hub`), as one commit; returns the commit.

        Args:
            repository: `OWNER/NAME`; it is made where it is not there.
            licence: see `save_pretrained`; without any that is known nothing is sent.
            private: whether a new repository is for its owner alone.
            message: of the commit.

        Raises:
            InputError: nothing says under which licence the weights are, or the extra is not installed.
            DetectorError: the hub refuses it, or cannot be reached.
        """
        commit: str = _pretrained().push_to_hub(
            self, repository, licence=licence, private=private, message=message
        )
        return commit

    def scan(self, *paths: str | Path, **options: Any) -> Scan:
        """Find, track and judge the faces in photos and videos: `verovolto.scan` with this detector.

        Args:
            paths: files and folders, mixed.
            options: of `verovolto.scan`, such as `fps`, `false_alarm`, `faces`, `crop`.
        """
        return verovolto.scan(*paths, detector=self, **options)

    @classmethod
    def resolve(cls, config: TrainConfig) -> TrainConfig:
        """Fill the options of the method that were left open. Raises `InputError` for what cannot be."""
        return config

    @classmethod
    def fit(cls, config: TrainConfig, data: TrainingData, run: Run) -> Detector:
        """Fit to real faces; `run` gives the folder, the progress and the engine. Not calibrated yet.

        Where it takes much, it is the function `fit` of the module `fit` beside the method's own, imported when needed.
        """
        module = import_module(f"{cls.__module__.rpartition('.')[0]}.fit")
        fitted: Detector = module.fit(config, data, run)
        return fitted

    @classmethod
    def from_detector(cls, config: TrainConfig, source: Detector, run: Run) -> Detector:
        """Make one of another finished detector, without training (`verovolto train --from`)."""
        raise InputError(f"{config.model} cannot be made of the {source.name}", hint="leave out --from")

    @classmethod
    def describe(cls, name: str, size: int | None = None) -> list[ModelRow]:
        """The rows of `verovolto models` for a model; with `size` only if its input can have that many pixels."""
        return []

    @abstractmethod
    def score_batch(self, batch: FaceBatch, *, anomaly_map: bool = False) -> Scores:
        """Scores of one batch; with `anomaly_map` also where in each face the anomaly lies, where that is known."""

    @abstractmethod
    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Tensors and JSON values that only this method has; `from_state` takes them back."""

    @classmethod
    @abstractmethod
    def from_state(cls, saved: SavedState) -> Detector:
        """Put together what `state` gave."""

    def score(self, images: Any, *, batch_size: int = 64) -> Scores:
        """Score images: one or many paths, PIL images, uint8 arrays `[H, W, 3]` or tensors `[3, H, W]`.

        The images are face crops, cut by the rule the detector was trained on. Returns `Scores` in the same
        order; the conformal p-values come with it when the detector is calibrated.
        """
        faces = to_batch(images)
        if not len(faces):
            raise InputError("there are no images to score", hint="give at least one")
        if batch_size < 1:
            raise InputError(f"batch_size {batch_size} is below 1")
        parts = [
            self.score_batch(FaceBatch(images=faces.images[i : i + batch_size],
                                       encoded_bytes=faces.encoded_bytes[i : i + batch_size]))
            for i in range(0, len(faces), batch_size)
        ]  # fmt: skip
        columns = {name: torch.cat([part[name] for part in parts]) for name in parts[0].columns}
        return Scores(columns=columns, default=self.default_score, p_value=self._p_values(columns))

    def score_network(self) -> nn.Module:
        """The arithmetic from the network's input to scores `[B, n]`, as in `score_names`, and anomaly map `[B, h, w]`.

        It is what `verovolto export` writes as a graph; preprocessing and calibration stay outside.

        Raises:
            InputError: the method has no network, or does what has no place in a graph.
        """
        raise InputError(
            f"a detector of kind {self.kind} ({self.name or 'without a name'}) cannot be exported",
            hint="VAEs, region discriminants, mahalanobis and padim can be",
        )

    def explain(self, images: Any) -> Explanation | None:
        """Reconstructions, anomaly maps and latents of a few images; None for a detector that has none."""
        return None

    def summary_lines(self) -> list[str]:
        """What a user should know of a finished detector, a line each."""
        calibrated = self.metadata["calibrated_on"]
        parts = [f"trained on {self.metadata['trained_on']['faces']:,} real faces", self._how_fitted()]
        lines = [
            f"{'; '.join(filter(None, parts))}, thresholds set on {calibrated['real']} more "
            f"({calibrated['clusters']} clusters by {calibrated['cluster']})"
        ]
        return lines + [
            f"no threshold at a false-alarm rate of {refused['false_alarm']:g}: that needs {refused['needs']} real "
            "faces to calibrate on"
            for refused in calibrated["refused_rates"]
        ]

    def save(self, path: Path) -> None:
        """Write the folder; each file appears whole."""
        tensors, description = self.state()
        for name, calibration in self.calibration.items():
            tensors |= calibration_tensors(calibration, f"calibration.{name}")
        common = {
            "score": self.default_score,
            "calibration": {name: calibration_metadata(of) for name, of in self.calibration.items()},
            "domain": self.domain.to_dict(),
            "thresholds": [threshold.to_dict() for threshold in self.thresholds],
            "about": self.metadata,
        }
        write_folder(path, tensors, {"kind": self.kind, **description, **common})

    def _how_fitted(self) -> str:
        """What the method made of the training faces, in words; a part of `summary_lines`."""
        return ""

    def _p_values(self, columns: Mapping[str, Tensor]) -> np.ndarray | None:
        calibration = self.calibration.get(self.default_score)
        if calibration is None:
            return None
        return calibration.p_values(columns[self.default_score].double().numpy())


def _pretrained() -> ModuleType:
    """What only users of a hub need, and what needs detectors itself: opened when it is called for."""
    return import_module("verovolto.detectors.pretrained")


def load_detector(path: Path, device: str = "cpu") -> Detector:
    """See `Detector.load`."""
    _check_device(device)
    folder = find_folder(path)
    description = read_description(folder)
    tensors = read_tensors(folder, description)
    method = method_of_kind(str(description.get("kind")), _names(description))
    if method is None:
        kinds = sorted({each.detector.kind for each in methods().values()})
        raise DetectorError(
            f"{folder} holds a detector of kind {description.get('kind')!r}, this verovolto knows {', '.join(kinds)}",
            hint="use the verovolto that wrote it",
        )
    try:
        common = _read_common(description, tensors) | {
            "device": torch.device(device), "folder": folder
        }  # fmt: skip
        return method.detector.from_state(
            SavedState(folder=folder, description=description, tensors=tensors, common=common)
        )
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise DetectorError(
            f"{folder} does not describe a detector: {error}", hint="train it again"
        ) from error


def _names(description: Mapping[str, Any]) -> set[str]:
    """What a detector is called, wherever its method wrote that down."""
    parts = [part for part in description.values() if isinstance(part, dict)]
    names = [part.get(key) for part in parts for key in ("name", "model")]
    return {name for name in names if isinstance(name, str)}


def _read_common(description: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> dict[str, Any]:
    preprocessing = description.get("preprocessing")
    return {
        "default_score": description["score"],
        "calibration": {
            name: read_calibration(name, written, tensors, f"calibration.{name}")
            for name, written in description["calibration"].items()
        },
        "thresholds": [Threshold.from_dict(threshold) for threshold in description["thresholds"]],
        "domain": Domain.from_dict(description.get("domain", {})),
        "metadata": description["about"],
        "preprocessing": None if preprocessing is None else Preprocessing.from_dict(preprocessing),
    }


def _check_device(device: str) -> None:
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise InputError(f"there is no device {device!r} here: {reason}", hint="use cpu or cuda") from error
