"""Fitting Mahalanobis, PaDiM and PatchCore: real faces alone, resumable, no features of single faces left behind."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.conftest import Command, write_set
from verovolto import Detector
from verovolto.core import workdir
from verovolto.core.errors import DataError, InputError, TrainingError
from verovolto.data.crop_rule import TIGHT
from verovolto.data.faceset import FaceSet
from verovolto.detectors import feature_baseline
from verovolto.detectors.feature_baseline import FeatureBaselineDetector
from verovolto.detectors.patchcore import detector as patchcore
from verovolto.detectors.registry import TrainConfig
from verovolto.detectors.score_faces import score_faces
from verovolto.training.config import configure
from verovolto.training.fit import run

MODELS = ("mahalanobis", "padim", "patchcore")


def config(data: Path, out: Path, **changes: Any) -> TrainConfig:
    settings = {"model": "padim", "crop_rule": "tight", "workers": 0, "threads": 1, "seed": 1, **changes}
    own = {"padim": {"channels": 6}, "patchcore": {"memory": 50}}.get(str(settings["model"]), {})
    return configure(data=data, out=out, **{**own, **settings})


def train(given: TrainConfig) -> Path:
    return run(given)


def weights(run: Path) -> dict[str, torch.Tensor]:
    detector = Detector.load(run)
    assert isinstance(detector, FeatureBaselineDetector)
    return detector.model.tensors()


def assert_same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> None:
    assert one.keys() == other.keys()
    for name, value in one.items():
        torch.testing.assert_close(value, other[name], rtol=0, atol=0, msg=name)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_set(tmp_path_factory.mktemp("small"), train=12, people=4)


@pytest.fixture(autouse=True)
def _small_pictures_and_few_patches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feature_baseline, "SIZE", 64)
    monkeypatch.setattr(patchcore, "PATCHES", 240)


@pytest.mark.parametrize("model", MODELS)
def test_a_run_gives_a_calibrated_detector_and_leaves_no_features(
    small: Path, tmp_path: Path, model: str
) -> None:
    out = train(config(small, tmp_path / "run", model=model))
    detector = Detector.load(out)
    assert isinstance(detector, FeatureBaselineDetector) and detector.name == detector.default_score == model
    assert detector.crop_rule == TIGHT.to_dict() and detector.domain.ranges
    assert detector.metadata["trained_on"]["faces"] == 12 and detector.metadata["unreadable"] == 0
    assert all(len(detector.calibration[name]) > 0 for name in detector.score_names)
    assert sorted(path.name for path in out.iterdir()) == ["config.toml", "detector", "run.json"]
    assert ("holds" in detector.metadata) == (model == "patchcore")
    before = (out / "detector/model.safetensors").stat().st_mtime_ns
    assert train(config(small, tmp_path / "run", model=model)) == out
    assert (out / "detector/model.safetensors").stat().st_mtime_ns == before


def test_what_is_fitted_is_what_was_asked_for(small: Path, tmp_path: Path) -> None:
    memory = weights(train(config(small, tmp_path / "a", model="patchcore", memory=37)))["memory"]
    assert len(memory) == 37
    found = weights(train(config(small, tmp_path / "b", channels=3)))
    assert found["mean"].shape == (784, 3)


@pytest.mark.parametrize("model", MODELS)
def test_stopped_while_features_are_taken_it_ends_the_same(
    small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, model: str
) -> None:
    monkeypatch.setattr(workdir, "CHUNK", 5)
    whole = weights(train(config(small, tmp_path / "whole", model=model)))
    real = feature_baseline.read_image

    def stopped(faces: Any, row: int) -> Any:
        if row == 7:  # in the second block
            raise KeyboardInterrupt
        return real(faces, row)

    monkeypatch.setattr(feature_baseline, "read_image", stopped)
    with pytest.raises(KeyboardInterrupt):
        train(config(small, tmp_path / "run", model=model))
    read: list[int] = []
    monkeypatch.setattr(
        feature_baseline, "read_image", lambda faces, row: read.append(row) or real(faces, row)
    )
    again = weights(train(config(small, tmp_path / "run", model=model)))
    assert read == list(range(5, 12)), "the first block is taken from the folder"
    assert_same(again, whole)


def test_fakes_of_the_training_split_are_never_read(small: Path, tmp_path: Path) -> None:
    data = write_set(tmp_path / "set", train=12, people=4)
    (data / "train/fake").mkdir()
    (data / "train/fake/000.jpg").write_bytes(b"broken")
    with (data / "manifest.csv").open("a") as manifest:
        manifest.write("train/fake/000.jpg,fake,train,spoiled,spoiled,\n")
    one, other = (
        weights(train(config(each, tmp_path / name, model="mahalanobis", max_unreadable=0.0)))
        for name, each in (("without", small), ("with", data))
    )
    assert_same(one, other)


def test_unreadable_faces_are_counted_and_past_the_share_stop_it(tmp_path: Path) -> None:
    data = write_set(tmp_path / "set", train=12, people=4)
    (data / "train/real/003.jpg").write_bytes(b"broken")
    with pytest.raises(DataError, match=r"1 of 12 training faces cannot be read.*003.jpg"):
        train(config(data, tmp_path / "a"))
    out = train(config(data, tmp_path / "b", max_unreadable=0.2))
    assert Detector.load(out).metadata["unreadable"] == 1
    assert all(np.isfinite(value.numpy()).all() for value in weights(out).values())


def test_what_cannot_be_fitted_is_refused_before_the_work(small: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="7 real faces are too few"):
        train(config(small, tmp_path / "a", limit=7))
    with pytest.raises(DataError, match=r"memory of 500 patches.*the 240 of 12 faces .*--memory"):
        train(config(small, tmp_path / "b", model="patchcore", memory=500))
    with pytest.raises(InputError, match="--channels 177: padim has 176"):
        train(config(small, tmp_path / "c", channels=177))
    assert not list(tmp_path.iterdir())


def test_another_configuration_is_refused(small: Path, tmp_path: Path) -> None:
    train(config(small, tmp_path / "run"))
    with pytest.raises(TrainingError, match="channels was 6, is 7"):
        train(config(small, tmp_path / "run", channels=7))


@pytest.mark.parametrize(("model", "wrong"), [("padim", {"channels": 0}), ("patchcore", {"memory": 9})])
def test_values_that_make_no_sense(small: Path, tmp_path: Path, model: str, wrong: dict[str, int]) -> None:
    with pytest.raises(InputError, match=f"--{next(iter(wrong))}"):
        config(small, tmp_path, model=model, **wrong)


def test_the_commands_know_it(small: Path, tmp_path: Path, command_line: Command) -> None:
    code, out, err = command_line(
        "train", "--data", small, "--model", "patchcore", "--out", tmp_path / "run", "--memory", 50,
        "--workers", 0, "--threads", 1,
    )  # fmt: skip
    assert code == 0, err
    assert "trained on 12 real faces; the features of 50 of their patches kept, thresholds" in out
    table = score_faces(Detector.load(tmp_path / "run"), FaceSet.open(small).select(split="test"), quiet=True)
    assert np.isfinite(table.values("patchcore")).all() and "p_patchcore" in table.table.column_names
    assert "--patchcore.memory" in command_line("train", "--help")[1]
    listed = command_line("models")[1]
    assert all(name in listed for name in MODELS)
