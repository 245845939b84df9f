"""The result of a scan, as objects and as JSON values (docs/scan.md describes these).

Nothing here ever says that a face is real.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np

from verovolto import __version__
from verovolto.calibration.likelihood_ratio import LikelihoodRatio
from verovolto.calibration.thresholds import Calibration, Missed
from verovolto.detectors.io import digest_of
from verovolto.faces.crop import UNCERTAIN
from verovolto.media.provenance import FileFacts, Provenance

SCHEMA_VERSION = 1
PICTURED = 50
"""Files of a scan of which pictures are kept, the most severe: a page of more is of no use, and memory is bounded."""

Verdict = Literal["suspect", "no sign found", "cannot tell"]
VERDICTS: tuple[Verdict, ...] = ("suspect", "no sign found", "cannot tell")
"""The most severe first."""

Status = Literal["ok", "damaged", "unreadable", "changed during scan"]
CHANGED: Status = "changed during scan"
Rule = Literal["one face", "twice the mean", "mean score", "videos"]
"""How the frames of a track become one p-value: there is but one; twice their mean; the mean score of the frames
against single faces of each source calibrated on; their mean score against those of held-out real videos."""

OUTSIDE_DOMAIN = "out of the training domain"
TOO_MANY = "more faces than the calibration supports"


@dataclass(frozen=True, kw_only=True)
class FrameScore:
    """One scored face of a track.

    Attributes:
        box: `(x0, y0, x1, y1)` of the face detector, in pixels of the frame.
        turned: how far the frame was turned clockwise so that the face stands upright, degrees.
    """

    frame: int
    time_s: float
    score: float
    p_value: float
    box: tuple[float, float, float, float]
    turned: int = 0

    def to_dict(self) -> dict[str, Any]:
        """As JSON values."""
        return {
            "frame": self.frame, "time_s": round(self.time_s, 4), "score": self.score, "p_value": self.p_value,
            "box": [round(edge, 1) for edge in self.box], "turned": self.turned,
        }  # fmt: skip


@dataclass(frozen=True, kw_only=True, eq=False)
class KeyFrame:
    """One of the frames of a track with the highest scores, for a report.

    Attributes:
        crop: JPEG bytes of the face as cropped, at most 224 pixels a side.
        anomaly_map: float32 `[h, w]`; None where the detector has no map.
        context: JPEG bytes of the whole frame made small.
        context_box: where the face lies in `context`.
    """

    frame_score: FrameScore
    crop: bytes
    anomaly_map: np.ndarray | None
    context: bytes
    context_box: tuple[float, float, float, float]


@dataclass(frozen=True, kw_only=True, eq=False)
class TrackResult:
    """One person, over the frames where they were followed; in a photo, one face.

    Attributes:
        id: number within the file, from 0.
        verdict: on this person, by `p_adjusted`.
        reasons: why nothing can be told; empty otherwise.
        p_value: of the track alone; None where nothing was scored.
        p_adjusted: given that there are others (Bonferroni).
        score: mean over the scored frames.
        rule: how the frames were merged.
        seen: frames with this face.
        rejected: faces of them that were not scored, by reason.
        start_s: seconds of the first sighting.
        end_s: seconds of the last sighting.
        frame_scores: the scored faces, in order of time.
        conditions: median sharpness, brightness and contrast (`calibration.input_domain`).
        key_frames: highest scores first; empty without pictures.
        likelihood_ratio: what the verdict weighs; None without a verdict, or where no fakes are known.
    """

    id: int
    verdict: Verdict
    reasons: tuple[str, ...] = ()
    p_value: float | None = None
    p_adjusted: float | None = None
    score: float | None = None
    rule: Rule | None = None
    seen: int
    rejected: Mapping[str, int] = field(default_factory=dict)
    start_s: float
    end_s: float
    frame_scores: tuple[FrameScore, ...] = ()
    conditions: Mapping[str, float] = field(default_factory=dict)
    key_frames: tuple[KeyFrame, ...] = ()
    likelihood_ratio: LikelihoodRatio | None = None

    @property
    def doubtful(self) -> bool:
        """Whether the face detector was sure in no frame that this is a face."""
        return self.reasons == (UNCERTAIN,)

    def to_dict(self) -> dict[str, Any]:
        """As JSON values, without pictures."""
        return {
            "id": self.id, "verdict": self.verdict, "reasons": list(self.reasons), "p_value": self.p_value,
            "p_adjusted": self.p_adjusted,
            "likelihood_ratio": None if self.likelihood_ratio is None else self.likelihood_ratio.to_dict(),
            "score": self.score, "rule": self.rule, "frames_seen": self.seen,
            "frames_judged": len(self.frame_scores), "passed_over": dict(self.rejected),
            "start_s": round(self.start_s, 4), "end_s": round(self.end_s, 4),
            "conditions": {name: round(value, 4) for name, value in self.conditions.items()},
            "timeline": [frame_score.to_dict() for frame_score in self.frame_scores],
        }  # fmt: skip


@dataclass(frozen=True, kw_only=True, eq=False)
class FileResult:
    """One photo or video.

    Attributes:
        path: as it was given or found.
        medium: None where the file is neither.
        status: `damaged` where something is missing and the rest was scored, or where a photo is in part the decoder's
            guess and was not scored; `unreadable`: no verdict; `changed during scan`: no verdict either.
        problems: what is damaged, or why it could not be scanned.
        verdict: None where it is unreadable.
        reasons: why nothing can be told; empty otherwise.
        p_value: the smallest adjusted one of its tracks; None where none was scored.
        width: pixels of the picture as shown: upright, of square pixels; a very large photo is read reduced.
        height: likewise.
        stored_size: (width, height) as the file holds it, turned upright.
        pixel_aspect: width over height of a stored pixel.
        transfer: `HLG` or `PQ`, of video that was tone-mapped; None for any other.
        duration_s: seconds, of a video.
        frames: frames looked at.
        tracks: in order of first sight; those of doubtful detections alone come last.
        facts: what identifies the file.
        provenance: what the file says of itself; None where it does not open. The verdict does not depend on it.
    """

    path: str
    medium: Literal["photo", "video"] | None = None
    status: Status = "ok"
    problems: tuple[str, ...] = ()
    verdict: Verdict | None = None
    reasons: tuple[str, ...] = ()
    p_value: float | None = None
    width: int | None = None
    height: int | None = None
    stored_size: tuple[int, int] | None = None
    pixel_aspect: float | None = None
    transfer: str | None = None
    duration_s: float | None = None
    frames: int = 0
    tracks: tuple[TrackResult, ...] = ()
    facts: FileFacts = field(default_factory=FileFacts)
    provenance: Provenance | None = None

    @property
    def severity(self) -> tuple[int, float]:
        """Sorts files: suspect ones first, then by p-value; those without a verdict last."""
        verdict = len(VERDICTS) if self.verdict is None else VERDICTS.index(self.verdict)
        return verdict, 2.0 if self.p_value is None else self.p_value

    @property
    def pictured(self) -> bool:
        """Whether pictures of its tracks are kept."""
        return any(track.key_frames for track in self.tracks)

    def without_pictures(self) -> FileResult:
        """The same, without pictures."""
        return replace(self, tracks=tuple(replace(track, key_frames=()) for track in self.tracks))

    @property
    def judged(self) -> tuple[TrackResult, ...]:
        """The tracks that have a p-value."""
        return tuple(track for track in self.tracks if track.p_value is not None)

    def to_dict(self) -> dict[str, Any]:
        """As JSON values, without pictures."""
        return {
            "path": self.path, "medium": self.medium, "status": self.status, "problems": list(self.problems),
            "verdict": self.verdict, "reasons": list(self.reasons), "p_value": self.p_value, "width": self.width,
            "height": self.height, "stored_size": None if self.stored_size is None else list(self.stored_size),
            "pixel_aspect": None if self.pixel_aspect is None else round(self.pixel_aspect, 6),
            "tone_mapped": self.transfer, "duration_s": self.duration_s, "frames_looked_at": self.frames,
            **self.facts.to_dict(), "provenance": None if self.provenance is None else self.provenance.to_dict(),
            "tracks": [track.to_dict() for track in self.tracks],
        }  # fmt: skip


@dataclass(frozen=True, kw_only=True, eq=False)
class OperatingPoint:
    """What stands beside every verdict: the false-alarm rate, and how many known fakes pass.

    Attributes:
        false_alarm: share of real files that may be called suspect, in (0, 1).
        score: name of the score.
        threshold: a single face that scores higher is suspect.
        low: least score of the faces calibrated on.
        high: their largest score.
        faces: how many they are.
        clusters: in how many groups.
        cluster: what groups them.
        videos: real videos calibrated on; None for none.
        missed: known fakes below `threshold`, single faces, by method; where a video is judged by several frames
            together, nobody measured how many are missed.
        fake_clusters: in how many groups these fakes are; None where it was not recorded.
        left_out: for each source of real faces that the detector was also fitted and calibrated without, the share of
            its faces that 5 % became.
    """

    false_alarm: float
    score: str
    threshold: float
    low: float
    high: float
    faces: int
    clusters: int
    cluster: str
    videos: int | None
    missed: Mapping[str, Missed]
    fake_clusters: int | None = None
    left_out: Mapping[str, float] = field(default_factory=dict)

    @staticmethod
    def of(
        calibration: Calibration, false_alarm: float, metadata: Mapping[str, Any] | None = None
    ) -> OperatingPoint:
        """Of a calibration, at a rate that it supports, and of what the detector's metadata say of sources left out."""
        left_out = (metadata or {}).get("left_out", {})
        videos = calibration.videos
        return OperatingPoint(
            false_alarm=false_alarm, score=calibration.score, threshold=calibration.threshold(false_alarm),
            low=float(calibration.values[0]), high=float(calibration.values[-1]), faces=len(calibration),
            clusters=calibration.clusters, cluster=calibration.cluster, videos=None if videos is None else len(videos),
            missed=calibration.missed(false_alarm), fake_clusters=calibration.fake_clusters,
            left_out={source: each["share"] for source, each in left_out.items()},
        )  # fmt: skip

    def to_dict(self) -> dict[str, Any]:
        """As JSON values."""
        return {
            "false_alarm": self.false_alarm, "score": self.score, "threshold": self.threshold,
            "calibrated_on": {
                "real_faces": self.faces, "clusters": self.clusters, "cluster": self.cluster, "videos": self.videos,
                "lowest": self.low, "highest": self.high,
            },
            "fake_clusters": self.fake_clusters,
            "missed_fakes": [
                {"method": method, "missed": each.missed, "of": each.of, "share": each.share}
                for method, each in self.missed.items()
            ],
            "left_out": dict(self.left_out),
        }  # fmt: skip


