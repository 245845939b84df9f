"""Make a detector of how typical reconstruction errors are out of a finished VAE; no network is trained."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from verovolto.core.errors import DataError, InputError
from verovolto.data.faceset import FaceSet
from verovolto.data.splits import cluster_ids
from verovolto.detectors.fitting import Run, TrainingData
from verovolto.detectors.registry import TrainConfig
from verovolto.detectors.score_faces import read_batch
from verovolto.detectors.vae.detector import VAEDetector
from verovolto.experimental.error_typicality import TypicalityConfig
from verovolto.experimental.error_typicality.detector import (
    COMPONENTS,
    ErrorVectors,
    TypicalityDetector,
    error_vectors,
    fit_typicality_of_errors,
)
from verovolto.training.run_metadata import versions

_BATCH = 64


def of_vae(config: TrainConfig, vae: VAEDetector, run: Run) -> TypicalityDetector:
    """Fit the density to the selection reals; see `Detector.from_detector`.

    The VAE learned from neither these nor those to calibrate on. Its epoch was chosen on the selection reals, one
    number of ten or so, which their errors hardly show. Raises `InputError` where it cut the people in another
    way: some of those calibrated on would be among those its epoch was chosen on.
    """
    assert isinstance(config.method, TypicalityConfig)
    data = run.data(leaky=bool(vae.metadata.get("leaky")))
    _check_same_halves(config, vae.metadata, data)
    vae.preprocessing = replace(vae.preprocessing, crop_rule=_crop_rule(vae, data))
    rows, vectors = measured(vae, data.choose, config.max_unreadable, run)
    people = cluster_ids(data.choose.columns())[rows]
    density = config.method.density
    fitted = fit_typicality_of_errors(vectors, people, components=COMPONENTS[density])
    metadata = {key: value for key, value in vae.metadata.items() if key != "calibrated_on"}
    metadata |= {
        "network_of": vae.name,
        "density": density,
        "fitted_on": {
            "name": data.choose.name,
            "faces": len(rows),
            "split": f"{config.val_split}/choose",
            "fingerprint": data.fingerprint,
        },
        "versions": versions(),
    }
    return TypicalityDetector(vae=vae, typicality=fitted, metadata=metadata)


def measured(
    vae: VAEDetector, faces: FaceSet, max_unreadable: float, run: Run
) -> tuple[list[int], ErrorVectors]:
    """The errors of real faces.

    Args:
        vae: whose errors.
        faces: the real faces.
        max_unreadable: share of them that may be unreadable.
        run: shows the progress.

    Returns:
        Rows of the faces that can be read, and their vectors.

    Raises:
        DataError: more cannot be read.
    """
    on_progress = run.task("errors of real faces", len(faces))
    kept: list[int] = []
    parts: list[ErrorVectors] = []
    for start in range(0, len(faces), _BATCH):
        stop = min(start + _BATCH, len(faces))
        rows, batch = read_batch(faces, start, stop)
        if rows:
            kept += rows
            parts.append(error_vectors(vae, batch))
        on_progress(stop - start)
    lost = len(faces) - len(kept)
    if not kept or lost > max_unreadable * len(faces):
        raise DataError(
            f"{lost} of {len(faces)} faces to fit to cannot be read, more than the allowed share of "
            f"{max_unreadable:g}",
            hint="mend the data, or raise --max-unreadable",
        )
    return kept, ErrorVectors.joined(parts)


def _check_same_halves(config: TrainConfig, metadata: dict[str, Any], data: TrainingData) -> None:
    """Only a set that the VAE knows can have been cut wrongly."""
    if metadata.get("trained_on", {}).get("fingerprint") != data.fingerprint:
        return
    seed = metadata.get("calibrated_on", {}).get("halved_by_seed", metadata.get("seed"))
    split = str(metadata.get("chosen_on", {}).get("split", config.val_split)).partition("/")[0]
    if seed != config.seed or split != config.val_split:
        raise InputError(
            f"the VAE cut the people of {split} by seed {seed}, not those of {config.val_split} by seed "
            f"{config.seed}: faces to calibrate on would be among those that it was chosen on",
            hint=f"add --seed {seed} --val-split {split}",
        )


def _crop_rule(vae: VAEDetector, data: TrainingData) -> dict[str, Any] | None:
    """The VAE's, or the set's where the VAE does not know its own; refused where they differ."""
    if None not in (vae.crop_rule, data.crop_rule) and vae.crop_rule != data.crop_rule:
        raise InputError(
            f"the faces were cropped by {data.crop_rule}, those of the VAE by {vae.crop_rule}",
            hint="crop them by the rule of the VAE",
        )
    return vae.crop_rule or data.crop_rule
