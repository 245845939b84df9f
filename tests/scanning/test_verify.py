"""A changed byte is found: in a file, in the detector, in the result, in a bundle."""

from __future__ import annotations

import json
import shutil
import zipfile
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Command
from tests.faces.bright import RULE, BrightSquares
from tests.scanning.drawn import ODD, by_brightness, context, film, photo, walk
from verovolto.scanning import evidence, run
from verovolto.scanning.request import ScanRequest
from verovolto.scanning.run import MediaPath, scan_files
from verovolto.scanning.settings import ScanSettings
from verovolto.scanning.verify import compare_media, read_result, verify


@pytest.fixture(autouse=True)
def _squares(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "open_detector", lambda name: BrightSquares())


@pytest.fixture
def folder(tmp_path: Path, command_line: Command) -> Path:
    """A scan of a clip, a photo and a text, with everything that it wrote."""
    by_brightness().save(tmp_path / "detector")
    (tmp_path / "rule.json").write_text(json.dumps(RULE.to_dict()))
    (tmp_path / "media").mkdir()
    film(tmp_path / "media/a.mp4", walk(5, level=ODD))
    photo(tmp_path / "media/b.png")
    (tmp_path / "media/c.txt").write_text("no picture")
    media = [tmp_path / "media" / name for name in ("a.mp4", "b.png", "c.txt")]
    code, _, err = command_line(
        "scan", *media, "--detector", tmp_path / "detector",
        "--crop", tmp_path / "rule.json", "--smallest", 8, "--workers", 0, "--json", tmp_path / "r.json",
        "--bundle", tmp_path / "b.zip",
    )  # fmt: skip
    assert code == 1, err  # the text is none
    return tmp_path


def states(path: Path, *files: Path, **options: Any) -> dict[str, str]:
    """The state of each check by the last part of its name."""
    return {check.what.rpartition("/")[2]: check.state for check in verify(path, files, **options)}


def flip(path: Path, at: int) -> None:
    """Change one byte."""
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    path.write_bytes(content)


def test_everything_is_the_same(folder: Path) -> None:
    found = states(folder / "r.json", rescan=True)
    assert set(found.values()) == {"same"}
    assert {"r.json", "a.mp4", "b.png", "c.txt", "a.mp4, scanned again"} <= set(found)


def test_files_are_found_by_their_content(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "else").mkdir()
    shutil.move(folder / "media/a.mp4", tmp_path / "else/holiday.mp4")
    assert states(folder / "r.json")["a.mp4"] == "missing"
    found = states(folder / "r.json", tmp_path / "else", folder / "media/b.png", folder / "media/c.txt")
    assert set(found.values()) == {"same"}


@pytest.mark.parametrize("at", [0, 100, -1])
def test_a_byte_of_a_file(folder: Path, at: int) -> None:
    flip(folder / "media/a.mp4", at)
    found = states(folder / "r.json", rescan=True)
    assert found["a.mp4"] == "changed" and found["a.mp4, scanned again"] == "cannot be verified"
    assert found["b.png, scanned again"] == "same"
    assert states(folder / "r.json", folder / "media/a.mp4")["a.mp4"] == "changed"  # found by its name


@pytest.mark.parametrize("name", ["model.safetensors", "detector.json"])
def test_a_byte_of_the_detector(folder: Path, name: str) -> None:
    flip(folder / "detector" / name, -10)
    found = states(folder / "r.json", rescan=True)
    assert found["detector trivial"] == "changed" and found["scanned again"] == "cannot be verified"


def test_another_detector_is_not_the_one(folder: Path, tmp_path: Path) -> None:
    by_brightness(faces=200).save(tmp_path / "other")
    assert states(folder / "r.json", detector=tmp_path / "other")["detector trivial"] == "changed"
    assert states(folder / "r.json", detector=tmp_path / "none")["detector trivial"] == "missing"


@pytest.mark.parametrize(
    ("before", "after", "state"),
    [
        ('"verdict": "suspect"', '"verdict": "no sign found"', "changed"),
        ('"schema_version": 1', '"schema_version": 2', "changed"),
        ('"digest": "', '"digest": "0', "changed"),
        (
            '"schema_version": 1,\n',
            '"schema_version": 1, \n',
            "same",
        ),  # no value is another one, which is said
    ],
)
def test_a_byte_of_the_result(folder: Path, before: str, after: str, state: str) -> None:
    text = (folder / "r.json").read_text()
    assert before in text
    (folder / "r.json").write_text(text.replace(before, after))
    [check] = read_result(folder / "r.json").checks
    assert check.state == state
    assert ("laid out differently" in check.why) == (state == "same")


