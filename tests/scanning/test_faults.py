"""Whatever a file is, a scan does not stop at it, says what is wrong with it, and scans the rest."""

from __future__ import annotations

import io
import json
import os
import struct
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from torch import Tensor

from tests.faces.bright import POISON, BrightSquares, clip, cut
from tests.media.drawing import write_sound
from tests.scanning import drawn
from tests.scanning.drawn import ODD, REAL, BrightScanner, by_brightness, context, film, network, photo, walk
from verovolto.core.errors import CalibrationError, InputError
from verovolto.data.crop_rule import CropRule
from verovolto.data.face_batch import FaceBatch
from verovolto.detectors.base import Scores
from verovolto.detectors.trivial.detector import TrivialDetector
from verovolto.faces.crop import DAMAGED_PHOTO, NO_FACE, FaceFilter
from verovolto.faces.detection.base import Face
from verovolto.media import Limits
from verovolto.scanning import run
from verovolto.scanning.result import VERDICTS, FileResult, Scan
from verovolto.scanning.run import scan_files
from verovolto.scanning.scan_file import scan_file
from verovolto.scanning.settings import ScanContext

LEVEL = {"level": REAL}
DEFAULT = {"smallest": FaceFilter.side, "sharpness": FaceFilter.sharpness, "confidence": None}
PERSON = [(24, 16, 40)]


@pytest.fixture
def look(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Scan]:
    """Scan files and folders for squares, by brightness unless told otherwise."""

    def scanned(*paths: Path, detector: Any = None, face_detector: Any = None, **given: Any) -> Scan:
        monkeypatch.setattr(run, "open_detector", lambda name: face_detector or BrightSquares())
        options = {name: given.pop(name) for name in ("workers", "on_progress") if name in given}
        found = scan_files(detector or by_brightness(), list(paths), drawn.settings(**given), **options)
        json.dumps(found.to_dict(), allow_nan=False).encode("utf-8")
        return found

    return scanned


def problems(found: Scan, path: Path) -> str:
    """What is said of a file that is unreadable."""
    [one] = [each for each in found.files if each.path == str(path)]
    assert (one.status, one.verdict, one.p_value, one.tracks, one.frames) == ("unreadable", None, None, (), 0)
    assert not found.complete
    return "; ".join(one.problems)


