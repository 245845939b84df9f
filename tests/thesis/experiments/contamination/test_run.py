"""The part `contamination` of a reproduction: networks that learned from fakes, each against the one that did not."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path
from typing import Any

import pytest
from markupsafe import escape

from tests.conftest import write_set
from tests.thesis.test_reproduce import plan, run_though_killed, tables
from verovolto.core import workdir
from verovolto.data.faceset import FaceSet
from verovolto.data.score_table import ScoreTable
from verovolto.thesis.experiments import contamination as page
from verovolto.thesis.pipeline import run_reproduction
from verovolto.thesis.plan import Plan, split_file
from verovolto.training.run_metadata import read_json, stored_config

MODELS = ("oc-fakedect1", "oc-fakedect2")
RUNS = ("contaminated-sham-oc-fakedect1", "contaminated-2-oc-fakedect1", "contaminated-4-oc-fakedect1")


@pytest.fixture(scope="module")
def faces(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_set(tmp_path_factory.mktemp("contaminated"), train=40, people=14)


@pytest.fixture(scope="module")
def done(faces: Path, tmp_path_factory: pytest.TempPathFactory) -> Plan:
    out = tmp_path_factory.mktemp("whole")
    whole = plan(faces, out, models=MODELS, parts=("contamination",), protocols=("honest",))
    run_reproduction(whole)
    return whole


def found(out: Path) -> dict[str, Any]:
    return dict(tables(out)["parts"]["contamination"])


def test_every_level_is_judged_against_none_for_every_model(done: Plan) -> None:
    part = found(done.out)
    assert [one["model"] for one in part["models"]] == list(MODELS)
    assert part["train"] == 40 and part["there"] == 28
    assert part["notes"] == ["1% of 40 faces is less than one: left out"]
    for one, table in zip(part["models"], tables(done.out)["tables"], strict=True):
        told = [(level["faces"], level["share"]) for level in one["levels"]]
        assert told == [(0, 0), (4, 0), (2, 0.05), (4, 0.1)]
        clean = one["levels"][0]
        assert (
            clean["epoch"] == table["epoch"] and clean["threshold"] == table["rows"][0]["threshold"]["value"]
        )
        for name in ("auroc", "ap_fake"):
            assert clean["figures"][name]["value"] == table["ranking"][table["score"]][name]
        assert clean["figures"]["missed_fakes"]["value"] == table["rows"][0]["missed_fakes"]
        assert set(one["trivial"]) == {"bytes", "sharpness", "brightness"}
        assert one["trivial"]["bytes"]["auroc"] == table["ranking"]["bytes"]["auroc"]
        for level in one["levels"][1:]:
            for name, figures in level["figures"].items():
                value = figures["value"]["value"] - clean["figures"][name]["value"]["value"]
                assert figures["to_none"]["value"] == pytest.approx(value)
        # The errors are those of the network, whatever the model is judged by.
        first = part["models"][0]["levels"][1]["figures"]["error_fake"]["value"]["value"]
        assert one["levels"][1]["figures"]["error_fake"]["value"]["value"] == first


def test_the_networks_are_trained_alike_on_as_many_faces_and_marked(done: Plan) -> None:
    assert {path.name for path in (done.out / "runs").iterdir()} == {"honest-oc-fakedect1", *RUNS}
    clean = stored_config(done.out / "runs" / "honest-oc-fakedect1")
    cut = FaceSet.open(split_file(done.out / "steps" / "splits", "honest"))
    drawn = read_json(done.out / "steps" / "contamination-draw" / "result.json")["result"]
    for name, share, level in zip(RUNS, (0, 0.05, 0.1), drawn["levels"], strict=True):
        folder = done.out / "runs" / name
        known = stored_config(folder)
        assert {key for key in vars(known) if getattr(known, key) != getattr(clean, key)} == {"out"}
        assert read_json(folder / "run.json")["faces"]["train"] == 40
        assert (
            not (folder / "checkpoints").exists() and not (folder / "detector").exists()
        )  # nobody can use it
        scored = ScoreTable.read(done.out / "steps" / f"score-{name}" / "test.parquet")
        assert scored.metadata["contaminated"] == share
        tested = set(cut.select(split="test").columns("target_identity")["target_identity"].to_pylist())
        rows = cut.columns("face", "label", "target_identity").to_pylist()
        mixed = [row for row in rows if row["face"] in level["swaps"].values()]
        assert len(mixed) == len(level["swaps"]) == round(40 * (share or 0.1))
        assert {row["label"] for row in mixed} == {"fake" if share else "real"}
        assert not tested & {row["target_identity"] for row in mixed}


def test_the_document_shows_it_and_says_no_more_than_is_shown(done: Plan) -> None:
    html = (done.out / "report.html").read_text()
    part = found(done.out)
    for words in ('id="contamination"', "1% of 40 faces is less than one", "<code>contaminated</code>"):
        assert words in html
    assert {f"contamination-{model}.png" for model in MODELS} <= {
        path.name for path in (done.out / "figures").iterdir()
    }
    said = page.findings(part)
    assert len(said) == len(MODELS) and all(str(escape(sentence)) in html for sentence in said)
    for one, sentence in zip(part["models"], said, strict=True):
        verdicts = {level["figures"]["auroc"]["verdict"] for level in one["levels"][2:]}
        assert ("not shown to change at any level" in sentence) is (verdicts == {"no difference shown"})
    part["models"][0]["levels"][3]["figures"]["auroc"]["verdict"] = "worse"
    assert "shown to be worse with 10 % forged" in page.findings(part)[0]


def test_killed_in_the_middle_it_ends_with_the_same_figures_and_then_nothing_is_done(
    done: Plan, faces: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    again = plan(faces, tmp_path, models=MODELS, parts=("contamination",), protocols=("honest",))
    kills = run_though_killed(again, monkeypatch, lambda step: "contaminat" in step)
    assert len(kills) == 1 + 2 * len(RUNS) + len(MODELS)  # drawn, trained and scored, judged
    assert found(tmp_path) == found(done.out)
    monkeypatch.setattr(workdir, "finish", lambda *_: pytest.fail("a step was done again"))
    run_reproduction(again)


def test_without_the_honest_networks_it_says_what_is_missing(faces: Path, tmp_path: Path) -> None:
    run_reproduction(plan(faces, tmp_path, parts=("contamination",), protocols=("thesis",), epochs=1))
    assert "models" not in found(tmp_path)
    html = (tmp_path / "report.html").read_text()
    assert str(escape(found(tmp_path)["why_not"])) in html and "--protocol sound" in html


def test_where_no_fake_can_be_trained_on_it_says_so(faces: Path, tmp_path: Path) -> None:
    """No validation fake says whom it shows."""
    copy = tmp_path / "faces"
    shutil.copytree(faces, copy)
    with (copy / "manifest.csv").open(newline="") as handle:
        rows = list(csv.DictReader(handle))
    for row in rows:
        if row["label"] == "fake" and row["split"] == "val":
            row.update(identity="", source_video="", pair="")
    with (copy / "manifest.csv").open("w", newline="") as handle:
        writer = csv.DictWriter(handle, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    run_reproduction(plan(copy, tmp_path / "out", parts=("contamination",), protocols=("honest",), epochs=1))
    part = found(tmp_path / "out")
    assert part["there"] == 0 and "no fake outside the test split" in part["why_not"]
    assert str(escape(page.findings(part)[0])) in (tmp_path / "out" / "report.html").read_text()
