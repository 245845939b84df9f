"""`--deviations`: each deviation of the thesis alone changes what it should, and repeats only what depends on it."""

from __future__ import annotations

import csv
import json
import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.conftest import Command, write_set
from tests.thesis.test_reproduce import plan, tables
from verovolto.commands.reproduce import reproduce
from verovolto.core import workdir
from verovolto.core.errors import InputError, SplitError
from verovolto.core.files import read_toml
from verovolto.core.workdir import Done
from verovolto.data.faceset import FaceSet
from verovolto.data.score_table import ScoreTable
from verovolto.data.splits import check_disjoint
from verovolto.detectors.base import load_detector
from verovolto.thesis.figures import model_figures
from verovolto.thesis.networks import run_folder
from verovolto.thesis.page import command_of
from verovolto.thesis.pipeline import run_reproduction
from verovolto.thesis.plan import (
    AS_PUBLISHED,
    DEVIATIONS,
    NAMES,
    Deviation,
    Plan,
    Protocol,
    deviations_in,
    split_file,
)
from verovolto.thesis.protocols import ModelScores

MODEL = "oc-fakedect1"
TRIVIAL = ["bytes", "sharpness", "brightness"]
JUDGED = {f"{step}-thesis-{MODEL}" for step in ("table", "draw")} | {f"ablate-{MODEL}"}
CHOSEN = JUDGED | {f"choose-thesis-{MODEL}"}
TRAINED = CHOSEN | {f"train-thesis-{MODEL}", *(f"score-thesis-{MODEL}-{epoch:04d}" for epoch in (1, 2))}
AGAIN: dict[Deviation, set[str]] = {
    "uniform-noise": TRAINED, "mse": CHOSEN, "leak": TRAINED | {"splits"}, "test-epoch": CHOSEN, "pooled": JUDGED,
    "max-f1": JUDGED, "strict": JUDGED, "3d-spectrum": {f"draw-thesis-{MODEL}"},
}  # fmt: skip
"""The steps that depend on a deviation."""


@dataclass(frozen=True, kw_only=True)
class Found:
    """What a run with one deviation switched found, and the steps it did again."""

    plan: Plan
    again: set[str]
    content: dict[str, Any]
    splits: dict[str, str | None]
    csv: list[dict[str, str]]
    page: str

    @property
    def table(self) -> dict[str, Any]:
        return next(dict(one) for one in self.content["tables"] if one["protocol"] == "thesis")

    @property
    def own(self) -> list[dict[str, Any]]:
        return [row for row in self.table["rows"] if row["score"] == self.table["score"]]

    @property
    def choice(self) -> dict[str, Any]:
        return next(dict(one) for one in self.content["checkpoints"] if one["protocol"] == "thesis")

    @property
    def shortcuts(self) -> dict[str, Any]:
        return {one["name"]: one for one in self.content["ablations"][0]["shortcuts"]}

    @property
    def cut(self) -> dict[str, Any]:
        return dict(self.content["data"]["cuts"]["thesis"])


pytestmark = pytest.mark.usefixtures("undrawn")


