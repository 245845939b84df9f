"""The Detector: what is saved, loaded, evaluated and served. It owns its preprocessing and its calibration.

On disk a folder: `model.safetensors` (every fitted state: the network's tensors as `model.*`, the calibration
scores as `calibration.*`) and `detector.json` (parts, preprocessing, thresholds, provenance, and the SHA-256 of
the weights and of itself, which show damage and careless edits, not a forger). No pickle is read.
"""

from __future__ import annotations

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from safetensors.torch import save as to_safetensors
from torch import Tensor

from verovolto.data.transforms import normalise, resize
from verovolto.errors import DetectorError, InputError
from verovolto.files import atomic_path, sha256_file, write_json
from verovolto.models.catalogue import Architecture, build
from verovolto.models.names import Precision
from verovolto.models.posterior import VAE, VAEOutput
from verovolto.scoring.batch import Explanation, FaceBatch, Scores, to_batch
from verovolto.scoring.calibration import Calibration, Threshold
from verovolto.scoring.calibration_io import about as about_calibration
from verovolto.scoring.calibration_io import read_calibration, tensors_of
from verovolto.scoring.domain import Domain
from verovolto.scoring.scan.result import Scan
from verovolto.scoring.scores import TRIVIAL_SCORES, VAE_SCORES, trivial_scores, vae_scores

SCHEMA_VERSION = 1
JSON_NAME, WEIGHTS_NAME = "detector.json", "model.safetensors"


@dataclass(frozen=True, kw_only=True)
class Preprocessing:
    """How a crop becomes the network's input; a face cropped by another rule is an anomaly to the detector.

    `crop_rule` is the rule of the faces it was trained on (see `faces.crop`), None where that is unknown.
    """

    size: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    resize_filter: Literal["bilinear-antialias"] = "bilinear-antialias"
    crop_rule: dict[str, Any] | None = None

    def __call__(self, batch: FaceBatch, device: torch.device) -> Tensor:
        """Crops to a float32 `[B, 3, size, size]` tensor, channels last, on `device`."""
        pixels = torch.stack([resize(image, self.size) for image in batch.images])
        x = normalise(pixels.to(device, non_blocking=True), self.mean, self.std)
        return x.contiguous(memory_format=torch.channels_last)


class Detector(ABC):
    """Scores face crops: higher = more likely fake.

    `calibration` maps a score's name to its held-out real scores, `thresholds` are the named cuts chosen at
    training time, `domain` the conditions under which it knows faces, `crop_rule` the rule by which they must be
    cropped (None where that is unknown), `about` says where the detector comes from.
    """

    name: str
    default_score: str
    score_names: tuple[str, ...]
    calibration: dict[str, Calibration]
    thresholds: list[Threshold]
    domain: Domain
    about: dict[str, Any]

    @property
    def crop_rule(self) -> dict[str, Any] | None:
        """See `data.croprule`."""
        return None

    @staticmethod
    def load(path: str | Path, *, device: str = "cpu") -> Detector:
        """Open a detector folder, or the `detector/` of a run folder.

        Raises `DetectorError` when a file is missing, of another version, damaged or edited.
        """
        return load_detector(Path(path), device)

    @abstractmethod
    def score_batch(self, batch: FaceBatch, *, heat: bool = False) -> Scores:
        """Scores of one batch; with `heat` also where in each face the anomaly lies, where the detector knows it."""

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

    def explain(self, images: Any) -> Explanation | None:
        """Reconstructions, error maps and latents of a few images; None for a detector that has none."""
        return None

    def scan(
        self,
        *paths: str | Path,
        fps: float | None = 2.0,
        false_alarm: float = 0.05,
        crop: str | None = None,
        pictures: bool = False,
    ) -> Scan:
        """Find, follow and judge the faces in photos and videos; what `verovolto scan` prints, as objects.

        Args:
            paths: files and folders, mixed.
            fps: frames looked at a second of video; None for all.
            false_alarm: share of real media that may be called suspect.
            crop: how the training faces were cropped, where the detector does not say: `ffpp`, `tight` or a JSON file.
            pictures: keep the most telling frames with their heat maps.

        Returns:
            One result a file, in order; files that cannot be read say why, and never stop the rest.

        Raises:
            InputError: nothing to scan, or options that cannot be used.
            CalibrationError: the detector is not calibrated, or not on enough faces for `false_alarm`.
        """
        # What scans knows detectors; only this door leads back.
        from verovolto.data.croprule import read_rule
        from verovolto.scoring.scan.run import scan
        from verovolto.scoring.scan.settings import ScanSettings

        rule = None if crop is None else read_rule(crop, flag="crop")
        settings = ScanSettings(crop=rule, fps=fps, false_alarm=false_alarm, pictures=pictures)
        return scan(self, [Path(path) for path in paths], settings)

    def _p_values(self, columns: Mapping[str, Tensor]) -> np.ndarray | None:
        known = self.calibration.get(self.default_score)
        return None if known is None else known.p_values(columns[self.default_score].double().numpy())


