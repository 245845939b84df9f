"""`verovolto reproduce` on drawn faces and tiny networks: both protocols, killed anywhere, leaks marked."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import write_set
from verovolto.commands.reproduce import reproduce
from verovolto.core import workdir
from verovolto.core.errors import InputError, SplitError, TrainingError, WeightsError
from verovolto.data.faceset import FaceSet
from verovolto.data.score_table import ScoreTable
from verovolto.data.splits import check_disjoint
from verovolto.detectors.base import load_detector
from verovolto.thesis.metrics import PUBLISHED
from verovolto.thesis.pipeline import run_reproduction
from verovolto.thesis.plan import PROTOCOLS, Plan, split_file

FIGURES = {
    "histograms", "precision_recall", "f1", "tsne", "latent_use", "faces_real", "faces_fake", "spectra", "radial",
    "network",
}  # fmt: skip


def plan(data: Path, out: Path, **changes: Any) -> Plan:
    settings: dict[str, Any] = {
        "protocols": PROTOCOLS, "models": ("oc-fakedect1",), "parts": (), "method": None, "epochs": 2, "every": 1,
        "size": 8, "latent": 4, "limit": None, "batch_size": 8, "weights": "none", "seed": 42, "false_alarm": 0.2,
        "resamples": 30, "no_faces": False, "device": "cpu", "precision": "32", "threads": 1,
    }  # fmt: skip
    return Plan(data=data, out=out, **{**settings, **changes})


def tables(out: Path) -> dict[str, Any]:
    return dict(json.loads((out / "tables.json").read_text()))


@pytest.fixture(scope="module")
def faces(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_set(tmp_path_factory.mktemp("reproduced"), train=40, people=14)


@pytest.fixture(scope="module")
def done(faces: Path, tmp_path_factory: pytest.TempPathFactory) -> Plan:
    """A whole reproduction of a network and its twin."""
    whole = plan(faces, tmp_path_factory.mktemp("whole"), models=("oc-fakedect1", "oc-fakedect2"))
    run_reproduction(whole)
    return whole


def test_every_table_and_figure_is_there(done: Plan) -> None:
    content = tables(done.out)
    assert [(t["protocol"], t["model"]) for t in content["tables"]] == [
        (protocol, model) for model in done.models for protocol in PROTOCOLS
    ]
    for protocol, model in ((p, m) for p in PROTOCOLS for m in done.models):
        drawn = {f"{protocol}-{model}-{name}.png" for name in FIGURES}
        assert drawn <= {path.name for path in (done.out / "figures").iterdir()}
    page = (done.out / "report.html").read_text()
    for words in ("Measured as published", "Measured as it should be", "0.910", "Figures 8 and 11", "leaky"):
        assert words in page
    assert str(done.data) in page and "http" not in page


def test_the_twin_of_a_network_is_not_trained_again(done: Plan) -> None:
    assert {path.name for path in (done.out / "runs").iterdir()} == {
        "thesis-oc-fakedect1",
        "honest-oc-fakedect1",
    }
    by_model = {t["model"]: t for t in tables(done.out)["tables"] if t["protocol"] == "honest"}
    assert by_model["oc-fakedect2"]["score"] == "latent"
    assert by_model["oc-fakedect1"]["ranking"]["rmse"] != by_model["oc-fakedect2"]["ranking"]["latent"]


def test_the_published_way_is_kept_exactly(done: Plan) -> None:
    for table in (t for t in tables(done.out)["tables"] if t["protocol"] == "thesis"):
        own = [row for row in table["rows"] if row["score"] == table["score"]]
        assert [row["threshold"]["name"] for row in own] == ["p80_pooled", "max_f1_real_strict"]
        assert all(row["rule"] == "real if score < s" for row in own)
        counts, faces_judged = own[0]["counts"], sum(table["test"].values())
        assert sum(counts.values()) == faces_judged
        # Four fifths are accepted, whatever they are.
        assert counts["tp"] + counts["fp"] == pytest.approx(0.8 * faces_judged, abs=1)
        choice = next(
            c for c in tables(done.out)["checkpoints"]
            if c["protocol"] == "thesis" and c["model"] == table["model"]
        )  # fmt: skip
        areas = {int(e): ranked["ap_real"]["value"] for e, ranked in choice["ranking"].items()}
        assert set(areas) == {1, 2} and areas[table["epoch"]] == max(areas.values())


def test_the_sound_way_looks_at_no_fake_and_at_no_test_face(done: Plan) -> None:
    content = tables(done.out)
    for table in (t for t in content["tables"] if t["protocol"] == "honest"):
        own = [row["threshold"] for row in table["rows"] if row["score"] == table["score"]]
        assert [one["name"] for one in own] == ["far_0.2", "p80_reals"]
        assert all(one["kind"] == "one-class" and "held-out real" in one["chosen_on"] for one in own)
        choice = next(
            c for c in content["checkpoints"] if c["protocol"] == "honest" and c["model"] == table["model"]
        )
        assert choice["losses"][str(table["epoch"])] == min(choice["losses"].values())
    cut = FaceSet.open(split_file(done.out / "steps" / "splits", "honest"))
    check_disjoint(cut.columns())
    assert content["data"]["cuts"]["honest"]["met"]["test"] == 0.0


def test_what_leaks_is_marked_wherever_it_goes(done: Plan) -> None:
    leaky, honest = (load_detector(done.out / "runs" / f"{p}-oc-fakedect1") for p in PROTOCOLS)
    assert leaky.metadata["leaky"] is True and "leaky" not in honest.metadata
    for protocol in PROTOCOLS:
        scored = ScoreTable.read(done.out / "steps" / f"score-{protocol}-oc-fakedect1-0001" / "test.parquet")
        assert scored.metadata.get("leaky", False) is (protocol == "thesis")
    cut = FaceSet.open(split_file(done.out / "steps" / "splits", "thesis"))
    with pytest.raises(SplitError, match="identities"):
        check_disjoint(cut.columns())
    told = tables(done.out)["data"]["cuts"]["thesis"]
    assert told["shared"]["identities"] > 0 and 0 < told["met"]["test"] <= 1


def test_each_shortcut_is_taken_away_alone(done: Plan) -> None:
    for one in tables(done.out)["ablations"]:
        found = {shortcut["name"]: shortcut for shortcut in one["shortcuts"]}
        assert list(found) == ["leak", "selection", "pooled threshold", "threshold chosen with fakes"]
        for shortcut in found.values():
            for figures in shortcut["figures"].values():
                values = [figures[key]["value"] for key in ("published", "honest", "difference")]
                assert None in values or values[0] - values[1] == pytest.approx(values[2])
        # The same table and the same threshold stand on the published side.
        table = next(
            t for t in tables(done.out)["tables"] if t["protocol"] == "thesis" and t["model"] == one["model"]
        )
        pooled = found["pooled threshold"]["figures"]["accuracy"]["published"]["value"]
        assert pooled == table["rows"][0]["accuracy"]["value"]
        assert found["selection"]["figures"]["ap_real"]["published"]["value"] == pytest.approx(
            table["ranking"][one["score"]]["ap_real"]["value"]
        )


def test_the_leak_is_judged_on_faces_that_neither_network_trained_on(done: Plan) -> None:
    splits = {}
    for protocol in PROTOCOLS:
        cut = FaceSet.open(split_file(done.out / "steps" / "splits", protocol)).columns("face", "split")
        splits[protocol] = {row["face"]: row["split"] for row in cut.to_pylist()}
    probe = [face for face, split in splits["thesis"].items() if split == "probe"]
    assert probe and {splits["honest"][face] for face in probe} == {"test"}
    trained = [sum(split == "train" for split in splits[protocol].values()) for protocol in PROTOCOLS]
    assert trained[0] == trained[1] == tables(done.out)["data"]["train"]


def test_the_table_as_csv_holds_published_and_measured_rows(done: Plan) -> None:
    with (done.out / "tables.csv").open(newline="") as handle:
        rows = list(csv.DictReader(handle))
    published = [row for row in rows if row["source"].startswith("published")]
    assert len(published) == len(PUBLISHED) and not any(row["tp"] for row in published)
    measured = [row for row in rows if row["source"] == "measured"]
    assert {row["score"] for row in measured} >= {"rmse", "latent", "bytes", "sharpness", "brightness"}
    assert all(row["data"] and row["tp"] and row["threshold_name"] for row in measured)
    assert not {row["threshold"] for row in published} & {row["threshold"] for row in measured}


def test_nothing_is_done_twice(
    done: Plan, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = {name: (done.out / name).read_bytes() for name in ("tables.json", "tables.csv", "report.html")}
    monkeypatch.setattr(workdir, "finish", lambda *_: pytest.fail("a step was done again"))
    run_reproduction(done)
    assert {name: (done.out / name).read_bytes() for name in before} == before
    assert "…" not in capsys.readouterr().out


class Killed(BaseException):
    """As a kill: nothing catches it."""


def run_though_killed(
    asked: Plan, monkeypatch: pytest.MonkeyPatch, at: Callable[[str], bool] = lambda step: True
) -> list[Path]:
    """Reproduce, killed once before the end of each step that is named, begun again each time; those steps' results."""
    real, kills = workdir.finish, []

    def killed_before(path: Path, value: dict[str, Any]) -> None:
        if at(value["step"]) and path not in kills:
            kills.append(path)
            raise Killed
        real(path, value)

    monkeypatch.setattr(workdir, "finish", killed_before)
    for _ in range(100):
        try:
            run_reproduction(asked)
            break
        except Killed:
            continue
    return kills


