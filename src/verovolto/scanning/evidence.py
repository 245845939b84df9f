"""What makes a result checkable: files hashed before and after, the record of the run, the digest of the detector."""

from __future__ import annotations

import json
import platform
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from verovolto import __version__
from verovolto.calibration.likelihood_ratio import of_others, of_suspects
from verovolto.calibration.thresholds import Calibration
from verovolto.detectors.io import JSON_NAME, LICENCES, find_folder
from verovolto.media.provenance import Fingerprint, file_facts, provenance_of
from verovolto.scanning.result import CHANGED, FileResult, TrackResult
from verovolto.scanning.settings import ScanSettings

_PACKAGES = ("torch", "torchvision", "av", "pillow", "numpy")


def with_evidence(path: Path, settings: ScanSettings, scan: Callable[[], FileResult]) -> FileResult:
    """What `scan` makes of the file, with what identifies it; no verdict where it changed meanwhile.

    Args:
        path: of the file.
        settings: what opening it may cost, and whose signatures are trusted.
        scan: decodes and judges it.
    """
    before = Fingerprint.of(path)
    facts = file_facts(path, before, settings.limits)
    provenance = None
    if facts.container is not None:
        provenance = provenance_of(path, settings.limits, settings.trust_anchors)
    result = replace(scan(), facts=facts, provenance=provenance)
    after = Fingerprint.of(path)
    if before == after:
        return result
    problem = (
        f"the file changed while it was scanned: SHA-256 {_short(before)} before, {_short(after)} at the end"
    )
    return FileResult(
        path=result.path, medium=result.medium, status=CHANGED, problems=(problem,), facts=result.facts
    )


def weighed(result: FileResult, calibration: Calibration, false_alarm: float) -> FileResult:
    """The result with what each verdict weighs beside it.

    Frames that were merged by their p-values are set against single known fakes: how many videos of fakes would look
    like this was not measured.
    """
    people = len(result.judged)
    return replace(
        result, tracks=tuple(_weighed(track, people, calibration, false_alarm) for track in result.tracks)
    )


def _weighed(track: TrackResult, people: int, calibration: Calibration, false_alarm: float) -> TrackResult:
    known = calibration.videos if track.rule == "videos" else calibration
    if known is None or track.p_value is None or track.verdict == "cannot tell":
        return track
    if track.verdict == "suspect":
        return replace(track, likelihood_ratio=of_suspects(known, track.p_value, people))
    return replace(track, likelihood_ratio=of_others(known, false_alarm, people))


def _short(fingerprint: Fingerprint | None) -> str:
    return "unknown" if fingerprint is None else f"{fingerprint.sha256[:16]}…"


@dataclass(frozen=True, kw_only=True)
class RunClock:
    """A scan under way: its id, and when it began."""

    id: str
    started: datetime

    @staticmethod
    def start() -> RunClock:
        """From now on."""
        return RunClock(id=str(uuid.uuid4()), started=datetime.now(UTC))

    def record(self, *, command: str | None, device: str, threads: int, workers: int) -> dict[str, Any]:
        """The record of the run that ends now, as JSON values.

        Args:
            command: that gives the result again; None for a call from Python.
            device: where the detector computed.
            threads: of the video decoder; scores are computed by one.
            workers: processes, 0 for none but this one.
        """
        return {
            "id": self.id,
            "started_utc": _iso(self.started),
            "finished_utc": _iso(datetime.now(UTC)),
            "command": command,
            "verovolto": __version__,
            "python": platform.python_version(),
            "platform": platform.platform(),
            "versions": {name: metadata.version(name) for name in _PACKAGES},
            "device": device,
            "threads": threads,
            "workers": workers,
        }


def _iso(when: datetime) -> str:
    return when.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def detector_evidence(folder: Path | None) -> Mapping[str, Any]:
    """Digest and licence of the detector in a folder; None for one that was never saved.

    The digest covers `detector.json`, which holds that of the weights.
    """
    if folder is None:
        return {"digest": None, "licence": None}
    inner = find_folder(folder)
    description = json.loads((inner / JSON_NAME).read_text(encoding="utf-8"))
    stated = description.get("about", {}).get("licence")
    beside = next((name for name in LICENCES if (inner / name).is_file()), None)
    return {"digest": description.get("digest"), "licence": stated or beside}
