"""What version 0.1.0 wrote still opens and still means the same: `samples/v0.1.0`, made of drawn faces.

The samples hold a face set (a folder and Parquet), a finished training run of one epoch with the state to resume from,
a detector of every kind, an evaluation's result and two scans. `expected.json` says what that version made of them.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.conftest import Command
from tests.experimental.blend.tiny import use_tiny_networks
from tests.faces.bright import BrightSquares
from tests.scanning.drawn import by_brightness, settings
from verovolto import Detector, FaceSet
from verovolto.data.score_table import ScoreTable
from verovolto.scanning import run as scan_run

SAMPLES = Path(__file__).parent / "samples" / "v0.1.0"
EXPECTED: dict[str, Any] = json.loads((SAMPLES / "expected.json").read_text())
SAME = {"rtol": 1e-4, "atol": 1e-5}
"""Other processors compute other last bits."""


@pytest.fixture
def samples(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy to work in, as the current folder: paths inside the samples are relative to it."""
    folder = shutil.copytree(SAMPLES, tmp_path / "samples")
    monkeypatch.chdir(folder)
    return folder


@pytest.mark.parametrize("name", EXPECTED["detectors"])
def test_every_kind_of_detector_opens_and_scores_the_same(
    name: str, samples: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_tiny_networks(monkeypatch)  # the sample of the blend network is one
    expected = EXPECTED["detectors"][name]
    detector = Detector.load(name)
    assert (detector.name, detector.default_score) == (expected["name"], expected["default_score"])
    assert detector.crop_rule == expected["crop_rule"]
    assert [each.to_dict() for each in detector.thresholds] == expected["thresholds"]
    scores = detector.score(EXPECTED["crops"])
    assert list(scores.columns) == list(expected["columns"])
    for column, values in expected["columns"].items():
        # Between processors sums differ in the last digits of the largest score, 55 here: that of a small one in more.
        scale = max(1.0, float(np.abs(values).max()))
        np.testing.assert_allclose(
            scores[column].numpy(), values, rtol=1e-4, atol=1e-5 * scale, err_msg=column
        )
    assert scores.p_value is not None
    np.testing.assert_allclose(scores.p_value, expected["p_value"], rtol=1e-12)


@pytest.mark.parametrize("name", EXPECTED["detectors"])
def test_a_detector_saved_again_is_the_same(
    name: str, samples: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_tiny_networks(monkeypatch)
    detector = Detector.load(name)
    detector.save(Path("again"))  # type: ignore[attr-defined]
    for file in ("detector.json", "model.safetensors"):
        assert (Path("again") / file).read_bytes() == (Path(name) / "detector" / file).read_bytes()


@pytest.mark.parametrize("name", ["faces", "faces-parquet"])
def test_face_sets_open(name: str, samples: Path) -> None:
    faces = FaceSet.open(name)
    assert len(faces) == EXPECTED["faces"]["rows"]
    assert faces.fingerprint() == EXPECTED["faces"]["fingerprints"][name]


def test_a_finished_run_is_finished(command_line: Command, samples: Path) -> None:
    before = {path: path.read_bytes() for path in Path("run").rglob("*") if path.is_file()}
    code, out, _ = command_line("train", "--config", "run/config.toml")
    assert code == 0 and "trained on 12 real faces" in out
    assert {path: path.read_bytes() for path in Path("run").rglob("*") if path.is_file()} == before


def test_a_run_goes_on_from_its_checkpoint(command_line: Command, samples: Path) -> None:
    # Of the checkpoints the sample holds one: after the first epoch the best has the same weights as the last.
    shutil.copy("run/checkpoints/last.ckpt", "run/checkpoints/best.ckpt")
    code, _, _ = command_line("train", "--config", "run/config.toml", "--epochs", 3)
    assert code == 0
    log = Path("run/metrics.csv").read_text().splitlines()
    old = (SAMPLES / "run/metrics.csv").read_text().splitlines()
    assert log[:2] == old and len(log) == 4
    scores = Detector.load("run").score(EXPECTED["crops"])
    for column, values in EXPECTED["continued"].items():
        np.testing.assert_allclose(scores[column].numpy(), values, rtol=1e-3, err_msg=column)


def keys(value: Any) -> Any:
    """The form of JSON values: keys of objects, the form of the first item of lists."""
    if isinstance(value, dict):
        return {name: keys(inner) for name, inner in value.items()}
    return [keys(value[0])] if isinstance(value, list) and value else None


def assert_holds(form: Any, before: Any, where: str = "") -> None:
    """Every key there was is there, in objects inside objects; new ones may have come."""
    if isinstance(before, dict):
        assert isinstance(form, dict), where
        for name, inner in before.items():
            assert name in form, f"{where}.{name}"
            assert_holds(form[name], inner, f"{where}.{name}")
    elif isinstance(before, list):
        assert isinstance(form, list) and len(form) == len(before), where
        for at, (now, then) in enumerate(zip(form, before, strict=True)):
            assert_holds(now, then, f"{where}[{at}]")


def shared(now: Any, before: Any) -> Any:
    """What stands under the keys that there were; new ones may have come beside them."""
    if isinstance(before, dict):
        return {name: shared(now[name], value) for name, value in before.items()}
    if isinstance(before, list):
        return [shared(*each) for each in zip(now, before, strict=True)]
    return now


def test_an_evaluation_gives_the_same_figures_under_the_same_keys(
    command_line: Command, samples: Path
) -> None:
    code, _, _ = command_line(
        "evaluate", "run", "--data", "faces", "--split", "test", "--out", "again", "--false-alarm", 0.2,
        "--protocol", "thesis",  # what 0.1.0 did in every evaluation
    )  # fmt: skip
    assert code == 0
    before, now = (json.loads(Path(name, "metrics.json").read_text()) for name in ("result", "again"))
    assert_holds(keys(now), keys(before))
    for name in ("auroc", "ap_fake", "ap_real", "eer", "pairs_ordered"):
        assert now[name] == pytest.approx(before[name]), name
    old, new = (ScoreTable.read(Path(name, "scores.parquet")) for name in ("result", "again"))
    assert set(old.table.column_names) <= set(new.table.column_names)
    np.testing.assert_allclose(new.values("rmse"), old.values("rmse"), **SAME)


def test_results_are_compared(command_line: Command, samples: Path) -> None:
    shutil.copytree("result", "other")
    code, out, _ = command_line("compare", "result", "other")
    assert code == 0 and "0.521" in out


def test_a_scan_gives_the_same_json(samples: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scan_run, "open_detector", lambda name: BrightSquares())
    found = scan_run.scan_files(by_brightness(), [Path("media")], settings()).to_dict()
    before = json.loads(Path("scan-tracks.json").read_text())
    assert_holds(keys(found), keys(before))
    assert found["schema_version"] == before["schema_version"]
    for old, new in zip(before["media"], found["media"], strict=True):
        for name in ("path", "medium", "status", "problems", "verdict", "reasons", "frames_looked_at"):
            assert new[name] == old[name], (old["path"], name)
        assert new["p_value"] == pytest.approx(old["p_value"])
        timelines = [[track["timeline"] for track in medium["tracks"]] for medium in (new, old)]
        assert shared(*timelines) == timelines[1]


def test_a_scan_of_photographs_gives_the_same_json(command_line: Command, samples: Path) -> None:
    code, _, _ = command_line(
        "scan", "photos", "--detector", "lite0", "--json", "again.json", "--workers", 0
    )  # the default detector of that version
    assert code == 1  # one of them is no picture
    before, now = (json.loads(Path(name).read_text()) for name in ("scan.json", "again.json"))
    assert_holds(keys(now), keys(before))
    for name in ("media", "counts", "promise"):
        assert_holds(now[name], before[name])
        assert shared(now[name], before[name]) == before[name]
    assert now["settings"]["crop_rule"] == before["settings"]["crop_rule"]
