"""Make a detector of how typical reconstruction errors are out of a finished VAE run; no network is trained."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.progress import Progress

from verovolto.core.errors import DataError, InputError
from verovolto.data.faceset import FaceSet
from verovolto.data.splits import cluster_ids
from verovolto.detectors.calibrate import calibrated
from verovolto.detectors.registry import load_detector
from verovolto.detectors.score_faces import read_batch
from verovolto.detectors.vae.detector import VAEDetector
from verovolto.experimental.error_typicality.detector import (
    COMPONENTS,
    NAME,
    ErrorVectors,
    TypicalityDetector,
    error_vectors,
    fit_typicality_of_errors,
)
from verovolto.training.config import TrainConfig
from verovolto.training.data import TrainingData, load_training_data
from verovolto.training.run_metadata import versions

_BATCH = 64


def run(config: TrainConfig, progress: Progress) -> Path:
    """It is only made of a finished run: raises `InputError`."""
    raise InputError(
        f"{NAME} is made of a finished VAE",
        hint="train one, say oc-fakedect1, and give its run folder as --from",
    )


def derive(config: TrainConfig, source: Path, progress: Progress) -> Path:
    """Fit the density to the `choose` reals, calibrate on the `calibrate` half, write `detector/`; returns the folder.

    The VAE learned from neither. Its epoch was chosen on the `choose` reals, one number of ten or so, which their
    errors hardly show. Raises `InputError` where `source` is no VAE, where it cut the people in another way (some of
    those calibrated on would be among those its epoch was chosen on), and where `config.out` is not empty.
    """
    vae = load_detector(source)
    if not isinstance(vae, VAEDetector):
        raise InputError(
            f"{NAME} cannot be made of the {vae.name} in {source}", hint="give the run of a VAE as --from"
        )
    if config.out.exists() and any(config.out.iterdir()):
        raise InputError(f"{config.out} is not empty", hint="give a new --out")
    sets = load_training_data(config, leaky=bool(vae.metadata.get("leaky")))
    _check_same_halves(config, source, vae.metadata, sets)
    vae.preprocessing = replace(vae.preprocessing, crop_rule=_crop_rule(source, vae, sets))
    rows, vectors = measured(vae, sets.choose, config.max_unreadable, progress)
    people = cluster_ids(sets.choose.columns())[rows]
    fitted = fit_typicality_of_errors(vectors, people, components=COMPONENTS[config.density])
    metadata = {key: value for key, value in vae.metadata.items() if key != "calibrated_on"}
    metadata |= {
        "network_of": vae.name,
        "density": config.density,
        "fitted_on": {
            "name": sets.choose.name,
            "faces": len(rows),
            "split": f"{config.val_split}/choose",
            "fingerprint": sets.fingerprint,
        },
        "versions": versions(),
    }
    detector = TypicalityDetector(vae=vae, typicality=fitted, metadata=metadata)
    calibrated(detector, sets.calibrate, seed=config.seed).save(config.out / "detector")
    return config.out


def measured(
    vae: VAEDetector, faces: FaceSet, max_unreadable: float, progress: Progress
) -> tuple[list[int], ErrorVectors]:
    """Rows of the faces that can be read, and their vectors. Raises `DataError` past the share of unreadable ones."""
    task = progress.add_task("errors of real faces", total=len(faces))
    kept: list[int] = []
    parts: list[ErrorVectors] = []
    for start in range(0, len(faces), _BATCH):
        stop = min(start + _BATCH, len(faces))
        rows, batch = read_batch(faces, start, stop)
        if rows:
            kept += rows
            parts.append(error_vectors(vae, batch))
        progress.advance(task, stop - start)
    lost = len(faces) - len(kept)
    if not kept or lost > max_unreadable * len(faces):
        raise DataError(
            f"{lost} of {len(faces)} faces to fit to cannot be read, more than the allowed share of "
            f"{max_unreadable:g}",
            hint="mend the data, or raise --max-unreadable",
        )
    return kept, ErrorVectors.joined(parts)


def _check_same_halves(
    config: TrainConfig, source: Path, metadata: dict[str, Any], sets: TrainingData
) -> None:
    """Only a set that the VAE knows can have been cut wrongly."""
    if metadata.get("trained_on", {}).get("fingerprint") != sets.fingerprint:
        return
    seed = metadata.get("calibrated_on", {}).get("halved_by_seed", metadata.get("seed"))
    split = str(metadata.get("chosen_on", {}).get("split", config.val_split)).partition("/")[0]
    if seed != config.seed or split != config.val_split:
        raise InputError(
            f"{source} cut the people of {split} by seed {seed}, not those of {config.val_split} by seed "
            f"{config.seed}: faces to calibrate on would be among those that it was chosen on",
            hint=f"add --seed {seed} --val-split {split}",
        )


def _crop_rule(source: Path, vae: VAEDetector, sets: TrainingData) -> dict[str, Any] | None:
    """The VAE's, or the set's where the VAE does not know its own; refused where they differ."""
    if None not in (vae.crop_rule, sets.crop_rule) and vae.crop_rule != sets.crop_rule:
        raise InputError(
            f"the faces were cropped by {sets.crop_rule}, those of {source} by {vae.crop_rule}",
            hint="crop them by the rule of the VAE",
        )
    return vae.crop_rule or sets.crop_rule
