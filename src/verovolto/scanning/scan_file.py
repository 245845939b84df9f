"""One photo or video: find its faces, follow them, score them, judge them."""

from __future__ import annotations

import heapq
import math
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path

import torch
from torch import Tensor
from torchvision.transforms.v2 import functional as F

from verovolto.calibration.input_domain import CONDITIONS, conditions
from verovolto.calibration.thresholds import Calibration
from verovolto.core.errors import InputError, VerovoltoError
from verovolto.data.crop_rule import CropRule
from verovolto.data.face_batch import FaceBatch
from verovolto.detectors.base import Detector
from verovolto.faces.crop import crop
from verovolto.faces.detection.base import Face, FaceDetector, main_face
from verovolto.faces.detection.box_conversion import for_detector
from verovolto.faces.detection.working_image import one_thread
from verovolto.faces.filter import judge_face
from verovolto.faces.tracking import Tracker
from verovolto.media import Frame, Photo, Video, open_media
from verovolto.preparation.extract import as_text, encode
from verovolto.scanning.result import FileResult, FrameScore, KeyFrame, TrackResult
from verovolto.scanning.settings import ScanSettings, calibration_of, rule_of
from verovolto.scanning.verdict import decide_file, decide_tracks

KEY_FRAMES = 3
"""Frames kept of a track for the report, those of the highest scores."""

OUTSIDE_FRAME = "crop outside the frame"
NO_SCORE = "score that is no finite number"
_BATCH = 16
_CROP_SIDE, _CONTEXT_SIDE = 224, 480

OnProgress = Callable[[float], None]


@dataclass(frozen=True, kw_only=True)
class ScanContext:
    """All that it takes to look at a medium: the detector, the face detector, the rule by which faces are cropped."""

    detector: Detector
    face_detector: FaceDetector
    settings: ScanSettings
    calibration: Calibration
    rule: CropRule

    @staticmethod
    def of(detector: Detector, face_detector: FaceDetector, settings: ScanSettings) -> ScanContext:
        """Raises `CalibrationError` for a rate that the detector cannot support, `InputError` for a crop rule that is
        unknown or cannot be restated for the boxes of this face detector."""
        rule = for_detector(rule_of(detector, settings.crop), face_detector.name)
        known = calibration_of(detector, settings.false_alarm)
        return ScanContext(
            detector=detector, face_detector=face_detector, settings=settings, calibration=known, rule=rule
        )


def scan_file(
    path: Path, context: ScanContext, *, threads: int = 1, on_progress: OnProgress = lambda share: None
) -> FileResult:
    """Scan the file at `path`; what cannot be read becomes a result that says why, never an error.

    Memory does not depend on the length: frames are dropped once their faces are cut out, and crops once they are
    scored, but for a few small pictures a track. `threads` are the video decoder's; `on_progress` hears of the
    share done.
    """
    name = as_text(str(path))
    try:
        # On a busy machine two threads of torch wait for each other, and score eight times slower than one.
        with one_thread():
            return _scanned(
                name, open_media(path, limits=context.settings.limits), context, threads, on_progress
            )
    except VerovoltoError as error:
        return unreadable(name, error.message.removeprefix(f"{path}: "))
    except MemoryError:
        return unreadable(name, "it needs more memory than there is")
    except Exception as error:  # a codec's bug at one file must not end the work of a night
        return unreadable(name, f"{type(error).__name__}: {error}")


def unreadable(name: str, reason: str) -> FileResult:
    """The result of a file that could not be scanned."""
    return FileResult(path=as_text(name), status="unreadable", problems=(as_text(" ".join(reason.split())),))


def _scanned(
    name: str, media: Photo | Video, context: ScanContext, threads: int, on_progress: OnProgress
) -> FileResult:
    watcher = FrameScorer(context)
    duration = media.info.duration_s if isinstance(media, Video) else None
    for frame in media.frames(context.settings.sampling, threads=threads):
        watcher.see(frame)
        if duration:
            on_progress(min(frame.time_s / duration, 1.0))
    report = media.report
    damage = report.damage if report is not None else ()
    if not watcher.frames:  # each came out damaged: nobody looked, so that "no face found" would be wrong
        why = "; ".join(("there is no sound frame in it", *damage))
        return replace(unreadable(name, why), medium=media.file_type.category)
    tracks = decide_tracks(
        watcher.tracks(), context.calibration, context.detector.domain, context.settings.false_alarm
    )
    size = media.info if isinstance(media, Video) else media
    return decide_file(
        FileResult(
            path=name,
            medium=media.file_type.category,
            status="damaged" if damage else "ok",
            problems=tuple(damage),
            width=size.width,
            height=size.height,
            duration_s=duration,
            frames=watcher.frames,
            tracks=tuple(sorted(tracks, key=lambda track: (track.doubtful, track.id))),
        )
    )


@dataclass(kw_only=True)
class TrackState:
    """What is known of a track so far. `key_frames` is a heap of (score, order, frame), lowest score first."""

    start_s: float
    end_s: float
    seen: int = 0
    rejected: Counter[str] = field(default_factory=Counter)
    frame_scores: list[FrameScore] = field(default_factory=list)
    conditions: list[Tensor] = field(default_factory=list)
    key_frames: list[tuple[float, int, KeyFrame]] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True, eq=False)
class PendingFace:
    """A face that waits to be scored. `context` is the whole frame made small, where pictures are kept."""

    track: int
    face: Face
    frame: int
    time_s: float
    crop: Tensor
    context: Tensor | None
    scale: float


