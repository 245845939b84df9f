"""Make an exported detector of a finished one: the network as a graph, its scores compared, calibrated anew."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from verovolto.core.errors import DetectorError, InputError
from verovolto.core.files import check_new, sha256_file
from verovolto.data.faceset import FaceSet
from verovolto.detectors.base import Detector
from verovolto.detectors.calibrate import calibrated_anew
from verovolto.detectors.exported.detector import (
    INPUT,
    OUTPUTS,
    PRECISION,
    ExportedDetector,
    processor,
    runtime,
)
from verovolto.detectors.io import digest_of, read_description
from verovolto.detectors.score_faces import score_faces

TOLERANCE = 1e-3
"""Of a score, absolute below 1, relative above, by which an exported one may differ from that of its origin."""


@dataclass(frozen=True, kw_only=True)
class HeldOut:
    """The real faces that an exported detector is compared and calibrated on.

    Attributes:
        faces: that the detector has not learned from.
        seed: that cut them off, None where nothing was cut.
        named: what they are, in words.
        its_own: whether the detector was calibrated on them before.
    """

    faces: FaceSet
    seed: int | None
    named: str
    its_own: bool


def export(
    detector: Detector, out: Path, held_out: HeldOut, *, to: str, tolerance: float = TOLERANCE
) -> ExportedDetector:
    """Write a detector whose network runs in another runtime.

    Args:
        detector: finished, on the CPU.
        out: the new folder.
        held_out: its real faces, maybe with fakes.
        to: the runtime's name.
        tolerance: see `TOLERANCE`.

    Raises:
        InputError: a detector that cannot be exported, a runtime that is not installed, a folder that holds something.
        DetectorError: scores differ by more than the tolerance.
    """
    check_new(out)
    chosen, work = runtime(to), out.parent / f".{out.name}.work"
    chosen.module()
    graph = detector.score_network()
    work.mkdir(parents=True, exist_ok=True)
    try:
        assert detector.preprocessing is not None, "what has a network has its preprocessing"
        write_onnx(graph, detector.preprocessing.size, work / "graph.onnx")
        chosen.write(work / "graph.onnx", work)
        made = _made(detector, to, work)
        differences = largest_differences(detector, made, held_out.faces)
        _check(detector, differences, tolerance)
        made.record |= {
            "faces": len(held_out.faces), "tolerance": tolerance, "largest_difference": differences,
        }  # fmt: skip
        made = _calibrated(detector, made, held_out)
        made.save(out)
        made.network = made.folder = out
        return made
    finally:
        shutil.rmtree(work, ignore_errors=True)


def write_onnx(graph: nn.Module, size: int, path: Path) -> None:
    """Write a module from `[B, 3, size, size]` to scores and anomaly map as an ONNX file, for any number of faces.

    Raises:
        InputError: what it takes is not installed, or the network does things that have no place in a graph.
    """
    example = torch.zeros(2, 3, size, size)  # a batch of one would be taken for the only size there is
    with torch.no_grad():
        graph.eval()(example)  # what depends on the size alone is computed here, and in the graph a constant
    try:
        torch.onnx.export(
            graph, (example,), path, input_names=[INPUT], output_names=list(OUTPUTS), dynamo=True,
            dynamic_shapes=({0: torch.export.Dim("faces", min=1, max=4096)},), external_data=False, verbose=False,
        )  # fmt: skip
    except ImportError as error:
        raise InputError(
            f"to export takes onnxscript ({error})",
            hint="pip install 'verovolto[onnx-runtime]' or [openvino]",
        ) from error
    except Exception as error:  # torch's exporter has an error of its own for everything
        cause: BaseException = error
        while cause.__cause__ is not None:  # the innermost says what has no place in a graph
            cause = cause.__cause__
        first = str(cause).strip().partition("\n")[0]
        raise InputError(
            f"the network cannot be written as a graph: {first}", hint="use the detector as it is"
        ) from error


def largest_differences(one: Detector, other: Detector, faces: FaceSet) -> dict[str, float]:
    """By score, the largest difference of two detectors' scores of the same faces; relative where scores exceed 1."""
    tables = [score_faces(each, faces) for each in (one, other)]
    found = {}
    for name in one.score_names:
        a, b = (table.values(name).astype(np.float64) for table in tables)
        both = np.isfinite(a) & np.isfinite(b)
        if (np.isfinite(a) != np.isfinite(b)).any():
            found[name] = float("inf")
        elif both.any():
            found[name] = float((np.abs(a - b)[both] / np.maximum(1.0, np.abs(a[both]))).max())
    return found


def _check(detector: Detector, differences: dict[str, float], tolerance: float) -> None:
    beyond = {name: value for name, value in differences.items() if not value <= tolerance}
    if beyond:
        said = ", ".join(f"{name} by {value:.2g}" for name, value in beyond.items())
        raise DetectorError(
            f"the exported network scores other than the {detector.name}: {said}, the tolerance is {tolerance:g}",
            hint="use the detector as it is; another --format may do",
        )


def _made(detector: Detector, to: str, folder: Path) -> ExportedDetector:
    """The detector without a calibration, its network in a folder."""
    chosen = runtime(to)
    assert detector.preprocessing is not None
    return ExportedDetector(
        name=detector.name,
        score_names=detector.score_names,
        default_score=detector.default_score,
        runtime=to,
        network=folder,
        files={name: sha256_file(folder / name) for name in chosen.files},
        record={
            "runtime": to,
            "version": chosen.version(),
            "precision": PRECISION,
            "processor": processor(),
            "torch": str(torch.__version__),
            "of": _origin(detector),
        },
        preprocessing=detector.preprocessing,
        metadata=dict(detector.metadata),
    )


def _origin(detector: Detector) -> dict[str, Any]:
    """What it was made of: kind, and the digest of its description, where it was ever saved."""
    digest = None if detector.folder is None else digest_of(read_description(detector.folder))
    return {"kind": detector.kind, "digest": digest}


def _calibrated(detector: Detector, made: ExportedDetector, held_out: HeldOut) -> ExportedDetector:
    if not held_out.its_own:
        made.metadata.pop("left_out", None)  # it was found with the former calibration
    before = detector.calibration.get(detector.default_score)
    return calibrated_anew(made, held_out.faces, before, seed=held_out.seed, named=held_out.named)


def joined(sets: Sequence[FaceSet], split: str) -> FaceSet:
    """Face sets as one, of each the split that holds out its people where it has that split."""
    return FaceSet.join([_held_out(faces, split) for faces in sets])


def _held_out(faces: FaceSet, split: str) -> FaceSet:
    known = set(faces.columns("split")["split"].to_pylist()) - {None}
    return faces.select(split=split) if split in known else faces
