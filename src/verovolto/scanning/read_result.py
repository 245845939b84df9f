"""Results out of the JSON values that `scanning.result` writes: what was scanned elsewhere, or long ago."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from verovolto.calibration.likelihood_ratio import LikelihoodRatio
from verovolto.calibration.thresholds import Missed
from verovolto.media.provenance import C2pa, FileFacts, Fingerprint, Provenance
from verovolto.scanning.result import FileResult, FrameScore, OperatingPoint, TrackResult


def file_of(values: Mapping[str, Any]) -> FileResult:
    """The inverse of `FileResult.to_dict`: the same file, without pictures."""
    size, provenance = values["stored_size"], values["provenance"]
    return FileResult(
        path=values["path"],
        medium=values["medium"],
        status=values["status"],
        problems=tuple(values["problems"]),
        verdict=values["verdict"],
        reasons=tuple(values["reasons"]),
        p_value=values["p_value"],
        width=values["width"],
        height=values["height"],
        stored_size=None if size is None else (size[0], size[1]),
        pixel_aspect=values["pixel_aspect"],
        transfer=values["tone_mapped"],
        duration_s=values["duration_s"],
        frames=values["frames_looked_at"],
        tracks=tuple(map(_track_of, values["tracks"])),
        facts=_facts_of(values),
        provenance=None if provenance is None else _provenance_of(provenance),
    )


def _track_of(values: Mapping[str, Any]) -> TrackResult:
    ratio = values["likelihood_ratio"]
    return TrackResult(
        id=values["id"],
        verdict=values["verdict"],
        reasons=tuple(values["reasons"]),
        p_value=values["p_value"],
        p_adjusted=values["p_adjusted"],
        score=values["score"],
        rule=values["rule"],
        seen=values["frames_seen"],
        rejected=dict(values["passed_over"]),
        start_s=values["start_s"],
        end_s=values["end_s"],
        frame_scores=tuple(FrameScore(**{**each, "box": tuple(each["box"])}) for each in values["timeline"]),
        conditions=dict(values["conditions"]),
        likelihood_ratio=None if ratio is None else LikelihoodRatio.from_dict(ratio),
    )


def _facts_of(values: Mapping[str, Any]) -> FileFacts:
    known = None
    if values["sha256"] is not None:
        known = Fingerprint(**{name: values[name] for name in ("sha256", "bytes", "modified_utc")})
    return FileFacts(fingerprint=known, container=values["container"], codecs=tuple(values["codecs"]))


def _provenance_of(values: Mapping[str, Any]) -> Provenance:
    c2pa = values["c2pa"]
    return Provenance(**{**values, "c2pa": None if c2pa is None else C2pa(**c2pa)})


def operating_point_of(values: Mapping[str, Any]) -> OperatingPoint:
    """The inverse of `OperatingPoint.to_dict`."""
    known = values["calibrated_on"]
    return OperatingPoint(
        false_alarm=values["false_alarm"],
        score=values["score"],
        threshold=values["threshold"],
        low=known["lowest"],
        high=known["highest"],
        faces=known["real_faces"],
        clusters=known["clusters"],
        cluster=known["cluster"],
        videos=known["videos"],
        missed={
            each["method"]: Missed(missed=each["missed"], of=each["of"]) for each in values["missed_fakes"]
        },
        fake_clusters=values["fake_clusters"],
        left_out=dict(values["left_out"]),
    )
