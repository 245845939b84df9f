"""A detector whose network runs in another runtime than torch. Preprocessing, calibration and verdicts are as ever."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from typing_extensions import override

from verovolto.core.errors import DetectorError, InputError
from verovolto.core.files import atomic_path, sha256_file
from verovolto.data.face_batch import FaceBatch, Preprocessing, to_batch
from verovolto.detectors.base import Detector, Explanation, SavedState, Scores
from verovolto.detectors.exported.runtimes import Network, runtime
from verovolto.detectors.registry import register


@register("exported", source="docs/detectors; of a finished detector, by verovolto export")
@dataclass(kw_only=True, eq=False)
class ExportedDetector(Detector):
    """The network of a finished detector in a runtime's own format.

    Attributes:
        runtime: its name, see `runtimes.RUNTIMES`.
        network: folder of the network's files.
        files: their names and SHA-256.
        record: what `detector.json` says of the export: runtime, version, precision, processor, largest difference.
    """

    kind = "exported"

    runtime: str
    network: Path
    files: Mapping[str, str]
    record: dict[str, Any] = field(default_factory=dict)
    preprocessing: Preprocessing

    def __post_init__(self) -> None:
        if self.device.type != "cpu":
            raise InputError(
                f"an exported detector runs on the CPU, not on {self.device}",
                hint="use the detector it was made of",
            )
        self._open: Network | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_open": None}

    @override
    def score_batch(self, batch: FaceBatch, *, anomaly_map: bool = False) -> Scores:
        scores, where = self._run(self.preprocessing(batch, self.device))
        columns = {name: scores[:, number].clone() for number, name in enumerate(self.score_names)}
        return Scores(columns=columns, default=self.default_score, anomaly_map=where if anomaly_map else None)

    @override
    def explain(self, images: Any) -> Explanation:
        x = self.preprocessing(to_batch(images), self.device)
        return Explanation(inputs=self.preprocessing.pictures(x), anomaly_map=self._run(x)[1])

    def _run(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Scores `[B, n]` and anomaly maps `[B, h, w]` of the network's input."""
        if self._open is None:
            self._open = runtime(self.runtime).open(self.network, torch.get_num_threads())
        scores, where = self._open(np.ascontiguousarray(x.numpy()))
        return torch.from_numpy(scores), torch.from_numpy(where)

    @override
    def save(self, path: Path) -> None:
        """Write the network's files, then the other two, which name them by their digests."""
        if path.resolve() != self.network.resolve():
            for name in self.files:
                with atomic_path(path / name) as part:
                    shutil.copyfile(self.network / name, part)
        super().save(path)

    @override
    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        written = {
            "name": self.name,
            "scores": list(self.score_names),
            "files": dict(self.files),
            **self.record,
        }
        return {}, {"export": written, "preprocessing": asdict(self.preprocessing)}

    @classmethod
    @override
    def from_state(cls, saved: SavedState) -> ExportedDetector:
        written = dict(saved.description["export"])
        files = written.pop("files")
        for name, digest in files.items():
            file = saved.folder / name
            if Path(name).name != name or not file.is_file() or sha256_file(file) != digest:
                raise DetectorError(
                    f"{file} is missing, or was changed after it was written",
                    hint="copy the whole folder again",
                )
        return cls(
            name=written.pop("name"), score_names=tuple(written.pop("scores")), runtime=written["runtime"],
            network=saved.folder, files=files, record=written, **saved.common,
        )  # fmt: skip

    def _how_fitted(self) -> str:
        return f"its network in {self.runtime} {self.record.get('version', '')}".rstrip()
