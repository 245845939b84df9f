"""A linear head on frozen features as a detector: saved, loaded, scored, explained."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.conftest import draw_face
from verovolto import Detector
from verovolto.calibration.thresholds import Calibration
from verovolto.core.errors import DetectorError, InputError
from verovolto.data.crop_rule import TIGHT
from verovolto.data.face_batch import Preprocessing, to_batch
from verovolto.detectors.region_discriminant.detector import SCORE, FeatureDetector, LinearHead
from verovolto.detectors.region_discriminant.features import FeatureSpec
from verovolto.features.regions import REGIONS
from verovolto.networks.backbones.efficientnet_lite import MEAN, STD

SPEC = FeatureSpec(backbone="lite0", layers=(0, 2), regions=REGIONS)
FACE = torch.tensor([[20.0, 20], [44, 20], [32, 32], [22, 48], [42, 48]])


def made(**head: object) -> FeatureDetector:
    size = len(SPEC)
    random = torch.Generator().manual_seed(0)
    given = {
        "spec": SPEC,
        "landmarks": FACE,
        "side": 64,
        "slope": torch.randn(size, generator=random),
        "origin": torch.randn(size, generator=random),
        **head,
    }
    known = Calibration.of(
        [0.1, 0.3, 0.2], score=SCORE, clusters=3, cluster="face", fakes={"swap": [0.2, 0.9]}
    )
    return FeatureDetector(
        name="tiny",
        head=LinearHead(**given),  # type: ignore[arg-type]
        preprocessing=Preprocessing(size=64, mean=MEAN, std=STD, crop_rule=TIGHT.to_dict()),
        calibration={SCORE: known},
        metadata={"seed": 3},
    )


@pytest.fixture(scope="module")
def detector() -> FeatureDetector:
    return made()


def test_what_is_saved_is_loaded(detector: FeatureDetector, tmp_path: Path) -> None:
    detector.save(tmp_path)
    again = Detector.load(tmp_path)
    faces = [draw_face(i) for i in range(3)]
    assert isinstance(again, FeatureDetector) and again.name == "tiny" and again.metadata == {"seed": 3}
    assert again.crop_rule == TIGHT.to_dict()
    torch.testing.assert_close(again.score(faces).score, detector.score(faces).score, rtol=0, atol=0)
    assert again.calibration[SCORE].missed(0.5)["swap"].share == 0.5
    assert (tmp_path / "model.safetensors").stat().st_size < 100_000, "the trunk comes out of its package"


def test_scores_do_not_depend_on_the_batch(detector: FeatureDetector) -> None:
    faces = [draw_face(i, size=40 + 8 * i) for i in range(5)]
    together = detector.score(faces).score
    alone = torch.cat([detector.score(face, batch_size=1).score for face in faces])
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-3)


def test_the_heat_map_holds_what_speaks_for_a_forgery(detector: FeatureDetector) -> None:
    batch = to_batch([draw_face(1), draw_face(2)])
    scores = detector.score_batch(batch, anomaly_map=True)
    assert scores.anomaly_map is not None and scores.anomaly_map.shape == (2, 56, 56)
    assert (scores.anomaly_map >= 0).all() and (scores.anomaly_map.sum((1, 2)) >= scores.score - 1e-2).all()
    assert detector.score_batch(batch).anomaly_map is None
    explained = detector.explain([draw_face(1), draw_face(2)])
    torch.testing.assert_close(explained.anomaly_map, scores.anomaly_map)
    assert explained.reconstructions is None and explained.inputs.shape == (2, 3, 64, 64)


def test_a_head_of_another_size_is_refused() -> None:
    with pytest.raises(InputError, match="480 columns, not 3 and 3"):
        made(slope=torch.zeros(3), origin=torch.zeros(3))


def test_a_folder_of_an_unknown_kind_is_refused(
    detector: FeatureDetector, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(FeatureDetector, "kind", "of tomorrow")
        detector.save(tmp_path)
    with pytest.raises(DetectorError, match=r"kind 'of tomorrow', this verovolto knows .*features.*vae"):
        Detector.load(tmp_path)