@pytest.fixture(scope="module")
def faces(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_set(tmp_path_factory.mktemp("deviating"), train=40, people=20)


def look(whole: Plan) -> Found:
    """Run it, and read what it left."""
    done: list[str] = []
    real = workdir.finish

    def noted(path: Path, value: dict[str, Any]) -> None:
        done.append(path.parent.name)
        real(path, value)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(workdir, "finish", noted)
        run_reproduction(whole)
    cut = FaceSet.open(split_file(whole.out / "steps" / "splits", "thesis")).columns("face", "split")
    with (whole.out / "tables.csv").open(newline="") as handle:
        rows = list(csv.DictReader(handle))
    return Found(
        plan=whole,
        again=set(done),
        content=tables(whole.out),
        splits={row["face"]: row["split"] for row in cut.to_pylist()},
        csv=[row for row in rows if row["source"] == "measured"],
        page=(whole.out / "report.html").read_text(),
    )


@pytest.fixture(scope="module")
def base(faces: Path, tmp_path_factory: pytest.TempPathFactory) -> Found:
    """The thesis as its text and tables have it, beside the sound protocol."""
    return look(plan(faces, tmp_path_factory.mktemp("whole") / "out", false_alarm=0.3))


@pytest.fixture(scope="module")
def switched(base: Found) -> dict[Deviation, Found]:
    """Each deviation switched alone, in the folder of the run as published."""
    kept = base.plan.out.parent / "as published"
    shutil.copytree(base.plan.out / "steps", kept)
    found: dict[Deviation, Found] = {}
    for name in NAMES:
        others = tuple(one for one in NAMES if (one in AS_PUBLISHED) != (one == name))
        found[name] = look(replace(base.plan, deviations=others))
        shutil.rmtree(base.plan.out / "steps")
        shutil.copytree(kept, base.plan.out / "steps")
    return found


def test_the_default_is_the_thesis_as_its_text_and_tables_have_it(base: Found) -> None:
    assert set(AS_PUBLISHED) == set(NAMES) - {"uniform-noise", "mse"}
    assert base.plan.deviations == AS_PUBLISHED
    assert list(base.shortcuts) == ["leak", "selection", "pooled threshold", "threshold chosen with fakes"]
    assert [row["threshold"]["name"] for row in base.own] == ["p80_pooled", "max_f1_real_strict"]
    assert list(DEVIATIONS) == list(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_switching_one_repeats_what_depends_on_it_alone(
    name: Deviation, switched: dict[Deviation, Found]
) -> None:
    assert switched[name].again == AGAIN[name]


@pytest.mark.parametrize("name", NAMES)
def test_the_sound_protocol_has_no_deviations(
    name: Deviation, base: Found, switched: dict[Deviation, Found]
) -> None:
    for key in ("tables", "checkpoints"):
        before, after = (
            [one for one in found.content[key] if one["protocol"] == "honest"] for found in (base, switched[name])
        )  # fmt: skip
        assert before == after
    assert base.content["data"]["cuts"]["honest"] == switched[name].content["data"]["cuts"]["honest"]


@pytest.mark.parametrize("name", NAMES)
def test_what_is_kept_is_said(name: Deviation, base: Found, switched: dict[Deviation, Found]) -> None:
    found = switched[name]
    told = {one["name"]: one for one in found.content["quirks"]}
    kept = [one for one in told if told[one]["kept"]]
    assert (
        list(told) == list(NAMES)
        and kept == list(found.plan.deviations) == found.content["settings"]["quirks"]
    )
    for row in found.csv:
        assert row["quirks"] == (" ".join(kept) if row["protocol"] == "thesis" else "none")
    assert f"--deviations {','.join(kept)}" in found.page
    assert f"as published; {'without' if name in AS_PUBLISHED else 'with'} {name}" in found.page
    assert told[name]["published"].replace("<", "&lt;") in found.page
    assert "as published; with" not in base.page


def test_numbers_are_those_of_the_list(base: Found) -> None:
    text = (Path(__file__).parents[2] / "docs" / "thesis.md").read_text(encoding="utf-8")
    for one in base.content["quirks"]:
        marked = [
            line for line in text.splitlines() if line.startswith(f"| {one['number']} | `{one['name']}` |")
        ]
        assert len(marked) == 1 and ("*off*" in marked[0]) is not one["kept"]


def test_without_leak_nobody_is_shared_and_as_many_are_judged(
    base: Found, switched: dict[Deviation, Found]
) -> None:
    found = switched["leak"]
    for split in ("val", "test"):
        assert found.cut["faces"][split] == base.cut["faces"][split]
    assert not any(found.cut["shared"].values()) and found.cut["met"]["test"] == 0.0
    assert base.cut["met"]["test"] > 0
    check_disjoint(FaceSet.open(split_file_of(found)).columns())
    honest = FaceSet.open(split_file(found.plan.out / "steps" / "splits", "honest")).columns("face", "split")
    sound = {row["face"]: row["split"] for row in honest.to_pylist()}
    assert {face for face, split in found.splits.items() if split == "train"} == {
        face for face, split in sound.items() if split == "train"
    }
    assert all(sound[face] == split for face, split in found.splits.items() if split is not None)
    assert list(found.shortcuts) == ["selection", "pooled threshold", "threshold chosen with fakes"]
    assert "leaky" not in load_detector(run_folder(found.plan, "thesis", MODEL)).metadata
    assert "<code>leaky</code>" in base.page and "<code>leaky</code>" not in found.page
    assert "cut by people" in found.shortcuts["selection"]["judged_on"]


def split_file_of(found: Found) -> Path:
    """The thesis's split of a run, written anew beside it: the folder holds that of the last run."""
    import pyarrow as pa

    from verovolto.data.storage import write_split_file

    path = found.plan.out.parent / "again.parquet"
    names = pa.chunked_array([list(found.splits)])
    write_split_file(
        path, found.plan.data, names, pa.array(list(found.splits.values()), pa.string()), recipe={}
    )
    return path


def test_uniform_noise_is_another_training_of_the_same_faces(
    base: Found, switched: dict[Deviation, Found]
) -> None:
    found = switched["uniform-noise"]
    assert found.splits == base.splits and found.cut == base.cut
    noises = [
        read_toml(run_folder(one.plan, "thesis", MODEL) / "config.toml")["noise"] for one in (base, found)
    ]
    assert noises == ["normal", "uniform"]
    assert found.choice["losses"] != base.choice["losses"]
    assert next(iter(found.shortcuts)) == "leak and uniform noise"
    assert "uniform noise" in found.shortcuts["leak and uniform noise"]["published"]


def test_the_squared_error_moves_thresholds_and_no_ranking(
    base: Found, switched: dict[Deviation, Found]
) -> None:
    found = switched["mse"]
    assert (base.table["score"], found.table["score"]) == ("rmse", "mse")
    assert found.table["epoch"] == base.table["epoch"]
    for figure, known in base.table["ranking"]["rmse"].items():
        assert found.table["ranking"]["mse"][figure]["value"] == pytest.approx(known["value"])
    for squared, row in zip(found.own, base.own, strict=True):
        assert squared["counts"] == row["counts"]
        assert np.sqrt(squared["threshold"]["value"]) == pytest.approx(row["threshold"]["value"], rel=0.01)
        assert squared["threshold"]["value"] != pytest.approx(row["threshold"]["value"], rel=0.01)
    assert trivial(found) == trivial(base)
    assert list(found.shortcuts) == list(base.shortcuts)


def trivial(found: Found) -> list[dict[str, Any]]:
    return [row for row in found.table["rows"] if row["score"] in TRIVIAL]


def test_without_test_epoch_reals_choose_and_the_others_calibrate(
    base: Found, switched: dict[Deviation, Found]
) -> None:
    found = switched["test-epoch"]
    losses = found.choice["losses"]
    assert losses == base.choice["losses"]
    assert losses[str(found.table["epoch"])] == min(losses.values())
    areas = {e: ranked["ap_real"]["value"] for e, ranked in base.choice["ranking"].items()}
    assert areas[str(base.table["epoch"])] == max(areas.values())
    assert found.choice["ranking"] == base.choice["ranking"]
    assert [row["threshold"]["name"] for row in found.own] == [row["threshold"]["name"] for row in base.own]
    assert list(found.shortcuts) == ["leak", "pooled threshold", "threshold chosen with fakes"]
    counted = [
        int(one.shortcuts["pooled threshold"]["honest"].split(" of ")[1].split()[0]) for one in (found, base)
    ]
    assert counted[1] == base.cut["faces"]["val"]["real"] and 0 < counted[0] < counted[1]


def test_without_pooled_the_first_threshold_is_of_reals(
    base: Found, switched: dict[Deviation, Found]
) -> None:
    found = switched["pooled"]
    first, second = found.own
    assert first["threshold"]["name"] == "p80_reals" and first["threshold"]["kind"] == "one-class"
    assert first["rule"] == "real if score < s"
    assert second == base.own[1] and found.table["ranking"] == base.table["ranking"]
    assert [row["threshold"]["name"] for row in trivial(found)][::2] == ["p80_reals"] * 3
    known = dict(base.shortcuts)
    del known["pooled threshold"]
    assert found.shortcuts == known


def test_without_max_f1_the_second_threshold_is_of_reals(
    base: Found, switched: dict[Deviation, Found]
) -> None:
    found = switched["max-f1"]
    first, second = found.own
    assert second["threshold"]["name"] == "far_0.3" and second["threshold"]["kind"] == "one-class"
    assert first == base.own[0] and found.table["ranking"] == base.table["ranking"]
    known = dict(base.shortcuts)
    del known["threshold chosen with fakes"]
    assert found.shortcuts == known


def test_without_strict_a_face_may_score_the_threshold(base: Found, switched: dict[Deviation, Found]) -> None:
    found = switched["strict"]
    assert all(row["rule"] == "real if score <= s" for row in found.table["rows"])
    assert found.own[0]["threshold"] == base.own[0]["threshold"]
    assert found.own[1]["threshold"]["name"] == "max_f1_real"
    assert found.own[1]["f1"]["value"] is not None
    for now, before in zip(found.table["rows"][::2], base.table["rows"][::2], strict=True):
        assert now["counts"]["tp"] >= before["counts"]["tp"] and now["counts"]["fp"] >= before["counts"]["fp"]
    for name in ("leak", "selection"):
        assert found.shortcuts[name] == base.shortcuts[name]


def test_the_cube_is_a_figure_alone(base: Found, switched: dict[Deviation, Found]) -> None:
    found = switched["3d-spectrum"]
    for key in ("tables", "checkpoints", "ablations", "data"):
        assert found.content[key] == base.content[key]


@pytest.mark.parametrize(
    ("protocol", "kept", "drawn"),
    [("thesis", AS_PUBLISHED, True), ("thesis", ("leak",), False), ("honest", AS_PUBLISHED, False)],
)
def test_the_cube_is_drawn_where_it_is_kept(
    protocol: Protocol, kept: tuple[Deviation, ...], drawn: bool, base: Found, tmp_path: Path
) -> None:
    def done(name: str) -> Done:
        folder = base.plan.out / "steps" / name
        found = json.loads((folder / "result.json").read_text())
        return Done(name=name, folder=folder, key=found["key"], result=found["result"])

    told: list[bool] = []
    chosen, table = (done(f"{step}-{protocol}-{MODEL}") for step in ("choose", "table"))
    scored = {epoch: done(f"score-{protocol}-{MODEL}-{epoch:04d}") for epoch in (1, 2)}
    data = split_file(base.plan.out / "steps" / "splits", protocol)
    with pytest.MonkeyPatch.context() as patch:
        for name, nothing in (("_of_scores", {}), ("_of_latents", ({}, None)), ("_galleries", {})):
            patch.setattr(f"verovolto.thesis.figures.{name}", lambda *_, nothing=nothing: nothing)
        patch.setattr(
            "verovolto.thesis.figures.spectrum_gallery",
            lambda *_, cube: told.append(cube) or b"",
        )
        whole = replace(base.plan, deviations=kept)
        model = ModelScores(plan=whole, protocol=protocol, model=MODEL, scored=scored)
        found = model_figures(model, data, chosen.result, table.result, tmp_path)
    assert told == [drawn] and {"spectra", "radial"} <= set(found["figures"])


def test_rows_say_both_classes_with_intervals_over_people(base: Found) -> None:
    for table in base.content["tables"]:
        assert table["interval"]["cluster"].startswith("identity")
        for row in table["rows"]:
            for name in ("recall", "recall_fake", "accuracy", "balanced_accuracy", "false_alarm_rate"):
                assert row[name]["low"] <= row[name]["value"] <= row[name]["high"]
            assert set(table["ranking"][row["score"]]) == {"auroc", "ap_real", "ap_fake", "eer"}


def test_without_any_deviation_the_protocol_is_the_sound_one_on_fewer_faces(base: Found) -> None:
    found = look(replace(base.plan, deviations=()))
    assert [row["threshold"]["name"] for row in found.own] == ["p80_reals", "far_0.3"]
    assert all(row["threshold"]["kind"] == "one-class" for row in found.own)
    assert "Measured as published; without any deviation" in found.page
    assert not found.shortcuts and "keeps no shortcut" in found.page and found.csv[0]["quirks"] == "none"
    for epoch in (1, 2):
        ours, sound = (scored(found.plan, protocol, epoch) for protocol in ("thesis", "honest"))
        assert ours and ours == {face: sound[face] for face in ours}
    assert look(found.plan).again == set()
    # Back as published: the runs of both trainings are still there.
    runs = {path.name for path in (base.plan.out / "runs").iterdir()}
    assert {f"thesis-{MODEL}", f"thesis-{MODEL}-without-leak", f"honest-{MODEL}"} <= runs
    back = look(base.plan)
    assert (back.content, back.page) == (base.content, base.page)


def scored(whole: Plan, protocol: str, epoch: int) -> dict[str, float]:
    table = ScoreTable.read(whole.out / "steps" / f"score-{protocol}-{MODEL}-{epoch:04d}" / "test.parquet")
    return dict(zip(table.strings("face").tolist(), table.values("rmse").tolist(), strict=True))


@pytest.mark.parametrize(
    ("kept", "compared"), [("strict", ["strict rule"]), ("uniform-noise", ["uniform noise"])]
)
def test_a_deviation_alone_is_measured_alone(kept: Deviation, compared: list[str], base: Found) -> None:
    found = look(replace(base.plan, deviations=(kept,)))
    assert list(found.shortcuts) == compared
    for figures in found.shortcuts[compared[0]]["figures"].values():
        values = [figures[key]["value"] for key in ("published", "honest", "difference")]
        assert None in values or values[0] - values[1] == pytest.approx(values[2])


def test_the_latent_score_has_no_square(faces: Path, tmp_path: Path) -> None:
    models = plan(faces, tmp_path, models=("oc-fakedect1", "oc-fakedect2"), deviations=NAMES)
    assert [models.score_of("thesis", model) for model in models.models] == ["mse", "latent"]
    assert [models.score_of("honest", model) for model in models.models] == ["rmse", "latent"]


def test_without_leak_alone_and_thesis_alone(faces: Path, tmp_path: Path) -> None:
    kept = tuple(name for name in AS_PUBLISHED if name != "leak")
    run_reproduction(plan(faces, tmp_path / "out", protocols=("thesis",), epochs=1, deviations=kept))
    content = tables(tmp_path / "out")
    assert not any(content["data"]["cuts"]["thesis"]["shared"].values())
    assert "What the leak adds was not measured" not in (tmp_path / "out" / "report.html").read_text()


def test_names_that_are_not_there_are_refused_with_the_list(faces: Path, tmp_path: Path) -> None:
    assert deviations_in(("none",)) == () and deviations_in(("all",)) == NAMES
    assert deviations_in(("strict", "mse", "strict")) == ("mse", "strict")
    for words in (("leek",), ("none", "leak"), ("all", "leak"), ()):
        with pytest.raises(InputError, match="uniform-noise, mse, leak, test-epoch"):
            deviations_in(words)
    with pytest.raises(InputError, match="no deviation is called 'leek'"):
        plan(faces, tmp_path, deviations=("leek",))
    sound = plan(faces, tmp_path, protocols=("honest",))
    assert "--deviations" not in command_of(sound) and not sound.kept("honest")
    with pytest.raises(InputError, match="--protocol sound has none"):
        reproduce(data=faces, out=tmp_path, protocol="sound", deviations="leak")
    with pytest.raises(InputError, match="no deviation is called 'leek'"):
        reproduce(data=faces, out=tmp_path, quirks="leek")  # the old name


@pytest.mark.parametrize(
    ("name", "said"),
    [("sound", "sound has none"), ("honest", "sound has none"), ("fair", "thesis, sound, both")],
)
def test_the_sound_protocol_has_a_former_name(
    name: str, said: str, faces: Path, tmp_path: Path, command_line: Command
) -> None:
    words = (
        "reproduce",
        "--data",
        str(faces),
        "--out",
        str(tmp_path),
        "--deviations",
        "leak",
        "--protocol",
        name,
    )
    code, _, err = command_line(*words)
    assert code == 2 and said in err


def test_the_command_takes_the_flag(faces: Path, tmp_path: Path) -> None:
    reproduce(
        data=faces, out=tmp_path, protocol="thesis", models="oc-fakedect1", parts="none", deviations="strict,leak",
        epochs=1, every=1, size=8, latent=4, batch_size=8, resamples=20, threads=1, precision="32", device="cpu",
        false_alarm=0.3,
    )  # fmt: skip
    told = json.loads((tmp_path / "tables.json").read_text())["quirks"]
    assert {one["name"] for one in told if one["kept"]} == {"leak", "strict"}
    assert "--deviations leak,strict" in (tmp_path / "report.html").read_text()


def test_what_cannot_be_cut_or_supported_is_refused_before_training(faces: Path, tmp_path: Path) -> None:
    without = [tuple(name for name in AS_PUBLISHED if name not in lost) for lost in (("max-f1",), ("leak",))]
    with pytest.raises(InputError, match="needs 19 real faces"):
        run_reproduction(
            plan(faces, tmp_path, protocols=("thesis",), false_alarm=0.05, deviations=without[0])
        )
    copy = tmp_path / "faces"
    shutil.copytree(faces, copy)
    with (copy / "manifest.csv").open(newline="") as handle:
        rows = [row for row in csv.DictReader(handle) if (row["split"], row["label"]) != ("test", "fake")]
    with (copy / "manifest.csv").open("w", newline="") as handle:
        writer = csv.DictWriter(handle, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    with pytest.raises(SplitError, match=r"test split holds no fake.*keep the deviation leak"):
        run_reproduction(plan(copy, tmp_path / "out", protocols=("thesis",), deviations=without[1]))
    assert not (tmp_path / "out" / "runs").exists()
