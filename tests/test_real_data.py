"""What is known of the real faces, measured again by our own code: a wrong sign or a leak would show here."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open
from sklearn.metrics import roc_auc_score

from verovolto import Detector
from verovolto.data.faceset import FaceSet
from verovolto.data.splits import SPLIT_COLUMNS, check_disjoint, cluster_ids, halve
from verovolto.detectors.io import FOLDER
from verovolto.detectors.score_faces import score_faces
from verovolto.detectors.trivial.detector import TrivialDetector
from verovolto.evaluation.evaluate import evaluate_scores

pytestmark = pytest.mark.data


@pytest.fixture(scope="module")
def faces(real_data: Path) -> FaceSet:
    return FaceSet.open(real_data / "dfdc-faces")


def test_its_splits_are_disjoint(faces: FaceSet) -> None:
    check_disjoint(faces.columns(*SPLIT_COLUMNS))
    counts = {split: len(faces.select(split=split)) for split in ("train", "val", "test")}
    assert counts == {"train": 6000, "val": 1000, "test": 1600}


def test_no_person_is_in_both_halves_of_val(faces: FaceSet) -> None:
    table = faces.select(split="val").columns()
    choose = halve(table, seed=0)
    ids = cluster_ids(table)
    assert not set(ids[choose]) & set(ids[~choose])
    labels = np.array(table["label"].to_pylist())
    assert min((labels[choose] == "real").sum(), (labels[~choose] == "real").sum()) > 200


def test_trivial_statistics_fall_on_the_known_side_of_chance(faces: FaceSet) -> None:
    """The fakes are smoother than the reals: fewer bytes, less sharpness (0.39 and 0.40 on the whole collection)."""
    table = score_faces(TrivialDetector(), faces.select(split="test"), quiet=True)
    metrics = evaluate_scores(table, resamples=200)
    scores = {metrics["score"]: metrics, **metrics["other_scores"]}
    assert metrics["interval"]["clusters"] == 132 and metrics["interval"]["cluster"] == "identity"
    for name, known in {"bytes": 0.39, "sharpness": 0.40}.items():
        found = scores[name]["auroc"]
        assert abs(found["value"] - known) < 0.06 and found["high"] < 0.5
        assert scores[name]["pairs"] == 800 and scores[name]["pairs_ordered"]["high"] < 0.5


@pytest.fixture(scope="module")
def scores(faces: FaceSet) -> dict[str, np.ndarray]:
    """Of 300 training reals, and of 300 reals and 100 fakes of other people, drawn by a seed."""
    random = np.random.default_rng(0)
    detector = Detector.default()
    found = {}
    for split, label, count in (("train", "real", 300), ("test", "real", 300), ("test", "fake", 100)):
        part = faces.select(split=split, label=label)
        drawn = part.take(np.sort(random.permutation(len(part))[:count]))
        found[f"{split} {label}"] = score_faces(detector, drawn, quiet=True).values(detector.default_score)
    return found


@pytest.mark.xdist_group("default detector")  # one process for all: they share the scores
class TestStarter:
    """The detector that comes along, measured again; it is no record of those it learned from."""

    def test_its_scores_do_not_tell_whom_it_learned_from(self, scores: dict[str, np.ndarray]) -> None:
        known, others = scores["train real"], scores["test real"]
        # Either direction would give people away; 0.5 +- 0.08 is three standard errors for so many faces.
        assert abs(auroc(others, known) - 0.5) < 0.08
        spread = np.abs(known - np.median(known)), np.abs(others - np.median(known))
        assert abs(auroc(spread[1], spread[0]) - 0.5) < 0.08, "nor by how typical it finds them"

    def test_it_separates_fakes_from_reals_of_people_it_never_saw(
        self, scores: dict[str, np.ndarray]
    ) -> None:
        assert auroc(scores["test fake"], scores["test real"]) > 0.8

    def test_nothing_of_single_faces_is_in_its_folder(self) -> None:
        names = {path.name for path in FOLDER.iterdir()}
        assert names == {"detector.json", "model.safetensors", "MODEL_CARD.md", "WEIGHTS_LICENSE.md"}
        with safe_open(FOLDER / "model.safetensors", framework="np") as file:
            shapes = {name: file.get_slice(name).get_shape() for name in file.keys()}  # noqa: SIM118
        heads = {name: shape for name, shape in shapes.items() if name.startswith("head.")}
        assert set(heads) == {"head.slope", "head.origin", "head.landmarks"}
        of_distance = {"origin", "scale", "directions", "typical"}
        distances = {f"{of}.{name}" for of in ("distance", "spread") for name in of_distance}
        others = {name for name in shapes if not name.startswith(("head.", "calibration."))}
        assert others == distances, "calibrations hold one number a held-out face, and no more"
        for of in ("distance", "spread"):
            assert shapes[f"{of}.directions"][0] <= 128, "principal components of thousands of faces"
        assert all(len(shape) == 1 for name, shape in shapes.items() if name.startswith("calibration."))


def auroc(higher: np.ndarray, lower: np.ndarray) -> float:
    """Share of pairs in which the first is higher."""
    both = np.concatenate([higher, lower])
    return float(roc_auc_score(np.repeat([1, 0], [len(higher), len(lower)]), both))
