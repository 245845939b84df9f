"""Verdicts on made-up tracks: each follows from what is known, and no real medium is accused too often."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from verovolto.calibration.input_domain import Domain
from verovolto.calibration.thresholds import Calibration
from verovolto.faces.crop import NO_FACE, TOO_BLURRED, TOO_SMALL, UNCERTAIN
from verovolto.scanning.result import (
    OUTSIDE_DOMAIN,
    TOO_MANY,
    VERDICTS,
    FileResult,
    FrameScore,
    TrackResult,
)
from verovolto.scanning.verdict import decide_file, decide_tracks

INSIDE = {"sharpness": 2.0, "brightness": 120.0, "contrast": 40.0}
DOMAIN = Domain(ranges={"sharpness": (1.0, 3.0), "brightness": (60.0, 200.0), "contrast": (20.0, 70.0)})


def calibration(values: Sequence[float] | np.ndarray, videos: np.ndarray | None = None) -> Calibration:
    known = None if videos is None else calibration(videos)
    return Calibration(score="rmse", values=np.sort(values), clusters=1, cluster="face", videos=known)


HUNDRED = calibration(np.arange(1.0, 100.0))
"""99 faces with the scores 1 to 99: a score of 99.5 has the p-value 0.01, one of 50 has 0.51."""


def track(
    *scores: float,
    known: Calibration = HUNDRED,
    number: int = 0,
    rejected: Mapping[str, int] | None = None,
    conditions: Mapping[str, float] | None = None,
) -> TrackResult:
    """One person as it was seen, not judged yet, with a judged frame a score."""
    p_values = known.p_values(np.array(scores)).tolist()
    frame_scores = tuple(
        FrameScore(frame=i, time_s=i / 2, score=score, p_value=p_values[i], box=(0.0, 0.0, 9.0, 9.0))
        for i, score in enumerate(scores)
    )
    passed = dict(rejected or {})
    return TrackResult(
        id=number, verdict="cannot tell", seen=len(scores) + sum(passed.values()), rejected=passed,
        start_s=0.0, end_s=len(scores) / 2, frame_scores=frame_scores,
        conditions=(conditions or INSIDE) if scores else {},
    )  # fmt: skip


def judged(
    *tracks: TrackResult, known: Calibration = HUNDRED, rate: float = 0.05, domain: Domain = DOMAIN
) -> FileResult:
    return decide_file(
        FileResult(path="a.mp4", medium="video", tracks=decide_tracks(tracks, known, domain, rate))
    )


def test_an_anomaly_is_suspect() -> None:
    medium = judged(track(99.5))
    [person] = medium.tracks
    assert (person.verdict, person.rule, person.reasons) == ("suspect", "one face", ())
    assert person.p_value == person.p_adjusted == medium.p_value == 0.01 and person.score == 99.5
    assert (medium.verdict, medium.reasons) == ("suspect", ())


def test_an_ordinary_face_shows_no_sign() -> None:
    medium = judged(track(50.5))
    assert medium.verdict == medium.tracks[0].verdict == "no sign found" and medium.p_value == 0.5
    assert medium.reasons == medium.tracks[0].reasons == ()


def test_frames_count_together() -> None:
    [person] = judged(track(99.5, 50.5, 99.5, 50.5)).tracks
    assert person.rule == "twice the mean" and person.verdict == "no sign found"
    assert person.p_value == pytest.approx(2 * (0.01 + 0.5) / 2) and person.score == 75.0
    [person] = judged(track(99.5, 99.5, 98.5)).tracks
    assert person.verdict == "suspect" and person.p_value == pytest.approx(2 * (0.01 + 0.01 + 0.02) / 3)


def test_videos_judge_videos() -> None:
    known = calibration(np.arange(1.0, 100.0), videos=np.linspace(40, 60, 39))
    [person] = judged(track(80.0, 55.0, known=known), known=known).tracks
    assert (person.rule, person.verdict, person.p_value) == ("videos", "suspect", 1 / 40)
    [person] = judged(track(67.5, known=known), known=known).tracks
    assert (person.rule, person.verdict) == ("one face", "no sign found"), "one frame is judged as a face"


def test_with_too_few_videos_for_the_people_frames_judge() -> None:
    known = calibration(np.arange(1.0, 401.0), videos=np.linspace(40, 60, 25))
    one = track(400.5, 400.5, known=known)
    medium = judged(one, track(50.0, 60.0, known=known, number=1), known=known)
    assert [person.rule for person in medium.tracks] == ["twice the mean"] * 2
    assert [person.verdict for person in medium.tracks] == ["suspect", "no sign found"]
    [alone] = judged(one, known=known).tracks
    assert (alone.rule, alone.verdict) == ("videos", "suspect")


@pytest.mark.parametrize(("people", "verdict"), [(1, "suspect"), (5, "suspect"), (6, "cannot tell")])
def test_p_values_are_adjusted_for_people(people: int, verdict: str) -> None:
    others = [track(50.5, number=i) for i in range(1, people)]
    medium = judged(track(99.5), *others)
    first = medium.tracks[0]
    assert first.p_value == 0.01 and first.p_adjusted == pytest.approx(0.01 * people)
    assert first.verdict == medium.verdict == verdict
    assert medium.p_value == pytest.approx(0.01 * people)


def test_more_people_than_the_calibration_supports() -> None:
    medium = judged(*(track(50.5, number=i) for i in range(6)))
    assert medium.verdict == "cannot tell" and medium.reasons == (TOO_MANY,)
    assert all(each.reasons == (TOO_MANY,) and each.verdict == "cannot tell" for each in medium.tracks)
    assert medium.p_value == 1.0, "what is known is told all the same"


def test_several_frames_support_fewer_people_than_one() -> None:
    """Of 99 faces the smallest p-value of a face is 0.01, of several frames 0.02: three people make 0.06."""
    walkers = [track(50.5, 50.5, number=i) for i in range(2)]
    medium = judged(*walkers, track(99.5, number=2))
    assert [each.verdict for each in medium.tracks] == ["cannot tell", "cannot tell", "suspect"]
    assert medium.verdict == "suspect" and medium.reasons == ()


@pytest.mark.parametrize("frames", [2, 3, 7, 13, 20, 100])
@pytest.mark.parametrize(
    ("faces", "rate", "people"), [(19, 0.1, 1), (39, 0.05, 1), (119, 0.05, 3), (199, 0.1, 10)]
)
def test_rounding_hides_no_anomaly(frames: int, faces: int, rate: float, people: int) -> None:
    """The most telling p-value that there is equals the rate exactly; a mean of 0.05s may come out above 0.05."""
    known = calibration(np.arange(float(faces)))
    tracks = [track(*[faces + 0.5] * frames, known=known, number=i) for i in range(people)]
    assert {each.verdict for each in judged(*tracks, known=known, rate=rate).tracks} == {"suspect"}


def test_doubtful_detections_are_not_people() -> None:
    doubtful = [track(number=i, rejected={UNCERTAIN: 3}) for i in range(1, 30)]
    medium = judged(track(99.5), *doubtful)
    assert medium.verdict == "suspect" and medium.tracks[0].p_adjusted == 0.01
    assert all((each.p_value, each.verdict) == (None, "cannot tell") for each in medium.tracks[1:])
    assert len(medium.judged) == 1


def test_what_is_passed_over_or_out_of_the_domain_is_no_person_either() -> None:
    small = track(number=1, rejected={TOO_SMALL: 2})
    dark = track(99.5, number=2, conditions=INSIDE | {"brightness": 3.0})
    assert judged(track(99.5), small, dark).tracks[0].p_adjusted == 0.01


@pytest.mark.parametrize(
    ("rejected", "reasons"),
    [
        ({TOO_SMALL: 4}, (TOO_SMALL,)),
        ({TOO_SMALL: 1, TOO_BLURRED: 3}, (TOO_BLURRED, TOO_SMALL)),
        ({UNCERTAIN: 2}, (UNCERTAIN,)),
        ({}, (NO_FACE,)),
    ],
)
def test_what_was_not_judged_says_why(rejected: dict[str, int], reasons: tuple[str, ...]) -> None:
    medium = judged(track(rejected=rejected))
    assert medium.verdict == "cannot tell" and medium.tracks[0].reasons == medium.reasons == reasons
    assert medium.p_value is medium.tracks[0].p_value is medium.tracks[0].score is None


def test_some_judged_frames_are_enough() -> None:
    [person] = judged(track(99.5, rejected={TOO_SMALL: 40})).tracks
    assert person.verdict == "suspect" and person.reasons == () and person.rejected == {TOO_SMALL: 40}


def test_nobody_there() -> None:
    medium = judged()
    assert (medium.verdict, medium.reasons, medium.p_value) == ("cannot tell", (NO_FACE,), None)


def test_doubtful_detections_speak_only_where_nothing_else_does() -> None:
    doubtful = [track(number=i, rejected={UNCERTAIN: 9}) for i in range(1, 9)]
    assert judged(track(rejected={TOO_SMALL: 1}), *doubtful).reasons == (TOO_SMALL,)
    assert judged(*doubtful).reasons == (UNCERTAIN,)


@pytest.mark.parametrize(
    ("name", "value", "where"),
    [
        ("sharpness", 0.79, "below"),
        ("sharpness", 3.21, "above"),
        ("brightness", 45.0, "below"),
        ("brightness", 215.0, "above"),
        ("contrast", 14.0, "below"),
        ("contrast", 76.0, "above"),
    ],
)
@pytest.mark.parametrize("score", [50.5, 99.5])
def test_conditions_that_nobody_calibrated_on(name: str, value: float, where: str, score: float) -> None:
    medium = judged(track(score, conditions=INSIDE | {name: value}))
    assert medium.verdict == "cannot tell" and medium.p_value is medium.tracks[0].p_value is None
    assert medium.reasons == (f"{OUTSIDE_DOMAIN}: {name} {where} that of the faces calibrated on",)
    assert medium.tracks[0].score == score, "it was scored, and the report may say so"


@pytest.mark.parametrize(("score", "word"), [(-9.0, "below"), (198.0, "far above"), (1e30, "far above")])
def test_scores_that_nobody_calibrated_on(score: float, word: str) -> None:
    medium = judged(track(score))
    assert medium.verdict == "cannot tell" and medium.p_value is None
    [reason] = medium.reasons
    assert reason.startswith(f"{OUTSIDE_DOMAIN}: score {word} that of every face")


def test_an_anomaly_within_reach_is_one() -> None:
    assert judged(track(150.0)).verdict == "suspect", "above all faces known, by half of their range"


def test_the_gravest_verdict_is_that_of_the_medium() -> None:
    suspect, ordinary = track(99.5), track(50.5, number=1)
    small = track(number=2, rejected={TOO_SMALL: 1})
    assert judged(small, ordinary, suspect).verdict == "suspect"
    assert judged(small, ordinary).verdict == "no sign found" and judged(small, ordinary).reasons == ()
    assert judged(small).verdict == "cannot tell"


people = st.lists(
    st.tuples(
        st.lists(st.floats(-40, 240), max_size=4),
        st.dictionaries(st.sampled_from([TOO_SMALL, TOO_BLURRED, UNCERTAIN]), st.integers(1, 5), max_size=2),
        st.sampled_from([2.0, 2.0, 2.0, 9.0]),
    ),
    max_size=8,
)


@given(people, st.floats(0.02, 0.5), st.integers(10, 200), st.randoms())
def test_verdicts_are_consistent(given_people: list[Any], rate: float, faces: int, random: Any) -> None:
    known = calibration(np.linspace(1, 99, faces))
    tracks = [
        track(*scores, known=known, number=i, rejected=passed, conditions=INSIDE | {"sharpness": sharp})
        for i, (scores, passed, sharp) in enumerate(given_people)
    ]
    medium = judged(*tracks, known=known, rate=rate)
    assert [each.id for each in medium.tracks] == [each.id for each in tracks]
    for each in medium.tracks:
        assert bool(each.reasons) == (each.verdict == "cannot tell")
        assert (each.p_value is None) == (each.p_adjusted is None) == (each.rule is None)
        if each.p_value is not None and each.p_adjusted is not None:
            assert 0 < each.p_value <= each.p_adjusted <= 1
            assert each.p_adjusted == min(1.0, len(medium.judged) * each.p_value)
        if each.verdict == "suspect":
            assert each.p_adjusted is not None and each.p_adjusted <= rate * (1 + 1e-9)
    assert bool(medium.reasons) == (medium.verdict == "cannot tell")
    found = {each.verdict for each in medium.tracks} or {"cannot tell"}
    assert medium.verdict == min(found, key=VERDICTS.index)
    random.shuffle(tracks)
    again = judged(*tracks, known=known, rate=rate)
    assert (again.verdict, again.p_value) == (medium.verdict, medium.p_value), "the order of tracks decides"


def _false_alarms(
    media: int, *, frames: int, people: int, with_videos: bool, rate: float, likeness: float
) -> int:
    """How many of so many real media, each with a calibration of its own, are called suspect.

    The scores of a person's frames share a part of their variance, `likeness`, and so do those of the people of one
    medium; a held-out face, or video, is drawn in the same way.
    """
    random = np.random.default_rng(11)

    def persons(count: int) -> np.ndarray:
        own = random.standard_normal((count, 1)) * math.sqrt(likeness)
        return np.asarray(own + random.standard_normal((count, frames)) * math.sqrt(1 - likeness))

    alarms = 0
    for _ in range(media):
        held_out = persons(99)
        videos = held_out.mean(1) if with_videos else None
        known = calibration(held_out[:, 0], videos)
        tracks = [track(*scores, known=known, number=i) for i, scores in enumerate(persons(people).tolist())]
        alarms += judged(*tracks, known=known, rate=rate).verdict == "suspect"
    return alarms


@pytest.mark.parametrize(
    ("frames", "people", "with_videos", "likeness"),
    [
        (1, 1, False, 0.0),
        (1, 4, False, 0.0),
        (6, 1, False, 0.95),
        (6, 3, False, 0.95),
        (6, 1, True, 0.5),
        (6, 3, True, 0.95),
    ],
)
def test_real_media_are_accused_at_most_at_the_rate(
    frames: int, people: int, with_videos: bool, likeness: float
) -> None:
    media, rate = 300, 0.1
    alarms = _false_alarms(
        media, frames=frames, people=people, with_videos=with_videos, rate=rate, likeness=likeness
    )
    assert alarms <= media * rate + 4 * math.sqrt(media * rate * (1 - rate))
    if frames == 1 or with_videos:  # the promise is kept, and not by never saying anything
        assert alarms >= media * rate * 0.5


class TestSources:
    """A calibration on several collections of real faces."""

    LOW, HIGH = np.arange(1.0, 100.0), np.arange(101.0, 200.0)
    KNOWN = Calibration.of(
        np.concatenate([LOW, HIGH]), score="rmse", clusters=2, cluster="face", sources={"a": LOW, "b": HIGH}
    )

    def test_the_worst_source_decides(self) -> None:
        assert judged(track(150.0, known=self.KNOWN), known=self.KNOWN).verdict == "no sign found"
        assert judged(track(199.5, known=self.KNOWN), known=self.KNOWN).verdict == "suspect"

    def test_frames_are_judged_by_their_mean_score(self) -> None:
        [person] = judged(track(150.0, 260.0, known=self.KNOWN), known=self.KNOWN).tracks
        assert person.rule == "mean score" and person.score == 205.0
        assert person.p_value == 0.01 and person.verdict == "suspect"


def test_a_face_unlike_all_real_ones_is_out_of_the_domain() -> None:
    domain = Domain(ranges={**DOMAIN.ranges, "distance": (0.0, 2.0)})
    far = judged(track(50.0, conditions={**INSIDE, "distance": 2.1}), domain=domain)
    assert far.verdict == "cannot tell" and far.reasons == (
        f"{OUTSIDE_DOMAIN}: unlike every kind of face calibrated on",
    )
    near = judged(track(50.0, conditions={**INSIDE, "distance": 2.0}), domain=domain)
    assert near.verdict == "no sign found"