@dataclass(frozen=True, kw_only=True, eq=False)
class Scan:
    """The result of a whole scan.

    Attributes:
        files: one result a file, in the order in which they were given or found.
        operating_point: what the verdicts are worth.
        detector: JSON values that describe it.
        settings: JSON values that say how it looked.
        not_reached: files left when the scan was interrupted.
        left_out: what lay in the folders given and was not scanned, with number and reason, a line each.
        run: JSON values that say when, by what and on what it was made (`scanning.evidence`).
    """

    files: tuple[FileResult, ...]
    operating_point: OperatingPoint
    detector: Mapping[str, Any]
    settings: Mapping[str, Any]
    not_reached: int = 0
    left_out: tuple[str, ...] = ()
    run: Mapping[str, Any] = field(default_factory=dict)

    @property
    def complete(self) -> bool:
        """Whether every file was reached and could be scanned."""
        return not self.not_reached and all(file.status in ("ok", "damaged") for file in self.files)

    def to_dict(self) -> dict[str, Any]:
        """As JSON values; see docs/scan.md. `digest` is that of all the rest."""
        counts = {verdict: sum(file.verdict == verdict for file in self.files) for verdict in VERDICTS}
        values: dict[str, Any] = {
            "schema_version": SCHEMA_VERSION, "verovolto": __version__, "run": dict(self.run),
            "detector": dict(self.detector), "settings": dict(self.settings), "promise": self.operating_point.to_dict(),
            "counts": {
                **counts, "unreadable": sum(file.status == "unreadable" for file in self.files),
                CHANGED: sum(file.status == CHANGED for file in self.files), "not_reached": self.not_reached,
            },
            "left_out": list(self.left_out),
            "media": [file.to_dict() for file in self.files],
        }  # fmt: skip
        return values | {"digest": digest_of(values)}
