"""One photo or video: find its faces, track them, score them, decide on a verdict."""

from __future__ import annotations

import heapq
import math
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path

import torch
from torch import Tensor
from torchvision.transforms.v2 import functional as F

from verovolto.calibration.input_domain import CONDITIONS, DISTANCE, conditions
from verovolto.core.errors import InputError, VerovoltoError
from verovolto.core.files import as_text
from verovolto.data.decode import encode_jpeg
from verovolto.data.face_batch import FaceBatch
from verovolto.faces.crop import DAMAGED_PHOTO, NO_SCORE, OUTSIDE_FRAME, crop
from verovolto.faces.detection.base import Face, main_face, one_thread
from verovolto.faces.tracking import Tracker
from verovolto.faces.upright import UprightFaces
from verovolto.media import Frame, Photo, Video, open_media
from verovolto.scanning.result import FileResult, FrameScore, KeyFrame, TrackResult
from verovolto.scanning.settings import ScanContext
from verovolto.scanning.verdict import decide_file, decide_tracks, sighting_reasons

KEY_FRAMES = 3
"""Frames kept of a track for the report, those of the highest scores."""

_BATCH = 16
_CROP_SIDE, _CONTEXT_SIDE = 224, 480

OnProgress = Callable[[float], None]
"""Called with the share of a file that is done, in [0, 1]."""


def scan_file(
    path: Path, context: ScanContext, *, threads: int = 1, on_progress: OnProgress = lambda share: None
) -> FileResult:
    """Scan the file at `path`; what cannot be read becomes a result with the reason, never an error.

    Memory does not depend on the length: frames are dropped once their faces are cropped, and crops once they are
    scored, but for a few small pictures a track.

    Args:
        path: of a photo or video.
        context: detectors and settings.
        threads: of the video decoder.
        on_progress: called with the share done.
    """
    name = as_text(str(path))
    try:
        # On a busy machine two threads of torch wait for each other, and score eight times slower than one.
        with one_thread():
            media = open_media(path, limits=context.settings.limits)
            return _scanned(name, media, context, threads, on_progress)
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
    scorer = FrameScorer(context, damaged=isinstance(media, Photo) and bool(media.damage))
    duration = media.info.duration_s if isinstance(media, Video) else None
    for frame in media.frames(context.settings.sampling, threads=threads):
        scorer.add(frame)
        if duration:
            on_progress(min(frame.time_s / duration, 1.0))
    damage = () if media.report is None else media.report.damage
    if not scorer.frames:  # each came out damaged: "no face found" would be wrong
        reason = "; ".join(("there is no sound frame in it", *damage))
        return replace(unreadable(name, reason), medium=media.file_type.category)
    tracks = decide_tracks(
        scorer.tracks(), context.calibration, context.detector.domain, context.settings.false_alarm
    )
    if duration and media.report is not None:  # headers may state less than there is
        duration = max(duration, media.report.last_s)
    size = media.info if isinstance(media, Video) else media
    return decide_file(
        FileResult(
            path=name,
            medium=media.file_type.category,
            status="damaged" if damage else "ok",
            problems=tuple(damage),
            width=size.width,
            height=size.height,
            stored_size=media.info.stored_size if isinstance(media, Video) else media.stored,
            pixel_aspect=float(media.info.pixel_aspect) if isinstance(media, Video) else 1.0,
            transfer=media.info.transfer if isinstance(media, Video) else None,
            duration_s=duration,
            frames=scorer.frames,
            tracks=tuple(sorted(tracks, key=lambda track: (track.doubtful, track.id))),
        )
    )


