"""What is known of the real faces, measured again by our own code: a wrong sign or a leak would show here."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from verovolto.data.faceset import FaceSet
from verovolto.data.splits import SPLIT_COLUMNS, check_disjoint, cluster_ids, halve
from verovolto.evaluation.protocol import evaluate_scores
from verovolto.scoring.detector import TrivialDetector
from verovolto.scoring.run import score_faces

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
