"""What `evaluate` refuses or warns of before faces are scored: sets and detectors that do not go together."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from verovolto.core.errors import InputError

if TYPE_CHECKING:
    from verovolto.commands.evaluate import Options
    from verovolto.data.faceset import FaceSet
    from verovolto.detectors.base import Detector


def check_scorable(detector: Detector, faces: FaceSet, options: Options) -> None:
    """Refuse before the faces are scored, which can take hours, what could not be judged afterwards."""
    from verovolto.data.score_table import BASELINES

    known = (*detector.score_names, *BASELINES)
    score = options.score or known[0]
    if score not in known:
        raise InputError(f"no score is called {score!r}", hint=f"there are {', '.join(known)}")
    labels = set(faces.columns("label")["label"].unique().to_pylist())
    if missing := [label for label in ("real", "fake") if label not in labels]:
        raise InputError(
            f"no {' and no '.join(missing)} face among the {len(faces)} of {faces.path}: how well reals and fakes are "
            "told apart cannot be said",
            hint="choose another --split or data set",
        )
    if (calibration := detector.calibration.get(score)) is not None:
        calibration.threshold(options.false_alarm)  # raises where the sample cannot support the rate


def exposure_warning(detector: Detector, whole: FaceSet, split: str) -> str | None:
    """What to warn of: a split that the detector learned from, chose its epoch or was calibrated on, and a detector of
    leaky splits or that learned from fakes, whatever is judged."""
    metadata = detector.metadata
    if metadata.get("leaky"):
        return (
            "the detector was trained leaky: its splits share people between training and test, as the protocol it "
            "reproduces has it, so figures on faces of that set flatter it; use it for nothing but that reproduction"
        )
    if metadata.get("contaminated"):
        return (
            f"the detector was trained contaminated: {metadata['contaminated']:.1%} of its training faces are fakes "
            "that it learned as real, as an experiment has it; use it for nothing but that experiment"
        )
    suspected = [(known, used) for known, used in _used(metadata) if split in {*used, "all"}]
    # A fingerprint reads the whole set: only where there is something to compare.
    used = {one for known, splits in suspected if known == whole.fingerprint() for one in splits}
    if not used:
        return None
    return (
        f"the detector was trained or calibrated on faces of this set ({' and '.join(sorted(used))}), so these figures "
        "flatter it: judge it on a split that it has not seen"
    )


def _used(metadata: Mapping[str, Any]) -> Iterator[tuple[str | None, set[str]]]:
    """Fingerprints of the sets that a detector, or a part of it, saw, each with the splits that it learned from, was
    fitted to, or was chosen or calibrated on."""
    trained, chosen, fitted = (metadata.get(key, {}) for key in ("trained_on", "chosen_on", "fitted_on"))
    halved = str(chosen.get("split", "val")).partition("/")[0]
    yield trained.get("fingerprint"), {trained.get("split", "train"), halved}
    if fitted:
        yield fitted["fingerprint"], {fitted["split"].partition("/")[0]}
    for part in metadata.get("parts", ()):
        yield from _used(part)


def check_crop(detector: Detector, faces: FaceSet, any_crop: bool) -> None:
    """A detector trained on tight crops sees every face at another scale as an anomaly."""
    ours = detector.crop_rule
    if ours is None or faces.crop_rule is None or ours == faces.crop_rule:
        return
    message = (
        f"the faces of {faces.path} were cropped by {faces.crop_rule}, the detector was trained on {ours}"
    )
    if not any_crop:
        raise InputError(message, hint="crop them by the detector's rule, or go on with --any-crop")
    print(f"warning: {message}", file=sys.stderr)
