"""Scoring a whole set: statuses, p-values, baselines, the share of unreadable faces."""

from __future__ import annotations

import csv
import shutil
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.conftest import draw_face, jpeg
from tests.detectors.conftest import make_detector
from verovolto.calibration.frame_correlation import upper_correlation
from verovolto.calibration.input_domain import CONDITIONS, conditions
from verovolto.core.errors import CalibrationError, DataError
from verovolto.data.face_batch import to_batch
from verovolto.data.faceset import FaceSet
from verovolto.data.splits import video_keys
from verovolto.detectors import calibrate
from verovolto.detectors.base import Scores
from verovolto.detectors.calibrate import SEVERAL_FRAMES, UNRECORDED, calibrated
from verovolto.detectors.score_faces import score_faces
from verovolto.detectors.vae.detector import VAEDetector


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
    assert table.metadata["fingerprint"] == faces.fingerprint()


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
        # Batches of other sizes round differently; a KL near 0 is a small difference of large numbers.
        np.testing.assert_allclose(
            detector.calibration[name].values, np.sort(reals.values(name)), rtol=1e-5, atol=1e-6
        )
        assert detector.calibration[name].clusters == 12 and detector.calibration[name].cluster == "identity"
    kinds = {t.name: t.kind for t in detector.thresholds}
    assert (
        kinds["far_0.1"] == "one-class"
        and kinds["max_f1"] == kinds["max_f1_real"] == "supervised"
        and "far_0.01" not in kinds
    )
    assert detector.metadata["calibrated_on"] == {
        "split": "val/calibrate", "real": 24, "fake": 24, "clusters": 12, "cluster": "identity", "halved_by_seed": 4,
        "refused_rates": [{"false_alarm": 0.01, "needs": 99}],
    }  # fmt: skip


def test_calibration_without_fakes_has_no_supervised_thresholds(face_set: Path) -> None:
    reals = FaceSet.open(face_set).select(split="val", label="real")
    detector = calibrated(make_detector(), reals, seed=0)
    assert {t.kind for t in detector.thresholds} == {"one-class"}


def write_videos(folder: Path, *, frames: int, photos: int = 0) -> FaceSet:
    """Five real videos and three forgeries of each of two methods, of about so many frames each; video 0 is
    the name of a real one and of a fake of either method. Some photographs of another collection, too."""
    rows = []
    kinds = [("real", "", 5), ("fake", "Deepfakes", 3), ("fake", "FaceSwap", 3)]
    number = 0
    for label, method, videos in kinds:
        for video in range(videos):
            for frame in range(frames + video % 2):
                path = folder / f"{label}{method}-{video}-{frame}.jpg"
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(jpeg(draw_face(number, smooth=label == "fake")))
                rows.append([path.name, label, method, str(video), f"person{video}", "clips"])
                number += 1
    for photo in range(photos):
        (folder / f"photo-{photo}.jpg").write_bytes(jpeg(draw_face(900 + photo)))
        rows.append([f"photo-{photo}.jpg", "real", "", f"photo{photo}", f"guest{photo}", "photos"])
    with (folder / "manifest.csv").open("w", newline="") as handle:
        writer = csv.writer(handle)
        writer.writerow(["path", "label", "method", "source_video", "identity", "dataset"])
        writer.writerows(rows)
    return FaceSet.open(folder)


def means_of_videos(faces: FaceSet, scores: np.ndarray) -> dict[tuple[str, str | None], list[float]]:
    """Mean score of each video, sorted, by label and method: a plain loop over rows."""
    found = defaultdict(list)
    for row, score in zip(faces.columns("label", "method", "source_video").to_pylist(), scores, strict=True):
        if np.isfinite(score):
            found[row["label"], row["method"], row["source_video"]].append(float(score))
    means = defaultdict(list)
    for (label, method, _), values in found.items():
        means[label, method].append(sum(values) / len(values))
    return {kind: sorted(values) for kind, values in means.items()}


def test_several_frames_of_a_video_calibrate_videos(tmp_path: Path) -> None:
    faces = write_videos(tmp_path, frames=SEVERAL_FRAMES)
    detector = calibrated(make_detector(), faces, seed=0)
    table = score_faces(detector, faces, quiet=True)
    for name in detector.score_names:
        known = detector.calibration[name]
        want = means_of_videos(faces, table.values(name))
        assert known.videos is not None and len(known) == 5 * SEVERAL_FRAMES + 2
        np.testing.assert_allclose(known.videos.values, want["real", None], rtol=1e-5)
        assert [*known.fakes] == [*known.videos.fakes] == ["Deepfakes", "FaceSwap"]
        for method in known.fakes:
            np.testing.assert_allclose(known.videos.fakes[method], want["fake", method], rtol=1e-5)
        assert (known.videos.clusters, known.videos.cluster) == (known.clusters, known.cluster)
        assert (known.clusters, known.cluster) == (5, "identity") and known.videos.videos is None


