"""What ordinary use does to the clips and photographs of real people, judged by a detector of the package."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from torch import Tensor

from verovolto import Detector
from verovolto.detectors.io import detector_folder
from verovolto.faces.crop import quarter_turned
from verovolto.faces.detection.base import Face
from verovolto.faces.detection.mtcnn import MTCNNDetector
from verovolto.faces.upright import UprightFaces
from verovolto.media import Frame, Limits, Sampling, open_media
from verovolto.scanning.result import TrackResult
from verovolto.scanning.scan_file import FrameScorer, scan_file
from verovolto.scanning.settings import ScanContext, ScanSettings
from verovolto.scanning.verdict import decide_tracks

# One process for all: they share the faces that were found.
pytestmark = [pytest.mark.data, pytest.mark.slow, pytest.mark.xdist_group("real clips")]

CLIPS = {
    "634": "original_sequences/youtube/c23/videos/634.mp4",
    "519": "original_sequences/youtube/c23/videos/519.mp4",
    "519_515": "manipulated_sequences/Deepfakes/c23/videos/519_515.mp4",
    "634_660": "manipulated_sequences/FaceSwap/c23/videos/634_660.mp4",
}
RATES = (2, 3, 4, 5, 6, 8, 12.5, 25)


class Remembering(MTCNNDetector):
    """Looks at the same picture once."""

    def __init__(self) -> None:
        super().__init__()
        self._known: dict[tuple[bytes, float], list[Face]] = {}

    def detect(self, image: Tensor, *, smallest: float = 0.0) -> list[Face]:
        key = hashlib.sha256(image.contiguous().numpy().tobytes()).digest(), smallest
        if key not in self._known:
            self._known[key] = super().detect(image, smallest=smallest)
        return self._known[key]


@pytest.fixture(scope="module")
def detector() -> Detector:
    return Detector.load(detector_folder("lite0"))  # the rules are the same for any, and it is fast


@pytest.fixture(scope="module")
def face_detector() -> Remembering:
    return Remembering()


@pytest.mark.parametrize("name", CLIPS)
def test_the_verdict_does_not_hang_on_how_many_frames_are_looked_at(
    real_data: Path, detector: Detector, face_detector: Remembering, name: str
) -> None:
    """In the first three seconds of clip 634 a blurred piece of background passes for a face in single frames."""
    path = real_data / "ffpp-clips" / CLIPS[name]
    found = {}
    for fps in RATES:
        settings = ScanSettings(fps=fps, limits=Limits(seconds=3.0))
        result = scan_file(path, ScanContext.of(detector, face_detector, settings))
        found[fps] = result.verdict, len(result.judged)
    assert set(found.values()) == {(found[2][0], 1)}, found


def judged(frames: Sequence[Frame], context: ScanContext, turn: int = 0) -> TrackResult:
    """The only person of the frames, turned clockwise by quarters."""
    scorer = FrameScorer(context)
    for frame in frames:
        image = quarter_turned(frame.image, turn)
        scorer.add(Frame(index=frame.index, time_s=frame.time_s, image=image))
    tracks = decide_tracks(scorer.tracks(), context.calibration, context.detector.domain, 0.05)
    [person] = [track for track in tracks if track.p_value is not None]
    return person


@pytest.mark.parametrize(("name", "turn"), [("634", 2), ("519", 1), ("519", 2), ("519", 3)])
def test_a_clip_shown_turned_is_judged_as_the_clip_is(
    real_data: Path, detector: Detector, face_detector: Remembering, name: str, turn: int
) -> None:
    context = ScanContext.of(detector, face_detector, ScanSettings())
    video = open_media(real_data / "ffpp-clips" / CLIPS[name], limits=Limits(seconds=4.0))
    frames = [
        Frame(index=f.index, time_s=f.time_s, image=f.image.clone()) for f in video.frames(Sampling(fps=2))
    ]
    upright, turned = judged(frames, context), judged(frames, context, turn)
    assert {score.turned for score in turned.frame_scores} == {360 - 90 * turn}
    assert (turned.p_value, turned.verdict) == (upright.p_value, upright.verdict)
    assert [s.score for s in turned.frame_scores] == [s.score for s in upright.frame_scores]


def test_photographs_stay_as_they_are_and_come_upright_from_every_side(
    real_data: Path, face_detector: Remembering
) -> None:
    paths = sorted((real_data / "fairface" / "real").glob("*.jpg"))[:240:10]
    stays, wrong, found = 0, 0, 0
    for path in paths:
        [frame] = open_media(path).frames()
        plain = [face for face in face_detector.detect(frame.image) if face.score >= 0.9]
        upright = UprightFaces(face_detector).detect(frame.image)
        stays += (
            bool(plain) and upright[0].turn == 0 and torch.equal(upright[0].landmarks, plain[0].landmarks)
        )
        for turn in (1, 2, 3):
            faces = UprightFaces(face_detector).detect(quarter_turned(frame.image, turn))
            turns = [face.turn for face in faces if face.score >= 0.9]
            found += turns[:1] == [4 - turn]
            wrong += any(each not in (None, 4 - turn) for each in turns)
    assert stays >= 0.9 * len(paths)
    assert wrong <= 0.02 * 3 * len(paths) and found >= 0.6 * 3 * len(paths)
