"""Tracks: one person each, one face a frame, whatever the order of the faces."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from tests.conftest import draw_face
from verovolto.core.errors import InputError
from verovolto.faces.detection.base import Face, iou
from verovolto.faces.detection.mtcnn import MTCNNDetector
from verovolto.faces.shot_boundary import signature
from verovolto.faces.tracking import (
    Sighting,
    Track,
    Tracker,
    TrackingSettings,
    face_unit,
    landmark_distance,
    match,
    next_velocity,
    pair_cost,
)
from verovolto.media import Sampling, open_media

EYES = 0.4
"""Distance between the eyes over the side of a drawn face's box."""
_POINTS = torch.tensor([[0.3, 0.42], [0.7, 0.42], [0.5, 0.6], [0.36, 0.76], [0.64, 0.76]])


def face(x: float, y: float = 200.0, side: float = 100.0, score: float = 0.99) -> Face:
    """A face from the front, centred on (x, y)."""
    corner = torch.tensor([x - side / 2, y - side / 2])
    box = (x - side / 2, y - side / 2, x + side / 2, y + side / 2)
    return Face(box=box, score=score, landmarks=corner + side * _POINTS)


def room(seed: int, width: int = 640, height: int = 400) -> Image.Image:
    random = np.random.default_rng(seed)
    image = Image.new("RGB", (width, height), (90, 110, 130))
    draw = ImageDraw.Draw(image)
    for _ in range(120):
        x, y = random.uniform(-40, width), random.uniform(-40, height)
        w, h = random.uniform(20, 120, 2)
        draw.rectangle([x, y, x + w, y + h], fill=tuple(int(v) for v in random.integers(0, 256, 3)))
    return image


def picture(background: Image.Image, faces: list[Face]) -> Tensor:
    """The room with the faces drawn in, each always with the same look for its place in the list."""
    image = background.copy()
    for number, one in enumerate(faces):
        image.paste(draw_face(number, size=round(one.width)), (round(one.box[0]), round(one.box[1])))
    return torch.from_numpy(np.array(image)).permute(2, 0, 1)


BLANK = signature(torch.zeros(3, 8, 8, dtype=torch.uint8))
"""A flat picture: tells nothing of cuts."""


def follow(
    frames: list[list[Face]], *, fps: float = 2.0, settings: TrackingSettings | None = None
) -> tuple[list[tuple[int, ...]], tuple[Track, ...]]:
    tracker = Tracker(settings)
    ids = [tracker.update(i, i / fps, BLANK, faces) for i, faces in enumerate(frames)]
    return ids, tracker.tracks()


# --- what must hold for any faces -------------------------------------------------------------------------------

_FACES = st.builds(
    face, st.floats(0, 640), st.floats(0, 400), st.floats(20, 200), st.floats(0, 1).map(lambda v: round(v, 1))
)
_FRAMES = st.lists(st.lists(_FACES, max_size=5, unique_by=lambda f: (f.box, f.score)), min_size=1, max_size=6)
"""No two faces of a frame alike in every number: nothing could tell which of them got which id."""


@given(frames=_FRAMES, fps=st.sampled_from([0.1, 2.0, 25.0]), seed=st.integers(0, 1000))
def test_the_order_of_the_faces_does_not_matter(frames: list[list[Face]], fps: float, seed: int) -> None:
    random = np.random.default_rng(seed)
    orders = [random.permutation(len(faces)) for faces in frames]
    ids, _ = follow(frames, fps=fps)
    shuffled, _ = follow([[f[i] for i in order] for f, order in zip(frames, orders, strict=True)], fps=fps)
    for want, got, order in zip(ids, shuffled, orders, strict=True):
        assert tuple(want[i] for i in order) == got


@given(frames=_FRAMES, fps=st.sampled_from([0.1, 2.0, 25.0]))
def test_no_track_holds_two_faces_of_a_frame_and_no_face_is_lost(
    frames: list[list[Face]], fps: float
) -> None:
    ids, tracks = follow(frames, fps=fps)
    for given_ids, faces in zip(ids, frames, strict=True):
        assert len(given_ids) == len(set(given_ids)) == len(faces)
    assert [track.id for track in tracks] == list(range(len(tracks)))
    for track in tracks:
        assert len(track) == len(track.times) == len(track.faces) == len(set(track.frames))
        assert list(track.frames) == sorted(track.frames)
        for frame, time, held in zip(track.frames, track.times, track.faces, strict=True):
            assert held is frames[frame][ids[frame].index(track.id)] and time == frame / fps
    assert sum(len(track) for track in tracks) == sum(map(len, frames))


@given(frames=_FRAMES)
def test_the_same_faces_give_the_same_tracks(frames: list[list[Face]]) -> None:
    assert follow(frames)[0] == follow(frames)[0]


