"""`verovolto evaluate --robustness`, on drawn faces and a tiny detector."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from tests.conftest import write_set
from tests.detectors.conftest import make_detector
from verovolto.commands.evaluate import evaluate
from verovolto.core.errors import InputError
from verovolto.data.corruptions import CORRUPTIONS
from verovolto.data.score_table import ScoreTable
from verovolto.evaluation import corrupted_scores as scoring
from verovolto.evaluation.corrupted_scores import PARTS, RESULT, SETTINGS

LEVELS = sum(len(one.levels) for one in CORRUPTIONS)


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("detector")
    make_detector().save(folder)
    return folder


def tried(
    saved: Path, data: Path, out: Path, *, seed: int = 0, count: int = 20, **options: Any
) -> dict[str, Any]:
    asked = {"robustness": True, "robustness_faces": count, "resamples": 30, "seed": seed}
    evaluate(saved, data=data, out=out, **asked, **options)
    return dict(json.loads((out / "metrics.json").read_text()))


def test_degraded_faces_are_scored_judged_and_shown(
    saved: Path, face_set: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    metrics = tried(saved, face_set, tmp_path / "out")
    found = metrics["robustness"]
    assert found["faces"] == {"real": 10, "fake": 10}
    assert found["threshold"]["false_alarm"] == 0.1 and found["score"] == "rmse"
    table = pq.read_table(tmp_path / "out" / RESULT)
    assert table.num_rows == 20 * LEVELS and set(table["label"].to_pylist()) == {"real", "fake"}
    assert not (tmp_path / "out" / PARTS).exists(), "parts are cleared away"
    assert "--robustness --robustness-faces 20" in metrics["command"]
    figures = {path.stem for path in (tmp_path / "out" / "figures").iterdir()}
    assert {"robustness_auroc", "robustness_flagged"} <= figures
    html = (tmp_path / "out" / "report.html").read_text()
    assert 'id="robustness"' in html and "10 of the reals and 10 of the fakes" in html
    assert "undegraded" in capsys.readouterr().out


def test_the_undegraded_figures_are_those_of_the_main_scores(
    saved: Path, face_set: Path, tmp_path: Path
) -> None:
    metrics = tried(saved, face_set, tmp_path / "out", count=1000)
    none = metrics["robustness"]["none"]
    assert metrics["robustness"]["faces"] == metrics["faces"], "all of them, where there are no more"
    for name in ("auroc", "pairs_ordered"):
        assert none[name] == metrics[name]
    (cut,) = [one for one in metrics["thresholds"] if one["name"] == "far_0.1"]
    for name in ("false_alarm_rate", "missed_fakes"):
        assert none[name] == cut[name]
    assert none["baselines"]["sharpness"] == metrics["baselines"]["sharpness"]["auroc"]


def test_a_killed_run_started_again_gives_the_same(
    saved: Path, face_set: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scoring, "FACES_A_PART", 8)
    whole = tried(saved, face_set, tmp_path / "whole")
    read, left = scoring.read_batch, 2

    def killed(*what: Any) -> Any:
        nonlocal left
        left -= 1
        if left < 0:
            raise KeyboardInterrupt
        return read(*what)

    monkeypatch.setattr(scoring, "read_batch", killed)
    with pytest.raises(KeyboardInterrupt):
        tried(saved, face_set, tmp_path / "killed")
    parts = tmp_path / "killed" / PARTS
    assert {path.name for path in parts.iterdir()} == {SETTINGS, "part-00000.parquet", "part-00001.parquet"}
    left = 1
    resumed = tried(saved, face_set, tmp_path / "killed")
    assert resumed["robustness"] == whole["robustness"]
    first, second = (pq.read_table(tmp_path / name / RESULT) for name in ("whole", "killed"))
    assert first.equals(second)


def test_parts_of_other_settings_are_refused_before_anything_is_scored(
    saved: Path, face_set: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopped(*_: Any, **__: Any) -> ScoreTable:
        raise KeyboardInterrupt

    monkeypatch.setattr("verovolto.evaluation.run.score_faces", stopped)
    out = tmp_path / "out"
    for seed in (7, 0):  # before its first part is done, a run may be replaced
        with pytest.raises(KeyboardInterrupt):
            tried(saved, face_set, out, seed=seed)
    (out / PARTS / "part-00000.parquet").touch()
    with pytest.raises(KeyboardInterrupt):
        tried(saved, face_set, out, batch_size=3)  # no matter
    with pytest.raises(InputError, match="other settings: faces, seed "):
        tried(saved, face_set, out, seed=1, count=12)
    other = tmp_path / "other"
    make_detector(size=24).save(other)
    with pytest.raises(InputError, match="other settings: detector "):
        tried(other, face_set, out)
    with pytest.raises(InputError, match="other settings: data "):
        tried(saved, write_set(tmp_path / "faces", people=13), out)


def test_a_face_that_cannot_be_read_is_left_out(saved: Path, tmp_path: Path) -> None:
    data = write_set(tmp_path / "faces", people=8)
    (data / "test" / "real" / "2003.jpg").write_bytes(b"")
    metrics = tried(saved, data, tmp_path / "out", count=1000, max_unreadable=0.1)
    assert metrics["robustness"]["faces"] == {"real": 15, "fake": 16} == metrics["faces"]
    assert not np.isnan(pq.read_table(tmp_path / "out" / RESULT)["rmse"].to_numpy()).any()


def test_it_needs_a_detector_and_two_faces(saved: Path, face_set: Path, tmp_path: Path) -> None:
    scores = Path(__file__).parents[1] / "evaluation" / "thesis_scores.csv"
    with pytest.raises(InputError, match="detector and --data, not --scores"):
        evaluate(scores=scores, score="rmse", out=tmp_path / "out", robustness=True)
    with pytest.raises(InputError, match="--robustness-faces 1"):
        evaluate(saved, data=face_set, out=tmp_path / "out", robustness=True, robustness_faces=1)
    assert not (tmp_path / "out").exists()


def test_without_the_flag_nothing_is_degraded(saved: Path, face_set: Path, tmp_path: Path) -> None:
    evaluate(saved, data=face_set, out=tmp_path / "out", resamples=20, robustness_faces=7)
    metrics = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert "robustness" not in metrics and "--robustness" not in metrics["command"]
    assert 'id="robustness"' not in (tmp_path / "out" / "report.html").read_text()
