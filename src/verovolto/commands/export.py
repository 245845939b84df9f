"""`verovolto export`: a finished detector whose network runs in ONNX Runtime or OpenVINO."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from verovolto.core.errors import InputError

if TYPE_CHECKING:
    from verovolto.detectors.base import Detector
    from verovolto.detectors.exported.export import HeldOut


def export(
    detector: Path,
    /,
    *,
    to: Annotated[Literal["onnx", "openvino"], Parameter(name="--format")],
    out: Path,
    reals: Annotated[tuple[Path, ...], Parameter(consume_multiple=True, negative=())] = (),
    val_split: str = "val",
    tolerance: float = 1e-3,
) -> None:
    """Write a detector whose network runs in ONNX Runtime or OpenVINO instead of torch, in float32.

    The new folder is a detector like any other, wherever one is named; cropping, resizing and normalising stay what
    they are. The held-out real faces are scored by both, and the export is refused where scores differ; thresholds and
    p-values are those of the new detector's own scores. VAEs, region discriminants, mahalanobis and padim can be
    exported.

    Parameters
    ----------
    detector
        Folder of a detector, or of the run that made it; default for the one of the package.
    to
        onnx: ONNX Runtime (extra onnx-runtime); openvino: OpenVINO (extra openvino).
    out
        Folder for the new detector, new or empty.
    reals
        Face sets whose real faces it is compared and calibrated on: faces that it has not learned from. [default: those
        that the run's folder names]
    val_split
        Split of --reals that holds those people; of a set without it all faces.
    tolerance
        Largest difference of a score, relative where scores exceed 1.
    """
    from verovolto.detectors.base import load_detector
    from verovolto.detectors.exported.export import export as write
    from verovolto.detectors.io import detector_folder

    folder = detector_folder(detector)
    opened = load_detector(folder)
    held_out = _of_run(folder) if not reals else _given(opened, reals, val_split)
    made = write(opened, out, held_out, to=to, tolerance=tolerance)
    said = ", ".join(f"{name} {value:.1g}" for name, value in made.record["largest_difference"].items())
    print("\n".join(made.summary_lines()))
    print(f"largest difference over {made.record['faces']:,} faces: {said}")
    print(f"detector: {out.resolve()}")


def _of_run(folder: Path) -> HeldOut:
    """The faces that a run calibrated its detector on."""
    from verovolto.detectors.exported.export import HeldOut
    from verovolto.training.data import load_training_data
    from verovolto.training.run_metadata import stored_config

    if not (folder / "config.toml").is_file():
        raise InputError(
            f"{folder} does not say which real faces were held out",
            hint="give a run folder, or face sets that it has not learned from with --reals",
        )
    config = stored_config(folder)
    faces = load_training_data(config).calibrate
    return HeldOut(faces=faces, seed=config.seed, named="val/calibrate", its_own=True)


def _given(detector: Detector, reals: tuple[Path, ...], split: str) -> HeldOut:
    """The faces of sets that are named."""
    from verovolto.data.faceset import FaceSet
    from verovolto.detectors.exported.export import HeldOut, joined
    from verovolto.scanning.recalibrate import check_enough

    faces = joined([FaceSet.open(path).seen_by(detector.crop_rule) for path in reals], split)
    check_enough(faces)
    return HeldOut(faces=faces, seed=None, named=", ".join(map(str, reals)), its_own=False)