@given(frames=_FRAMES, factor=st.sampled_from([0.25, 0.5, 2.0, 4.0]))
def test_resolution_does_not_matter(frames: list[list[Face]], factor: float) -> None:
    larger = [
        [
            Face(
                box=tuple(factor * v for v in f.box),  # type: ignore[arg-type]
                score=f.score,
                landmarks=f.landmarks * factor,
            )
            for f in faces
        ]
        for faces in frames
    ]
    assert follow(frames)[0] == follow(larger)[0]


@given(tracks=st.lists(_FACES, min_size=1, max_size=4), faces=st.lists(_FACES, min_size=1, max_size=4))
def test_pairs_are_those_of_least_cost(tracks: list[Face], faces: list[Face]) -> None:
    settings = TrackingSettings()
    seen = [Sighting(face=one, time_s=0.0) for one in tracks]
    costs = np.array([[pair_cost(s, f, 0.5, settings) for f in faces] for s in seen])
    chosen = match(seen, faces, 0.5, settings)
    pairs = [(row, column) for column, row in enumerate(chosen) if row is not None]
    assert len({row for row, _ in pairs}) == len(pairs)
    assert all(math.isfinite(costs[pair]) for pair in pairs)
    left = min(costs.shape) - len(pairs)
    capped = np.minimum(costs, 1.000001)
    best = capped[linear_sum_assignment(capped)].sum()
    assert sum(costs[pair] for pair in pairs) + left * 1.000001 == pytest.approx(best)


