"""Which faces of successive frames are the same person's, by place and motion alone.

Between two sampled frames faces move, at 2 frames/s by a few face widths; boxes then need not overlap, and what may
be one person depends on the time that passed. Two errors are possible, and they are not alike: to split a person
into two tracks costs some certainty, to merge two people into one track mixes their scores. In doubt tracks split.

Distances are in *eye distances* (`face_unit`), about 6.3 cm in the scene (Dodgson, SPIE 5291, 2004), and so do not
depend on resolution or on how near a face is.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float64
from numpy.typing import NDArray
from torch import Tensor

from verovolto.core.errors import InputError
from verovolto.faces.detection.base import Face, best_first, iou
from verovolto.faces.shot_boundary import CUT, Signature, is_cut, signature

_SMALLEST_EYE_DISTANCE = 0.3
"""Of the square root of the box's area. It is 0.31 to 0.43 from the front; in profile the eyes fall together."""

_HALF_LIFE_S = 0.5
"""Seconds after which a motion weighs half of what it did."""

_UNMATCHED = 1.000001
"""Cost of leaving a face without its track: hardly more than that of the worst pair allowed, so that a good pair is
never given up for the sake of two poor ones."""


@dataclass(frozen=True, kw_only=True)
class TrackingSettings:
    """How far faces may move, grow and vanish and still be the same person's.

    Attributes:
        jitter: distance that is always allowed, since detections tremble; eye distances, >= 0.
        speed: distance allowed for each second between the two sightings, eye distances a second, >= 0. The
            default is about 0.5 m/s; talking people stay below 1.2.
        reach: distance never exceeded, however long the time; eye distances, > 0. People side by side are
            about 10 apart, so nobody within the default's reach of a seat sits in the next one.
        scale_jitter: factor by which a face may always grow or shrink, >= 1.
        scale_speed: further factor for each second, >= 1.
        scale_reach: factor never exceeded, >= 1.
        overlap_weight: share of the boxes' overlap in a pair's cost, in [0, 1]; the rest is the distance's.
        gap_s: seconds for which a lost face is looked for in vain before its track ends, >= 0. Counted from the
            last sighting to the last frame without one, so that a track goes on from one frame to the next
            however far apart they are sampled.
        horizon_s: seconds for which a motion is thought to go on as it was, >= 0.
        cut: likeness of two frames below which a cut lies between them, in [-1, 1]; see `shot_boundary.is_cut`.
    """

    jitter: float = 1.0
    speed: float = 8.0
    reach: float = 5.0
    scale_jitter: float = 1.4
    scale_speed: float = 1.5
    scale_reach: float = 2.5
    overlap_weight: float = 0.5
    gap_s: float = 1.0
    horizon_s: float = 1.0
    cut: float = CUT

    def __post_init__(self) -> None:
        ranges = {"overlap_weight": (0.0, 1.0), "cut": (-1.0, 1.0)}
        ranges |= dict.fromkeys(("scale_jitter", "scale_speed", "scale_reach"), (1.0, math.inf))
        for name, value in vars(self).items():
            low, high = ranges.get(name, (0.0, math.inf))
            if not (low <= value <= high and math.isfinite(value)):
                raise InputError(f"{name} of the tracking must be in [{low:g}, {high:g}], not {value}")
        if self.reach == 0:
            raise InputError("reach of the tracking must be above 0")


@dataclass(frozen=True, kw_only=True, eq=False)
class Track:
    """One person's faces over successive frames, at most one a frame.

    Attributes:
        id: number of the track, from 0 in the order of first sight.
        frames: frame numbers, strictly increasing.
        times: seconds, as many.
        faces: as many, in pixels of their frames.
    """

    id: int
    frames: tuple[int, ...]
    times: tuple[float, ...]
    faces: tuple[Face, ...]

    def __len__(self) -> int:
        return len(self.frames)


@dataclass(kw_only=True)
class _Live:
    """A track that may still grow. `velocity` is in pixels a second."""

    id: int
    frames: list[int] = field(default_factory=list)
    times: list[float] = field(default_factory=list)
    faces: list[Face] = field(default_factory=list)
    velocity: tuple[float, float] = (0.0, 0.0)

    def see(self, frame_index: int, time_s: float, face: Face) -> None:
        if self.faces:
            age_s, elapsed_s = self.times[-1] - self.times[0], time_s - self.times[-1]
            self.velocity = next_velocity(self.velocity, age_s, self.faces[-1], face, elapsed_s)
        self.frames.append(frame_index)
        self.times.append(time_s)
        self.faces.append(face)


