"""`verovolto scan` as a user meets it; what it finds is tested in tests/scoring/scan."""

from __future__ import annotations

import hashlib
import json
import zipfile
from pathlib import Path
from typing import Any, Literal

import pytest

from tests.conftest import Command, full_disk
from tests.faces.bright import RULE, BrightSquares
from tests.scanning.drawn import film, network, photo, walk
from verovolto import Detector, scan
from verovolto.core.errors import CalibrationError, InputError
from verovolto.faces.detection.centerface import CenterFaceDetector
from verovolto.faces.detection.mtcnn import MTCNNDetector
from verovolto.scanning import scan_file as medium


@pytest.fixture
def run(command_line: Command) -> Command:
    """Run `verovolto scan`."""
    return lambda *words: command_line("scan", *words)


@pytest.fixture
def flags(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[object, ...]:
    """A detector, and squares that count as faces."""
    monkeypatch.setattr("verovolto.scanning.run.open_detector", lambda name: BrightSquares())
    network().save(tmp_path / "run/detector")
    (tmp_path / "rule.json").write_text(json.dumps(RULE.to_dict()))
    rule = ("--crop", tmp_path / "rule.json")
    return ("--detector", tmp_path / "run", *rule, "--smallest", 8, "--workers", 0, "--every-frame")


def without(flags: tuple[object, ...], name: object) -> tuple[object, ...]:
    """The flags but for one, and its value."""
    if name not in flags:
        return flags
    at = flags.index(name)
    return flags[:at] + flags[at + (1 if name == "--every-frame" else 2) :]


def without_keys(values: dict[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if name not in names}


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    return film(tmp_path / "a clip.mp4", walk(6, level=250))


def test_table_json_and_report(run: Command, flags: tuple[object, ...], clip: Path, tmp_path: Path) -> None:
    code, out, _ = run(clip, *flags, "--json", tmp_path / "out/r.json", "--report", tmp_path / "page")
    assert code == 0
    assert "a clip.mp4" in out and "report: " in out
    found = json.loads((tmp_path / "out/r.json").read_text())
    assert found["schema_version"] == 1 and found["settings"]["fps"] is None
    [one] = found["media"]
    assert one["medium"] == "video" and one["frames_looked_at"] == 6 and one["verdict"] in out
    assert len(one["tracks"][0]["timeline"]) == 6
    page = (tmp_path / "page/report.html").read_text()
    assert "verovolto scan" in page and "--every-frame" in page and "data:image/" in page


def test_json_on_standard_output_is_nothing_else(run: Command, flags: tuple[object, ...], clip: Path) -> None:
    code, out, _ = run(clip, *flags, "--json", "-")
    assert code == 0 and json.loads(out)["media"][0]["path"] == str(clip)


def test_a_bundle_holds_what_is_written_beside_it(
    run: Command, flags: tuple[object, ...], clip: Path, tmp_path: Path
) -> None:
    outputs = ("--json", tmp_path / "r.json", "--report", tmp_path / "page", "--bundle", tmp_path / "b.zip")
    code, out, _ = run(clip, *flags, *outputs)
    assert code == 0 and "bundle: " in out
    with zipfile.ZipFile(tmp_path / "b.zip") as archive:
        assert archive.read("result.json") == (tmp_path / "r.json").read_bytes()
        assert archive.read("report/report.html") == (tmp_path / "page/report.html").read_bytes()
        figure = "figures/timeline_01.png"
        assert archive.read(f"report/{figure}") == (tmp_path / "page" / figure).read_bytes()
        sums = archive.read("SHA256SUMS").decode()
    assert f"{hashlib.sha256((tmp_path / 'r.json').read_bytes()).hexdigest()}  result.json\n" in sums


def test_a_bad_file_never_stops_the_rest(
    run: Command, flags: tuple[object, ...], clip: Path, tmp_path: Path
) -> None:
    (tmp_path / "text.mp4").write_text("not found")
    code, out, _ = run(tmp_path / "text.mp4", tmp_path / "nowhere.mp4", clip, *flags, "--json", "-")
    statuses = [one["status"] for one in json.loads(out)["media"]]
    assert code == 1 and statuses == ["unreadable", "unreadable", "ok"]


def test_without_any_detector_it_says_how_to_have_one(
    run: Command, clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("verovolto.detectors.io.FOLDER", tmp_path / "default")
    code, _, err = run(clip)
    assert code == 2 and "verovolto train" in err and "none comes with this version" in err


@pytest.mark.parametrize(
    ("words", "match"),
    [
        (("--false-alarm", 0.001), "cannot support"),
        (("--false-alarm", 1.5), "between 0 and 1"),
        (("--fps", 0), "no-every-frame|above 0"),
        (("--workers", -1), "negative"),
        (("--crop", "tigth"), "neither a rule nor a file"),
        (("--report", "{clip}"), "is a file"),
        (("--json", "{clip}/x.json"), "is a file"),
        (("--json", "--report"), "no file"),
    ],
)
def test_wrong_use_is_one_line(
    run: Command, flags: tuple[object, ...], clip: Path, words: tuple[object, ...], match: str
) -> None:
    for flag in ("--every-frame",) if "--fps" in words else words[:1]:
        flags = without(flags, flag)
    code, _, err = run(clip, *flags, *(str(word).format(clip=clip) for word in words))
    assert code == 2 and sum(line.startswith("error: ") for line in err.splitlines()) == 1
    assert "Traceback" not in err
    assert any(part in err for part in match.split("|"))


def test_nothing_to_scan(run: Command, flags: tuple[object, ...], tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    code, _, err = run(tmp_path / "empty", *flags)
    assert code == 2 and "no photos and no videos" in err


def test_interrupted_it_hands_out_what_is_done(
    run: Command, flags: tuple[object, ...], clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    second = film(tmp_path / "second.mp4", walk(2, level=250))
    real = medium.open_media

    def interrupted(path: Path, **options: object) -> object:
        if path == second:
            raise KeyboardInterrupt
        return real(path, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(medium, "open_media", interrupted)
    code, _, err = run(clip, second, *flags, "--json", tmp_path / "r.json")
    found = json.loads((tmp_path / "r.json").read_text())
    assert code == 130 and "1 of 2 files" in err
    assert found["counts"]["not_reached"] == 1 and len(found["media"]) == 1


def test_a_full_disk_comes_after_the_table(
    run: Command, flags: tuple[object, ...], clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("verovolto.core.files.atomic_path", full_disk(tmp_path))
    code, out, err = run(clip, *flags, "--json", tmp_path / "r.json")
    assert code == 2 and "disk is full" in err and "a clip.mp4" in out


def test_files_are_written_before_the_table_is_printed(
    run: Command, flags: tuple[object, ...], clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    there: list[bool] = []
    files = [tmp_path / "r.json", tmp_path / "page/report.html"]

    def printed(*_: object, **__: object) -> None:
        there.append(all(file.is_file() for file in files))

    monkeypatch.setattr("builtins.print", printed)
    code, _, _ = run(clip, *flags, "--json", files[0], "--report", files[1].parent)
    assert code == 0 and there == [True, True]


class TestKept:
    """`--list`, `--out` and `--shard`, and what is made of the kept results afterwards."""

    @pytest.fixture
    def listed(self, tmp_path: Path, clip: Path) -> Path:
        """A list of a clip, a photo and a file that is not there."""
        photo(tmp_path / "a.png")
        names = [clip, tmp_path / "a.png", tmp_path / "gone.mp4"]
        (tmp_path / "files.txt").write_text("# three\n" + "\n".join(map(str, names)) + "\n")
        return tmp_path / "files.txt"

    def test_shards_first_and_json_and_report_afterwards(
        self, run: Command, flags: tuple[object, ...], listed: Path, tmp_path: Path
    ) -> None:
        out, found = tmp_path / "kept", tmp_path / "r.json"
        code, said, err = run("--list", listed, "--out", out, "--shard", "2/2", *flags)
        assert (code, said) == (0, "") and "1 files: " in err
        code, said, _ = run("--out", out, "--json", found)
        assert code == 1 and "1 cannot tell, 2 not reached, of 3 files" in said
        code, _, err = run("--list", listed, "--out", out, "--shard", "1/2", *flags)
        assert code == 1 and "2 files, 1 of them could not be scanned" in err
        code, said, _ = run("--out", out, "--json", found, "--report", tmp_path / "page")
        assert code == 1 and "1 not scanned, of 3 files" in said and "parts/*/*.parquet" in said
        values = json.loads(found.read_text())
        assert [Path(one["path"]).name for one in values["media"]] == ["a clip.mp4", "a.png", "gone.mp4"]
        assert values["counts"]["not_reached"] == 0 and f"--list {listed}" in values["run"]["command"]
        page = (tmp_path / "page/report.html").read_text()
        assert "a clip.mp4" in page and str(out) in page and list((tmp_path / "page/figures").glob("*.png"))

    def test_in_one_go(self, run: Command, flags: tuple[object, ...], listed: Path, tmp_path: Path) -> None:
        words = ("--list", listed, "--out", tmp_path / "kept", "--json", "-", *flags)
        code, out, err = run(*words)
        assert code == 1 and len(json.loads(out)["media"]) == 3 and "3 files, 1 of them" in err
        code, again, err = run(*words)
        assert again == out and "3 files (2 were there)" in err

    def test_a_list_alone_is_a_way_to_name_files(
        self, run: Command, flags: tuple[object, ...], listed: Path, tmp_path: Path
    ) -> None:
        code, out, _ = run(tmp_path / "a.png", "--list", listed, "--json", "-", *flags)
        assert code == 1 and len(json.loads(out)["media"]) == 3

    @pytest.mark.parametrize(
        ("words", "match"),
        [
            (("--shard", "1/2", "--list", "{list}"), "give --out DIR"),
            (("--shard", "1/2", "--list", "{list}", "--out", "{out}", "--json", "-"), "part of the result"),
            (("--shard", "3/2", "--list", "{list}", "--out", "{out}"), "no part of a whole"),
            (("--list", "{out}", "--out", "{out}"), "there is no list"),
            (("--out", "{out}", "--json", "-"), "holds no scan"),
            (("--list", "{list}", "--out", "{list}"), "is a file"),
            (("--shard", "1/2", "--out", "{out}"), "names no files"),
        ],
    )
    def test_wrong_use(
        self, run: Command, flags: tuple[object, ...], listed: Path, tmp_path: Path,
        words: tuple[str, ...], match: str,
    ) -> None:  # fmt: skip
        code, _, err = run(*(word.format(list=listed, out=tmp_path / "kept") for word in words), *flags)
        assert code == 2 and match in err and err.count("error: ") == 1

    def test_a_full_disk(
        self, run: Command, flags: tuple[object, ...], listed: Path, tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:  # fmt: skip
        words = ("--list", listed, "--out", tmp_path / "kept", *flags)
        with monkeypatch.context() as full:
            full.setattr("verovolto.scanning.parts.atomic_path", full_disk(tmp_path))
            code, _, err = run(*words)
            assert code == 2 and "the disk is full" in err
        assert run(*words)[0] == 1


class TestFaceDetector:
    """A face counts from the confidence of the face detector that is opened, whichever way it was chosen."""

    @pytest.fixture
    def looking(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> tuple[object, ...]:
        """Flags of a detector; both face detectors find squares, and are at hand."""
        network().save(tmp_path / "run/detector")
        monkeypatch.setattr("verovolto.faces.detection.centerface.model_bytes", lambda: b"")
        for detector in (MTCNNDetector, CenterFaceDetector):
            monkeypatch.setattr(detector, "detect", lambda _, image, **_least: BrightSquares().detect(image))
        return ("--detector", tmp_path / "run", "--smallest", 8, "--workers", 0, "--fps", 2, "--json", "-")

    @pytest.mark.parametrize("given", ["rule", "flag"])
    @pytest.mark.parametrize(("name", "confidence", "judged"), [("mtcnn", 0.9, 0), ("centerface", 0.5, 1)])
    def test_the_least_confidence_is_its_own(
        self,
        run: Command,
        looking: tuple[object, ...],
        tmp_path: Path,
        given: str,
        name: str,
        confidence: float,
        judged: int,
    ) -> None:
        rule = {"detector": name if given == "rule" else "mtcnn", "scale": 1.0}
        (tmp_path / "rule.json").write_text(json.dumps(rule))
        dim = film(tmp_path / "dim.mp4", walk(2, level=190))  # of a confidence of 0.75
        flags = (*looking, "--crop", tmp_path / "rule.json")
        flags += ("--face-detector", name) if given == "flag" else ()
        _, out, _ = run(dim, *flags)
        found = json.loads(out)
        assert found["settings"]["face_detector"] == name
        assert found["settings"]["least"] == {"side": 8.0, "sharpness": 5.0, "confidence": confidence}
        [track] = found["media"][0]["tracks"]
        assert track["frames_judged"] == judged
        assert track["passed_over"] == ({} if judged else {"uncertain detection": 1})

    def test_in_python_likewise(
        self, looking: tuple[object, ...], run: Command, clip: Path, tmp_path: Path
    ) -> None:
        (tmp_path / "rule.json").write_text(json.dumps({"detector": "mtcnn", "scale": 1.0}))
        rule = str(tmp_path / "rule.json")
        detector = Detector.load(tmp_path / "run")
        found = detector.scan(clip, crop=rule, face_detector="centerface", smallest=8, faces="largest")
        assert found.settings["least"] == {"side": 8, "sharpness": 5.0, "confidence": 0.5}
        assert (found.settings["face_detector"], found.settings["faces"]) == ("centerface", "largest")
        words = ("--crop", rule, "--face-detector", "centerface", "--faces", "largest")
        _, out, _ = run(clip, *looking, *words)
        assert found.to_dict()["media"] == json.loads(out)["media"]
        assert found.files[0].tracks[0].frame_scores


class TestInPython:
    def test_the_function_takes_a_detector_by_its_folder(
        self, run: Command, flags: tuple[object, ...], clip: Path, tmp_path: Path
    ) -> None:
        found = scan(clip, detector=tmp_path / "run", crop=str(tmp_path / "rule.json"), fps=None, smallest=8)
        _, out, _ = run(clip, *flags, "--json", "-")
        of_a_run = ("run", "digest")  # times and ids
        assert without_keys(found.to_dict(), of_a_run) == without_keys(json.loads(out), of_a_run)
        detector = Detector.load(tmp_path / "run")
        again = scan(
            str(clip), detector=detector, crop=str(tmp_path / "rule.json"), fps=None, smallest=8, workers=None
        )
        assert again.to_dict()["media"] == found.to_dict()["media"]

    @pytest.mark.parametrize(("faces", "judged"), [("all", 2), ("largest", 1)])
    def test_faces_and_their_smallest_size(
        self, flags: tuple[object, ...], tmp_path: Path, faces: Literal["all", "largest"], judged: int
    ) -> None:
        detector = Detector.load(tmp_path / "run")
        path = photo(tmp_path / "two.png", [(4, 4, 20), (40, 20, 44)], level=250)
        rule = str(tmp_path / "rule.json")
        found = detector.scan(path, crop=rule, faces=faces, smallest=8)
        assert len(found.files[0].tracks) == judged
        tracks = detector.scan(path, crop=rule, faces=faces, smallest=300).files[0].tracks
        assert {track.reasons[0] for track in tracks} <= {"too small", "too blurred"}

    def test_scan_gives_the_same_as_objects(
        self, run: Command, flags: tuple[object, ...], clip: Path, tmp_path: Path
    ) -> None:
        detector = Detector.load(tmp_path / "run")
        rule = str(tmp_path / "rule.json")
        found = detector.scan(clip, fps=None, crop=rule)
        assert len(found.files[0].judged) == 0, "squares of 40 pixels are too small unless asked for"
        _, out, _ = run(clip, *without(flags, "--smallest"), "--json", "-")
        assert found.to_dict()["media"] == json.loads(out)["media"]

    def test_it_refuses_what_cannot_be_judged(
        self, flags: tuple[object, ...], clip: Path, tmp_path: Path
    ) -> None:
        detector = Detector.load(tmp_path / "run")
        with pytest.raises(InputError, match="does not say how the faces it was trained on were cropped"):
            detector.scan(clip)
        detector.calibration = {}
        with pytest.raises(CalibrationError, match="not calibrated"):
            detector.scan(clip, crop=str(tmp_path / "rule.json"))
