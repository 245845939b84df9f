"""The detector that comes along: found where none is given, small, and said what it is."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import draw_face
from verovolto import Detector
from verovolto.core.errors import DetectorError
from verovolto.detectors import io as starter
from verovolto.detectors.io import FOLDER, SHIPPED, detector_folder
from verovolto.detectors.region_discriminant.detector import FeatureDetector


def test_it_loads_scores_and_knows_what_it_promises() -> None:
    detector = Detector.default()
    assert isinstance(detector, FeatureDetector) and detector.crop_rule is not None and detector.domain.ranges
    scores = detector.score([draw_face(1), draw_face(2)])
    assert scores.p_value is not None and ((scores.p_value > 0) & (scores.p_value <= 1)).all()
    [missed] = detector.calibration[detector.default_score].missed(0.05).values()
    assert missed.of > 100 and 0 < missed.share < 1


def test_it_is_small_and_has_its_papers() -> None:
    assert sum(path.stat().st_size for path in FOLDER.iterdir()) < 25e6
    card = (FOLDER / "MODEL_CARD.md").read_text(encoding="utf-8")
    for word in ("AUROC", "missed", "seed", "licence", "left out", "by group"):
        assert word in card
    assert "research" in (FOLDER / "WEIGHTS_LICENSE.md").read_text(encoding="utf-8")


def test_far_faces_need_a_higher_score() -> None:
    detector = Detector.default()
    assert isinstance(detector, FeatureDetector) and detector.spread is not None
    assert 0 < detector.spread.growth < 1.1
    middle = detector.head.origin[None, detector.head.spec.of_distance]
    assert 0.1 < float(detector.spread(middle)) < 1


def test_the_promise_holds_in_each_source_of_many_people() -> None:
    detector = Detector.default()
    known = detector.calibration[detector.default_score]
    assert set(known.sources) == set(known.source_clusters) == {"celeba", "dfdc-faces", "fairface"}
    assert min(known.source_clusters.values()) >= 19  # the clips, which show six people, are none of these
    assert known.fake_clusters == 54
    assert sum(detector.metadata["calibrated_on"]["sources"].values()) == len(known) > 1200
    assert all((values > known.threshold(0.05)).mean() <= 0.05 for values in known.sources.values())
    assert (known.values > known.threshold(0.05)).mean() <= 0.05
    # Real faces lie at about 1.4 where corruptions do not count.
    assert 0 < detector.domain.ranges["distance"][1] < 2


@pytest.mark.parametrize("name", SHIPPED)
def test_every_detector_that_comes_along_loads_and_has_its_licence(name: str) -> None:
    folder = detector_folder(name)
    assert Detector.load(folder).calibration
    assert (folder / "MODEL_CARD.md").is_file() and (folder / "WEIGHTS_LICENSE.md").is_file()


def test_the_free_one_is_of_free_data_alone() -> None:
    folder = detector_folder("free")
    detector = Detector.load(folder)
    assert isinstance(detector, FeatureDetector) and detector.metadata["trained_on"]["name"] == "fairface"
    assert "sources" not in detector.metadata  # FairFace and nothing else
    known = detector.calibration[detector.default_score]
    assert known.clusters == len(known) == 679 and not known.fakes and "distance" in detector.domain.ranges
    assert "CC BY 4.0" in (folder / "WEIGHTS_LICENSE.md").read_text(encoding="utf-8")
    scores = detector.score([draw_face(1), draw_face(2)])
    assert scores.p_value is not None and scores.p_value.shape == (2,)


def test_a_folder_of_the_same_name_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert detector_folder() == detector_folder("default") == detector_folder(Path("default")) == FOLDER
    assert detector_folder(tmp_path / "run") == tmp_path / "run"
    (tmp_path / "default").mkdir()
    assert detector_folder("default") == Path("default")


def test_where_it_is_missing_it_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(starter, "FOLDER", tmp_path / "default")
    with pytest.raises(DetectorError, match="verovolto train"):
        Detector.default()
