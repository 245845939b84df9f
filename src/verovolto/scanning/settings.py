"""How a scan looks and judges."""

from __future__ import annotations

from dataclasses import dataclass, field

from verovolto.calibration.thresholds import Calibration
from verovolto.core.errors import CalibrationError, InputError
from verovolto.data.crop_rule import CropRule
from verovolto.detectors.base import Detector
from verovolto.faces.filter import FaceLimits
from verovolto.media import Limits, Sampling

FPS = 2.0
FALSE_ALARM = 0.05


@dataclass(frozen=True, kw_only=True)
class ScanSettings:
    """What a scan depends on, besides the detector.

    Attributes:
        crop: rule by which faces are cropped, None for the detector's own; needed where the detector knows none.
        finder: name of the face detector, None for the one that the rule refers to; the rule is restated for another.
        fps: frames looked at a second of video, > 0; None for all.
        false_alarm: share of real media that may be called suspect, in (0, 1).
        largest_only: look at the one face of a frame that it is about, instead of all of them.
        faces: the least that a face must have to be judged.
        limits: what a file may cost.
        pictures: keep the most telling frames with their heat maps, for a report.
    """

    crop: CropRule | None = None
    face_detector: str | None = None
    fps: float | None = FPS
    false_alarm: float = FALSE_ALARM
    largest_only: bool = False
    faces: FaceLimits = field(default_factory=FaceLimits)
    limits: Limits = field(default_factory=Limits)
    pictures: bool = False

    def __post_init__(self) -> None:
        _ = self.sampling  # refuses what cannot be sampled
        if not 0 < self.false_alarm < 1:
            raise InputError(f"a false-alarm rate lies between 0 and 1, not {self.false_alarm:g}")

    @property
    def sampling(self) -> Sampling:
        """Which frames of a video are looked at."""
        return Sampling(fps=self.fps)


def calibration_of(detector: Detector, false_alarm: float) -> Calibration:
    """The calibration of the detector's default score.

    Raises `CalibrationError` when there is none, or it cannot support the rate even for a single photo.
    """
    known = detector.calibration.get(detector.default_score)
    if known is None:
        raise CalibrationError(
            f"the detector {detector.name} is not calibrated: its scores cannot be judged",
            hint="train it with verovolto train, which calibrates on held-out real faces",
        )
    known.threshold(false_alarm)  # raises for a rate that it cannot support
    return known


def rule_of(detector: Detector, asked: CropRule | None) -> CropRule:
    """The rule by which faces are cropped for this detector.

    Raises `InputError` when the detector knows none and none is given, or another one is given than its own.
    """
    own = None if detector.crop_rule is None else CropRule.from_dict(detector.crop_rule)
    if own is None and asked is None:
        raise InputError(
            f"the detector {detector.name} does not say how the faces it was trained on were cropped",
            hint="say it with --crop: tight, ffpp, dfdc, or a JSON file",
        )
    if own is not None and asked not in (None, own):
        raise InputError(
            f"the detector {detector.name} was trained on faces cropped by another rule: {own.to_dict()}",
            hint="leave --crop out",
        )
    rule = own or asked
    assert rule is not None
    return rule
