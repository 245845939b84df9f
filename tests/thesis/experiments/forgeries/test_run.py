"""The part `forgeries` of a reproduction, and a tree like FaceForensics++'s from its frames to the matrix."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image
from torch import Tensor

from tests.commands.ffpp_tree import METHODS, Landmarked, build_tree
from tests.conftest import write_set
from tests.thesis.test_reproduce import Killed, plan, tables
from verovolto import prepare
from verovolto.commands.reproduce import reproduce
from verovolto.core import workdir
from verovolto.data.faceset import FaceSet
from verovolto.data.score_table import ScoreTable
from verovolto.data.splits import make_splits, shared_between_splits
from verovolto.faces.detection.base import Face
from verovolto.faces.detection.mtcnn import MTCNNDetector
from verovolto.thesis.experiments import forgeries as page
from verovolto.thesis.experiments.forgeries.fakes import KINDS, unsplit_file
from verovolto.thesis.pipeline import run_reproduction
from verovolto.thesis.plan import Plan, split_file
from verovolto.thesis.splits import SHARES, method_mask

pytestmark = pytest.mark.slow  # one reproduction serves most of these
EACH = 2
CLIPS = {"519": ("519_515", "Deepfakes"), "634": ("634_660", "FaceSwap")}
"""The real clips: each with its forgery and the method."""


@pytest.fixture(scope="module", autouse=True)
def quick(undrawn: None) -> Iterator[None]:
    """Few forgeries, a stand-in for the face detector, and none of the thesis's figures."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("verovolto.thesis.experiments.forgeries.fakes.EACH", EACH)
        patch.setattr("verovolto.faces.detection.mtcnn.MTCNNDetector", Landmarked)
        yield


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_tree(tmp_path_factory.mktemp("collection") / "FaceForensics++")