def test_a_result_of_before_there_were_digests(folder: Path) -> None:
    values = json.loads((folder / "r.json").read_text())
    for one in (values, values["detector"]):
        del one["digest"]
    for medium in values["media"]:
        del medium["sha256"]
    (folder / "r.json").write_text(json.dumps(values))
    assert set(states(folder / "r.json", rescan=True).values()) == {"cannot be verified"}


@pytest.mark.parametrize("name", ["result.json", "report/report.html"])
def test_a_byte_inside_a_bundle(folder: Path, name: str) -> None:
    with zipfile.ZipFile(folder / "b.zip") as archive:
        members = {each: archive.read(each) for each in archive.namelist()}
    assert set(states(folder / "b.zip").values()) == {"same"}
    members[name] = members[name].replace(b"a.mp4", b"A.mp4")
    members["added.txt"] = b""
    with zipfile.ZipFile(folder / "b.zip", "w") as archive:
        for each, content in members.items():
            archive.writestr(each, content)
    found = {check.what: check.state for check in verify(folder / "b.zip")}
    assert found[f"b.zip: {name}"] == found["b.zip: added.txt"] == "changed"


def test_the_command_and_its_exit_codes(folder: Path, command_line: Command) -> None:
    code, out, _ = command_line("verify", folder / "r.json")
    assert code == 0 and out.splitlines()[-1] == "5 of 5 checks: the same"
    (folder / "media/b.png").unlink()
    code, out, _ = command_line("verify", folder / "r.json")
    assert code == 1 and "missing  " in out
    for broken in ("{", "[]", '{"media": 1}', '{"a": 1, "a": 2}'):
        (folder / "r.json").write_text(broken)
        code, _, err = command_line("verify", folder / "r.json")
        assert code == 2 and "--json" in err and "Traceback" not in err


def test_a_file_that_changes_while_it_is_scanned_has_no_verdict(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = photo(tmp_path / "a.png")
    whole = path.read_bytes()

    def touched(file: Path, *_: object, **__: object) -> Any:
        file.write_bytes(whole + b"x")
        return real(file, *_, **__)

    real = run.scan_file
    monkeypatch.setattr(run, "scan_file", touched)
    found = scan_files(by_brightness(), [path], context().settings)
    [medium] = found.to_dict()["media"]
    assert medium["status"] == "changed during scan" and medium["verdict"] is None and not medium["tracks"]
    assert "SHA-256" in medium["problems"][0] and not found.complete
    assert found.to_dict()["counts"]["changed during scan"] == 1


def test_what_is_no_file_is_not_hashed(tmp_path: Path) -> None:
    import os

    os.mkfifo(tmp_path / "pipe")
    result = run._result(MediaPath(path=tmp_path / "pipe"), context())
    assert result.status == "unreadable" and result.facts.fingerprint is None


def test_facts_and_record(folder: Path) -> None:
    values = json.loads((folder / "r.json").read_text())
    a, b, c = values["media"]
    assert (a["container"], a["codecs"]) == ("mp4", ["h264"]) and (b["container"], b["codecs"]) == (
        "png",
        ["png"],
    )
    assert c["container"] is None and c["bytes"] == 10 and len(c["sha256"]) == 64
    assert a["modified_utc"].endswith("Z") and a["stored_size"] == [96, 72]
    assert values["run"]["command"].startswith("verovolto scan ") and "--bundle" in values["run"]["command"]
    assert values["detector"]["digest"] == evidence.detector_evidence(folder / "detector")["digest"]
    assert values["run"]["started_utc"] < values["run"]["finished_utc"]


def test_a_name_that_looks_like_a_flag_is_none_in_the_command() -> None:
    assert ScanRequest(paths=(Path("-a.mp4"),)).words()[2] == "./-a.mp4"


def test_the_licence_of_the_packages_detector_is_named() -> None:
    from verovolto.detectors.io import detector_folder

    assert evidence.detector_evidence(detector_folder())["licence"] == "WEIGHTS_LICENSE.md"


@pytest.mark.parametrize(("by", "state"), [(0.0, "same"), (0.04, "same"), (0.06, "changed")])
def test_scores_agree_within_a_thousandth_of_the_calibrated_range(by: float, state: str) -> None:
    settings = ScanSettings(crop=RULE, smallest=8.0, sharpness=0.0, confidence=0.5)
    found = scan_files(by_brightness(), [Path("tests/samples/v0.1.0/media/walk.mp4")], settings).to_dict()
    [before], promise = found["media"], found["promise"]["calibrated_on"]
    now = json.loads(json.dumps(before))
    now["tracks"][0]["timeline"][0]["score"] += by
    assert promise["highest"] - promise["lowest"] == 50
    assert compare_media("a", before, now, promise).state == state
    now["verdict"] = "cannot tell"
    assert compare_media("a", before, now, promise).state == "changed"
