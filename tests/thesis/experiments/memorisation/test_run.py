"""The part `memorisation` of a reproduction: trained, scored, judged, shown; nothing of its networks stays."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pytest
from markupsafe import escape

from tests.conftest import draw_face, jpeg, write_set
from tests.thesis.test_reproduce import plan, run_though_killed, tables
from verovolto.thesis.experiments import memorisation as page
from verovolto.thesis.pipeline import run_reproduction
from verovolto.thesis.plan import Plan

MODELS = ("oc-fakedect1", "oc-fakedect2")


@pytest.fixture(scope="module")
def faces(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twenty people, a video each of four frames, real and fake."""
    folder = tmp_path_factory.mktemp("several")
    rows = []
    for person in range(20):
        for frame in range(4):
            for label in ("real", "fake"):
                name = f"{label}/{person}_{frame}.jpg"
                (folder / label).mkdir(exist_ok=True)
                (folder / name).write_bytes(jpeg(draw_face(10 * person + frame, smooth=label == "fake")))
                rows.append([name, label, f"v{person}", f"p{person}", str(frame), f"{person}_{frame}"])
    with (folder / "manifest.csv").open("w", newline="") as handle:
        columns = ["path", "label", "source_video", "identity", "frame", "pair"]
        csv.writer(handle).writerows([columns, *rows])
    return folder


def asked(faces: Path, out: Path, **changes: Any) -> Plan:
    settings = {"models": MODELS, "parts": ("memorisation",), "protocols": ("honest",), "false_alarm": 0.3}
    return plan(faces, out, **{**settings, **changes})


@pytest.fixture(scope="module")
def done(faces: Path, tmp_path_factory: pytest.TempPathFactory) -> Plan:
    with pytest.MonkeyPatch.context() as patch:
        nothing: dict[str, Any] = {"figures": [], "latents": None}
        patch.setattr("verovolto.thesis.figures.model_figures", lambda *_: nothing)
        whole = asked(faces, tmp_path_factory.mktemp("whole"))
        run_reproduction(whole)
    return whole


def test_each_model_is_judged_by_its_own_score_over_all_folds(done: Plan) -> None:
    part = tables(done.out)["parts"]["memorisation"]
    assert part["folds"] == 6 and part["counts"] == {"train": 30, "seen": 20, "unseen": 20}
    assert [(one["model"], one["score"]) for one in part["models"]] == [
        ("oc-fakedect1", "rmse"), ("oc-fakedect2", "latent"),
    ]  # fmt: skip
    for one in part["models"]:
        assert one["trainings"] == 6 and one["people"] == 20 and len(one["by_training"]) == 6
        for of in one["pairings"].values():
            assert 0 <= of["auroc"]["low"] <= of["auroc"]["value"] <= of["auroc"]["high"] <= 1
    assert {path.name for path in (done.out / "runs").iterdir()} == {"honest-oc-fakedect1"}


def test_it_is_shown(done: Plan) -> None:
    html = (done.out / "report.html").read_text()
    assert 'id="memorisation"' in html and (done.out / "figures/memorisation-pairings.png").is_file()
    part = tables(done.out)["parts"]["memorisation"]
    said = page.findings(part)
    assert len(said) == len(MODELS) and all(str(escape(sentence)) in html for sentence in said)


def test_the_tables_have_the_video_level(done: Plan) -> None:
    (table, _) = tables(done.out)["tables"]
    level = table["by_video"][table["score"]]
    assert level["frames_per_video"] == 4 and 0 <= level["video"]["auroc"]["value"] <= 1
    assert "AUROC by video" in (done.out / "report.html").read_text()


def test_killed_in_the_middle_it_ends_with_the_same_figures(
    done: Plan, faces: Path, tmp_path: Path, undrawn: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    again = asked(faces, tmp_path, models=MODELS[:1])
    steps = ("memorisation-fold-1-oc-fakedect1", "memorisation-oc-fakedect1")
    kills = run_though_killed(again, monkeypatch, lambda step: step in steps)
    assert len(kills) == 2
    assert (
        tables(tmp_path)["parts"]["memorisation"]["models"]
        == tables(done.out)["parts"]["memorisation"]["models"][:1]
    )


def test_one_frame_a_video_is_too_few(tmp_path: Path, undrawn: None) -> None:
    faces = write_set(tmp_path / "single", train=24, people=12)
    run_reproduction(asked(faces, tmp_path / "out", models=MODELS[:1], false_alarm=0.2))
    part = tables(tmp_path / "out")["parts"]["memorisation"]
    assert "3 frames a video" in part["why_not"]
    assert page.findings(part) == [f"Not measured: {part['why_not']}."] and page.figures(part) == {}