@pytest.fixture(scope="module")
def faces(tree: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The faces of the tree, as `verovolto prepare` cuts them out."""
    out = tmp_path_factory.mktemp("prepared") / "faces"
    assert prepare(tree, out=out, crop="ffpp", workers=0, smallest=10).complete
    return out


@pytest.fixture(scope="module")
def done(faces: Path, tmp_path_factory: pytest.TempPathFactory) -> Plan:
    whole = wanted(faces, tmp_path_factory.mktemp("whole"))
    run_reproduction(whole)
    return whole


def wanted(faces: Path, out: Path, **changes: Any) -> Plan:
    settings: dict[str, Any] = {"parts": ("forgeries",), "method": "Deepfakes", "epochs": 1}
    return plan(faces, out, **{**settings, "models": ("oc-fakedect1", "oc-fakedect2"), **changes})


def part(out: Path) -> dict[str, Any]:
    return dict(tables(out)["parts"]["forgeries"])


def by_forgery(found: dict[str, Any], contestant: str) -> dict[str, dict[str, Any]]:
    return {row["forgery"]: row for row in found["rows"][contestant]}


def test_all_six_methods_are_judged_though_one_was_asked_for(done: Plan) -> None:
    found = part(done.out)["found"]
    rows = by_forgery(found, "oc-fakedect1")
    assert set(rows) == set(METHODS)
    for method in METHODS[:-1]:
        # Three pairs of people, two fakes and two reals each, two frames of each.
        assert (rows[method]["fake"], rows[method]["real"], rows[method]["pairs"]) == (12, 12, 12)
    assert (rows["DeepFakeDetection"]["fake"], rows["DeepFakeDetection"]["real"]) == (8, 8)
    assert found["others"]["apart"] == ["DeepFakeDetection"] and found["others"]["torn"] > 0
    by_contestant = part(done.out)["contestants"]
    assert [one["name"] for one in by_contestant] == [
        "oc-fakedect1", "oc-fakedect2", "bytes", "sharpness", "brightness",
    ]  # fmt: skip
    assert {len(one) for one in found["rows"].values()} == {6}


def test_the_method_asked_for_has_the_figures_of_the_tables(done: Plan) -> None:
    table = next(
        t for t in tables(done.out)["tables"] if t["protocol"] == "honest" and t["model"] == "oc-fakedect1"
    )
    row = by_forgery(part(done.out)["found"], "oc-fakedect1")["Deepfakes"]
    assert row["auroc"] == table["ranking"]["rmse"]["auroc"]
    for name in ("missed_fakes", "false_alarm_rate"):
        assert row[name] == table["rows"][0][name]


def test_the_fakes_beside_the_split_share_nobody_with_it(done: Plan) -> None:
    honest = FaceSet.open(split_file(done.out / "steps" / "splits", "honest")).columns()
    others = FaceSet.open(unsplit_file(done.out / "steps" / "splits-others")).columns()
    split = [
        "others" if other == "others" else one if one in ("train", "val") else None
        for one, other in zip(honest["split"].to_pylist(), others["split"].to_pylist(), strict=True)
    ]
    place = honest.column_names.index("split")
    joint = honest.set_column(place, "split", [split])
    assert not any(shared_between_splits(joint).values())
    taken = [row for row, one in zip(honest.to_pylist(), split, strict=True) if one == "others"]
    assert {row["method"] for row in taken if row["label"] == "fake"} == set(METHODS[1:])
    assert all(row["dataset"] == "DeepFakeDetection" for row in taken if row["label"] == "real")
    held = {row["method"] for row in honest.to_pylist() if row["split"] in ("val", "test")}
    assert held == {None, "Deepfakes"}, "thresholds and validation know one method alone"


def test_forgeries_of_every_kind_are_made_and_meet_their_own_sources(done: Plan) -> None:
    made = part(done.out)["made"]
    assert (made["each"], made["kinds"], made["reals"], made["landmarks"]) == (
        EACH,
        list(KINDS),
        12,
        12,
    )
    for contestant in made["rows"]:
        for kind, row in by_forgery(made, contestant).items():
            assert kind in KINDS and row["fake"] == row["real"] == row["pairs"] == EACH
    step = done.out / "steps" / "forgeries-made"
    table = ScoreTable.read(step / "oc-fakedect1-0001.parquet")
    assert len(table) == 2 * EACH * len(KINDS) and set(table.strings("label")) == {
        "real",
        "fake",
    }
    assert {path.suffix for path in step.iterdir()} == {".parquet", ".json"}, "no picture is kept"


def test_the_page_shows_both_and_says_what_was_made(done: Plan) -> None:
    text = (done.out / "report.html").read_text()
    for words in (
        "Made, not found",
        "NeuralTextures",
        f"{EACH} of each kind",
        "no network was trained on any",
    ):
        assert words in text
    drawn = {path.name for path in (done.out / "figures").iterdir()}
    assert {"forgeries-found.png", "forgeries-made.png"} <= drawn


def test_nothing_is_done_twice(done: Plan, capsys: pytest.CaptureFixture[str]) -> None:
    before = (done.out / "tables.json").read_bytes()
    capsys.readouterr()
    run_reproduction(done)
    assert "…" not in capsys.readouterr().out and (done.out / "tables.json").read_bytes() == before


def test_killed_at_each_of_its_steps_it_goes_on(
    done: Plan, faces: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    shutil.copytree(done.out, out)
    own = [path for path in (out / "steps").iterdir() if "others" in path.name or "forgeries" in path.name]
    for folder in own:
        shutil.rmtree(folder)
    real, killed = workdir.finish, set[Path]()

    def kill_once(path: Path, value: dict[str, Any]) -> None:
        if path not in killed:
            killed.add(path)
            raise Killed
        real(path, value)

    monkeypatch.setattr(workdir, "finish", kill_once)
    for _ in range(20):
        try:
            run_reproduction(wanted(faces, out))
            break
        except Killed:
            continue
    assert {path.parent for path in killed} == set(own) and len(own) == 6
    assert part(out) == part(done.out)


def test_without_official_lists_a_fake_is_judged_where_both_its_people_are_in_test(
    faces: Path, tmp_path: Path
) -> None:
    (tmp_path / "faces").mkdir()
    for shard in faces.glob("*.parquet"):
        whole = pq.read_table(shard)
        place = whole.column_names.index("split")
        bare = whole.set_column(place, "split", pa.nulls(len(whole), pa.string()))
        pq.write_table(bare.replace_schema_metadata(whole.schema.metadata), tmp_path / "faces" / shard.name)
    table = FaceSet.open(tmp_path / "faces").columns()
    table = table.filter(pa.array(method_mask(table, "Deepfakes")))
    # Pairs of people fall apart more often than not: a seed is taken that leaves some fake to judge on.
    seed = next(
        seed
        for seed in range(100)
        if ("test", "fake")
        in zip(
            make_splits(table, parts=SHARES, seed=seed).split.to_pylist(),
            table["label"].to_pylist(),
            strict=True,
        )
    )
    reproduce(
        data=tmp_path / "faces", out=tmp_path / "out", protocol="sound", models="oc-fakedect1",
        parts="forgeries", method="Deepfakes", epochs=1, every=1, size=8, latent=4, batch_size=8, weights="none",
        false_alarm=0.3, resamples=20, threads=1, precision="32", device="cpu", seed=seed,
    )  # fmt: skip
    rows = by_forgery(part(tmp_path / "out")["found"], "oc-fakedect1")
    assert {"Deepfakes"} <= set(rows) <= set(METHODS)
    honest = FaceSet.open(split_file(tmp_path / "out" / "steps" / "splits", "honest")).columns().to_pylist()
    test = {row["target_identity"] for row in honest if row["split"] == "test"}
    expected = {
        method: sum(
            row["method"] == method and {row["target_identity"], row["donor_identity"]} <= test
            for row in honest
        )
        for method in METHODS[1:-1]
    }
    assert {method: rows[method]["fake"] for method in rows if method in expected} == {
        method: count for method, count in expected.items() if count
    }


class Blind(Landmarked):
    """Finds no face."""

    def detect(self, image: Tensor) -> list[Face]:
        return []


def test_without_a_method_a_set_has_one_kind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("verovolto.faces.detection.mtcnn.MTCNNDetector", Blind)
    faces = write_set(tmp_path / "set", train=40, people=14)
    run_reproduction(wanted(faces, tmp_path / "out", method=None, protocols=("honest",)))
    found = part(tmp_path / "out")
    assert list(by_forgery(found["found"], "oc-fakedect1")) == ["not recorded"]
    assert found["found"]["others"]["faces"] == {}
    assert "landmarks were found in 0 of 28 test reals" in found["made"]["why_not"]
    said = " ".join(page.findings(found))
    assert "No forgery was made" in said and "(not recorded)" in said
    assert found["made"]["why_not"][1:] in (tmp_path / "out" / "report.html").read_text()


def test_the_thesis_alone_says_what_it_cannot_do(faces: Path, tmp_path: Path) -> None:
    run_reproduction(wanted(faces, tmp_path, protocols=("thesis",)))
    found = part(tmp_path)
    assert found["protocol"] == "thesis" and list(by_forgery(found["found"], "oc-fakedect1")) == ["Deepfakes"]
    assert "--protocol sound or both" in found["found"]["note"] and "rows" in found["made"]
    assert "which others show nobody of training" in (tmp_path / "report.html").read_text()
    assert found["contestants"][0]["strict"] is True


def tree_of_clips(clips: Path, root: Path) -> Path:
    """A tree in which each of 24 videos is a frame of one of the two real clips, and its fake the same frame of the
    forgery: the people are two in truth, which is enough to try whether all fits together."""
    pairs: dict[str, list[list[str]]] = {"train": [], "val": [], "test": []}
    for start, (real, (fake, method)) in zip((0, 12), CLIPS.items(), strict=True):
        names = [f"{start + i:03d}" for i in range(12)]
        reals, fakes = (spread_frames(next(clips.rglob(f"{name}.mp4")), len(names)) for name in (real, fake))
        for i, name in enumerate(names):
            partner = names[i ^ 1]
            for place, image in (
                (f"original_sequences/youtube/c23/images/{name}", reals[i]),
                (f"manipulated_sequences/{method}/c23/images/{name}_{partner}", fakes[i]),
            ):
                (root / place).mkdir(parents=True)
                image.save(root / place / "0000.png")
        for i, split in enumerate(("train", "val", "test")):
            pairs[split] += [[names[4 * i + j], names[4 * i + j + 1]] for j in (0, 2)]
    for split, listed in pairs.items():
        (root / f"{split}.json").write_text(json.dumps(listed))
    return root


def spread_frames(path: Path, count: int) -> list[Image.Image]:
    """Frames of a video, evenly spread."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        step = stream.frames // count
        wanted_frames = (f for i, f in enumerate(container.decode(stream)) if i % step == step // 2)
        frames = [Image.fromarray(frame.to_ndarray(format="rgb24")) for frame in wanted_frames]
    return [frame.resize((640, 640 * frame.height // frame.width)) for frame in frames[:count]]


@pytest.mark.data
def test_real_clips_go_from_frames_to_the_matrix(
    real_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("verovolto.faces.detection.mtcnn.MTCNNDetector", MTCNNDetector)
    tree = tree_of_clips(real_data / "ffpp-clips", tmp_path / "tree")
    assert prepare(tree, out=tmp_path / "faces", workers=0).complete
    run_reproduction(wanted(tmp_path / "faces", tmp_path / "out", protocols=("honest",), false_alarm=0.4))
    found = part(tmp_path / "out")
    rows = by_forgery(found["found"], "oc-fakedect1")
    assert {name: (one["fake"], one["real"], one["pairs"]) for name, one in rows.items()} == {
        "Deepfakes": (4, 8, 4), "FaceSwap": (4, 8, 4),
    }  # fmt: skip
    assert found["made"]["landmarks"] == 8 and set(by_forgery(found["made"], "bytes")) == set(KINDS)


def row(forgery: str, low: float | None, high: float | None, clusters: int = 50) -> dict[str, Any]:
    return {"forgery": forgery, "clusters": clusters, "auroc": {"value": 0.5, "low": low, "high": high}}


def test_it_is_said_of_each_forgery_only_what_its_interval_shows() -> None:
    rows = [
        row("A", 0.6, 0.7),
        row("B", 0.4, 0.6),
        row("C", 0.2, 0.4),
        row("D", None, None),
        row("E", 0.9, 1.0, 4),
    ]
    found = {
        "contestants": [{"name": "m", "trivial": False}],
        "found": {"rows": {"m": rows}},
        "made": {"rows": {"m": rows[:1]}, "each": 5},
    }
    first, second = page.findings(found)
    assert "A ranked above the reals" in first and "C ranked below the reals (the wrong way round)" in first
    assert (
        "B ranked no differently from chance" in first
        and "D, E ranked in a way that too few people leave open" in first
    )
    assert "5 of each" in second
