"""`verovolto evaluate` on tables of scores and on a stand-in detector; `verovolto compare` on its results."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch

from verovolto.calibration.thresholds import Calibration, find_threshold, one_class_thresholds
from verovolto.commands.compare import compare
from verovolto.commands.evaluate import evaluate
from verovolto.core.errors import CalibrationError, InputError, SplitError
from verovolto.data.crop_rule import look_at
from verovolto.data.score_table import ScoreTable
from verovolto.evaluation.run import evaluate as evaluate_detector
from verovolto.report.evaluation_page import write_report

THESIS = Path(__file__).parents[1] / "evaluation" / "thesis_scores.csv"


def read(folder: Path) -> dict[str, Any]:
    return dict(json.loads((folder / "metrics.json").read_text()))


@pytest.mark.parametrize("options", [{"score": "rmse", "positive": "real"}, {"score": "mse"}])
def test_the_thesis_s_scores_through_the_command(
    options: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    evaluate(scores=THESIS, protocol="thesis", out=tmp_path / "out", resamples=100, **options)
    metrics = read(tmp_path / "out")
    (pooled,) = [one for one in metrics["thresholds"] if one["name"] == "p80_pooled"]
    assert [pooled[name] for name in ("tp", "fp", "tn", "fn")] == [207, 193, 57, 43]
    score = options["score"]
    assert pooled["value"] == pytest.approx(0.354 if score == "rmse" else 0.354**2, abs=5e-4)
    assert metrics["auroc"]["value"] == pytest.approx(0.5925, abs=5e-5)
    assert metrics["ap_real"]["value"] == pytest.approx(0.6045, abs=5e-5)
    assert metrics["schema_version"] == 1 and metrics["score"] == score
    assert {one["kind"] for one in metrics["thresholds"]} == {"supervised", "thesis"}
    assert metrics["about"].get("derived") == ("rmse = sqrt(mse)" if score == "rmse" else None)
    assert "--positive real" in metrics["command"] and "--protocol thesis" in metrics["command"]
    assert ScoreTable.read(tmp_path / "out" / "scores.parquet").scores == (score,)
    printed = capsys.readouterr().out.splitlines()
    assert printed[-1] == f"report: {tmp_path / 'out' / 'report.html'}"


def test_no_threshold_is_taken_from_the_scores_that_are_evaluated(tmp_path: Path) -> None:
    evaluate(scores=split_csv(tmp_path), out=tmp_path / "out", resamples=20)
    metrics = read(tmp_path / "out")
    assert "thesis" not in {one["kind"] for one in metrics["thresholds"]}
    assert "--protocol" not in metrics["command"] and "--positive fake" in metrics["command"]
    assert "p80_pooled" not in (tmp_path / "out" / "report.html").read_text()


def split_csv(folder: Path, reals: int = 40) -> Path:
    """A table with a `val` and a `test` split."""
    rng = np.random.default_rng(0)
    lines = ["face,label,split,identity,score"]
    for split in ("val", "test"):
        for label, shift in (("real", 0.0), ("fake", 2.0)):
            for i in range(reals):
                lines.append(f"{split}{label}{i},{label},{split},{split}{i % 10},{rng.normal() + shift}")
    path = folder / "scores.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


def test_a_table_with_splits_calibrates_itself(tmp_path: Path) -> None:
    evaluate(scores=split_csv(tmp_path), out=tmp_path / "out", resamples=50, false_alarm=0.2)
    metrics = read(tmp_path / "out")
    assert metrics["faces"] == {"real": 40, "fake": 40}
    assert metrics["calibration"]["real_faces"] == 40 and metrics["calibration"]["clusters"] == 10
    first = metrics["thresholds"][0]
    assert (first["name"], first["chosen_on"]) == ("far_0.2", "val reals")
    assert {one["name"] for one in metrics["thresholds"]} >= {
        "far_0.1",
        "max_f1",
        "max_f1_real",
        "youden",
        "eer",
    }
    assert metrics["calibration"]["refused"][0]["needed"] == 99


def test_held_out_rows_that_share_people_with_the_judged_ones_are_refused(tmp_path: Path) -> None:
    table = split_csv(tmp_path)
    table.write_text(table.read_text().replace(",val,val3,", ",val,test3,"))
    with pytest.raises(SplitError, match=r"1 identities: test3 \(test, val\)"):
        evaluate(scores=table, out=tmp_path / "out")


def test_the_faces_shown_as_confused_lie_at_the_threshold_of_the_judged_score() -> None:
    held_out = [
        Calibration.of(np.arange(30.0) * factor, score=name, clusters=30, cluster="face")
        for name, factor in (("rmse", 1), ("latent", 100))
    ]
    thresholds = [one for known in held_out for one in one_class_thresholds(known, (0.1,))]
    cuts = [find_threshold(thresholds, score, 0.1) for score in ("rmse", "latent")]
    assert [cut.value for cut in cuts if cut is not None] == [27.0, 2700.0]
    assert find_threshold(thresholds, "rmse", 0.2) is None


def test_a_rate_that_the_sample_cannot_support_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CalibrationError, match="at least 999"):
        evaluate(scores=split_csv(tmp_path), out=tmp_path / "out", false_alarm=0.001)
    assert not (tmp_path / "out").exists(), "nothing half-done is left"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "nothing to evaluate"),
        ({"detector": "run"}, "nothing to evaluate"),
        ({"detector": "run", "data": "x", "scores": "y"}, "not both"),
        ({"scores": "absent.csv"}, "no file"),
        ({"scores": "THESIS", "score": "rmse", "false_alarm": 10}, "between 0 and 1"),
        ({"scores": "THESIS", "score": "rmse", "resamples": -1}, "negative"),
        ({"scores": "THESIS", "score": "elbo"}, "mse, label"),
    ],
)
def test_wrong_use_is_told(tmp_path: Path, options: dict[str, Any], message: str) -> None:
    given = {key: Path(value) if key in ("data", "scores") else value for key, value in options.items()}
    if options.get("scores") == "THESIS":
        given["scores"] = THESIS
    detector = given.pop("detector", None)
    with pytest.raises(InputError, match=message):
        evaluate(Path(detector) if detector else None, out=tmp_path / "out", **given)


def test_an_unknown_split_lists_those_there_are(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="test, val"):
        evaluate(scores=split_csv(tmp_path), out=tmp_path / "out", split="dev")


class _Faces:
    """A face set of drawn images: reals flat, fakes with a square."""

    name, path, crop_rule = "drawn", Path("drawn"), {"scale": 1.3}

    def __init__(self, n: int = 24) -> None:
        self.n = n

    def __len__(self) -> int:
        return self.n

    def select(self, **_: str) -> _Faces:
        return self

    def seen_by(self, crop_rule: dict[str, Any] | None) -> _Faces:
        assert look_at(self.crop_rule, crop_rule) is None
        return self

    def columns(self, *_: str) -> pa.Table:
        return pa.table({"label": ["real", "fake"] * (self.n // 2)})

    def image(self, row: int) -> torch.Tensor:
        image = torch.full((3, 32, 32), 40 + row, dtype=torch.uint8)
        image[:, 8:16, 8:16] += 100 * (row % 2)
        return image


def _detector(rule: dict[str, float]) -> SimpleNamespace:
    held_out = Calibration.of(np.arange(30.0) / 30, score="rmse", clusters=30, cluster="face")

    def explain(images: list[torch.Tensor]) -> SimpleNamespace:
        x = torch.stack(images).float() / 255
        return SimpleNamespace(
            inputs=x,
            reconstructions=x.flip(3),
            anomaly_map=(x - x.flip(3)).abs().mean(1),
            latents=x.flatten(1)[:, ::97],
            kl=None,
        )

    return SimpleNamespace(
        name="toy",
        score_names=("rmse",),
        calibration={"rmse": held_out},
        thresholds=one_class_thresholds(held_out, (0.1,), chosen_on="val"),
        metadata={"seed": 0},
        crop_rule=rule,
        explain=explain,
    )


def _scores(n: int) -> ScoreTable:
    values = np.linspace(0, 1, n) + np.arange(n) % 2
    table = pa.table(
        {
            "face": [f"f{i}" for i in range(n)],
            "label": ["real", "fake"] * (n // 2),
            "status": ["ok"] * n,
            "rmse": values,
            "sharpness": -values,
        }
    )
    return ScoreTable(table=table, scores=("rmse",), baselines=("sharpness",), metadata={"detector": "toy"})


@pytest.fixture
def toy(monkeypatch: pytest.MonkeyPatch) -> None:
    faces = _Faces()
    monkeypatch.setattr("verovolto.data.faceset.FaceSet.open", lambda _: faces)
    monkeypatch.setattr("verovolto.detectors.base.Detector.load", lambda _: _detector({"scale": 1.3}))
    monkeypatch.setattr("verovolto.evaluation.run.score_faces", lambda _, faces, **__: _scores(faces.n))


def test_a_detector_with_reconstructions(toy: None, tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    (run / "metrics.csv").write_text("epoch,train_loss,val_loss\n0,3.5,\n0,,3.1\n1,2.5,\n1,,2.2\n")
    evaluation = evaluate_detector(run, Path("drawn"), resamples=20)
    report = write_report(evaluation, tmp_path / "out", notice="A demonstration.")
    html = report.read_text()
    figures = {path.stem for path in (tmp_path / "out" / "figures").iterdir()}
    assert {"gallery_best", "gallery_worst", "gallery_confused", "tsne", "latent_use", "training"} <= figures
    assert "A demonstration." in html and "toy on drawn (test)" in html
    metrics = read(tmp_path / "out")
    assert metrics["correlations"]["sharpness"] == pytest.approx(-1)
    assert metrics["about"]["detector_folder"] == str(run)
    assert metrics["interval"]["cluster"] == "face"


def test_faces_cropped_by_another_rule_are_refused(
    toy: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("verovolto.detectors.base.Detector.load", lambda _: _detector({"scale": 0.86}))
    with pytest.raises(InputError, match="--any-crop"):
        evaluate(tmp_path, data=Path("drawn"), out=tmp_path / "out", resamples=20)
    evaluate(tmp_path, data=Path("drawn"), out=tmp_path / "out", resamples=20, any_crop=True)
    assert "warning" in capsys.readouterr().err


def test_compare_prints_and_writes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = split_csv(tmp_path)
    worse = tmp_path / "worse.csv"
    rng = np.random.default_rng(1)
    rows = [line.rsplit(",", 1) for line in path.read_text().splitlines()]
    worse.write_text(
        "\n".join(",".join(rows[0] if i == 0 else [row[0], str(rng.normal())]) for i, row in enumerate(rows))
    )
    evaluate(scores=path, out=tmp_path / "first", resamples=20)
    evaluate(scores=worse, out=tmp_path / "second", resamples=20)
    capsys.readouterr()
    compare(tmp_path / "first", tmp_path / "second", out=tmp_path / "both", resamples=100)
    printed = capsys.readouterr().out
    assert "worse" in printed and "Differences to first" in printed
    written = json.loads((tmp_path / "both" / "comparison.json").read_text())
    assert written["results"][1]["differences"]["auroc"]["verdict"] == "worse"
    assert "Differences to first" in (tmp_path / "both" / "comparison.md").read_text()
    html = (tmp_path / "both" / "comparison.html").read_text()
    assert "<b>worse</b>" in html and "verovolto compare" in html
    compare(tmp_path / "first", tmp_path / "second", baseline=tmp_path / "second", resamples=100)
    assert "Differences to second" in capsys.readouterr().out


def test_compare_says_what_is_missing(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "x.txt").touch()
    with pytest.raises(InputError, match=r"there is: x\.txt.*verovolto evaluate"):
        compare(tmp_path / "a", tmp_path / "b")
    with pytest.raises(InputError, match="at least two"):
        compare()