def test_killed_at_every_step_it_ends_with_the_same_tables(
    faces: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    unbroken, broken = (plan(faces, tmp_path / name / "out", epochs=1) for name in ("unbroken", "broken"))
    run_reproduction(unbroken)
    kills = run_though_killed(broken, monkeypatch)
    assert len(kills) == len(list((unbroken.out / "steps").iterdir())) > 10
    assert tables(broken.out) == tables(unbroken.out)
    assert (broken.out / "tables.csv").read_bytes() == (unbroken.out / "tables.csv").read_bytes()


def test_another_setting_does_again_only_what_depends_on_it(
    faces: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = plan(faces, tmp_path / "out", protocols=("honest",), epochs=1)
    run_reproduction(first)
    capsys.readouterr()
    run_reproduction(plan(faces, tmp_path / "out", protocols=("honest",), epochs=1, resamples=40))
    again = [line for line in capsys.readouterr().out.splitlines() if line.endswith("…")]
    assert [line.split("-")[0] for line in again] == ["choose", "table", "draw"]
    with pytest.raises(TrainingError, match="another configuration"):
        run_reproduction(plan(faces, tmp_path / "out", protocols=("honest",), epochs=1, latent=5))


@pytest.mark.parametrize("only", PROTOCOLS)
def test_one_protocol_alone(only: str, faces: Path, tmp_path: Path) -> None:
    run_reproduction(plan(faces, tmp_path, protocols=(only,), epochs=1, no_faces=True))
    content = tables(tmp_path)
    assert {t["protocol"] for t in content["tables"]} == {only}
    names = [s["name"] for one in content["ablations"] for s in one["shortcuts"]]
    assert names == (
        ["selection", "pooled threshold", "threshold chosen with fakes"] if only == "thesis" else []
    )
    page = (tmp_path / "report.html").read_text()
    assert ("What the leak adds was not measured" in page) is (only == "thesis")
    assert "hidden behind a mosaic" in page


def test_a_set_without_splits_is_cut_by_person(faces: Path, tmp_path: Path) -> None:
    copy = tmp_path / "faces"
    shutil.copytree(faces, copy)
    with (copy / "manifest.csv").open(newline="") as handle:
        rows = [{**row, "split": ""} for row in csv.DictReader(handle)]
    with (copy / "manifest.csv").open("w", newline="") as handle:
        writer = csv.DictWriter(handle, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    run_reproduction(plan(copy, tmp_path / "out", protocols=("honest",), epochs=1, limit=20, false_alarm=0.4))
    told = tables(tmp_path / "out")["data"]
    assert told["train"] == 20 and told["cuts"]["honest"]["faces"]["train"] == {"real": 20, "fake": 0}
    assert "cut by person and video" in told["cuts"]["honest"]["notes"][0]
    check_disjoint(FaceSet.open(split_file(tmp_path / "out" / "steps" / "splits", "honest")).columns())


def test_what_cannot_be_is_refused_before_anything_is_trained(faces: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no model is called"):
        plan(faces, tmp_path, models=("resnet",))
    with pytest.raises(InputError, match="one twice"):
        plan(faces, tmp_path, models=("oc-ae", "oc-ae"))
    with pytest.raises(InputError, match="no checkpoint to judge"):
        plan(faces, tmp_path, every=3)
    with pytest.raises(InputError, match="size"):
        run_reproduction(plan(faces, tmp_path, models=("oc-fakedect1", "resnet-ocvae2"), size=36))
    with pytest.raises(WeightsError, match=r"nowhere\.pth"):
        run_reproduction(
            plan(faces, tmp_path, models=("oc-ae", "resnet-ocvae1"), size=32, weights="nowhere.pth")
        )
    with pytest.raises(InputError, match="needs 99 real faces"):
        run_reproduction(plan(faces, tmp_path, false_alarm=0.01))
    with pytest.raises(SplitError, match="records no methods"):
        run_reproduction(plan(faces, tmp_path, method="Deepfakes"))
    assert not (tmp_path / "runs").exists()


def test_the_command_takes_its_flags(faces: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    reproduce(
        data=faces, out=tmp_path, protocol="sound", models="oc-ae, ", parts="comparison", epochs=1, every=1, size=8,
        latent=4, batch_size=8, false_alarm=0.2, resamples=20, threads=1, precision="32", device="cpu",
    )  # fmt: skip
    assert f"report: {tmp_path.resolve() / 'report.html'}" in capsys.readouterr().out
    page = (tmp_path / "report.html").read_text()
    assert "--protocol sound --models oc-ae" in page and "--false-alarm 0.2" in page
