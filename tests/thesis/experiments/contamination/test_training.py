"""Training on fakes: only when told face by face, marked wherever it goes, and all else as without them."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.conftest import Command, write_set
from verovolto.core.errors import TrainingError
from verovolto.data.faceset import FaceSet
from verovolto.detectors.base import load_detector
from verovolto.detectors.registry import TrainConfig, flat
from verovolto.evaluation.preflight import exposure_warning
from verovolto.thesis.experiments.contamination import contaminated, train_contaminated
from verovolto.thesis.experiments.contamination.draw import Contamination
from verovolto.thesis.networks import validation_losses
from verovolto.training.config import configure
from verovolto.training.data import load_training_data
from verovolto.training.fit import run
from verovolto.training.run_metadata import read_json


def tiny(data: Path, out: Path) -> TrainConfig:
    return configure(
        data=data, out=out, model="oc-fakedect1", size=8, latent=4, epochs=2, batch_size=8, threads=1, flips="hv",
        checkpoint_epochs=1, precision="32", device="cpu",
    )  # fmt: skip


@pytest.fixture(scope="module")
def faces(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A set whose first validation fake is the picture of its sixth training real, and which has fakes of training
    people, too."""
    folder = write_set(tmp_path_factory.mktemp("mixed"))
    shutil.copyfile(folder / "train/real/005.jpg", folder / "val/fake/1000.jpg")
    (folder / "train/fake").mkdir()
    for i in range(3):
        shutil.copyfile(folder / f"val/fake/{1001 + i}.jpg", folder / f"train/fake/{i:03d}.jpg")
    with (folder / "manifest.csv").open("a", newline="") as handle:
        csv.writer(handle).writerows(
            [f"train/fake/{i:03d}.jpg", "fake", "train", f"t{i}", f"train{i}", ""] for i in range(3)
        )
    return folder


@pytest.fixture(scope="module")
def clean(faces: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return run(tiny(faces, tmp_path_factory.mktemp("clean") / "run"))


SAME = Contamination(share=1 / 24, swaps={"train/real/005.jpg": "val/fake/1000.jpg"})
OTHERS = Contamination(
    share=2 / 24, swaps={f"train/real/{i:03d}.jpg": f"train/fake/{i:03d}.jpg" for i in (1, 2)}
)


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return dict(load_detector(folder).model.state_dict())  # type: ignore[attr-defined]


def test_nothing_but_the_named_faces_is_another(faces: Path, clean: Path, tmp_path: Path) -> None:
    """A fake with the very pixels of the real whose place it takes leaves the very same network."""
    mixed = train_contaminated(tiny(faces, tmp_path / "same"), SAME)
    assert validation_losses(mixed) == validation_losses(clean)
    before, after = weights(clean), weights(mixed)
    assert all(torch.equal(before[name], after[name]) for name in before)
    other = weights(train_contaminated(tiny(faces, tmp_path / "others"), OTHERS))
    assert any(not torch.equal(before[name], other[name]) for name in before)


def test_fakes_of_the_training_split_are_not_trained_on_unless_named(faces: Path, tmp_path: Path) -> None:
    config = tiny(faces, tmp_path)
    honest, mixed = load_training_data(config), contaminated(config, OTHERS)
    for sets in (honest, mixed):
        assert set(sets.choose.columns("label")["label"].to_pylist()) == {"real"}
        assert sets.choose.fingerprint() == honest.choose.fingerprint()
        assert sets.calibrate.fingerprint() == honest.calibrate.fingerprint()
    assert honest.order is None and set(honest.train.columns("label")["label"].to_pylist()) == {"real"}
    assert mixed.train.columns("label")["label"].to_pylist().count("fake") == 2
    assert len(mixed.train) == len(honest.train) == 24


def test_it_is_marked_wherever_it_goes(faces: Path, clean: Path, tmp_path: Path) -> None:
    folder = train_contaminated(tiny(faces, tmp_path / "run"), OTHERS)
    papers, metadata = read_json(folder / "run.json"), load_detector(folder).metadata
    assert papers["contaminated"] == metadata["contaminated"] == OTHERS.share
    assert papers["contaminated_with"] == OTHERS.digest
    for split in ("test", "all"):
        assert "8.3% of its training faces are fakes" in str(
            exposure_warning(load_detector(folder), FaceSet.open(faces), split)
        )
    assert not {"contaminated", "contaminated_with"} & {
        *read_json(clean / "run.json"), *load_detector(clean).metadata,
    }  # fmt: skip


def test_it_is_never_taken_for_another_run(faces: Path, clean: Path, tmp_path: Path) -> None:
    folder = train_contaminated(tiny(faces, tmp_path / "run"), OTHERS)
    for other in (run, lambda config: train_contaminated(config, SAME)):
        with pytest.raises(TrainingError, match=r"was begun with contaminated = 0\.0833"):
            other(tiny(faces, folder))
    with pytest.raises(TrainingError, match="was begun without contaminated"):
        train_contaminated(tiny(faces, clean), OTHERS)
    assert train_contaminated(tiny(faces, folder), OTHERS) == folder  # done already


def test_no_command_trains_so(
    command_line: Command, faces: Path, clean: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = flat(tiny(faces, clean))
    assert not [name for name in options if "contamin" in name or "leak" in name]
    given: list[dict[str, Any]] = []

    def heard(config: TrainConfig, **options: Any) -> Path:
        given.append(options)
        return config.out

    monkeypatch.setattr("verovolto.training.fit.run", heard)
    code, _, err = command_line("train", "--data", faces, "--model", "oc-fakedect1", "--out", clean)
    assert code == 0, err
    assert given == [{}]