@dataclass
class TrivialDetector(Detector):
    """File bytes, sharpness or brightness as a detector: the floor that any other has to clear."""

    name: str = "trivial"
    default_score: str = "sharpness"
    score_names: tuple[str, ...] = TRIVIAL_SCORES
    calibration: dict[str, Calibration] = field(default_factory=dict)
    thresholds: list[Threshold] = field(default_factory=list)
    domain: Domain = field(default_factory=Domain)
    about: dict[str, Any] = field(default_factory=dict)

    def score_batch(self, batch: FaceBatch, *, heat: bool = False) -> Scores:
        return Scores(columns=trivial_scores(batch), default=self.default_score)


@dataclass
class VAEDetector(Detector):
    """A VAE with a default score."""

    architecture: Architecture
    model: VAE
    preprocessing: Preprocessing
    default_score: str
    beta: float = 1.0
    precision: Precision = "32"
    calibration: dict[str, Calibration] = field(default_factory=dict)
    thresholds: list[Threshold] = field(default_factory=list)
    domain: Domain = field(default_factory=Domain)
    about: dict[str, Any] = field(default_factory=dict)
    score_names: tuple[str, ...] = VAE_SCORES

    def __post_init__(self) -> None:
        if self.default_score not in VAE_SCORES:
            raise InputError(
                f"no score is called {self.default_score!r}", hint=f"there are {', '.join(VAE_SCORES)}"
            )
        self.name = self.architecture.model
        self.score_names = (self.default_score, *(s for s in VAE_SCORES if s != self.default_score))
        self.model.eval().to(memory_format=torch.channels_last)
        self.device = next(self.model.parameters()).device

    @property
    def crop_rule(self) -> dict[str, Any] | None:
        return self.preprocessing.crop_rule

    def score_batch(self, batch: FaceBatch, *, heat: bool = False) -> Scores:
        with torch.inference_mode():
            x, out = self._pass(batch)
            with self._autocast():
                columns = vae_scores(self.model, x, out, std=self.preprocessing.std, beta=self.beta)
            errors = _error_map(x, out) if heat else None
        return Scores(
            columns={k: v.cpu() for k, v in columns.items()}, default=self.default_score, heat=errors
        )

    def explain(self, images: Any) -> Explanation:
        with torch.inference_mode():
            x, out = self._pass(to_batch(images))
            mean = torch.tensor(self.preprocessing.mean, device=x.device).view(1, 3, 1, 1)
            std = torch.tensor(self.preprocessing.std, device=x.device).view(1, 3, 1, 1)
            return Explanation(
                inputs=(x * std + mean).clamp(0, 1).cpu().contiguous(),
                reconstructions=(out.x_hat * std + mean).clamp(0, 1).cpu().contiguous(),
                errors=_error_map(x, out),
                latents=out.posterior.mu.flatten(1).cpu(),
                kl=out.posterior.kl_per_dimension().flatten(1).cpu(),
            )

    def rescored(self, model: str, score: str) -> VAEDetector:
        """The same network under the name of its twin, with another default score (thresholds are kept by score)."""
        architecture = Architecture.from_dict({**self.architecture.to_dict(), "model": model})
        return replace(self, architecture=architecture, default_score=score)

    def save(self, path: Path) -> None:
        """Write the folder; each file appears whole, the weights first."""
        tensors = {
            f"model.{name}": value.contiguous().cpu() for name, value in self.model.state_dict().items()
        }
        for name, known in self.calibration.items():
            tensors |= tensors_of(known, f"calibration.{name}")
        # `save_file` would make the file readable by its owner alone, and hide a full disk in an error of its own.
        with atomic_path(path / WEIGHTS_NAME) as part:
            part.write_bytes(to_safetensors(tensors))
        description = self._describe() | {"files": {WEIGHTS_NAME: sha256_file(path / WEIGHTS_NAME)}}
        write_json(path / JSON_NAME, description | {"digest": _digest(description)})

    def _pass(self, batch: FaceBatch) -> tuple[Tensor, VAEOutput]:
        x = self.preprocessing(batch, self.device)
        with self._autocast():
            return x, self.model(x)

    def _autocast(self) -> AbstractContextManager[Any]:
        if self.precision == "bf16":
            return torch.autocast(self.device.type, dtype=torch.bfloat16)
        return nullcontext()

    def _describe(self) -> dict[str, Any]:
        return {
            "schema_version": SCHEMA_VERSION,
            "kind": "vae",
            "architecture": self.architecture.to_dict(),
            "preprocessing": asdict(self.preprocessing),
            "score": self.default_score,
            "beta": self.beta,
            "precision": self.precision,
            "calibration": {name: about_calibration(known) for name, known in self.calibration.items()},
            "domain": self.domain.to_dict(),
            "thresholds": [threshold.to_dict() for threshold in self.thresholds],
            "about": self.about,
        }