@dataclass(kw_only=True)
class TrackState:
    """A track so far. `key_frames` is a heap of (score, order, frame), lowest score first."""

    start_s: float
    end_s: float
    seen: int = 0
    sure: int = 0
    sure_start_s: float = 0.0
    sure_end_s: float = 0.0
    rejected: Counter[str] = field(default_factory=Counter)
    frame_scores: list[FrameScore] = field(default_factory=list)
    conditions: list[Tensor] = field(default_factory=list)
    key_frames: list[tuple[float, int, KeyFrame]] = field(default_factory=list)

    def see(self, time_s: float, sure: bool) -> None:
        """Count a frame with the face, and whether the face detector is sure of it."""
        self.seen += 1
        self.end_s = time_s
        if sure:
            self.sure_start_s = self.sure_start_s if self.sure else time_s
            self.sure_end_s = time_s
            self.sure += 1

    def result(self, number: int, sampled_s: float) -> TrackResult:
        """The track with its number in the file; a verdict is still to be decided on.

        `sampled_s` are the seconds from the first to the last frame of the file that was looked at.
        """
        medians = torch.stack(self.conditions).median(0).values.tolist() if self.conditions else []
        return TrackResult(
            id=number,
            verdict="cannot tell",
            reasons=sighting_reasons(
                seen=self.seen,
                sure=self.sure,
                sure_s=self.sure_end_s - self.sure_start_s,
                sampled_s=sampled_s,
            ),
            seen=self.seen,
            rejected=dict(self.rejected.most_common()),
            start_s=self.start_s,
            end_s=self.end_s,
            frame_scores=tuple(self.frame_scores),
            conditions=dict(zip((*CONDITIONS, DISTANCE), medians, strict=False)),
            key_frames=tuple(entry[2] for entry in sorted(self.key_frames, reverse=True)),
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class PendingFace:
    """A face that waits to be scored. `context` is the whole frame made small by `scale`, where pictures are kept."""

    track: int
    face: Face
    frame: int
    time_s: float
    crop: Tensor
    context: Tensor | None
    scale: float


class FrameScorer:
    """Tracks and scores the faces of one file, frame by frame. `frames` counts those looked at."""

    def __init__(self, context: ScanContext, *, damaged: bool = False) -> None:
        self.frames = 0
        self._start_s = self._end_s = 0.0
        self._damaged = damaged  # a photo that is in part the decoder's guess: no evidence
        self._context = context
        self._faces = UprightFaces(context.face_detector)
        self._tracker = Tracker()
        self._tracks: dict[int, TrackState] = {}
        self._pending: list[PendingFace] = []
        self._order = count()

    def add(self, frame: Frame) -> None:
        """Look at the next frame."""
        self._start_s = self._start_s if self.frames else frame.time_s
        self._end_s = frame.time_s
        self.frames += 1
        settings = self._context.settings
        faces = self._faces.detect(frame.image, frame.time_s)
        if settings.faces == "largest":
            main = main_face(faces)
            faces = [] if main is None else [main]
        tracks = self._tracker.update(frame.index, frame.time_s, frame.image, faces)
        small, scale = None, 1.0
        for track, face in zip(tracks, faces, strict=True):
            state = self._tracks.setdefault(track, TrackState(start_s=frame.time_s, end_s=frame.time_s))
            state.see(frame.time_s, face.score >= self._context.face_filter.confidence)
            cropped = self._crop(frame.image, face, state)
            if cropped is None:
                continue
            if settings.pictures and small is None:
                small = _shrunk(frame.image, _CONTEXT_SIDE)
                scale = small.shape[2] / frame.image.shape[2]
            self._pending.append(
                PendingFace(
                    track=track, face=face, frame=frame.index, time_s=frame.time_s, crop=cropped,
                    context=small, scale=scale,
                )
            )  # fmt: skip
        if len(self._pending) >= _BATCH:
            self._score()

    def tracks(self) -> list[TrackResult]:
        """The tracks with their scores, without verdicts; called once, at the end."""
        self._score()
        sampled_s = self._end_s - self._start_s
        return [state.result(number, sampled_s) for number, state in sorted(self._tracks.items())]

    def _crop(self, image: Tensor, face: Face, state: TrackState) -> Tensor | None:
        """The crop of a face that passes the filter; else None, and the most severe reason is counted."""
        if self._damaged:
            state.rejected[DAMAGED_PHOTO] += 1
            return None
        try:
            cropped = crop(image, face, self._context.rule)
        except InputError:  # the box lies outside the frame
            state.rejected[OUTSIDE_FRAME] += 1
            return None
        reasons = self._context.face_filter.reasons(face, cropped)
        state.rejected.update(reasons[-1:])
        return None if reasons else cropped

    def _score(self) -> None:
        """Score the faces that wait, in batches of one size."""
        for start in range(0, len(self._pending), _BATCH):
            batch = self._pending[start : start + _BATCH]
            crops = FaceBatch(images=[pending.crop for pending in batch], encoded_bytes=[None] * len(batch))
            scores = self._context.detector.score_batch(crops, anomaly_map=self._context.settings.pictures)
            values = scores.score.double().numpy()
            p_values = self._context.calibration.p_values(values)
            measured = conditions(crops)
            if DISTANCE in scores.columns:
                measured[DISTANCE] = scores[DISTANCE]
            by_face = torch.stack([*measured.values()], dim=1)
            for i, pending in enumerate(batch):
                state = self._tracks[pending.track]
                if not math.isfinite(values[i]):  # it would exceed nothing, and so pass for harmless
                    state.rejected[NO_SCORE] += 1
                    continue
                frame_score = FrameScore(
                    frame=pending.frame,
                    time_s=pending.time_s,
                    score=float(values[i]),
                    p_value=float(p_values[i]),
                    box=pending.face.box,
                    turned=90 * (pending.face.turn or 0),
                )
                state.frame_scores.append(frame_score)
                state.conditions.append(by_face[i])
                if pending.context is not None:
                    anomaly_map = None if scores.anomaly_map is None else scores.anomaly_map[i]
                    self._keep(state, pending, pending.context, frame_score, anomaly_map)
        self._pending = []

    def _keep(
        self,
        state: TrackState,
        pending: PendingFace,
        context: Tensor,
        frame_score: FrameScore,
        anomaly_map: Tensor | None,
    ) -> None:
        """Keep the pictures of a face if its score is among the track's highest."""
        heap = state.key_frames
        if len(heap) == KEY_FRAMES and frame_score.score <= heap[0][0]:
            return
        x0, y0, x1, y1 = (edge * pending.scale for edge in pending.face.box)
        key_frame = KeyFrame(
            frame_score=frame_score,
            crop=encode_jpeg(_shrunk(pending.crop, _CROP_SIDE)),
            # A view would keep the whole batch's.
            anomaly_map=None if anomaly_map is None else anomaly_map.clone().numpy(),
            context=encode_jpeg(context),
            context_box=(x0, y0, x1, y1),
        )
        push = heapq.heappush if len(heap) < KEY_FRAMES else heapq.heapreplace
        push(heap, (frame_score.score, -next(self._order), key_frame))


def _shrunk(image: Tensor, side: int) -> Tensor:
    """The image with a long side of at most `side` pixels, uint8 `[3, h, w]`."""
    height, width = (int(edge) for edge in image.shape[1:])
    scale = side / max(height, width)
    if scale >= 1:
        return image
    size = [max(1, round(height * scale)), max(1, round(width * scale))]
    small: Tensor = F.resize(image, size, antialias=True)
    return small
