"""The runtimes that a network can be exported to: how each writes one, opens one, and computes in float32.

Their defaults are not taken on trust. OpenVINO's default is the fastest precision that a processor has,
which moved scores by 0.14; float32 is asked for. ONNX Runtime's int8 is wrong on processors without VNNI; nothing is
quantised here.
"""

from __future__ import annotations

import platform
import shutil
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar

import numpy as np
from jaxtyping import Float32
from numpy.typing import NDArray
from typing_extensions import override

from verovolto.core.errors import InputError

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