class Tracker:
    """Follows the faces of one video, frame by frame. Deterministic; keeps faces, never pictures.

    One tracker serves one video: ids go on counting from 0.
    """

    def __init__(self, settings: TrackingSettings | None = None) -> None:
        self.settings = settings or TrackingSettings()
        self._tracks: list[_Live] = []
        self._live: list[_Live] = []
        self._last: tuple[int, float] | None = None
        self._scene: Signature | None = None

    def update(
        self, frame_index: int, time_s: float, picture: Tensor | Signature, faces: Sequence[Face]
    ) -> tuple[int, ...]:
        """Give each face of the next frame its track's id; a face that continues none begins one.

        Args:
            frame_index: larger than the last one's.
            time_s: seconds, larger than the last one's.
            picture: the frame, uint8 `[3, H, W]`, or its `shot_boundary.signature`.
            faces: all faces of that frame, in any order: the order changes no face's id.

        Returns:
            Ids, one a face in the order given, no two the same.

        Raises:
            InputError: the frame does not come after the last one, the picture is none, or the very same `Face` is
                given twice. The tracker is then as it was.
        """
        if not math.isfinite(time_s) or (
            self._last is not None and (frame_index <= self._last[0] or time_s <= self._last[1])
        ):
            raise InputError(
                f"frame {frame_index} at {time_s} s cannot follow frame and time {self._last}",
                hint="give frames in order of time, and each video its own tracker",
            )
        scene = picture if isinstance(picture, Signature) else signature(picture)
        order = _canonical_order(faces)
        self._begin_frame(scene)
        self._last = frame_index, time_s
        ordered = [faces[i] for i in order]
        chosen = match([_sighting(track) for track in self._live], ordered, time_s, self.settings)
        ids = [0] * len(faces)
        for place, face, at in zip(order, ordered, chosen, strict=True):
            track = self._begin_track() if at is None else self._live[at]
            track.see(frame_index, time_s, face)
            ids[place] = track.id
        return tuple(ids)

    def tracks(self) -> tuple[Track, ...]:
        """All tracks so far, ended or not, by id; each call makes them anew."""
        return tuple(
            Track(id=t.id, frames=tuple(t.frames), times=tuple(t.times), faces=tuple(t.faces))
            for t in self._tracks
        )

    def _begin_frame(self, scene: Signature) -> None:
        """End what cannot go on: everything at a cut, else what was looked for in vain for too long."""
        if self._last is not None:
            before = self._last[1]
            self._live = [t for t in self._live if before - t.times[-1] <= self.settings.gap_s]
        if self._scene is not None and is_cut(self._scene, scene, threshold=self.settings.cut):
            self._live = []
        if not scene.flat:  # a flash is no evidence: what comes after it is compared with what was before
            self._scene = scene

    def _begin_track(self) -> _Live:
        track = _Live(id=len(self._tracks))
        self._tracks.append(track)
        self._live.append(track)
        return track


@dataclass(frozen=True, kw_only=True, eq=False)
class Sighting:
    """Where a track was seen last, and how it moved.

    Attributes:
        face: in pixels.
        time_s: seconds.
        velocity: `(x, y)`, pixels a second.
    """

    face: Face
    time_s: float
    velocity: tuple[float, float] = (0.0, 0.0)


def match(
    sightings: Sequence[Sighting], faces: Sequence[Face], time_s: float, settings: TrackingSettings
) -> list[int | None]:
    """For each face the index of the sighting that it continues, or None; no index twice.

    The pairs are those of least total cost (the assignment problem: Kuhn, Naval Research Logistics Quarterly 2,
    1955); a pair that `pair_cost` rules out is never made.

    Args:
        sightings: of the tracks that may go on.
        faces: of the next frame.
        time_s: its time, seconds.
        settings: what is allowed.
    """
    chosen: list[int | None] = [None] * len(faces)
    if not sightings or not faces:
        return chosen
    from scipy.optimize import linear_sum_assignment  # slow to import, and photos need none

    costs: Float64[NDArray[np.float64], "t f"] = np.array(
        [[pair_cost(seen, face, time_s, settings) for face in faces] for seen in sightings]
    )
    allowed = np.isfinite(costs)
    rows, columns = linear_sum_assignment(np.where(allowed, costs, _UNMATCHED))
    for row, column in zip(rows.tolist(), columns.tolist(), strict=True):
        if allowed[row, column]:
            chosen[column] = row
    return chosen


