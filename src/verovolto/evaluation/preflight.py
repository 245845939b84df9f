"""How an evaluation is made, and what is refused or warned of before faces are scored, which can take hours."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from verovolto.core.errors import InputError
from verovolto.data.faceset import FaceSet
from verovolto.data.score_table import BASELINES
from verovolto.detectors.base import Detector
from verovolto.evaluation.evaluate import Protocol
from verovolto.evaluation.groups import read_groups
from verovolto.evaluation.metrics import Positive


@dataclass(frozen=True, kw_only=True)
class EvaluationSettings:
    """How a detector or a table of scores is evaluated.

    Attributes:
        score: Score that is evaluated first; None: the default one of the detector or table.
        false_alarm: False-alarm rate, in (0, 1), whose threshold the report speaks of.
        protocol: Either `sound` or `thesis`, see `evaluate_scores`.
        positive: Class that counts, precision, recall and F1 of the thresholds take as positive; None: fake, or real
            under the protocol `thesis`.
        strict: Flag a face that scores exactly the threshold.
        resamples: Bootstrap resamples behind each interval.
        seed: Seed of the resamples, of the faces to corrupt and their noise, and of the t-SNE.
        batch_size: Faces a batch; it does not change the scores.
        max_unreadable: Share of unreadable faces, in [0, 1], past which the evaluation fails.
        any_crop: Go on when the faces were cropped by another rule than the detector's.
        hide_faces: Hide the faces of the report behind a mosaic.
        robustness: Number of faces to corrupt and score again; None: none.
        groups: CSV table of the groups of people that false alarms are given for; None: none.

    Raises:
        InputError: For a value out of its range.
    """

    score: str | None = None
    false_alarm: float = 0.1
    protocol: Protocol = "sound"
    positive: Positive | None = None
    strict: bool = False
    resamples: int = 1000
    seed: int = 0
    batch_size: int = 64
    max_unreadable: float = 0.05
    any_crop: bool = False
    hide_faces: bool = False
    robustness: int | None = None
    groups: Path | None = None

    def __post_init__(self) -> None:
        if not 0 < self.false_alarm < 1:
            raise InputError(f"--false-alarm lies between 0 and 1, not {self.false_alarm:g}")
        for name, value in (("resamples", self.resamples), ("seed", self.seed)):
            if value < 0:
                raise InputError(f"--{name} cannot be negative: {value}")
        if self.batch_size < 1 or not 0 <= self.max_unreadable <= 1:
            raise InputError(
                f"--batch-size {self.batch_size}, --max-unreadable {self.max_unreadable:g}: at least 1, and 0 to 1"
            )
        if self.robustness is not None and self.robustness < 2:
            raise InputError(f"--robustness-faces {self.robustness}: a real and a fake face are the least")

    @property
    def positive_class(self) -> Positive:
        """The class taken as positive."""
        return self.positive or ("real" if self.protocol == "thesis" else "fake")

    def groups_of(self, faces: FaceSet) -> dict[str, NDArray[Any]]:
        """The groups that the faces are of; raises as `read_groups`."""
        return read_groups(self.groups, faces) if self.groups else {}

    def flags(self) -> list[str]:
        """The flags of `verovolto evaluate` that ask for these settings."""
        flags = ["--score", self.score] if self.score else []
        flags += ["--false-alarm", f"{self.false_alarm:g}", "--positive", self.positive_class]
        flags += ["--resamples", str(self.resamples), "--seed", str(self.seed)]
        flags += ["--strict"] if self.strict else []
        flags += ["--protocol", self.protocol] if self.protocol != "sound" else []
        flags += ["--groups", str(self.groups)] if self.groups else []
        flags += ["--no-faces"] if self.hide_faces else []
        return flags + (
            ["--robustness", "--robustness-faces", str(self.robustness)] if self.robustness else []
        )

    def scoring_flags(self) -> list[str]:
        """The flags of `verovolto evaluate` on how faces are read and scored, where they are not the default."""
        flags = ["--batch-size", str(self.batch_size)] if self.batch_size != 64 else []
        flags += ["--max-unreadable", f"{self.max_unreadable:g}"] if self.max_unreadable != 0.05 else []
        return flags + (["--any-crop"] if self.any_crop else [])


def check_scorable(detector: Detector, faces: FaceSet, settings: EvaluationSettings) -> None:
    """Refuse what could not be evaluated after the faces were scored.

    Raises:
        InputError: For an unknown score, or when the faces lack a class.
        CalibrationError: When the detector's calibration does not support the false-alarm rate.
    """
    names = (*detector.score_names, *BASELINES)
    score = settings.score or names[0]
    if score not in names:
        raise InputError(f"no score is called {score!r}", hint=f"there are {', '.join(names)}")
    labels = set(faces.columns("label")["label"].unique().to_pylist())
    if missing := [label for label in ("real", "fake") if label not in labels]:
        raise InputError(
            f"no {' and no '.join(missing)} face among the {len(faces)} of {faces.path}: how well reals and fakes are "
            "told apart cannot be said",
            hint="choose another --split or data set",
        )
    if (calibration := detector.calibration.get(score)) is not None:
        calibration.threshold(settings.false_alarm)


def exposure_warning(detector: Detector, whole: FaceSet, split: str) -> str | None:
    """What makes figures on a split of the set `whole` flatter the detector; None where nothing does.

    That is a split that the detector learned from, chose its epoch on or was calibrated on; and, whatever the split, a
    detector of leaky splits or one that learned from fakes.
    """
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
    suspected = [
        (fingerprint, splits) for fingerprint, splits in _used(metadata) if split in {*splits, "all"}
    ]
    # A fingerprint reads the whole set: only where there is something to compare.
    used = {
        name for fingerprint, splits in suspected if fingerprint == whole.fingerprint() for name in splits
    }
    if not used:
        return None
    return (
        f"the detector was trained or calibrated on faces of this set ({' and '.join(sorted(used))}), so these figures "
        "flatter it: judge it on a split that it has not seen"
    )


def _used(metadata: Mapping[str, Any]) -> Iterator[tuple[str | None, set[str]]]:
    """Fingerprints of the sets that a detector, or a part of it, used, each with the splits used."""
    trained, chosen, fitted = (metadata.get(key, {}) for key in ("trained_on", "chosen_on", "fitted_on"))
    halved = str(chosen.get("split", "val")).partition("/")[0]
    yield trained.get("fingerprint"), {trained.get("split", "train"), halved}
    if fitted:
        yield fitted["fingerprint"], {fitted["split"].partition("/")[0]}
    for part in metadata.get("parts", ()):
        yield from _used(part)


def seen_by(detector: Detector, faces: FaceSet, any_crop: bool) -> FaceSet:
    """The faces as the detector looks at them: cut from wider crops, where they show what its crop rule asks for.

    Others are refused, or taken as they are with a warning by `any_crop`: at another scale every face is an anomaly.

    Raises:
        InputError: When the crop rules are known, and the crops do not show what the detector's asks for.
    """
    try:
        return faces.seen_by(detector.crop_rule)
    except InputError as error:
        message = f"{faces.path}: {error.message}"
        if not any_crop:
            raise InputError(message, hint=f"{error.hint}; or go on with --any-crop") from error
    print(f"warning: {message}", file=sys.stderr)
    return faces
