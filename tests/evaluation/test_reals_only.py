"""What can be said of a set of real faces alone."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import Command, write_set
from tests.detectors.conftest import make_detector
from verovolto.calibration.thresholds import Calibration
from verovolto.core.errors import InputError
from verovolto.data.faceset import FaceSet
from verovolto.detectors.score_faces import score_faces
from verovolto.evaluation.preflight import EvaluationSettings
from verovolto.evaluation.reals_only import evaluate_reals, reals_alone


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_set(tmp_path_factory.mktemp("reals"), train=40, people=4)


def test_shares_are_those_of_the_thresholds(folder: Path) -> None:
    reals = FaceSet.open(folder).select(split="train")
    detector = make_detector()
    scores = score_faces(detector, reals, quiet=True).values("rmse")
    detector.calibration["rmse"] = Calibration.of(
        np.linspace(scores.min(), scores.max(), 99), score="rmse", clusters=99, cluster="face"
    )
    found = evaluate_reals(detector, reals, EvaluationSettings(false_alarm=0.2))
    assert found["faces"] == 40 and found["clusters"] == 20
    for each in found["false_alarms"]:
        threshold = detector.calibration["rmse"].threshold(each["promised"])
        assert each["flagged"] == (scores > threshold).sum() and each["of"] == 40
        assert each["low"] <= each["share"] <= each["high"]
    assert {each["promised"] for each in found["false_alarms"]} == {0.2, 0.1, 0.05, 0.01}


def test_by_collection(folder: Path, tmp_path: Path) -> None:
    other = FaceSet.open(write_set(tmp_path / "other", train=10, people=2)).select(split="train")
    both = FaceSet.join([FaceSet.open(folder).select(split="train"), other])
    detector = make_detector()
    detector.calibration["rmse"] = Calibration.of(np.zeros(99), score="rmse", clusters=1, cluster="face")
    found = evaluate_reals(detector, both, EvaluationSettings())
    of = {(each["faces_of"], each["of"]) for each in found["false_alarms"]}
    assert of == {("all", 50), (folder.name, 40), ("other", 10)}


def test_without_a_calibration_nothing_can_be_said(folder: Path) -> None:
    detector = make_detector()
    detector.calibration = {}
    with pytest.raises(InputError, match="no calibration of 'rmse'"):
        evaluate_reals(detector, FaceSet.open(folder).select(split="train"), EvaluationSettings())


def test_the_command_writes_what_it_tells(folder: Path, tmp_path: Path, command_line: Command) -> None:
    whole = FaceSet.open(folder)
    assert len(reals_alone(whole, "train") or []) == 40
    assert reals_alone(whole, "test") is None and reals_alone(whole, "all") is None
    detector = make_detector()
    detector.calibration["rmse"] = Calibration.of(np.zeros(99), score="rmse", clusters=1, cluster="face")
    detector.save(tmp_path / "detector")
    code, text, _ = command_line(
        "evaluate",
        tmp_path / "detector",
        "--data",
        folder,
        "--split",
        "train",
        "--any-crop",
        "--out",
        tmp_path / "out",
    )
    assert code == 0 and "40 real faces of 20 groups by identity, no fakes" in text
    assert "100.0% [83.2%, 100.0%] flagged where 5% are promised (40 of 40)" in text
    written = json.loads((tmp_path / "out/metrics.json").read_text())
    assert written["false_alarms"][0]["promised"] == 0.01 and (tmp_path / "out/scores.parquet").is_file()
