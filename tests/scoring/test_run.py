"""Scoring a whole set: statuses, p-values, baselines, the share of unreadable faces."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from tests.scoring.conftest import make_detector
from verovolto.data.faceset import FaceSet
from verovolto.errors import DataError
from verovolto.scoring.calibrate import calibrated
from verovolto.scoring.run import score_faces
from verovolto.scoring.vae_detector import VAEDetector


def test_scores_are_those_of_the_single_images(detector: VAEDetector, face_set: Path) -> None:
    faces = FaceSet.open(face_set).select(split="test")
    table = score_faces(detector, faces, batch_size=7, quiet=True)
    paths = [face_set / name for name in faces.columns("face")["face"].to_pylist()]
    alone = detector.score(paths)
    np.testing.assert_allclose(table.values("rmse"), alone.score.numpy(), rtol=1e-5)
    np.testing.assert_allclose(table.table["p_rmse"].to_numpy(), alone.p_value)
    assert table.values("bytes").tolist() == [path.stat().st_size for path in paths]
    assert table.scores[0] == "rmse" and table.baselines == ("bytes", "sharpness", "brightness")
    assert set(table.strings("status")) == {"ok"}
    assert table.about["fingerprint"] == faces.fingerprint()


@pytest.fixture
def damaged(face_set: Path, tmp_path: Path) -> FaceSet:
    folder = tmp_path / "damaged"
    shutil.copytree(face_set, folder)
    first, second = sorted((folder / "test" / "real").iterdir())[:2]
    first.write_bytes(first.read_bytes()[:200])
    second.write_bytes(b"")
    return FaceSet.open(folder).select(split="test")


def test_unreadable_faces_are_counted_and_named(
    detector: VAEDetector, damaged: FaceSet, capsys: pytest.CaptureFixture[str]
) -> None:
    table = score_faces(detector, damaged, max_unreadable=0.1, quiet=True)
    lost = table.strings("status") == "unreadable"
    assert lost.sum() == 2 and np.isnan(table.values("rmse")[lost]).all()
    assert np.isfinite(table.values("rmse")[~lost]).all()
    errors = capsys.readouterr().err
    assert "2000.jpg" in errors and "2001.jpg" in errors


def test_too_many_unreadable_faces_stop_it(detector: VAEDetector, damaged: FaceSet) -> None:
    with pytest.raises(DataError, match=r"2 of 48 faces .* allowed share of 0\.01"):
        score_faces(detector, damaged, max_unreadable=0.01, quiet=True)


def test_calibration_uses_reals_for_one_class_and_says_what_else(face_set: Path) -> None:
    held_out = FaceSet.open(face_set).select(split="val")
    detector = calibrated(make_detector(), held_out, seed=4)
    reals = score_faces(detector, held_out.select(label="real"), quiet=True)
    for name in detector.score_names:
        np.testing.assert_allclose(detector.calibration[name].values, np.sort(reals.values(name)), rtol=1e-5)
        assert detector.calibration[name].clusters == 12 and detector.calibration[name].cluster == "identity"
    kinds = {t.name: t.kind for t in detector.thresholds}
    assert (
        kinds["far_0.1"] == "one-class"
        and kinds["max_f1"] == kinds["max_f1_real"] == "supervised"
        and "far_0.01" not in kinds
    )
    assert detector.about["calibrated_on"] == {
        "split": "val/calibrate", "real": 24, "fake": 24, "clusters": 12, "cluster": "identity", "halved_by_seed": 4,
        "refused_rates": [{"false_alarm": 0.01, "needs": 99}],
    }  # fmt: skip


def test_calibration_without_fakes_has_no_supervised_thresholds(face_set: Path) -> None:
    reals = FaceSet.open(face_set).select(split="val", label="real")
    detector = calibrated(make_detector(), reals, seed=0)
    assert {t.kind for t in detector.thresholds} == {"one-class"}