# --- motion ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fps", [0.05, 2.0, 25.0])
def test_somebody_who_sits_and_nods_is_one_track(fps: float) -> None:
    frames = [[face(300 + 8 * (-1) ** i, 200 + 6 * (-1) ** (i // 2), 100 + i % 3)] for i in range(30)]
    [track] = follow(frames, fps=fps)[1]
    assert len(track) == 30


def test_somebody_may_move_without_the_boxes_overlapping() -> None:
    frames = [[face(x)] for x in (100, 250, 400, 550)]  # 150 pixels a step, the box is 100 wide
    assert [len(track) for track in follow(frames)[1]] == [4]


def test_the_distance_allowed_grows_with_time_up_to_the_reach() -> None:
    settings = TrackingSettings()
    seen = Sighting(face=face(300), time_s=0.0)
    for elapsed in (0.04, 0.5, 20.0):
        reach = min(settings.jitter + settings.speed * elapsed, settings.reach) * EYES * 100
        assert pair_cost(seen, face(300 + reach - 1), elapsed, settings) < 1
        assert pair_cost(seen, face(300 + reach + 1), elapsed, settings) == math.inf


def test_the_next_seat_is_out_of_reach() -> None:
    """One of two neighbours leaves and the other stays; nobody inherits the empty seat's track."""
    left, right = face(150), face(550)  # 10 eye distances apart
    ids, tracks = follow([[left, right], [right], [left], [right, left]])
    assert ids == [(0, 1), (1,), (0,), (1, 0)]
    assert [len(track) for track in tracks] == [3, 3]


@pytest.mark.parametrize("side", [30, 260])
def test_a_face_of_another_size_is_another_face(side: float) -> None:
    ids, _ = follow([[face(300)], [face(300, side=side)]])
    assert ids == [(0,), (1,)]


def test_a_profile_is_no_smaller_than_the_face() -> None:
    """In profile the eyes fall together, and distances in eye distances would explode."""
    flat = face(300)
    flat = Face(
        box=flat.box, score=0.99, landmarks=torch.stack((torch.full((5,), 320.0), flat.landmarks[:, 1]), 1)
    )
    assert face_unit(flat) == pytest.approx(30) and face_unit(face(300)) == pytest.approx(40)
    assert follow([[face(300)], [flat], [face(310)]])[0] == [(0,), (0,), (0,)]


@given(
    step=st.floats(15, 160),
    rise=st.floats(-20, 20),
    phase=st.floats(0, 1),
    noise=st.floats(0, 2),
    seed=st.integers(0, 100),
)
def test_two_people_crossing_keep_their_ids(
    step: float, rise: float, phase: float, noise: float, seed: int
) -> None:
    """They walk 0.4 to 4 eye distances a sampled frame, one to the right and one to the left."""
    random = np.random.default_rng(seed)
    frames, apart = [], []
    for i in range(-5, 6):
        (ax, ay), (bx, by) = random.normal(0, noise, (2, 2))
        there = step * (i + phase)
        frames.append([face(320 + there + ax, 200 + rise + ay), face(320 - there + bx, 200 - rise + by)])
        # At the very moment at which both stand at one place, nothing tells them apart.
        apart.append(math.hypot(2 * there, 2 * rise) > 12 + 8 * noise)
    ids = [one for one, told in zip(follow(frames)[0], apart, strict=True) if told]
    assert len(ids) >= 9 and set(ids) in ({(0, 1)}, {(1, 0)})


@given(step=st.floats(3, 10), hidden=st.booleans(), seed=st.integers(0, 100))
@settings(max_examples=30)
def test_two_people_crossing_at_the_full_rate_keep_their_ids(step: float, hidden: bool, seed: int) -> None:
    """25 frames/s, where the detections tremble as much as people move; one may hide the other for a while."""
    random = np.random.default_rng(seed)
    frames = []
    for i in range(-30, 31):
        (ax, ay), (bx, by) = random.normal(0, 1, (2, 2))
        one, other = face(320 + step * i + ax, 195 + ay), face(320 - step * i + bx, 205 + by)
        frames.append([one] if hidden and iou(one.box, other.box) > 0.5 else [one, other])
    ids, _ = follow(frames, fps=25)
    assert ids[0] == ids[-1] and {one for told in ids for one in told} == {0, 1}


def test_two_people_crossing_in_a_drawn_scene_keep_their_ids() -> None:
    """Pictures and all; where one hides the other, only the one in front is found."""
    background, tracker = room(3), Tracker()
    first: tuple[int, ...] = ()
    for i in range(13):
        there = 30.0 * i - 180
        right, left = face(320 + there, 190), face(320 - there, 210)
        hidden = iou(right.box, left.box) > 0.5
        faces = [left] if hidden else [left, right]
        ids = tracker.update(i, i / 2, picture(background, [left, right]), faces)
        first = first or ids
        assert ids == first[: len(faces)]
    assert sorted(len(track) for track in tracker.tracks()) == [12, 13]
    for track in tracker.tracks():
        xs = [one.centre[0] for one in track.faces]
        assert xs in (sorted(xs), sorted(xs, reverse=True))


def test_somebody_who_stops_is_still_the_same() -> None:
    frames = [[face(x)] for x in (100, 200, 300, 400, 500, 500, 500)]
    assert [len(track) for track in follow(frames)[1]] == [7]


@given(fps=st.floats(0.1, 60), speed=st.floats(-300, 300))
def test_a_steady_walk_is_known_at_once_at_any_rate(fps: float, speed: float) -> None:
    velocity = (0.0, 0.0)
    for i in range(4):
        before, after = face(100 + speed * i / fps), face(100 + speed * (i + 1) / fps)
        velocity = next_velocity(velocity, i / fps, before, after, 1 / fps)
        assert velocity == pytest.approx((speed, 0), abs=0.05 + 1e-4 * fps)


@pytest.mark.parametrize("fps", [2, 25])
def test_a_nod_and_trembling_are_forgotten(fps: int) -> None:
    """20 pixels to and fro each frame: what is left of them moves a prediction by less than they do."""
    velocity = (0.0, 0.0)
    for i in range(4 * fps):
        before, after = face(300 + 20 * (i % 2)), face(320 - 20 * (i % 2))
        velocity = next_velocity(velocity, i / fps, before, after, 1 / fps)
    assert abs(velocity[0]) / fps < 8 and velocity[1] == pytest.approx(0, abs=1e-4)


@given(parts=st.integers(1, 20), drift=st.floats(-50, 50), old=st.floats(-100, 100), age=st.floats(0, 5))
def test_the_velocity_does_not_depend_on_how_often_a_motion_is_seen(
    parts: int, drift: float, old: float, age: float
) -> None:
    """A step in one, or the same step cut into parts, leave the same memory of what was before."""
    whole = next_velocity((old, 0.0), age, face(100), face(100 + drift), 0.5)
    velocity = (old, 0.0)
    for i in range(parts):
        before, after = (face(100 + drift * (i + k) / parts) for k in (0, 1))
        velocity = next_velocity(velocity, age + 0.5 * i / parts, before, after, 0.5 / parts)
    assert velocity == pytest.approx(whole, abs=0.02)


# --- gaps and cuts --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("missed", "same"), [(1, True), (2, True), (3, True), (4, False)])
def test_a_short_gap_is_bridged(missed: int, same: bool) -> None:
    """At 2 frames/s a face last seen at 0 s is looked for in vain until 1.0 s, or 1.5 s where that is set."""
    frames = [[face(300)], *[[] for _ in range(missed)], [face(310)]]
    ids, _ = follow(frames, settings=TrackingSettings(gap_s=1.5))
    assert (ids[-1] == (0,)) == same


def test_without_a_gap_the_next_frame_still_continues() -> None:
    never = TrackingSettings(gap_s=0.0)
    assert follow([[face(300)], [face(300)]], fps=0.05, settings=never)[0] == [(0,), (0,)]
    assert follow([[face(300)], [], [face(300)]], fps=25, settings=never)[0] == [(0,), (), (1,)]


def test_a_cut_ends_every_track() -> None:
    here, there, faces = room(1), room(2), [face(200), face(450)]
    tracker = Tracker()
    ids = [
        tracker.update(i, i / 2, picture(r, faces), faces) for i, r in enumerate([here, here, there, there])
    ]
    assert ids == [(0, 1), (0, 1), (2, 3), (2, 3)]


@pytest.mark.parametrize("grey", [0, 255])
def test_a_flash_ends_none_and_a_fade_to_another_scene_ends_all(grey: int) -> None:
    faces, even = [face(300)], torch.full((3, 400, 640), grey, dtype=torch.uint8)
    for after, want in ((room(1), (0,)), (room(2), (1,))):
        tracker = Tracker()
        assert tracker.update(0, 0.0, picture(room(1), faces), faces) == (0,)
        assert tracker.update(1, 0.5, even, []) == ()
        assert tracker.update(2, 1.0, picture(after, faces), faces) == want


def test_a_pan_ends_none() -> None:
    wide, tracker = room(5, width=1400), Tracker()
    for i in range(5):
        seen = face(500 - 90 * i)
        view = wide.crop((90 * i, 0, 90 * i + 640, 400))
        assert tracker.update(i, i / 2, picture(view, [seen]), [seen]) == (0,)


def test_a_signature_does_for_the_picture() -> None:
    faces = [face(300)]
    for after in (1, 2):
        pictures = [picture(room(seed), faces) for seed in (1, after)]
        whole, small = Tracker(), Tracker()
        for i, one in enumerate(pictures):
            assert whole.update(i, i, one, faces) == small.update(i, i, signature(one), faces)


# --- parts, and wrong use -------------------------------------------------------------------------------------


def test_overlap_and_distance_of_hand_made_faces() -> None:
    assert iou((0, 0, 2, 2), (1, 0, 3, 2)) == pytest.approx(1 / 3)
    assert iou((0, 0, 1, 1), (1, 1, 2, 2)) == 0 and iou((0, 0, 2, 2), (0, 0, 2, 2)) == 1
    assert landmark_distance(face(100, 100), face(103, 104)) == pytest.approx(5, abs=1e-4)
    assert landmark_distance(face(100, 100), face(103, 104), (3, 4)) == pytest.approx(0, abs=1e-4)


def test_a_landmark_that_is_no_number_matches_nothing() -> None:
    broken = Face(box=face(300).box, score=0.9, landmarks=torch.full((5, 2), float("nan")))
    assert follow([[face(300)], [broken], [face(300)]])[0] == [(0,), (1,), (0,)]


@pytest.mark.parametrize(("index", "time"), [(3, 2.0), (4, 1.5), (2, 2.0), (4, float("nan"))])
def test_frames_out_of_order_are_refused_and_change_nothing(index: int, time: float) -> None:
    tracker = Tracker()
    tracker.update(3, 1.5, BLANK, [face(300)])
    with pytest.raises(InputError, match="cannot follow"):
        tracker.update(index, time, BLANK, [face(300)])
    assert tracker.update(4, 2.0, BLANK, [face(300)]) == (0,)


def test_the_same_face_twice_is_refused_and_changes_nothing() -> None:
    tracker, one = Tracker(), face(300)
    with pytest.raises(InputError, match="twice"):
        tracker.update(0, 0.0, BLANK, [one, one])
    assert tracker.tracks() == () and tracker.update(0, 0.0, BLANK, [one]) == (0,)


@pytest.mark.parametrize(
    "wrong",
    [
        {"reach": 0.0},
        {"speed": -1.0},
        {"gap_s": float("nan")},
        {"scale_reach": 0.5},
        {"overlap_weight": 1.1},
        {"cut": 2.0},
        {"jitter": float("inf")},
    ],
)
def test_impossible_settings_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(InputError, match=next(iter(wrong))):
        TrackingSettings(**wrong)


@pytest.mark.data
def test_a_real_clip_is_one_main_person(real_data: Path) -> None:
    clip = real_data / "ffpp-clips/original_sequences/youtube/c23/videos/634.mp4"
    tracker, detector = Tracker(), MTCNNDetector()
    frames = list(open_media(clip).frames(Sampling(fps=1)))
    for frame in frames:
        tracker.update(frame.index, frame.time_s, frame.image, detector.detect(frame.image))
    tracks = tracker.tracks()
    main = max(tracks, key=len)
    assert len(main) == len(frames) >= 13
    assert min(one.score for one in main.faces) > 0.9
    assert all(max(f.score for f in track.faces) < 0.9 for track in tracks if track is not main)
