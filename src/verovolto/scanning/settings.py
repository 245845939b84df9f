"""How a scan looks and decides: the settings, and what they come to with a detector."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from verovolto.calibration.thresholds import Calibration
from verovolto.core.errors import CalibrationError, InputError
from verovolto.data.crop_rule import CropRule
from verovolto.detectors.base import Detector
from verovolto.faces.crop import FaceFilter
from verovolto.faces.detection.base import FaceDetector
from verovolto.faces.detection.registry import for_detector
from verovolto.media import Limits, Sampling

FPS, FALSE_ALARM, SMALLEST = 2.0, 0.05, 64.0


@dataclass(frozen=True, kw_only=True)
class ScanSettings:
    """What a scan depends on, besides the detector.

    Attributes:
        crop: rule by which faces are cropped, None for the detector's own; needed where the detector has none.
        face_detector: its name, None for the one that the rule refers to; the rule is restated for another.
        fps: frames looked at a second of video, > 0; None for all.
        false_alarm: share of real media that may be called suspect, in (0, 1).
        faces: score all faces of a frame, or only the one that it is about.
        smallest: larger side of a box below which a face is not scored, pixels, >= 0.
        sharpness: see `FaceFilter`.
        confidence: score of the face detector below which a face is not scored, in [0, 1]; None for the detector's own.
        limits: what a file may cost.
        trust_anchors: certificates in PEM whose C2PA signatures are trusted; None for none.
        pictures: keep the key frames with their anomaly maps, for a report.
    """

    crop: CropRule | None = None
    face_detector: str | None = None
    fps: float | None = FPS
    false_alarm: float = FALSE_ALARM
    faces: Literal["all", "largest"] = "all"
    smallest: float = SMALLEST
    sharpness: float = FaceFilter.sharpness
    confidence: float | None = None
    limits: Limits = field(default_factory=Limits)
    trust_anchors: Path | None = None
    pictures: bool = False

    def __post_init__(self) -> None:
        _ = self.sampling  # refuses what cannot be sampled
        if not 0 < self.false_alarm < 1:
            raise InputError(f"a false-alarm rate lies between 0 and 1, not {self.false_alarm:g}")
        if self.trust_anchors is not None and not self.trust_anchors.is_file():
            raise InputError(
                f"there is no file {self.trust_anchors}", hint="give a PEM file to --trust-anchors"
            )

    @property
    def sampling(self) -> Sampling:
        """Which frames of a video are looked at."""
        return Sampling(fps=self.fps)

    def face_filter(self, face_detector: FaceDetector) -> FaceFilter:
        """The least that a face found by this detector must have."""
        confidence = face_detector.confidence if self.confidence is None else self.confidence
        return FaceFilter(side=self.smallest, sharpness=self.sharpness, confidence=confidence)


@dataclass(frozen=True, kw_only=True)
class ScanContext:
    """All that it takes to look at a file: the detector and what goes with it.

    Attributes:
        rule: by which faces are cropped, stated for the boxes of `face_detector`.
        face_filter: with the confidence of `face_detector`, unless the settings give another.
        calibration: of the detector's default score.
    """

    detector: Detector
    face_detector: FaceDetector
    settings: ScanSettings
    rule: CropRule
    face_filter: FaceFilter
    calibration: Calibration

    @staticmethod
    def of(detector: Detector, face_detector: FaceDetector, settings: ScanSettings) -> ScanContext:
        """The context of these two detectors.

        Raises:
            CalibrationError: the detector is not calibrated, or cannot support the false-alarm rate.
            InputError: a crop rule that is unknown or cannot be restated for the boxes of this face detector.
        """
        return ScanContext(
            detector=detector,
            face_detector=face_detector,
            settings=settings,
            rule=for_detector(rule_of(detector, settings.crop), face_detector.name),
            face_filter=settings.face_filter(face_detector),
            calibration=calibration_of(detector, settings.false_alarm),
        )

    def to_dict(self) -> dict[str, Any]:
        """The settings as JSON values; see docs/scan.md."""
        return {
            "fps": self.settings.fps,
            "false_alarm": self.settings.false_alarm,
            "faces": self.settings.faces,
            "face_detector": self.face_detector.name,
            "crop_rule": self.rule.to_dict(),
            "least": asdict(self.face_filter),
            "domain": self.detector.domain.to_dict(),
            "limits": asdict(self.settings.limits),
        }


def calibration_of(detector: Detector, false_alarm: float) -> Calibration:
    """The calibration of the detector's default score.

    Raises:
        CalibrationError: there is none, or it cannot support the rate even for a single photo.
    """
    calibration = detector.calibration.get(detector.default_score)
    if calibration is None:
        raise CalibrationError(
            f"the detector {detector.name} is not calibrated: its scores cannot be judged",
            hint="train it with verovolto train, which calibrates on held-out real faces",
        )
    calibration.threshold(false_alarm)  # raises for a rate that it cannot support
    return calibration


def rule_of(detector: Detector, given: CropRule | None) -> CropRule:
    """The rule by which faces are cropped for this detector.

    Raises:
        InputError: the detector has none and none is given, or another one is given than its own.
    """
    own = None if detector.crop_rule is None else CropRule.from_dict(detector.crop_rule)
    if own is not None and given not in (None, own):
        raise InputError(
            f"the detector {detector.name} was trained on faces cropped by another rule: {own.to_dict()}",
            hint="leave --crop out",
        )
    rule = own or given
    if rule is None:
        raise InputError(
            f"the detector {detector.name} does not say how the faces it was trained on were cropped",
            hint="say it with --crop: tight, ffpp, dfdc, wide, or a JSON file",
        )
    return rule
