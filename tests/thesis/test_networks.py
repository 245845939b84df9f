"""Checkpoints as detectors; and runs whose splits share people, which must be told and are marked."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path

import pytest
import torch

from tests.conftest import write_set
from verovolto.core.errors import SplitError, TrainingError
from verovolto.data.faceset import FaceSet
from verovolto.detectors.base import load_detector
from verovolto.detectors.registry import TrainConfig
from verovolto.evaluation.preflight import exposure_warning
from verovolto.thesis.networks import (
    checkpoint_detector,
    keep_weights_alone,
    kept_epochs,
    train,
    validation_losses,
)
from verovolto.training.config import configure
from verovolto.training.fit import run
from verovolto.training.run_metadata import read_json


def tiny(data: Path, out: Path, epochs: int = 3) -> TrainConfig:
    return configure(
        data=data, out=out, model="oc-fakedect1", size=8, latent=4, epochs=epochs, batch_size=8, threads=1,
        checkpoint_epochs=1, precision="32", device="cpu",
    )  # fmt: skip


@pytest.fixture(scope="module")
def trained(face_set: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return run(tiny(face_set, tmp_path_factory.mktemp("checkpoints") / "run"))


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A set in which a person of the training faces is tested on, too."""
    folder = write_set(tmp_path_factory.mktemp("shared"))
    with (folder / "manifest.csv").open(newline="") as handle:
        rows = list(csv.DictReader(handle))
    for row in rows:
        row["identity"] = (
            row["identity"].replace("test0", "train0") if row["split"] == "test" else row["identity"]
        )
    with (folder / "manifest.csv").open("w", newline="") as handle:
        writer = csv.DictWriter(handle, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return folder


def test_each_checkpoint_is_the_network_as_it_was_then(trained: Path) -> None:
    assert list(kept_epochs(trained)) == [1, 2, 3]
    states = [checkpoint_detector(trained, epoch).model.state_dict() for epoch in (1, 2, 3)]
    finished = load_detector(trained)
    best = min(validation_losses(trained).items(), key=lambda item: item[1])[0]
    ours = finished.model.state_dict()  # type: ignore[attr-defined]
    assert all(torch.equal(ours[name], states[best - 1][name]) for name in ours)
    assert any(not torch.equal(states[0][name], states[1][name]) for name in ours)


def test_weights_alone_are_the_same_network_in_a_third_of_the_bytes(trained: Path, tmp_path: Path) -> None:
    copy = tmp_path / "run"
    shutil.copytree(trained, copy)
    before = {
        epoch: (path.stat().st_size, checkpoint_detector(copy, epoch))
        for epoch, path in kept_epochs(copy).items()
    }
    last = (copy / "checkpoints/last.ckpt").read_bytes()
    for _ in range(2):
        keep_weights_alone(copy)
    for epoch, (size, detector) in before.items():
        now = checkpoint_detector(copy, epoch).model.state_dict()
        assert all(torch.equal(now[name], value) for name, value in detector.model.state_dict().items())
        assert kept_epochs(copy)[epoch].stat().st_size < 0.6 * size
    assert (copy / "checkpoints/last.ckpt").read_bytes() == last


def test_a_checkpoint_brings_no_calibration_of_another_epoch(trained: Path) -> None:
    detector = checkpoint_detector(trained, 1)
    assert not detector.calibration and not detector.thresholds and not detector.domain.ranges
    assert "calibrated_on" not in detector.metadata and detector.metadata["epoch"] == 1
    assert detector.metadata["trained_on"] == load_detector(trained).metadata["trained_on"]


def test_a_missing_or_damaged_checkpoint_is_named(trained: Path, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="no checkpoint of epoch 9, it keeps: 1, 2, 3"):
        checkpoint_detector(trained, 9)
    copy = tmp_path / "run"
    shutil.copytree(trained, copy)
    kept_epochs(copy)[2].write_bytes(b"half")
    with pytest.raises(TrainingError, match=r"epoch=0001\.ckpt is damaged"):
        checkpoint_detector(copy, 2)


def test_shared_people_are_refused_unless_told_and_then_marked_everywhere(
    shared: Path, tmp_path: Path
) -> None:
    config = tiny(shared, tmp_path / "run", epochs=1)
    with pytest.raises(SplitError, match="train0"):
        run(config)
    train(config, leaky=True)
    assert read_json(config.out / "run.json")["leaky"] is True
    detector = load_detector(config.out)
    assert detector.metadata["leaky"] is True
    for split in ("test", "all", "anything"):
        assert "share people" in str(exposure_warning(detector, FaceSet.open(shared), split))


def test_a_leaky_run_is_never_taken_for_an_honest_one(face_set: Path, tmp_path: Path) -> None:
    config = tiny(face_set, tmp_path / "run", epochs=1)
    train(config, leaky=True)
    with pytest.raises(TrainingError, match="with leave to share people"):
        run(config)
    with pytest.raises(TrainingError, match="with leave to share people"):
        run(tiny(face_set, tmp_path / "run", epochs=2))


def test_an_honest_run_says_nothing_of_leaks(trained: Path, face_set: Path) -> None:
    detector = load_detector(trained)
    assert "leaky" not in detector.metadata and "leaky" not in read_json(trained / "run.json")
    assert exposure_warning(detector, FaceSet.open(face_set), "test") is None