def png_bomb(path: Path, side: int) -> Path:
    """A PNG of a few kilobytes that claims to be so many pixels wide and high, and is."""

    def chunk(name: bytes, content: bytes) -> bytes:
        check = struct.pack(">I", zlib.crc32(name + content))
        return struct.pack(">I", len(content)) + name + content + check

    packed = zlib.compressobj(9)
    rows = b"".join(packed.compress(bytes(1 + side // 8)) for _ in range(side)) + packed.flush()
    header = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    parts = [chunk(b"IHDR", header), chunk(b"IDAT", rows), chunk(b"IEND", b"")]
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(parts))
    return path


def test_a_folder_of_broken_files_is_scanned_to_its_end(look: Callable[..., Scan], tmp_path: Path) -> None:
    (tmp_path / "0 empty.mp4").touch()
    (tmp_path / "1 text.mp4").write_text("<html>not found</html>")
    write_sound(tmp_path / "2 sound.mp4")
    cut(clip(tmp_path / "3 head.mp4", PERSON, **LEVEL), 0.1)
    photo(tmp_path / "4 half.png")
    cut(tmp_path / "4 half.png", 0.6)
    (tmp_path / "5 gone.mp4").symlink_to(tmp_path / "nowhere.mp4")
    os.mkfifo(tmp_path / "6 pipe.mp4")
    png_bomb(tmp_path / "7 bomb.png", 20000)
    photo(tmp_path / "8 whole.png")
    clip(tmp_path / "9 whole.mp4", PERSON, **LEVEL)
    found = look(tmp_path)
    names = [Path(one.path).name for one in found.files]
    assert names == sorted(path.name for path in tmp_path.iterdir())
    assert [one.status for one in found.files] == ["unreadable"] * 8 + ["ok"] * 2
    assert [one.verdict for one in found.files[8:]] == ["no sign found"] * 2
    said = {name: "; ".join(one.problems) for name, one in zip(names, found.files, strict=True)}
    for name, words in {
        "0 empty.mp4": "empty file", "1 text.mp4": "a text file", "2 sound.mp4": "sound alone",
        "3 head.mp4": "no frame of it can be decoded", "4 half.png": "truncated", "5 gone.mp4": "no such file",
        "6 pipe.mp4": "not a file", "7 bomb.png": "limit",
    }.items():  # fmt: skip
        assert words in said[name] and str(tmp_path) not in said[name]
    assert not found.complete
    assert found.to_dict()["counts"]["unreadable"] == 8


def test_a_picture_that_is_a_bomb_is_never_decoded(
    look: Callable[..., Scan], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoded: list[int] = []
    monkeypatch.setattr("verovolto.media.photo.decode_image", lambda *_, **__: decoded.append(1))
    for side in (9000, 20000):  # above our limit, and above Pillow's
        path = png_bomb(tmp_path / f"{side}.png", side)
        assert path.stat().st_size < 60_000
        assert "limit" in problems(look(path), path)
    assert not decoded


def test_a_truncated_video_is_judged_by_what_is_there(look: Callable[..., Scan], tmp_path: Path) -> None:
    path = cut(clip(tmp_path / "a.mp4", PERSON, frames=40, **LEVEL), 0.6)
    found = look(path)
    [one] = found.files
    assert found.complete and (one.status, one.verdict) == ("damaged", "no sign found")
    assert "of 40 frames are missing" in "; ".join(one.problems)
    assert 10 < one.frames < 40 and len(one.tracks[0].frame_scores) == one.frames


def test_a_damaged_photo_is_not_judged(look: Callable[..., Scan], tmp_path: Path) -> None:
    path = photo(tmp_path / "a.jpg")
    data = path.read_bytes()
    path.write_bytes(data[:-2] + b"\x12" * 40 + data[-2:])
    [one] = look(path).files
    assert (one.status, one.verdict, one.reasons) == ("damaged", "cannot tell", (DAMAGED_PHOTO,))
    assert "extraneous bytes" in one.problems[0] and one.width and one.p_value is None
    assert dict(one.tracks[0].rejected) == {DAMAGED_PHOTO: 1}


def test_four_frames_are_a_video(look: Callable[..., Scan], tmp_path: Path) -> None:
    path = film(tmp_path / "a.mp4", walk(4, level=ODD))
    [one] = look(path).files
    assert (one.medium, one.frames, one.verdict, one.duration_s) == ("video", 4, "suspect", 0.5)
    [one] = look(path, fps=2.0).files
    assert (one.frames, one.verdict, one.tracks[0].rule) == (1, "suspect", "one face")


def test_no_face_is_no_score(look: Callable[..., Scan], tmp_path: Path) -> None:
    found = look(clip(tmp_path / "a.mp4", []), photo(tmp_path / "a.png", []))
    assert found.complete
    for one in found.files:
        assert (one.verdict, one.reasons, one.p_value, one.tracks) == ("cannot tell", (NO_FACE,), None, ())
        assert one.frames > 0


def test_a_crowd(look: Callable[..., Scan], tmp_path: Path) -> None:
    places = [(4 + 23 * column, 4 + 22 * row, 16) for column in range(4) for row in range(3)]
    path = photo(tmp_path / "crowd.png", places)
    [one] = look(path).files
    assert len(one.tracks) == len(one.judged) == 12 and one.verdict == "no sign found"
    assert all(
        each.p_adjusted == min(1.0, 12 * each.p_value) for each in one.judged if each.p_value is not None
    )
    [one] = look(path, detector=by_brightness(faces=100)).files
    assert one.verdict == "cannot tell" and one.reasons == ("more faces than the calibration supports",)
    [one] = look(path, faces="largest").files
    assert len(one.tracks) == 1 and one.verdict == "no sign found"


def test_a_small_doubtful_or_distant_square(look: Callable[..., Scan], tmp_path: Path) -> None:
    [one] = look(photo(tmp_path / "small.png", [(30, 30, 6)])).files
    assert (one.verdict, one.reasons) == ("cannot tell", ("too small",))
    [one] = look(photo(tmp_path / "dim.png", level=REAL), **DEFAULT).files
    assert one.reasons == ("uncertain detection",)
    elsewhere = CropRule(detector="bright", dx=5.0)
    [one] = look(photo(tmp_path / "border.png", [(50, 16, 40)]), crop=elsewhere).files
    assert one.reasons == ("crop outside the frame",)


@pytest.mark.parametrize(("rotate", "turns"), [(90, -1), (180, 2), (270, 1)])
def test_a_phones_video_is_judged_upright(tmp_path: Path, rotate: int, turns: int) -> None:
    pictures = walk(12)
    upright = film(tmp_path / "a.mp4", pictures)
    turned = film(tmp_path / "b.mp4", [np.rot90(each, turns) for each in pictures], rotate=rotate)
    one, other = (scan_file(path, context(network())).to_dict() for path in (upright, turned))
    assert one["tracks"] and one | {"path": ""} == other | {"path": ""}


def test_a_phones_photo_is_judged_upright(tmp_path: Path) -> None:
    pixels = walk(1)[0]
    Image.fromarray(pixels).save(tmp_path / "a.png")
    turned = Image.Exif()
    turned[0x0112] = 6
    Image.fromarray(np.ascontiguousarray(np.rot90(pixels))).save(tmp_path / "b.png", exif=turned)
    one, other = (scan_file(tmp_path / name, context()).to_dict() for name in ("a.png", "b.png"))
    assert one["verdict"] == "no sign found" and one | {"path": ""} == other | {"path": ""}


@pytest.mark.parametrize("size", [(1, 1), (1, 2000), (2000, 1), (3, 3)])
def test_odd_sizes(look: Callable[..., Scan], tmp_path: Path, size: tuple[int, int]) -> None:
    Image.new("RGB", size, (200, 200, 200)).save(tmp_path / "a.png")
    [one] = look(tmp_path / "a.png", pictures=True, detector=network(), **DEFAULT).files
    assert (one.status, one.verdict, (one.width, one.height)) == ("ok", "cannot tell", size)


@pytest.mark.parametrize(
    "name", ["with space.mp4", "Größe 画.mp4", "<script>alert(1).mp4", "line\nbreak.mp4"]
)
def test_any_name_will_do(look: Callable[..., Scan], tmp_path: Path, name: str) -> None:
    path = clip(tmp_path / "folder" / name, PERSON, frames=2, **LEVEL)
    (tmp_path / name).write_text("no video")
    found = look(path, tmp_path / name)
    assert [(one.path, one.status) for one in found.files] == [
        (str(path), "ok"), (str(tmp_path / name), "unreadable"),
    ]  # fmt: skip
    assert "text file" in problems(found, tmp_path / name)


def test_names_that_are_no_text_are_written_out(
    look: Callable[..., Scan], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    odd = tmp_path / os.fsdecode(b"\xff")
    try:
        odd.mkdir()
    except OSError:
        pytest.skip("this file system takes UTF-8 names only")
    photo(odd / os.fsdecode(b"a\xfe.png"))
    (odd / os.fsdecode(b"b\xfe.png")).touch()
    found = look(odd)
    assert [one.path for one in found.files] == [f"{tmp_path}/\\xff/{name}\\xfe.png" for name in "ab"]
    assert [one.status for one in found.files] == ["ok", "unreadable"]
    monkeypatch.setattr(os, "scandir", _forbidden)
    assert "cannot be read" in problems(look(odd), Path(f"{tmp_path}/\\xff"))


def _forbidden(path: Any) -> Iterator[Any]:
    raise PermissionError(13, "Permission denied", str(path))


def test_a_folder_that_cannot_be_read(
    look: Callable[..., Scan], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = photo(tmp_path / "a.png")
    (tmp_path / "locked").mkdir()
    monkeypatch.setattr(os, "scandir", _forbidden)
    found = look(tmp_path / "locked", whole)
    assert "Permission denied" in problems(found, tmp_path / "locked")
    assert found.files[1].verdict == "no sign found"


def test_a_file_that_vanishes_meanwhile(look: Callable[..., Scan], tmp_path: Path) -> None:
    first, second = photo(tmp_path / "a.png"), photo(tmp_path / "b.png")
    found = look(first, second, on_progress=lambda done, total: second.unlink(missing_ok=True))
    assert "no such file" in problems(found, second) and found.files[0].status == "ok"


def test_a_name_that_no_file_can_have(look: Callable[..., Scan]) -> None:
    assert "no such file" in problems(look(Path("a\0b.mp4")), Path("a\0b.mp4"))


class Broken:
    """A face detector with a bug that green pictures bring to light."""

    name, confidence = "bright", 0.9

    def __init__(self, error: BaseException) -> None:
        self.error = error

    def detect(self, image: Tensor) -> list[Face]:
        if image[1].float().mean() > image[0].float().mean() + 60:
            raise self.error
        return BrightSquares().detect(image)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (RuntimeError("index 7 is out of\n bounds"), "RuntimeError: index 7 is out of bounds"),
        (MemoryError(), "it needs more memory than there is"),
        (OSError(5, "Input/output error"), "Input/output error"),
        (AssertionError(), "AssertionError"),
    ],
)
def test_a_bug_at_one_file_ends_nothing(
    look: Callable[..., Scan], tmp_path: Path, error: Exception, said: str
) -> None:
    clip(tmp_path / "a.mp4", ground=POISON)
    photo(tmp_path / "b.png")
    found = look(tmp_path, face_detector=Broken(error))
    assert said in problems(found, tmp_path / "a.mp4") and found.files[1].verdict == "no sign found"


def test_a_codecs_bug_ends_nothing(
    look: Callable[..., Scan], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clip(tmp_path / "a.mp4")
    photo(tmp_path / "b.png")

    def burst(*_: Any, **__: Any) -> None:
        raise ValueError("the codec's own")

    monkeypatch.setattr("verovolto.media.open_video", burst)
    found = look(tmp_path)
    assert "the codec's own" in problems(found, tmp_path / "a.mp4")
    assert found.files[1].verdict == "no sign found"


def test_an_interrupted_scan_keeps_what_is_done(look: Callable[..., Scan], tmp_path: Path) -> None:
    photo(tmp_path / "a.png")
    clip(tmp_path / "b.mp4", ground=POISON)
    photo(tmp_path / "c.png")
    found = look(tmp_path, face_detector=Broken(KeyboardInterrupt()))
    assert [Path(one.path).name for one in found.files] == ["a.png"] and found.not_reached == 2


class NoNumber(TrivialDetector):
    """A detector whose score of bright faces is no number."""

    value = float("nan")

    def score_batch(self, batch: FaceBatch, *, anomaly_map: bool = False) -> Scores:
        scores = super().score_batch(batch).columns["brightness"]
        scores[scores > 200] = self.value
        return Scores(columns={"brightness": scores}, default="brightness")


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_what_is_no_number_is_no_score(
    look: Callable[..., Scan], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: float
) -> None:
    monkeypatch.setattr(NoNumber, "value", value)
    detector = NoNumber(default_score="brightness", calibration=by_brightness().calibration)
    [one] = look(photo(tmp_path / "a.png", level=ODD), detector=detector, pictures=True).files
    assert (one.verdict, one.reasons) == ("cannot tell", ("score that is no finite number",))
    pictures = [*walk(3, level=ODD), *walk(2, level=160)]
    [one] = look(film(tmp_path / "a.mp4", pictures), detector=detector).files
    assert one.verdict != "suspect" and sum(len(each.frame_scores) for each in one.tracks) == 2


def test_nothing_to_scan_is_an_error(look: Callable[..., Scan], tmp_path: Path) -> None:
    (tmp_path / "notes.txt").touch()
    with pytest.raises(InputError, match="no photos and no videos in the folders"):
        look(tmp_path)
    with pytest.raises(InputError, match="nothing to scan was given"):
        look()


def test_settings_that_cannot_be_kept_are_errors(look: Callable[..., Scan], tmp_path: Path) -> None:
    path = photo(tmp_path / "a.png")
    with pytest.raises(CalibrationError, match="400 held-out real faces cannot support"):
        look(path, false_alarm=0.001)
    with pytest.raises(InputError, match="does not say how the faces it was trained on were cropped"):
        look(path, crop=None)
    with pytest.raises(InputError, match="not known how boxes of blue relate to those of bright"):
        look(path, face_detector=BrightSquares(name="blue"))
    for wrong in ({"false_alarm": 0.0}, {"false_alarm": 1.0}, {"false_alarm": float("nan")}, {"fps": 0.0}):
        with pytest.raises(InputError):
            look(path, **wrong)
    uncalibrated = TrivialDetector(default_score="brightness")
    with pytest.raises(CalibrationError, match="is not calibrated"):
        look(path, detector=uncalibrated)


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("detector")
    network().save(folder)
    return folder


def test_processes_find_the_same_and_may_be_killed(
    look: Callable[..., Scan], saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    media = tmp_path / "media"
    media.mkdir()
    for name, frames in (("1.mp4", 20), ("3.mp4", 5)):
        film(media / name, walk(frames, seed=frames))
    (media / "2.mp4").write_text("no video")
    photo(media / "5.png", [(4, 4, 30), (50, 30, 40)])
    inline = look(media, detector=saved).to_dict()
    poison = clip(media / "4 poison.mp4", ground=POISON, frames=2)
    heard: list[tuple[float, int]] = []
    monkeypatch.setattr(run, "Scanner", BrightScanner)
    found = look(media, detector=saved, workers=2, on_progress=lambda *at: heard.append(at))
    assert "killed twice (SIGKILL" in problems(found, poison)
    assert heard == [(done, 5) for done in range(6)]
    together = found.to_dict()
    del together["media"][3]
    together["counts"]["unreadable"] -= 1
    for each in (together, inline):  # times and ids
        del each["run"], each["digest"]
    assert together == inline


def flipped(data: bytes, flips: list[tuple[int, int]]) -> bytes:
    out = bytearray(data)
    for at, mask in flips:
        out[at % len(out)] ^= mask
    return bytes(out)


@pytest.fixture(scope="module")
def sound_files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    folder = tmp_path_factory.mktemp("sound")
    picture = io.BytesIO()
    Image.fromarray(walk(1)[0]).save(picture, "JPEG")
    return {
        "mp4": clip(folder / "a.mp4", PERSON, frames=5, **LEVEL).read_bytes(),
        "jpg": picture.getvalue(),
    }


@pytest.fixture(scope="module")
def fuzzed() -> ScanContext:
    return context(limits=Limits(frame_pixels=1 << 20, photo_pixels=1 << 20), pictures=True)


@settings(max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.sampled_from(["mp4", "jpg"]),
    st.lists(st.tuples(st.integers(0, 1 << 16), st.integers(1, 255)), min_size=1, max_size=6),
)
def test_flipped_bytes_give_a_result(
    sound_files: dict[str, bytes],
    fuzzed: ScanContext,
    tmp_path: Path,
    kind: str,
    flips: list[tuple[int, int]],
) -> None:
    path = tmp_path / f"a ü.{kind}"
    path.write_bytes(flipped(sound_files[kind], flips))
    check(scan_file(path, fuzzed), path)


def test_a_video_without_a_sound_frame_is_unreadable(look: Callable[..., Scan], tmp_path: Path) -> None:
    """Its frames decode, and each was made up in part: "no face found" would say that somebody looked."""
    path = clip(tmp_path / "a.mp4", PERSON, frames=4, **LEVEL)
    data = bytearray(path.read_bytes())
    middle = data.index(b"mdat") + (len(data) - data.index(b"mdat")) // 4
    data[middle : middle + 40] = bytes(40)
    path.write_bytes(data)
    assert "there is no sound frame in it; 4 of 4 frames came out damaged" in problems(look(path), path)


def check(one: FileResult, path: Path) -> None:
    """What holds of any result."""
    assert one.path == str(path)
    if one.status == "unreadable":
        assert one.verdict is None and one.problems and all(one.problems) and not one.tracks
        assert str(path) not in one.problems[0]
    else:
        assert one.verdict in VERDICTS and one.frames > 0 and one.width and one.height
        assert bool(one.problems) == (one.status == "damaged")
        assert bool(one.reasons) == (one.verdict == "cannot tell")
    for track in one.tracks:
        assert track.seen == len(track.frame_scores) + sum(track.rejected.values()) <= one.frames
        assert len(track.key_frames) == min(3, len(track.frame_scores))
        times = [frame_score.time_s for frame_score in track.frame_scores]
        assert times == sorted(times) and all(track.start_s <= at <= track.end_s for at in times)
    json.dumps(one.to_dict(), allow_nan=False).encode("utf-8")
