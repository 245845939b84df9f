"""Scans made up of drawn pictures, for what is said and shown of them."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from PIL import Image

from verovolto.calibration.thresholds import Calibration, Missed
from verovolto.faces.crop import TOO_SMALL, UNCERTAIN
from verovolto.scanning.result import (
    FileResult,
    FrameScore,
    KeyFrame,
    OperatingPoint,
    Scan,
    TrackResult,
    Verdict,
)
from verovolto.scanning.verdict import decide_file

KNOWN = Calibration(score="rmse", values=np.linspace(0.2, 0.6, 199), clusters=40, cluster="identity")


def drawn(seed: int, height: int, width: int) -> bytes:
    """JPEG bytes of coarse grain: thousands of colours, none of them anybody's."""
    coarse = np.random.default_rng(seed).integers(0, 256, (height // 4, width // 4, 3), dtype=np.uint8)
    out = io.BytesIO()
    Image.fromarray(np.kron(coarse, np.ones((4, 4, 1), np.uint8))).save(out, "JPEG", quality=95)
    return out.getvalue()


def key_frames(frame_score: FrameScore, *, level: float = 1.0, anomaly_map: bool = True) -> KeyFrame:
    """A frame whose anomaly map reaches from 0 to `level`."""
    scale = np.linspace(0, level, 24 * 24, dtype=np.float32).reshape(24, 24) if anomaly_map else None
    return KeyFrame(
        frame_score=frame_score,
        crop=drawn(frame_score.frame, 96, 96),
        anomaly_map=scale,
        context=drawn(frame_score.frame + 1, 120, 200),
        context_box=(-5.0, 10.0, 60.0, 70.0),
    )


def judged(
    number: int = 0,
    p: float = 0.4,
    *,
    verdict: Verdict = "no sign found",
    frames: int = 6,
    pictures: int = 2,
    people: int = 1,
    **frame_options: Any,
) -> TrackResult:
    """A judged track, a frame every half second."""
    frame_scores = tuple(
        FrameScore(frame=12 * i, time_s=i / 2, score=0.3 + 0.01 * i, p_value=p, box=(0.0, 20.0, 120.0, 140.0))
        for i in range(frames)
    )
    return TrackResult(
        id=number, verdict=verdict, p_value=p, p_adjusted=min(1.0, p * people), score=0.33,
        rule="one face" if frames == 1 else "twice the mean", seen=frames, start_s=0.0, end_s=frames / 2,
        frame_scores=frame_scores,
        conditions={"sharpness": 1.5, "brightness": 120.0, "contrast": 40.0},
        key_frames=tuple(key_frames(frame_score, **frame_options) for frame_score in frame_scores[:pictures]),
    )  # fmt: skip


def unjudged(number: int, *reasons: str, seen: int = 3) -> TrackResult:
    """A track of which nothing could be scored."""
    return TrackResult(
        id=number, verdict="cannot tell", reasons=reasons, seen=seen, rejected={reasons[0]: seen},
        start_s=1.0, end_s=2.0,
    )  # fmt: skip


def medium(path: str, *tracks: TrackResult, video: bool = True, damage: Sequence[str] = ()) -> FileResult:
    """A photo or video with these tracks, judged by them."""
    return decide_file(
        FileResult(
            path=path, medium="video" if video else "photo", status="damaged" if damage else "ok",
            problems=tuple(damage), width=640, height=360, duration_s=8.0 if video else None,
            frames=16 if video else 1, tracks=tracks,
        )
    )  # fmt: skip


def unreadable(path: str) -> FileResult:
    return FileResult(path=path, status="unreadable", problems=("a text file, not a photo or a video",))


def suspect(path: str = "odd.mp4", **given: Any) -> FileResult:
    return medium(path, judged(p=0.012, verdict="suspect", **given))


def ordinary(path: str = "plain.mp4", **given: Any) -> FileResult:
    return medium(path, judged(**given))


def small(path: str = "small.mp4") -> FileResult:
    return medium(
        path, unjudged(0, TOO_SMALL), unjudged(1, UNCERTAIN, seen=1), unjudged(2, UNCERTAIN, seen=2)
    )


def operating_point(missed: Mapping[str, Missed] | None = None) -> OperatingPoint:
    base = OperatingPoint.of(KNOWN, 0.05)
    return OperatingPoint(**{**vars(base), "missed": dict(missed or {})})


def scan_of(*media: FileResult, missed: Mapping[str, Missed] | None = None) -> Scan:
    return Scan(
        files=media,
        operating_point=operating_point(missed),
        detector={"name": "drawn <b>", "score": "rmse", "path": "runs/a", "about": {"seed": 0}},
        settings={"fps": 2.0, "domain": {"sharpness": [1.0, 3.0]}, "crop_rule": {"scale": 1.3}},
    )


def everything() -> Scan:
    """One medium of every kind."""
    return scan_of(
        ordinary(), suspect(), small(), unreadable("note.txt"), medium("empty.mp4"),
        medium("still.png", judged(frames=1, pictures=1), video=False),
        medium("torn.mp4", judged(), damage=("12 of 40 frames are missing",)),
        missed={"method not recorded": Missed(missed=243, of=250)},
    )  # fmt: skip
