"""What the service is told: where it keeps things, which detectors it has, and what it may cost."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from verovolto.calibration.thresholds import FALSE_ALARMS, Calibration, needed
from verovolto.core.errors import InputError
from verovolto.detectors.base import load_detector
from verovolto.scanning.evidence import detector_evidence
from verovolto.scanning.result import OperatingPoint
from verovolto.scanning.settings import FALSE_ALARM, calibration_of
from verovolto.service.worker import Work, scan_task

LOOPBACK = ("127.0.0.1", "::1", "localhost")


@dataclass(frozen=True, kw_only=True)
class ServiceSettings:
    """The settings of a service.

    Attributes:
        folder: of uploads and scans; nothing is written anywhere else.
        detectors: folders by the name that clients choose them by, the default one first.
        host: address that is listened on.
        port: its port.
        token: secret that every request must bring; None on loopback alone.
        allowed_hosts: names under which the service may be called, besides loopback and `host`.
        workers: processes that scan.
        queue: scans that may wait; more are refused.
        time_limit_s: wall-clock seconds after which a scan is cut off.
        max_upload_bytes: largest upload, counted on the bytes that arrive.
        max_files: most files of one scan.
        idle_s: seconds after which a client that sends nothing is let go.
        upload_s: longest that an upload may take, seconds.
        uploads_at_once: uploads under way; more are refused.
        inputs_kept_s: seconds after which uploads are deleted; None to keep all, for custody.
        results_kept_s: the same for scans that are over.
        max_megapixels: of a photo or frame, millions of pixels; None for the defaults.
        work: what a worker process does with a task; tests put something faster here.
    """

    folder: Path
    detectors: Mapping[str, Path]
    host: str = "127.0.0.1"
    port: int = 8765
    token: str | None = None
    allowed_hosts: tuple[str, ...] = ()
    workers: int = 1
    queue: int = 100
    time_limit_s: float = 1800.0
    max_upload_bytes: int = 4_000_000_000
    max_files: int = 50
    idle_s: float = 30.0
    upload_s: float = 3600.0
    uploads_at_once: int = 32
    inputs_kept_s: float | None = 24 * 3600.0
    results_kept_s: float | None = 30 * 24 * 3600.0
    max_megapixels: float | None = None
    work: Work = scan_task

    def __post_init__(self) -> None:
        if self.host not in LOOPBACK and not self.token:
            raise InputError(
                f"{self.host} can be reached from other machines: everybody could upload and read scans",
                hint="give a secret with --token, or leave --host out",
            )
        if not self.detectors:
            raise InputError("there is no detector", hint="give one with --detector")
        for name in ("workers", "queue", "max_files", "uploads_at_once", "max_upload_bytes"):
            if getattr(self, name) < 1:
                raise InputError(f"{name.replace('_', ' ')} must be at least 1, not {getattr(self, name)}")
        if not self.time_limit_s > 0:
            raise InputError(f"--time-limit must be above 0, not {self.time_limit_s:g}")


@dataclass(frozen=True, kw_only=True)
class KnownDetector:
    """A detector that clients may choose, with what it promises.

    Attributes:
        name: by which it is chosen.
        folder: where it lies.
        model: its own name.
        digest: of its folder.
        licence: of its weights, where known.
        calibration: of its default score.
        metadata: what it says of where it comes from.
    """

    name: str
    folder: Path
    model: str
    digest: str | None
    licence: str | None
    calibration: Calibration
    metadata: Mapping[str, Any]

    @staticmethod
    def of(name: str, folder: Path) -> KnownDetector:
        """Open a detector's folder; raises as `detectors.base.load_detector` for a damaged one."""
        detector = load_detector(folder)
        facts = detector_evidence(folder)
        return KnownDetector(
            name=name,
            folder=folder,
            model=detector.name,
            digest=facts["digest"],
            licence=facts["licence"],
            calibration=calibration_of(detector, 1 / 2),
            metadata=detector.metadata,
        )

    @property
    def rates(self) -> tuple[float, ...]:
        """The usual false-alarm rates that it supports, in each source; of few faces the least that they do."""
        faces = self.calibration.smallest
        usual = tuple(rate for rate in FALSE_ALARMS if faces >= needed(rate))
        return usual or (round(1 / (faces + 1) + 5e-4, 3),)

    @property
    def default_rate(self) -> float:
        """5 %, or the usual rate nearest to it."""
        return min(self.rates, key=lambda rate: abs(rate - FALSE_ALARM))

    def promise(self, false_alarm: float) -> OperatingPoint:
        """What stands beside its verdicts; raises `CalibrationError` for a rate that it cannot support."""
        return OperatingPoint.of(self.calibration, false_alarm, self.metadata)


def open_detectors(settings: ServiceSettings) -> dict[str, KnownDetector]:
    """All detectors of the service, opened and checked."""
    return {name: KnownDetector.of(name, folder) for name, folder in settings.detectors.items()}
