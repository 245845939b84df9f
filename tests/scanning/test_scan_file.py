"""One photo or video: what is looked at, in what order, with how much memory, and what is left of it."""

from __future__ import annotations

import gc
import io
import json
import math
import tempfile
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from tests.faces.bright import BrightSquares, picture
from tests.scanning import drawn
from tests.scanning.drawn import ODD, REAL, by_brightness, context, film, network, photo, walk
from verovolto.calibration.input_domain import conditions
from verovolto.core.errors import InputError
from verovolto.data.face_batch import FaceBatch
from verovolto.faces.crop import TOO_SMALL, UNCERTAIN
from verovolto.faces.detection.base import Face
from verovolto.scanning import run
from verovolto.scanning import scan_file as medium_module
from verovolto.scanning.result import FileResult
from verovolto.scanning.scan_file import KEY_FRAMES, scan_file
from verovolto.scanning.settings import ScanContext

FRAMES = 36


@pytest.fixture(scope="module")
def long_walk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One person, in more frames than a batch holds; do not write into it."""
    return film(tmp_path_factory.mktemp("walk") / "a.mp4", walk(FRAMES))


@pytest.fixture(scope="module")
def net() -> ScanContext:
    return context(network())


@pytest.fixture(scope="module")
def plain(long_walk: Path, net: ScanContext) -> FileResult:
    """What comes of it when nothing else happens."""
    return scan_file(long_walk, net)


def frame_scores(found: FileResult) -> list[tuple[int, int, tuple[float, ...]]]:
    """(track, frame, box) of every judged face."""
    return [
        (track.id, frame_score.frame, frame_score.box)
        for track in found.tracks
        for frame_score in track.frame_scores
    ]


def scores(found: FileResult) -> np.ndarray:
    return np.array([frame_score.score for track in found.tracks for frame_score in track.frame_scores])


def test_every_frame_of_a_person_is_judged_once(plain: FileResult) -> None:
    [person] = plain.tracks
    assert (plain.medium, plain.status, plain.frames) == ("video", "ok", FRAMES)
    assert (plain.width, plain.height, plain.duration_s) == (96, 72, FRAMES / 8)
    assert [frame_score.frame for frame_score in person.frame_scores] == list(
        range(FRAMES)
    ) and person.seen == FRAMES
    assert [frame_score.time_s for frame_score in person.frame_scores] == pytest.approx(
        [i / 8 for i in range(FRAMES)]
    )
    assert (person.start_s, person.end_s) == (0.0, (FRAMES - 1) / 8)
    assert all(
        frame_score.box == (x, 16, x + 40, 56)
        for frame_score in person.frame_scores
        for x in [frame_score.box[0]]
    )


def test_scores_are_those_of_the_crops_alone(plain: FileResult, net: ScanContext) -> None:
    frames = walk(FRAMES)
    crops = []
    for _, frame, (x0, y0, x1, y1) in frame_scores(plain):
        cut = frames[frame][int(y0) : int(y1), int(x0) : int(x1)]
        crops.append(torch.from_numpy(cut.copy()).permute(2, 0, 1))
    alone = torch.cat([net.detector.score(each).score for each in crops])
    np.testing.assert_allclose(scores(plain), alone.numpy(), rtol=1e-2)  # the film's colours are rounded
    seen = conditions(FaceBatch(images=crops, encoded_bytes=[None] * FRAMES))
    for name, column in seen.items():
        assert plain.tracks[0].conditions[name] == pytest.approx(float(column.median()), rel=0.02)


@pytest.mark.parametrize("batch", [1, 7, 1000])
def test_scores_do_not_depend_on_batches(
    long_walk: Path, plain: FileResult, net: ScanContext, batch: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(medium_module, "_BATCH", batch)
    other = scan_file(long_walk, net)
    assert frame_scores(other) == frame_scores(plain) and other.verdict == plain.verdict
    np.testing.assert_allclose(scores(other), scores(plain), rtol=1e-5)


def test_what_was_scanned_before_and_what_is_kept_change_nothing(
    long_walk: Path, plain: FileResult, net: ScanContext, tmp_path: Path
) -> None:
    fresh = plain.to_dict()
    scan_file(photo(tmp_path / "a.png", [(4, 4, 30), (50, 30, 40)]), net)
    assert scan_file(long_walk, net).to_dict() == fresh
    assert scan_file(long_walk, context(network(), pictures=True), threads=2).to_dict() == fresh


def test_a_medium_among_others_is_judged_as_alone(
    tmp_path: Path, long_walk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "open_detector", lambda name: BrightSquares())
    paths = [photo(tmp_path / "a.png"), long_walk, photo(tmp_path / "b.png", level=ODD)]
    together = run.scan_files(by_brightness(), paths, drawn.settings()).files
    for path, one in zip(paths, together, strict=True):
        [alone] = run.scan_files(by_brightness(), [path], drawn.settings()).files
        assert alone.to_dict() == one.to_dict()
    assert [one.verdict for one in together] == ["no sign found", "no sign found", "suspect"]


def two_people(frames: int) -> list[np.ndarray]:
    """A real person to the left, an anomalous one to the right, a dim square that may be none below."""
    drawn_frames = []
    for number in range(frames):
        pixels = picture([(4 + number % 3, 4, 30)], level=REAL)
        pixels[4:34, 56 : 56 + 30] = ODD
        pixels[50:66, 40:56] = 145
        drawn_frames.append(pixels)
    return drawn_frames


def test_people_are_followed_and_judged_one_by_one(tmp_path: Path) -> None:
    path = film(tmp_path / "a.mp4", two_people(20))
    found = scan_file(path, context(confidence=0.6))
    odd, real, doubtful = sorted(found.tracks, key=lambda track: -(track.score or 0))
    assert (odd.verdict, real.verdict, doubtful.verdict) == ("suspect", "no sign found", "cannot tell")
    assert found.verdict == "suspect"
    assert (
        doubtful.reasons == (UNCERTAIN,)
        and doubtful.rejected == {UNCERTAIN: 20}
        and not doubtful.frame_scores
    )
    assert len(odd.frame_scores) == len(real.frame_scores) == 20
    assert odd.p_value is not None and odd.p_adjusted == 2 * odd.p_value


def test_what_may_be_no_face_comes_last(tmp_path: Path) -> None:
    before = picture([(40, 50, 16)], level=145)
    found = scan_file(film(tmp_path / "a.mp4", [before, *two_people(5)]), context(confidence=0.6))
    sure = [track.reasons != (UNCERTAIN,) for track in found.tracks]
    assert sum(sure) == 2 and sure == sorted(sure, reverse=True) and found.tracks[2].id == 0


def test_the_face_that_a_picture_is_about(tmp_path: Path) -> None:
    path = photo(tmp_path / "a.png", [(4, 4, 20), (40, 20, 44)], level=ODD)
    assert len(scan_file(path, context()).tracks) == 2
    [only] = scan_file(path, context(faces="largest")).tracks
    assert only.frame_scores[0].box == (40, 20, 84, 64)


def test_faces_that_grow_are_judged_where_they_are_large_enough(tmp_path: Path) -> None:
    pictures = [picture([(40 - side // 2, 36 - side // 2, side)], level=REAL) for side in range(20, 44, 2)]
    [person] = scan_file(film(tmp_path / "a.mp4", pictures), context(smallest=30)).tracks
    assert person.seen == 12 and person.rejected == {TOO_SMALL: 5} and len(person.frame_scores) == 7


def test_progress_goes_up_to_the_end(long_walk: Path, tmp_path: Path, net: ScanContext) -> None:
    heard: list[float] = []
    scan_file(long_walk, net, on_progress=heard.append)
    assert len(heard) == FRAMES and heard == sorted(heard) and heard[0] >= 0 and 0.9 < heard[-1] <= 1
    whole: list[tuple[float, int]] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run, "open_detector", lambda name: BrightSquares())
        paths = [photo(tmp_path / "a.png"), long_walk]
        run.scan_files(by_brightness(), paths, drawn.settings(), on_progress=lambda *at: whole.append(at))
    done = [share for share, _ in whole]
    assert done == sorted(done) and (done[0], done[-1]) == (0, 2) and {total for _, total in whole} == {2}


def test_pictures_are_kept_of_the_highest_scores(tmp_path: Path) -> None:
    levels = [170, 190, 165, 200, 180, 195, 160, 175]
    frames = [picture([(24, 16, 40)], level=level) for level in levels]
    [person] = scan_file(film(tmp_path / "a.mp4", frames), context(pictures=True)).tracks
    assert [key_frames.frame_score.frame for key_frames in person.key_frames] == [3, 5, 1] and KEY_FRAMES == 3
    for key_frames in person.key_frames:
        assert key_frames.frame_score in person.frame_scores and key_frames.anomaly_map is None
        assert Image.open(io.BytesIO(key_frames.crop)).size == (40, 40)
        assert Image.open(io.BytesIO(key_frames.context)).size == (96, 72)
        assert key_frames.context_box == key_frames.frame_score.box
    assert person.to_dict()["timeline"][3]["score"] == person.key_frames[0].frame_score.score


def test_heat_maps_are_those_of_the_face_and_keep_no_batch(long_walk: Path) -> None:
    [person] = scan_file(long_walk, context(network(), pictures=True)).tracks
    for key_frames in person.key_frames:
        anomaly_map = key_frames.anomaly_map
        assert anomaly_map is not None and anomaly_map.shape == (16, 16) and (anomaly_map >= 0).all()
        assert math.sqrt(np.square(anomaly_map).mean()) == pytest.approx(
            key_frames.frame_score.score, rel=1e-3
        )
        owner = anomaly_map
        while isinstance(owner.base, np.ndarray):
            owner = owner.base
        if isinstance(owner.base, Tensor):
            assert owner.base.untyped_storage().nbytes() == anomaly_map.nbytes
        assert owner.nbytes == anomaly_map.nbytes


def test_large_pictures_are_kept_small(tmp_path: Path) -> None:
    pixels = np.kron(picture([(24, 16, 40)], level=REAL), np.ones((20, 20, 1), np.uint8))
    Image.fromarray(pixels).save(tmp_path / "a.png")
    [person] = scan_file(tmp_path / "a.png", context(pictures=True)).tracks
    [key_frames] = person.key_frames
    assert Image.open(io.BytesIO(key_frames.crop)).size == (224, 224)
    assert Image.open(io.BytesIO(key_frames.context)).size == (480, 360)
    assert key_frames.context_box == pytest.approx([edge / 4 for edge in key_frames.frame_score.box])


def test_no_picture_is_kept_unless_asked(
    long_walk: Path, net: ScanContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise InputError("a picture was encoded")

    monkeypatch.setattr(medium_module, "encode_jpeg", refuse)
    monkeypatch.setattr(medium_module, "_shrunk", refuse)
    found = scan_file(long_walk, net)
    assert found.status == "ok" and all(track.key_frames == () for track in found.tracks)
    assert "JPEG" not in json.dumps(found.to_dict())


class Watched:
    """A finder that counts how many of the frames it has seen are still held by somebody."""

    name, confidence = "bright", 0.9

    def __init__(self) -> None:
        self.alive = 0
        self._seen: list[weakref.ref[Tensor]] = []

    def detect(self, image: Tensor) -> list[Face]:
        self._seen = [ref for ref in self._seen if ref() is not None]
        self.alive = max(self.alive, len(self._seen))
        self._seen.append(weakref.ref(image))
        return BrightSquares().detect(image)


def held(path: Path, monkeypatch: pytest.MonkeyPatch, *, pictures: bool) -> tuple[int, int]:
    """The most frames and the most crops that are held at any time while a video is scanned."""
    face_detector, most = Watched(), 0
    crops: list[weakref.ref[Tensor]] = []
    plain: Callable[..., Tensor] = medium_module.crop

    def cut(*given: Any) -> Tensor:
        nonlocal most, crops
        crops = [ref for ref in crops if ref() is not None]
        found = plain(*given)
        crops.append(weakref.ref(found))
        most = max(most, len(crops))
        return found

    gc.collect()
    gc.disable()  # what only the collector frees piles up until it happens to run
    try:
        with monkeypatch.context() as patch:
            patch.setattr(medium_module, "crop", cut)
            result = scan_file(path, context(face_detector=face_detector, pictures=pictures))
    finally:
        gc.enable()
    assert result.status == "ok" and len(result.tracks[0].frame_scores) == result.frames
    del result
    assert not [ref for ref in crops if ref() is not None]
    return face_detector.alive, most


@pytest.mark.parametrize("pictures", [False, True])
def test_memory_does_not_grow_with_the_length(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pictures: bool
) -> None:
    short = held(film(tmp_path / "a.mp4", walk(18)), monkeypatch, pictures=pictures)
    long = held(film(tmp_path / "b.mp4", walk(45)), monkeypatch, pictures=pictures)
    assert short == long
    assert long[1] <= medium_module._BATCH
    # With pictures a frame this small is its own context, and waits with its faces; else none is kept.
    assert long[0] <= (medium_module._BATCH if pictures else 1)


def test_nothing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    media, elsewhere = tmp_path / "media", tmp_path / "elsewhere"
    media.mkdir()
    elsewhere.mkdir()
    film(media / "a.mp4", walk(5))
    photo(media / "b.png")
    (media / "c.mp4").write_text("no video")
    before = {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in media.iterdir()}
    for name in ("TMPDIR", "HOME", "XDG_CACHE_HOME"):
        monkeypatch.setenv(name, str(elsewhere))
    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.chdir(elsewhere)
    monkeypatch.setattr(run, "open_detector", lambda name: BrightSquares())
    found = run.scan_files(network(), [media], drawn.settings(pictures=True))
    assert len(found.files) == 3 and tempfile.gettempdir() == str(elsewhere)
    assert not [*elsewhere.iterdir()]
    assert {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in media.iterdir()} == before


def test_scoring_keeps_to_one_thread_and_restores_the_number(
    long_walk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looking = context()
    seen = []
    score_batch = looking.detector.score_batch

    def noted(batch: FaceBatch, **given: Any) -> Any:
        seen.append(torch.get_num_threads())
        return score_batch(batch, **given)

    monkeypatch.setattr(looking.detector, "score_batch", noted)
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        scan_file(long_walk, looking)
        after = torch.get_num_threads()
    finally:
        torch.set_num_threads(before)
    assert after == 2 and set(seen) == {1}
