"""Training a region discriminant: real faces alone, resumable, and nothing of single faces left behind."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.conftest import draw_face, write_set
from verovolto import Detector
from verovolto.core.errors import DataError, InputError, TrainingError
from verovolto.core.workdir import CHUNK, compute_chunks
from verovolto.data.crop_rule import TIGHT
from verovolto.data.faceset import FaceSet
from verovolto.detectors import calibrate
from verovolto.detectors.region_discriminant import extraction, linear_head
from verovolto.detectors.region_discriminant import fit as discriminant
from verovolto.detectors.region_discriminant.detector import FeatureDetector
from verovolto.detectors.region_discriminant.features import FeatureSpec
from verovolto.detectors.registry import TrainConfig
from verovolto.synthesis.pseudo_fakes import PSEUDO_FAKE_METHODS
from verovolto.training.config import configure
from verovolto.training.data import load_training_data
from verovolto.training.fit import TrainingRun, resolved, run


def config(data: Path, out: Path, **changes: Any) -> TrainConfig:
    settings = {
        "model": "region-discriminant", "crop_rule": "tight", "forgeries": 18, "workers": 0, "threads": 1, "seed": 1,
    }  # fmt: skip
    return configure(data=data, out=out, **{**settings, **changes})


def train(given: TrainConfig) -> Path:
    return run(given)


@pytest.fixture(autouse=True)
def _landmarks_of_drawn_faces(monkeypatch: pytest.MonkeyPatch) -> None:
    """No face detector takes a drawing for a face; where its eyes and mouth are is known."""

    def known(faces: Any, *_: Any, **__: Any) -> np.ndarray:
        points = np.array([[78.0, 90], [146, 90], [112, 120], [88, 160], [136, 160]], dtype=np.float32)
        jitter = np.random.default_rng(0).normal(0, 3, (len(faces), 5, 2)).astype(np.float32)
        return points + jitter

    monkeypatch.setattr(discriminant, "crop_landmarks", known)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_set(tmp_path_factory.mktemp("small"), train=12, people=4)


def test_a_run_gives_a_calibrated_detector_and_leaves_no_features(small: Path, tmp_path: Path) -> None:
    out = train(config(small, tmp_path / "run"))
    detector = Detector.load(out)
    assert isinstance(detector, FeatureDetector) and detector.name == "region-discriminant"
    assert detector.crop_rule == TIGHT.to_dict() and detector.domain.ranges
    assert detector.metadata["forgeries"] == 18 and detector.metadata["kinds"] == list(PSEUDO_FAKE_METHODS)
    assert len(detector.calibration["discriminant"]) > 0
    assert not (out / "work").exists()
    assert sorted(path.name for path in out.iterdir()) == ["config.toml", "detector", "run.json"]
    assert not any(path.suffix == ".npy" for path in out.rglob("*"))


def test_only_reals_of_the_training_split_matter(small: Path, tmp_path: Path) -> None:
    without = tmp_path / "without"
    without.mkdir()
    (without / "train").symlink_to(small / "train")
    for split in ("val", "test"):
        (without / split).symlink_to(small / split)
    with (
        (small / "manifest.csv").open() as source,
        (without / "manifest.csv").open("w", newline="") as target,
    ):
        rows = list(csv.reader(source))
        kept = [row for row in rows if not (row[1] == "fake" and row[2] == "val")]
        csv.writer(target).writerows(kept)
    one, other = (
        Detector.load(train(config(data, tmp_path / data.name / "run"))) for data in (small, without)
    )
    assert isinstance(one, FeatureDetector) and isinstance(other, FeatureDetector)
    torch.testing.assert_close(one.head.slope, other.head.slope, rtol=0, atol=0)


def test_stopped_at_any_step_it_ends_the_same(
    small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = Detector.load(train(config(small, tmp_path / "whole", forgeries=70)))
    assert isinstance(whole, FeatureDetector)
    real = extraction.pair
    for stop in (3, 66):  # within the first block, and within the second

        def stopped(face_pool: Any, number: int, *, seed: int, stop: int = stop) -> Any:
            if number == stop:
                raise KeyboardInterrupt
            return real(face_pool, number, seed=seed)

        monkeypatch.setattr(extraction, "pair", stopped)
        with pytest.raises(KeyboardInterrupt):
            train(config(small, tmp_path / "run", forgeries=70))
    monkeypatch.setattr(extraction, "pair", real)
    again = Detector.load(train(config(small, tmp_path / "run", forgeries=70)))
    assert isinstance(again, FeatureDetector)
    torch.testing.assert_close(again.head.slope, whole.head.slope, rtol=0, atol=0)


def test_as_many_untouched_faces_are_looked_at_as_are_asked_for(
    small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked_at: list[int] = []
    gather = discriminant.OfFaces

    def noted(*, faces: FaceSet, recipe: Any, corrupted_by: int | None = None) -> Any:
        if corrupted_by is None:
            looked_at.append(len(faces))
        return gather(faces=faces, recipe=recipe, corrupted_by=corrupted_by)

    monkeypatch.setattr(discriminant, "OfFaces", noted)
    slopes = []
    for untouched in (5, 3000):
        detector = Detector.load(train(config(small, tmp_path / f"of-{untouched}", untouched=untouched)))
        assert isinstance(detector, FeatureDetector)
        slopes.append(detector.head.slope)
    assert looked_at == [5, 12] and not torch.equal(*slopes)


def test_a_finished_run_is_not_trained_again_and_another_is_refused(small: Path, tmp_path: Path) -> None:
    out = train(config(small, tmp_path / "run"))
    before = (out / "detector/model.safetensors").stat().st_mtime_ns
    assert train(config(small, tmp_path / "run")) == out
    assert (out / "detector/model.safetensors").stat().st_mtime_ns == before
    with pytest.raises(TrainingError, match="forgeries was 18, is 27"):
        train(config(small, tmp_path / "run", forgeries=27))


def test_unreadable_faces_past_the_share_stop_it(tmp_path: Path) -> None:
    data = write_set(tmp_path / "set", train=12, people=4)
    (data / "train/real/003.jpg").write_bytes(b"broken")
    with pytest.raises(DataError, match=r"1 of 12 training faces cannot be read.*003.jpg"):
        train(config(data, tmp_path / "a"))
    metadata = Detector.load(train(config(data, tmp_path / "b", max_unreadable=0.2))).metadata
    assert metadata["unreadable"] == 1


def test_reals_of_other_sets_are_sources_of_their_own(
    small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(calibrate, "FEWEST_OF_SOURCE", 2)
    monkeypatch.setattr(calibrate, "FEWEST_PEOPLE", 1)
    monkeypatch.setattr(linear_head, "FEWEST_OF_SOURCE", 2)
    monkeypatch.setattr(linear_head, "RATE", 0.25)
    other = write_set(tmp_path / "other", train=10, people=4)
    out = train(config(small, tmp_path / "run", reals=[other]))
    detector = Detector.load(out)
    assert detector.metadata["sources"] == {small.name: 12, "other": 10}
    known = detector.calibration["discriminant"]
    assert {name: len(values) for name, values in known.sources.items()} == {small.name: 4, "other": 4}
    assert len(known) == 8 and detector.metadata["calibrated_on"]["sources"] == {small.name: 4, "other": 4}
    left_out = detector.metadata["left_out"]
    assert set(left_out) == {small.name, "other"} and all(each["of"] == 4 for each in left_out.values())
    assert detector.metadata["trained_on"]["name"] == f"{small.name} + other"
    assert train(config(small, tmp_path / "run", reals=[other])) == out
    with pytest.raises(TrainingError, match="reals was"):
        train(config(small, tmp_path / "run"))


def test_forgeries_are_made_of_the_sources_asked_for(small: Path, tmp_path: Path) -> None:
    other = write_set(tmp_path / "other", train=10, people=4)
    asked = config(small, tmp_path / "run", reals=[other], forged_of=("other",))
    there = resolved(replace(asked, out=tmp_path / "steps"))
    data = load_training_data(asked)
    with TrainingRun(there, data, {}) as this:
        steps = discriminant.FitSteps(config=there, options=there.method, data=data, run=this)  # type: ignore[arg-type]
        forged = data.train.take(steps.forged_rows)
        assert len(steps.face_pool) == len(forged) == 10
        assert set(discriminant.sources_of(forged)) == {"other"}
    detector = Detector.load(train(asked))
    assert detector.metadata["forged_of"] == ["other"] and detector.metadata["sources"]["other"] == 10
    assert train(asked) == tmp_path / "run"  # the flags read from its folder are the same
    nobody = config(small, tmp_path / "b", reals=[other], forged_of=("nobody", "other"))
    with pytest.raises(InputError, match="forged-of names nobody") as error:
        train(nobody)
    assert error.value.hint == f"there are other, {small.name}"


def test_a_set_without_splits_is_cut_by_its_people(small: Path, tmp_path: Path) -> None:
    folder = tmp_path / "plain" / "real"
    for person in range(6):
        for frame in range(2):
            path = folder / f"{person}" / f"{frame}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            draw_face(person).save(path)
    data = load_training_data(config(small, tmp_path / "run", reals=[tmp_path / "plain"]))
    parts = [data.train, data.choose, data.calibrate]
    people = [
        {
            row["source_video"]
            for row in each.columns("dataset", "source_video").to_pylist()
            if row["dataset"] == "plain"
        }
        for each in parts
    ]
    assert len(people[0]) == 3 and len(people[1] | people[2]) == 3 and not people[0] & (people[1] | people[2])


def test_another_trunk_and_another_size(small: Path, tmp_path: Path) -> None:
    out = train(config(small, tmp_path / "run", trunk="lite2", size=64))
    detector = Detector.load(out)
    assert isinstance(detector, FeatureDetector) and detector.head.spec == FeatureSpec.default("lite2")
    assert detector.preprocessing.size == 64 and len(detector.head.slope) == len(FeatureSpec.default("lite2"))
    assert detector.metadata["weights"] == "lite2, ImageNet, frozen"
    anomaly_map = detector.explain([np.zeros((50, 50, 3), np.uint8)]).anomaly_map
    assert anomaly_map is not None and anomaly_map.shape == (1, 56, 56)
    with pytest.raises(InputError, match="48 is no multiple of 32"):
        train(config(small, tmp_path / "odd", size=48))


@pytest.mark.parametrize("wrong", [{"forgeries": 0}, {"shrinkage": 0.0}, {"shrinkage": float("nan")}])
def test_values_that_make_no_sense(small: Path, tmp_path: Path, wrong: dict[str, float]) -> None:
    with pytest.raises(InputError, match=f"--{next(iter(wrong))}"):
        config(small, tmp_path, **wrong)


class TestBlocks:
    def test_blocks_are_kept_and_taken_up_again(self, tmp_path: Path) -> None:
        asked: list[range] = []

        def rows(block: range) -> np.ndarray:
            asked.append(block)
            return np.arange(block.start, block.stop, dtype=np.float16)[:, None]

        done: list[int] = []
        count = 2 * CHUNK + 5
        found = compute_chunks(count, rows, tmp_path, on_progress=done.append)
        assert found[:, 0].tolist() == list(range(count)) and sum(done) == count
        (tmp_path / f"{CHUNK:07d}.npy").unlink()
        asked.clear()
        again = compute_chunks(count, rows, tmp_path)
        assert asked == [range(CHUNK, 2 * CHUNK)] and (again == found).all()