def pair_cost(seen: Sighting, face: Face, time_s: float, settings: TrackingSettings) -> float:
    """How badly a face at `time_s` fits what was seen before: in [0, 1], or infinite where it cannot be the same.

    The weighted mean of 1 - IoU and of the landmark distance over the distance allowed, both from where the face is
    expected if it moved on as before. It cannot be the same if it is out of reach both from there and from where it
    was (people stop), or if its size changed too much. Steady motion is what keeps apart two people who cross.

    Args:
        seen: the track's last sighting.
        face: of the next frame.
        time_s: its time, seconds.
        settings: what is allowed.
    """
    elapsed = time_s - seen.time_s
    unit = math.sqrt(face_unit(seen.face) * face_unit(face))
    reach = min(settings.jitter + settings.speed * elapsed, settings.reach)
    stretch = abs(math.log(_side(face) / _side(seen.face)))
    steady = min(elapsed, settings.horizon_s)
    shift = seen.velocity[0] * steady, seen.velocity[1] * steady
    moved, still = (landmark_distance(seen.face, face, by) / unit for by in (shift, (0.0, 0.0)))
    # Written so that a landmark that is not a number rules the pair out.
    if not (min(moved, still) <= reach and stretch <= _allowed_stretch(elapsed, settings)):
        return math.inf
    far = min(moved / reach, 1.0) if reach > 0 else 0.0
    apart = 1.0 - iou(_shifted(seen.face.box, shift), face.box)
    return settings.overlap_weight * apart + (1 - settings.overlap_weight) * far


def next_velocity(
    velocity: tuple[float, float], age_s: float, before: Face, after: Face, elapsed_s: float
) -> tuple[float, float]:
    """Velocity of a face's landmarks in pixels a second: a mean in which what is older counts for less.

    Every half a second halves what the past weighs, at any frame rate: a nod and the trembling of detections are
    forgotten, a walk is kept. The weights add up to 1 from the first step on, so that a steady walk is known at once.

    Args:
        velocity: the mean so far.
        age_s: seconds over which it was taken, >= 0; at 0 it counts for nothing.
        before: the last sighting.
        after: the new one.
        elapsed_s: seconds between them, > 0.
    """
    new = _weight_of_last(elapsed_s)
    old = _weight_of_last(age_s) * (1 - new)
    dx, dy = (after.landmarks - before.landmarks).double().mean(0).tolist()
    x, y = velocity
    return (old * x + new * dx / elapsed_s) / (old + new), (old * y + new * dy / elapsed_s) / (old + new)


def _weight_of_last(seconds: float) -> float:
    """Share of all that ever was that the last `seconds` hold, where half a second halves what the past weighs."""
    return -math.expm1(-math.log(2) * seconds / _HALF_LIFE_S)


def face_unit(face: Face) -> float:
    """Distance between the eyes, pixels; at least 0.3 of the square root of the box's area, for faces in profile."""
    between = float((face.landmarks[0] - face.landmarks[1]).double().norm())
    return max(_SMALLEST_EYE_DISTANCE * _side(face), between)


def landmark_distance(a: Face, b: Face, shift: tuple[float, float] = (0.0, 0.0)) -> float:
    """Mean distance of the five landmarks of `b` from those of `a` moved by `shift`, all in pixels."""
    moved = a.landmarks.double() + a.landmarks.new_tensor(shift).double()
    return float((b.landmarks.double() - moved).norm(dim=1).mean())


def _allowed_stretch(elapsed_s: float, settings: TrackingSettings) -> float:
    """Logarithm of the factor by which a face may have grown or shrunk."""
    grown = math.log(settings.scale_jitter) + elapsed_s * math.log(settings.scale_speed)
    return min(grown, math.log(settings.scale_reach))


def _side(face: Face) -> float:
    return math.sqrt(face.width * face.height)


def _shifted(
    box: tuple[float, float, float, float], by: tuple[float, float]
) -> tuple[float, float, float, float]:
    return box[0] + by[0], box[1] + by[1], box[2] + by[0], box[3] + by[1]


def _sighting(track: _Live) -> Sighting:
    return Sighting(face=track.faces[-1], time_s=track.times[-1], velocity=track.velocity)


def _canonical_order(faces: Sequence[Face]) -> list[int]:
    """Indices of the faces in an order that does not depend on the one given: best first, ties by every number."""
    place = {id(face): i for i, face in enumerate(faces)}
    if len(place) < len(faces):
        raise InputError("the same face is given twice for one frame")
    total = sorted(faces, key=lambda face: (face.box, face.score, face.landmarks.flatten().tolist()))
    return [place[id(face)] for face in best_first(total)]
