"""A detector whose network runs in another runtime than torch. Preprocessing, calibration and verdicts are as ever.

The defaults of the runtimes are not taken on trust. OpenVINO's default is the fastest precision that a processor has,
which moved scores by 0.14; float32 is asked for. ONNX Runtime's int8 is wrong on processors without VNNI; nothing is
quantised here.
"""

from __future__ import annotations

import platform
import shutil
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar

import numpy as np
import torch
from jaxtyping import Float32
from numpy.typing import NDArray
from torch import Tensor
from typing_extensions import override

from verovolto.core.errors import DetectorError, InputError
from verovolto.core.files import atomic_path, sha256_file
from verovolto.data.face_batch import FaceBatch, Preprocessing, to_batch
from verovolto.detectors.base import Detector, Explanation, SavedState, Scores
from verovolto.detectors.registry import register

Network = Callable[[Float32[NDArray[np.float32], "b 3 s s"]], list[NDArray[np.float32]]]
"""From the network's input to its outputs, in the order of the graph."""

INPUT, OUTPUTS = "input", ("scores", "anomaly_map")
"""Names in the graph: scores `[B, n]`, one a column, and the anomaly map `[B, h, w]`."""

PRECISION = "float32"
_FLAGS = ("avx2", "fma", "avx512f", "avx_vnni", "avx512_vnni", "avx512_bf16", "amx_bf16", "amx_int8")


class Runtime(ABC):
    """A runtime. `files` are what it keeps of a network, `package` what has to be installed."""

    name: ClassVar[str]
    files: ClassVar[tuple[str, ...]]
    package: ClassVar[str]
    extra: ClassVar[str]

    def module(self) -> ModuleType:
        """The runtime's package. Raises `InputError` where it is not installed."""
        try:
            return import_module(self.package)
        except ImportError as error:
            raise InputError(
                f"a network in the format {self.name} needs the package {self.package}: {error}",
                hint=f"pip install 'verovolto[{self.extra}]'",
            ) from error

    def version(self) -> str:
        """Of the package."""
        return str(self.module().__version__)

    @abstractmethod
    def write(self, onnx: Path, folder: Path) -> None:
        """Write the files of the network in an ONNX file into a folder."""

    @abstractmethod
    def open(self, folder: Path, threads: int) -> Network:
        """Open the network in a folder, for so many threads."""


class OnnxRuntime(Runtime):
    """ONNX Runtime, on the CPU."""

    name, files, package, extra = "onnx", ("network.onnx",), "onnxruntime", "onnx-runtime"

    @override
    def write(self, onnx: Path, folder: Path) -> None:
        self.module()  # one that is missing is an error here, not when the detector is used
        shutil.copyfile(onnx, folder / self.files[0])

    @override
    def open(self, folder: Path, threads: int) -> Network:
        library: Any = self.module()
        options = library.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
        session = library.InferenceSession(
            str(folder / self.files[0]), options, providers=["CPUExecutionProvider"]
        )
        return lambda x: list(session.run(list(OUTPUTS), {INPUT: x}))


class OpenVino(Runtime):
    """OpenVINO, on the CPU."""

    name, files, package, extra = "openvino", ("network.xml", "network.bin"), "openvino", "openvino"

    @override
    def write(self, onnx: Path, folder: Path) -> None:
        library: Any = self.module()
        # Not the converter, which reports its use to its maker.
        model = library.Core().read_model(str(onnx))
        library.save_model(model, str(folder / self.files[0]), compress_to_fp16=False)

    @override
    def open(self, folder: Path, threads: int) -> Network:
        core: Any = self.module().Core()
        settings = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": threads, "NUM_STREAMS": 1}
        network = core.compile_model(core.read_model(str(folder / self.files[0])), "CPU", settings)

        def run(x: NDArray[np.float32]) -> list[NDArray[np.float32]]:
            found = network(x)
            # The runtime's buffers are used again at the next call.
            return [np.array(found[name]) for name in OUTPUTS]

        return run


RUNTIMES: Mapping[str, Runtime] = {each.name: each for each in (OnnxRuntime(), OpenVino())}
"""By the name that `verovolto export --format` takes."""


def runtime(name: str) -> Runtime:
    """A runtime by its name. Raises `InputError` with the names there are."""
    if name not in RUNTIMES:
        raise InputError(f"there is no format {name!r}", hint=f"there are {', '.join(RUNTIMES)}")
    return RUNTIMES[name]


def processor() -> dict[str, Any]:
    """What tells processors apart whose arithmetic may differ: architecture, and the instructions that matter."""
    flags: set[str] = set()
    listed = Path("/proc/cpuinfo")
    if listed.is_file():
        lines = (line for line in listed.read_text(encoding="utf-8", errors="replace").splitlines())
        flags = set(
            next(
                (line.partition(":")[2] for line in lines if line.startswith(("flags", "Features"))), ""
            ).split()
        )
    return {"machine": platform.machine(), "flags": [flag for flag in _FLAGS if flag in flags]}


@register("exported", source="docs/detectors; of a finished detector, by verovolto export")
@dataclass(kw_only=True, eq=False)
class ExportedDetector(Detector):
    """The network of a finished detector in a runtime's own format.

    Attributes:
        runtime: its name, see `RUNTIMES`.
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