class FrameScorer:
    """Follows and scores the faces of one medium, frame by frame."""

    def __init__(self, context: ScanContext) -> None:
        self.frames = 0
        self._context = context
        self._tracker = Tracker()
        self._followed: dict[int, TrackState] = {}
        self._waiting: list[PendingFace] = []
        self._order = count()

    def see(self, frame: Frame) -> None:
        """Look at the next frame."""
        self.frames += 1
        faces = self._context.face_detector.detect(frame.image)
        if self._context.settings.largest_only:
            main = main_face(faces)
            faces = [] if main is None else [main]
        ids = self._tracker.update(frame.index, frame.time_s, frame.image, faces)
        small = None
        for track, face in zip(ids, faces, strict=True):
            known = self._followed.setdefault(track, TrackState(start_s=frame.time_s, end_s=frame.time_s))
            known.seen += 1
            known.end_s = frame.time_s
            cut = self._judgeable(frame.image, face, known)
            if cut is None:
                continue
            if self._context.settings.pictures and small is None:
                small = _shrunk(frame.image, _CONTEXT_SIDE)
            scale = 1.0 if small is None else small.shape[2] / frame.image.shape[2]
            self._waiting.append(
                PendingFace(
                    track=track,
                    face=face,
                    frame=frame.index,
                    time_s=frame.time_s,
                    crop=cut,
                    context=small,
                    scale=scale,
                )
            )
        if len(self._waiting) >= _BATCH:
            self._score()

    def tracks(self) -> list[TrackResult]:
        """What was seen, not judged yet; called once, at the end."""
        self._score()
        return [self._result(track, known) for track, known in sorted(self._followed.items())]

    def _judgeable(self, image: Tensor, face: Face, known: TrackState) -> Tensor | None:
        """The crop of a face that can be judged; else None, and the reasons are counted."""
        try:
            cut = crop(image, face, self._context.rule)
        except InputError:  # the box lies outside the frame
            known.rejected[OUTSIDE_FRAME] += 1
            return None
        reasons = judge_face(face, cut, self._context.settings.faces)
        known.rejected.update(reasons[-1:])  # the gravest: an uncertain face may be none at all
        return None if reasons else cut

    def _score(self) -> None:
        """Score the faces that wait, in batches of one size."""
        for batch in _batches(self._waiting):
            crops = FaceBatch(images=[one.crop for one in batch], encoded_bytes=[None] * len(batch))
            scores = self._context.detector.score_batch(crops, anomaly_map=self._context.settings.pictures)
            values = scores.score.double().numpy()
            p_values = self._context.calibration.p_values(values)
            seen = torch.stack([*conditions(crops).values()], dim=1)
            for i, one in enumerate(batch):
                known = self._followed[one.track]
                if not math.isfinite(values[i]):  # it would exceed nothing, and so pass for harmless
                    known.rejected[NO_SCORE] += 1
                    continue
                frame_score = FrameScore(
                    frame=one.frame,
                    time_s=one.time_s,
                    score=float(values[i]),
                    p_value=float(p_values[i]),
                    box=one.face.box,
                )
                known.frame_scores.append(frame_score)
                known.conditions.append(seen[i])
                if one.context is not None:
                    self._remember(
                        known, one, frame_score, None if scores.anomaly_map is None else scores.anomaly_map[i]
                    )
        self._waiting = []

    def _remember(
        self, known: TrackState, one: PendingFace, frame_score: FrameScore, anomaly_map: Tensor | None
    ) -> None:
        """Keep the pictures of a face if its score is among the track's highest."""
        if len(known.key_frames) == KEY_FRAMES and frame_score.score <= known.key_frames[0][0]:
            return
        assert one.context is not None
        key_frames = KeyFrame(
            frame_score=frame_score,
            crop=encode(_shrunk(one.crop, _CROP_SIDE)),
            anomaly_map=None
            if anomaly_map is None
            else anomaly_map.clone().numpy(),  # a view would keep the whole batch's
            context=encode(one.context),
            context_box=_scaled(one.face.box, one.scale),
        )
        push = heapq.heappush if len(known.key_frames) < KEY_FRAMES else heapq.heapreplace
        push(known.key_frames, (frame_score.score, -next(self._order), key_frames))

    def _result(self, track: int, known: TrackState) -> TrackResult:
        medians = torch.stack(known.conditions).median(0).values.tolist() if known.conditions else []
        return TrackResult(
            id=track,
            verdict="cannot tell",
            seen=known.seen,
            rejected=dict(known.rejected.most_common()),
            start_s=known.start_s,
            end_s=known.end_s,
            frame_scores=tuple(known.frame_scores),
            conditions=dict(zip(CONDITIONS, medians, strict=False)),
            key_frames=tuple(entry[2] for entry in sorted(known.key_frames, reverse=True)),
        )


def _batches(waiting: list[PendingFace]) -> Iterator[list[PendingFace]]:
    for start in range(0, len(waiting), _BATCH):
        yield waiting[start : start + _BATCH]


def _scaled(box: tuple[float, float, float, float], by: float) -> tuple[float, float, float, float]:
    return box[0] * by, box[1] * by, box[2] * by, box[3] * by


def _shrunk(image: Tensor, side: int) -> Tensor:
    """The image with a long side of at most `side` pixels, uint8 `[3, h, w]`."""
    height, width = (int(edge) for edge in image.shape[1:])
    scale = side / max(height, width)
    if scale >= 1:
        return image
    size = [max(1, round(height * scale)), max(1, round(width * scale))]
    small: Tensor = F.resize(image, size, antialias=True)
    return small
