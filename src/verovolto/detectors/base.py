"""The Detector: what is saved, loaded, evaluated, scanned with and served.

It owns its preprocessing and its calibration. On disk it is a folder (`detectors.io`).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from verovolto.calibration.input_domain import Domain
from verovolto.calibration.io import metadata as calibration_metadata
from verovolto.calibration.io import tensors_of
from verovolto.calibration.thresholds import Calibration, Threshold
from verovolto.core.errors import InputError
from verovolto.data.face_batch import FaceBatch, to_batch
from verovolto.detectors.io import write_folder
from verovolto.detectors.types import Explanation, Scores
from verovolto.scanning.result import Scan


class Detector(ABC):
    """Scores face crops: higher = more likely fake.

    `calibration` maps a score's name to its held-out real scores, `thresholds` are the named cuts chosen at
    training time, `domain` the conditions under which it knows faces, `crop_rule` the rule by which they must be
    cropped (None where that is unknown), `metadata` says where the detector comes from.
    """

    name: str
    default_score: str
    score_names: tuple[str, ...]
    calibration: dict[str, Calibration]
    thresholds: list[Threshold]
    domain: Domain
    metadata: dict[str, Any]

    @property
    def crop_rule(self) -> dict[str, Any] | None:
        """See `data.crop_rule`."""
        return None

    @staticmethod
    def load(path: str | Path, *, device: str = "cpu") -> Detector:
        """Open a detector folder, or the `detector/` of a run folder.

        Raises `DetectorError` when a file is missing, of another version, damaged or edited.
        """
        from verovolto.detectors.registry import load_detector

        return load_detector(Path(path), device)

    @staticmethod
    def default(*, device: str = "cpu") -> Detector:
        """The detector that comes with the package; see its model card in `verovolto/detectors/default`."""
        from verovolto.detectors.default import detector_folder

        return Detector.load(detector_folder(), device=device)

    @abstractmethod
    def score_batch(self, batch: FaceBatch, *, anomaly_map: bool = False) -> Scores:
        """Scores of one batch; with `anomaly_map` also where in each face the anomaly lies, where the detector
        knows it."""

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

    def scan(self, *paths: str | Path, **options: Any) -> Scan:
        """Find, track and judge the faces in photos and videos: `verovolto.scan` with this detector.

        Args:
            paths: files and folders, mixed.
            options: of `verovolto.scan`, such as `fps`, `false_alarm`, `faces`, `crop`.
        """
        import verovolto  # the one door that leads up again

        return verovolto.scan(*paths, detector=self, **options)

    def _p_values(self, columns: Mapping[str, Tensor]) -> np.ndarray | None:
        known = self.calibration.get(self.default_score)
        return None if known is None else known.p_values(columns[self.default_score].double().numpy())


class SavedDetector(Detector):
    """A detector with a folder. A kind of its own adds what `parts` gives, and is put together by
    `detectors.registry`."""

    kind: ClassVar[str]

    @abstractmethod
    def parts(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Tensors and JSON values that only this kind of detector has."""

    def save(self, path: Path) -> None:
        """Write the folder; each file appears whole."""
        tensors, description = self.parts()
        for name, known in self.calibration.items():
            tensors |= tensors_of(known, f"calibration.{name}")
        write_folder(path, tensors, {"kind": self.kind, **description, **self._common()})

    def _common(self) -> dict[str, Any]:
        return {
            "score": self.default_score,
            "calibration": {name: calibration_metadata(known) for name, known in self.calibration.items()},
            "domain": self.domain.to_dict(),
            "thresholds": [threshold.to_dict() for threshold in self.thresholds],
            "about": self.metadata,
        }