def load_detector(path: Path, device: str = "cpu") -> VAEDetector:
    """See `Detector.load`."""
    _check_device(device)
    folder = path / "detector" if (path / "detector" / JSON_NAME).is_file() else path
    description = _read_description(folder)
    tensors = _read_tensors(folder, description)
    try:
        return _assemble(description, tensors, torch.device(device))
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise DetectorError(
            f"{folder} does not describe a detector: {error}", hint="train it again"
        ) from error


def _check_device(device: str) -> None:
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise InputError(f"there is no device {device!r} here: {reason}", hint="use cpu or cuda") from error


def _read_description(folder: Path) -> dict[str, Any]:
    file = folder / JSON_NAME
    if not file.is_file():
        there = (
            ", ".join(sorted(p.name for p in folder.iterdir())[:6]) if folder.is_dir() else "no such folder"
        )
        raise DetectorError(
            f"no detector in {folder}: {JSON_NAME} is missing (there is: {there or 'nothing'})",
            hint="make one with verovolto train",
        )
    try:
        description = json.loads(file.read_text(encoding="utf-8"))
    except (ValueError, OSError) as error:
        raise DetectorError(f"{file} cannot be read: {error}", hint="copy the folder again") from error
    version = description.get("schema_version") if isinstance(description, dict) else None
    if version != SCHEMA_VERSION:
        raise DetectorError(
            f"{file} has schema version {version}, this verovolto reads {SCHEMA_VERSION}",
            hint="use the verovolto that wrote it, or train it again",
        )
    digest = description.pop("digest", None)
    if digest != _digest(description):
        raise DetectorError(
            f"{file} was changed after it was written", hint="copy the folder again, or train it again"
        )
    return dict(description)


def _read_tensors(folder: Path, description: Mapping[str, Any]) -> dict[str, Tensor]:
    file = folder / WEIGHTS_NAME
    if not file.is_file():
        raise DetectorError(f"{file} is missing", hint="copy the whole folder")
    if sha256_file(file) != description["files"][WEIGHTS_NAME]:
        raise DetectorError(
            f"{file} was changed or damaged after it was written", hint="copy the folder again"
        )
    try:
        return load_file(file)
    except SafetensorError as error:
        raise DetectorError(
            f"{file} is no safetensors file: {error}", hint="copy the folder again"
        ) from error


def _assemble(
    description: Mapping[str, Any], tensors: Mapping[str, Tensor], device: torch.device
) -> VAEDetector:
    architecture = Architecture.from_dict(description["architecture"])
    model = build(architecture)
    model.load_state_dict({k.removeprefix("model."): v for k, v in tensors.items() if k.startswith("model.")})
    given = description["preprocessing"]
    calibration = {
        name: read_calibration(name, written, tensors, f"calibration.{name}")
        for name, written in description["calibration"].items()
    }
    return VAEDetector(
        architecture=architecture,
        model=model.to(device),
        preprocessing=Preprocessing(**{**given, "mean": tuple(given["mean"]), "std": tuple(given["std"])}),
        default_score=description["score"],
        beta=description["beta"],
        precision=description["precision"],
        calibration=calibration,
        thresholds=[Threshold.from_dict(threshold) for threshold in description["thresholds"]],
        domain=Domain.from_dict(description.get("domain", {})),
        about=description["about"],
    )


def _error_map(x: Tensor, out: VAEOutput) -> Tensor:
    """Where the reconstruction is wrong: float32 `[B, h, w]`, root mean square over channels, on the CPU."""
    return (x - out.x_hat).float().square().mean(1).sqrt().cpu().contiguous()


def _digest(description: Mapping[str, Any]) -> str:
    canonical = json.dumps(description, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(canonical.encode()).hexdigest()
