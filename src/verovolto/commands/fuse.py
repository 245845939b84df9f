"""`verovolto fuse`: several detectors as one, calibrated anew."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from verovolto.core.errors import DataError, InputError
from verovolto.core.files import check_new
from verovolto.networks import FusionRule

if TYPE_CHECKING:
    from verovolto.data.faceset import FaceSet
    from verovolto.detectors.base import Detector


def fuse(
    *detectors: Path,
    data: Path,
    out: Path,
    rule: FusionRule = "fisher",
    weights: Annotated[tuple[float, ...], Parameter(consume_multiple=True, negative=())] = (),
    val_split: str = "val",
    seed: int | None = None,
) -> None:
    """Make one detector of several: each turns its score into a conformal p-value, a rule combines them.

    P-values come from the real faces of the selection split, threshold and p-value of the fusion from those of the
    calibration split (halves of the validation people), as for any detector; no fake is looked at. The parts lie
    inside the new folder, which needs nothing else.

    Parts may look at different crops of a face, a tight and a wide one: give --data faces that were cropped by the
    widest of their rules (`verovolto prepare --crop wide`), from which the others are cut.

    Parameters
    ----------
    detectors
        Two or more run folders or detector folders, or `default`: the one of the package.
    data
        The face set whose validation people the fusion is calibrated on.
    out
        New folder for the fusion.
    rule
        fisher: the sum of the log p-values; stouffer: of their normal scores; min: the smallest p-value; cauchy: the
        mean of their Cauchy scores.
    weights
        How much each detector counts, in their order: a number above 0 for each; only ratios matter. Default: all
        alike.
    val_split
        Split whose people are cut into selection and calibration split.
    seed
        Seed of that cut. Default: the one that the parts were calibrated with.
    """
    from verovolto.data.faceset import FaceSet
    from verovolto.detectors.base import load_detector
    from verovolto.detectors.calibrate import calibrated
    from verovolto.detectors.fusion.detector import (
        FusedDetector,
        check_parts,
        check_weights,
        reference_scores,
    )
    from verovolto.detectors.io import detector_folder

    check_new(out)
    parts = [load_detector(detector_folder(folder)) for folder in detectors]
    crop_rule = check_parts(parts)
    given = list(weights) or None
    check_weights(given, len(parts))
    faces = FaceSet.open(data)
    seed = _common_seed(detectors, parts) if seed is None else seed
    for folder, part in zip(detectors, parts, strict=True):
        _check_unseen(folder, part, faces, val_split, seed)
        if part.crop_rule is None:
            print(f"warning: {folder} does not say how its faces were cropped", file=sys.stderr)
    choose, calibrate = (half.seen_by(crop_rule) for half in _halves(faces, parts, val_split, seed))
    fused = FusedDetector(
        detectors=parts,
        references=[reference_scores(part, choose, faces.fingerprint()) for part in parts],
        rule=rule,
        weights=given,
        metadata=_metadata(parts, faces, len(choose), val_split, seed),
    )
    detector = calibrated(fused, calibrate, seed=seed)
    detector.save(out / "detector")
    print("\n".join(detector.summary_lines()))
    print(f"detector: {(out / 'detector').resolve()}")
    words = ["verovolto", "evaluate", out, "--data", data, "--split", "test", "--out", out / "test"]
    print(f"next: {shlex.join(map(str, words))}")


def _halved_by(part: Detector) -> Any:
    metadata = part.metadata
    return metadata.get("calibrated_on", {}).get("halved_by_seed", metadata.get("seed"))


def _common_seed(folders: tuple[Path, ...], parts: list[Detector]) -> int:
    seeds = {
        str(folder): int(found)
        for folder, part in zip(folders, parts, strict=True)
        if (found := _halved_by(part)) is not None
    }
    if len(set(seeds.values())) > 1:
        cut = ", ".join(f"{folder} by seed {seed}" for folder, seed in seeds.items())
        raise InputError(
            f"the detectors cut the validation people differently: {cut}",
            hint="train them with one --seed; where they are of other data than --data, give --seed",
        )
    return next(iter(seeds.values()), 0)


def _check_unseen(folder: Path, part: Detector, faces: FaceSet, val_split: str, seed: int) -> None:
    """Refuse a part that learned from the faces to calibrate on, as far as fingerprints tell."""
    trained, fitted = (part.metadata.get(key, {}) for key in ("trained_on", "fitted_on"))
    fingerprint = faces.fingerprint()
    if trained.get("fingerprint") is None:
        print(f"warning: {folder} does not say what it was trained on", file=sys.stderr)
    if fingerprint not in (trained.get("fingerprint"), fitted.get("fingerprint")):
        return
    if trained.get("fingerprint") == fingerprint and trained.get("split") == val_split:
        raise InputError(
            f"{folder} was trained on the split {val_split} of {faces.path}",
            hint="give another --val-split, of faces that no part has seen",
        )
    if (theirs := _halved_by(part)) not in (None, seed):
        raise InputError(
            f"{folder} cut the people of {faces.path} by seed {theirs}, not {seed}: it was chosen on faces that the "
            "fusion would be calibrated on",
            hint=f"add --seed {theirs}, or train it with --seed {seed}",
        )


def _halves(faces: FaceSet, parts: list[Detector], val_split: str, seed: int) -> tuple[FaceSet, FaceSet]:
    """Reals of the `choose` half, and all of the `calibrate` half."""
    import numpy as np

    from verovolto.data.splits import check_disjoint, halve

    known = faces.columns("split", "dataset", "target_identity", "donor_identity", "source_video")
    check_disjoint(known, leaky=any(part.metadata.get("leaky") for part in parts))
    val = faces.select(split=val_split)
    choose = halve(val.columns(), seed=seed)
    reals = val.take(np.flatnonzero(choose)).select(label="real")
    if not len(reals):
        raise DataError(
            f"there is no real face in the half `choose` of {val_split} to take p-values from",
            hint="the validation split needs more people",
        )
    return reals, val.take(np.flatnonzero(~choose))


def _metadata(
    parts: list[Detector], faces: FaceSet, choose: int, val_split: str, seed: int
) -> dict[str, Any]:
    """Where the fusion comes from; `trained_on` is that of a part trained on this set, where there is one."""
    from verovolto.training.run_metadata import versions

    fingerprint = faces.fingerprint()
    ours = [
        trained
        for part in parts
        if (trained := part.metadata.get("trained_on", {})).get("fingerprint") == fingerprint
    ]
    learned = {"name": faces.name, "faces": 0, "split": val_split, "fingerprint": fingerprint}
    return {
        "trained_on": max(ours, key=lambda one: int(one["faces"]), default=learned),
        "chosen_on": {"split": f"{val_split}/choose", "faces": choose},
        "seed": seed,
        "weights": "those of its parts",
        "versions": versions(),
        "parts": [{"name": part.name, **part.metadata} for part in parts],
        # What a part must not be used for, the whole must not.
        **{
            key: max(values)
            for key in ("leaky", "contaminated")
            if (values := [part.metadata[key] for part in parts if part.metadata.get(key)])
        },
    }