def test_of_several_sources_the_videos_say_what_frames_have_in_common(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(calibrate, "FEWEST_OF_SOURCE", 4)
    monkeypatch.setattr(calibrate, "FEWEST_PEOPLE", 3)
    faces = write_videos(tmp_path, frames=SEVERAL_FRAMES, photos=12)
    detector = calibrated(make_detector(), faces, seed=0)
    clips = faces.take(np.flatnonzero(np.asarray(faces.columns("dataset")["dataset"].to_pylist()) == "clips"))
    clips = clips.select(label="real")
    for name in detector.score_names:
        known = detector.calibration[name]
        values, videos = score_faces(detector, clips, quiet=True).values(name), video_keys(clips.columns())
        assert set(known.sources) == {"clips", "photos"} and known.videos is None
        assert known.frame_correlation == pytest.approx(upper_correlation(values, videos), rel=0.01)
    alone = calibrated(make_detector(), clips, seed=0)
    assert all(known.frame_correlation is None for known in alone.calibration.values()), (
        "videos say it better"
    )


def test_many_frames_of_few_people_have_no_place_of_their_own() -> None:
    many, few = 2 * calibrate.FEWEST_OF_SOURCE, calibrate.FEWEST_PEOPLE - 1
    sources = np.repeat(["people", "frames", "faces"], [many, many, calibrate.FEWEST_OF_SOURCE - 1])
    people = np.concatenate([np.arange(many) // 2, np.arange(many) % few, np.arange(len(sources) - 2 * many)])
    assert calibrate.places(sources, people) == ["people"]
    people[many] = few  # one more
    assert calibrate.places(sources, people) == ["frames", "people"]


def test_a_frame_that_cannot_be_read_is_in_no_mean(tmp_path: Path) -> None:
    write_videos(tmp_path, frames=SEVERAL_FRAMES + 1)
    for name in ("real-0-0.jpg", "fakeFaceSwap-1-2.jpg"):
        (tmp_path / name).write_bytes(b"nothing")
    faces = FaceSet.open(tmp_path)
    detector = calibrated(make_detector(), faces, seed=0)
    known = detector.calibration["rmse"]
    want = means_of_videos(faces, score_faces(detector, faces, quiet=True).values("rmse"))
    assert known.videos is not None and len(known) == 5 * (SEVERAL_FRAMES + 1) + 2 - 1
    np.testing.assert_allclose(known.videos.values, want["real", None], rtol=1e-5)
    np.testing.assert_allclose(known.videos.fakes["FaceSwap"], want["fake", "FaceSwap"], rtol=1e-5)


@pytest.mark.parametrize("frames", [1, SEVERAL_FRAMES - 1])
def test_few_frames_of_a_video_calibrate_faces_alone(tmp_path: Path, frames: int) -> None:
    detector = calibrated(make_detector(), write_videos(tmp_path, frames=frames), seed=0)
    assert all(known.videos is None for known in detector.calibration.values())


def test_faces_without_a_video_calibrate_faces_alone(face_set: Path) -> None:
    held_out = FaceSet.open(face_set).select(split="val")
    detector = calibrated(make_detector(), held_out, seed=0)
    assert all(known.videos is None for known in detector.calibration.values())
    assert [*detector.calibration["rmse"].fakes] == [UNRECORDED]


def test_the_missed_share_is_that_of_a_plain_loop(tmp_path: Path) -> None:
    faces = write_videos(tmp_path, frames=SEVERAL_FRAMES)
    detector = calibrated(make_detector(), faces, seed=0)
    table = score_faces(detector, faces, quiet=True)
    methods = faces.columns("method")["method"].to_pylist()
    for name in detector.score_names:
        known = detector.calibration[name]
        for rate in (0.05, 0.1, 0.5):
            threshold, missed = known.threshold(rate), known.missed(rate)
            for method in ("Deepfakes", "FaceSwap"):
                scores = [s for s, m in zip(table.values(name), methods, strict=True) if m == method]
                passed = sum(float(score) <= threshold for score in scores)
                assert (missed[method].missed, missed[method].of) == (passed, len(scores))
                assert missed[method].share == passed / len(scores)


def test_the_domain_is_that_of_the_real_faces(tmp_path: Path) -> None:
    faces = write_videos(tmp_path, frames=2)
    (tmp_path / "real-0-0.jpg").write_bytes(b"nothing")
    detector = calibrated(make_detector(), faces, seed=0)
    reals = sorted(path for path in tmp_path.glob("real-*.jpg") if path.name != "real-0-0.jpg")
    want = conditions(to_batch(reals))
    assert tuple(detector.domain.ranges) == CONDITIONS
    for name, column in want.items():
        assert detector.domain.ranges[name] == (column.min().item(), column.max().item())
        assert detector.domain.outside({each: want[each][0].item() for each in want}) == ()


def test_a_score_that_is_infinite_somewhere_stays_without_a_calibration(
    face_set: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    held_out = FaceSet.open(face_set).select(split="val")
    detector = make_detector()
    real = VAEDetector.score_batch

    def unbounded(self: VAEDetector, *given: Any, **options: Any) -> Scores:
        scores = real(self, *given, **options)
        scores.columns[name] = torch.full_like(scores.columns[name], torch.inf)
        return scores

    monkeypatch.setattr(VAEDetector, "score_batch", unbounded)
    name = "kl"
    made = calibrated(detector, held_out, seed=0)
    assert "kl" not in made.calibration and "rmse" in made.calibration
    assert not any(threshold.score == "kl" for threshold in made.thresholds)
    assert "p_kl" not in score_faces(made, held_out, quiet=True).table.column_names
    name = "rmse"
    with pytest.raises(CalibrationError, match="finite"):
        calibrated(make_detector(), held_out, seed=0)
