"""How many real faces are flagged, of all and by group; and sets of real faces alone."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from scipy.stats import binomtest

from tests.conftest import Command, write_set
from tests.detectors.conftest import make_detector
from verovolto.calibration.thresholds import Calibration, share_interval
from verovolto.core.errors import InputError
from verovolto.data.faceset import FaceSet
from verovolto.data.score_table import ScoreTable
from verovolto.detectors.score_faces import score_faces
from verovolto.evaluation.false_alarms import evaluate_reals, false_alarm_rates, reals_alone, text
from verovolto.evaluation.groups import read_groups
from verovolto.evaluation.preflight import EvaluationSettings

KNOWN = Calibration.of(np.arange(99.0), score="s", clusters=99, cluster="face")


def table(**columns: list[object]) -> ScoreTable:
    count = len(columns["s"])
    filled = {"label": ["real"] * count, "status": ["ok"] * count, **columns}
    return ScoreTable(table=pa.table(filled), scores=("s",))


def test_shares_are_of_real_faces_with_a_score_alone() -> None:
    scores = table(
        s=[10.0, 95.0, 200.0, 200.0, None], label=["real", "real", "real", "fake", "real"],
        status=["ok", "ok", "ok", "ok", "unreadable"], face=list("abcde"),
    )  # fmt: skip
    found = {each["promised"]: each for each in false_alarm_rates(scores, "s", KNOWN, 0.2)}
    assert set(found) == {0.01, 0.05, 0.1, 0.2}
    assert (found[0.05]["flagged"], found[0.05]["of"], found[0.01]["flagged"]) == (2, 3, 1)
    exact = binomtest(2, 3).proportion_ci(0.95, method="exact")
    assert (found[0.05]["low"], found[0.05]["high"]) == pytest.approx((exact.low, exact.high))


def test_an_interval_counts_people() -> None:
    scores = table(s=[200.0] * 4 + [0.0] * 4, target_identity=["a"] * 4 + ["b"] * 4, dataset=["one"] * 8)
    (rate, *_) = false_alarm_rates(scores, "s", KNOWN, 0.05)
    assert rate["of"] == 8 and rate["people"] == 2 and rate["share"] == 0.5
    assert (rate["low"], rate["high"]) == share_interval(1, 2)


def test_sources_and_groups_have_their_own() -> None:
    scores = table(s=[200.0, 0, 0, 200], dataset=["x", "x", "y", "y"], face=list("abcd"))
    age = np.asarray(["young", "old", "", "old"])
    found = {
        (each["column"], each["faces_of"]): (each["flagged"], each["of"])
        for each in false_alarm_rates(scores, "s", KNOWN, 0.05, groups={"age": age})
        if each["promised"] == 0.05
    }
    assert found == {
        ("", "all"): (2, 4), ("dataset", "x"): (1, 2), ("dataset", "y"): (1, 2), ("age", "young"): (1, 1),
        ("age", "old"): (1, 2),
    }  # fmt: skip
    lines = text(false_alarm_rates(scores, "s", KNOWN, 0.05, groups={"age": age}), 0.05)
    assert (
        lines[0].startswith("50.0% [")
        and "(2 of 4)" in lines[0]
        and lines[-1].endswith("(1 of 1, age young)")
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_set(tmp_path_factory.mktemp("groups"), train=10, people=4)


def test_groups_are_found_by_the_names_of_files(folder: Path, tmp_path: Path) -> None:
    faces = FaceSet.open(folder).select(split="train", label="real")
    names = faces.columns("face")["face"].to_pylist()
    rows = [f"{name},{'f' if row % 2 else 'm'},{row},{name}" for row, name in enumerate(names[:-1])]
    file = tmp_path / "groups.csv"
    file.write_text("\n".join(["path,gender,number,identity", *rows]))
    groups = read_groups(file, faces)
    assert set(groups) == {"gender", "number"}  # names of people are no groups
    assert groups["gender"].tolist() == [*("f" if row % 2 else "m" for row in range(9)), ""]


@pytest.mark.parametrize(
    ("written", "says"),
    [
        ("file,gender\na,f\n", "no column path"),
        ("path,identity\na,b\n", "no column of groups"),
        ("path,gender\nelsewhere,f\n", "no row of .* is of a face"),
    ],
)
def test_a_table_that_says_nothing_is_refused(folder: Path, tmp_path: Path, written: str, says: str) -> None:
    file = tmp_path / "groups.csv"
    file.write_text(written)
    with pytest.raises(InputError, match=says):
        read_groups(file, FaceSet.open(folder))


def test_the_command_gives_them_for_each_group(folder: Path, tmp_path: Path, command_line: Command) -> None:
    names = FaceSet.open(folder).columns("face")["face"].to_pylist()
    file = tmp_path / "groups.csv"
    file.write_text(
        "\n".join(["path,age", *(f"{name},{'old' if i % 2 else 'young'}" for i, name in enumerate(names))])
    )
    code, out, problems = command_line(
        "evaluate", "lite0", "--data", str(folder), "--split", "train", "--any-crop", "--groups", str(file),
        "--false-alarm", "0.05", "--out", str(tmp_path / "out"),
    )  # fmt: skip
    assert code == 0, problems
    written = json.loads((tmp_path / "out" / "metrics.json").read_text())
    of = {(each["column"], each["faces_of"]) for each in written["false_alarms"]}
    assert of == {("", "all"), ("age", "old"), ("age", "young")}
    assert "age old)" in out


@pytest.fixture(scope="module")
def only_reals(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_set(tmp_path_factory.mktemp("reals"), train=40, people=4)


def test_shares_are_those_of_the_thresholds(only_reals: Path) -> None:
    reals = FaceSet.open(only_reals).select(split="train")
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


def test_by_collection(only_reals: Path, tmp_path: Path) -> None:
    other = FaceSet.open(write_set(tmp_path / "other", train=10, people=2)).select(split="train")
    both = FaceSet.join([FaceSet.open(only_reals).select(split="train"), other])
    detector = make_detector()
    detector.calibration["rmse"] = Calibration.of(np.zeros(99), score="rmse", clusters=1, cluster="face")
    found = evaluate_reals(detector, both, EvaluationSettings())
    of = {(each["faces_of"], each["of"]) for each in found["false_alarms"]}
    assert of == {("all", 50), (only_reals.name, 40), ("other", 10)}


def test_without_a_calibration_nothing_can_be_said(only_reals: Path) -> None:
    detector = make_detector()
    detector.calibration = {}
    with pytest.raises(InputError, match="no calibration of 'rmse'"):
        evaluate_reals(detector, FaceSet.open(only_reals).select(split="train"), EvaluationSettings())


def test_the_command_writes_what_it_tells(only_reals: Path, tmp_path: Path, command_line: Command) -> None:
    whole = FaceSet.open(only_reals)
    assert len(reals_alone(whole, "train") or []) == 40
    assert reals_alone(whole, "test") is None and reals_alone(whole, "all") is None
    detector = make_detector()
    detector.calibration["rmse"] = Calibration.of(np.zeros(99), score="rmse", clusters=1, cluster="face")
    detector.save(tmp_path / "detector")
    code, out, _ = command_line(
        "evaluate",
        tmp_path / "detector",
        "--data",
        only_reals,
        "--split",
        "train",
        "--any-crop",
        "--out",
        tmp_path / "out",
    )
    assert code == 0 and "40 real faces of 20 groups by identity, no fakes" in out
    assert "100.0% [83.2%, 100.0%] flagged where 5% are promised (40 of 40)" in out
    written = json.loads((tmp_path / "out/metrics.json").read_text())
    assert written["false_alarms"][0]["promised"] == 0.01 and (tmp_path / "out/scores.parquet").is_file()
