"""Scores of degraded faces: those of the undegraded where nothing is changed, whatever the batches, killed or not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from torch import Tensor

from tests.detectors.conftest import make_detector
from verovolto.data.corruptions import CORRUPTIONS, CorruptedImage, Corruption
from verovolto.data.faceset import FaceSet
from verovolto.detectors.score_faces import score_faces
from verovolto.detectors.vae.detector import VAEDetector
from verovolto.evaluation import corrupted_scores as robustness
from verovolto.evaluation.corrupted_scores import CorruptedScores, score_corrupted, versions_of


@pytest.fixture
def faces(face_set: Path) -> FaceSet:
    return FaceSet.open(face_set).select(split="test")


@pytest.fixture(autouse=True)
def _small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(robustness, "FACES_A_PART", 5)


ROWS = np.array([0, 3, 4, 7, 11, 12, 20, 30, 31, 40, 41, 47])
NOISE = [one for one in CORRUPTIONS if one.name in ("noise", "jpeg")]


def unchanged(image: Tensor, level: float, bits: int) -> CorruptedImage:
    return CorruptedImage(image, None)


def same(a: CorruptedScores, b: CorruptedScores, tolerance: float = 0.0) -> bool:
    assert a.columns.keys() == b.columns.keys() and list(a.rows) == list(b.rows) and a.versions == b.versions
    return all(
        np.allclose(a.columns[name], b.columns[name], rtol=tolerance, atol=tolerance, equal_nan=True)
        for name in a.columns
    )


def test_unchanged_faces_have_the_scores_of_the_evaluation(
    detector: VAEDetector, faces: FaceSet, tmp_path: Path
) -> None:
    nothing = Corruption(
        name="nothing", title="Nothing", parameter="", phrase="{}", levels=(1.0, 2.0), change=unchanged
    )
    found = score_corrupted(detector, faces, ROWS, folder=tmp_path, seed=0, corruptions=[nothing])
    main = score_faces(detector, faces, quiet=True)
    for name in (*detector.score_names, "sharpness", "brightness"):
        for version in found.columns[name]:
            np.testing.assert_allclose(version, main.values(name)[ROWS], rtol=2e-5, atol=1e-6)
    assert np.isnan(found.columns["bytes"]).all(), "no file was made"


def test_batches_change_nothing_and_the_size_of_a_jpeg_is_known(
    detector: VAEDetector, faces: FaceSet, tmp_path: Path
) -> None:
    one, many = (
        score_corrupted(
            detector, faces, ROWS, folder=tmp_path / str(size), seed=3, corruptions=NOISE, batch_size=size
        )
        for size in (1, 64)
    )
    assert same(one, many, 2e-5)
    assert list(one.versions) == versions_of(NOISE)
    quality = one.columns["bytes"][:4]
    assert (np.diff(quality, axis=0) < 0).all(), "bytes fall with the quality"
    assert np.isnan(one.columns["bytes"][4:]).all()


def test_the_noise_of_a_face_does_not_depend_on_who_else_is_tried(
    detector: VAEDetector, faces: FaceSet, tmp_path: Path
) -> None:
    all_of_them = score_corrupted(detector, faces, ROWS, folder=tmp_path / "a", seed=3, corruptions=NOISE)
    some = score_corrupted(detector, faces, ROWS[4:7], folder=tmp_path / "b", seed=3, corruptions=NOISE)
    other = score_corrupted(detector, faces, ROWS[4:7], folder=tmp_path / "c", seed=4, corruptions=NOISE)
    np.testing.assert_allclose(some.columns["rmse"], all_of_them.columns["rmse"][:, 4:7], rtol=2e-5)
    assert (some.columns["rmse"][4:] != other.columns["rmse"][4:]).all(), "another seed, other noise"
    assert (some.columns["rmse"][:4] == other.columns["rmse"][:4]).all(), "JPEG knows no chance"


def test_a_killed_run_goes_on_to_the_same_scores(
    detector: VAEDetector, faces: FaceSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = score_corrupted(detector, faces, ROWS, folder=tmp_path / "whole", seed=3, corruptions=NOISE)
    scored = 0

    def killed(pictures: int) -> None:
        nonlocal scored
        scored += pictures
        if scored > 50:  # in the second of three parts: 5 faces x 7 versions are one
            raise KeyboardInterrupt

    options = {"folder": tmp_path / "killed", "seed": 3, "corruptions": NOISE}
    with pytest.raises(KeyboardInterrupt):
        score_corrupted(detector, faces, ROWS, on_progress=killed, **options)
    assert [path.name for path in (tmp_path / "killed").iterdir()] == ["part-00000.parquet"]
    told: list[int] = []
    read: list[int] = []
    monkeypatch.setattr(
        robustness, "read_batch", lambda view, *at: read.append(len(view)) or robustness_read(view, *at)
    )
    resumed = score_corrupted(detector, faces, ROWS, on_progress=told.append, **options)
    assert same(resumed, whole)
    assert sum(told) == len(ROWS) * 7 and sum(read) == len(ROWS) - 5, "the finished part is not scored again"


robustness_read = robustness.read_batch


def test_a_part_of_other_faces_is_made_again(detector: VAEDetector, faces: FaceSet, tmp_path: Path) -> None:
    score_corrupted(detector, faces, ROWS[1:], folder=tmp_path, seed=3, corruptions=NOISE)
    again = score_corrupted(detector, faces, ROWS, folder=tmp_path, seed=3, corruptions=NOISE)
    fresh = score_corrupted(detector, faces, ROWS, folder=tmp_path / "fresh", seed=3, corruptions=NOISE)
    assert same(again, fresh)


def test_an_unreadable_face_has_no_scores_and_does_not_stop_the_rest(
    face_set: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    faces = FaceSet.open(face_set).select(split="test")
    encoded = FaceSet.encoded
    monkeypatch.setattr(
        FaceSet, "encoded", lambda self, i: b"" if self.face(i) == faces.face(3) else encoded(self, i)
    )
    found = score_corrupted(make_detector(), faces, ROWS, folder=tmp_path, seed=0, corruptions=NOISE)
    assert np.isnan(found.columns["rmse"][:, 1]).all()
    assert np.isfinite(np.delete(found.columns["rmse"], 1, axis=1)).all()


def test_the_table_says_row_degradation_and_level(
    detector: VAEDetector, faces: FaceSet, tmp_path: Path
) -> None:
    found = score_corrupted(detector, faces, ROWS[:3], folder=tmp_path, seed=0, corruptions=NOISE)
    table = found.table()
    assert table.num_rows == 3 * 7 and len(found) == 3
    first = table.slice(0, 3).to_pydict()
    assert first["row"] == [0, 3, 4] and first["degradation"] == ["jpeg"] * 3 and first["level"] == [95.0] * 3
    assert table["bytes"].null_count == 9 and table.schema.field("rmse").type == pa.float32()
