"""The blend detector: its scores, its map, its folder."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.conftest import draw_face
from verovolto.core.errors import InputError
from verovolto.data.face_batch import FaceBatch, Preprocessing, to_batch
from verovolto.detectors.base import Detector
from verovolto.experimental.blend.detector import BLEND, RMSE, BlendDetector, BlendVAE

HALF = (0.5, 0.5, 0.5)


def made(*scores: str, default: str | None = None) -> BlendDetector:
    torch.manual_seed(0)
    return BlendDetector(
        name="two",
        model=BlendVAE(size=32, latent=8),
        latent=8,
        bottleneck="flat",
        preprocessing=Preprocessing(size=32, mean=HALF, std=HALF),
        default_score=default or scores[0],
        score_names=scores,
        metadata={"seed": 3},
    )


@pytest.fixture(scope="module")
def faces() -> FaceBatch:
    return to_batch([draw_face(seed) for seed in range(5)])


@pytest.mark.parametrize("scores", [(BLEND, RMSE), (BLEND,), (RMSE,)])
def test_what_is_saved_is_loaded(scores: tuple[str, ...], faces: FaceBatch, tmp_path: Path) -> None:
    detector = made(*scores)
    detector.save(tmp_path)
    again = Detector.load(tmp_path)
    assert isinstance(again, BlendDetector) and again.score_names == scores
    assert again.name == "two" and again.metadata == {"seed": 3}
    before, after = (one.score_batch(faces, anomaly_map=True) for one in (detector, again))
    assert set(before.columns) == set(scores)
    for name in scores:
        assert torch.equal(before[name], after[name])
    assert (
        before.anomaly_map is not None
        and after.anomaly_map is not None
        and torch.equal(before.anomaly_map, after.anomaly_map)
    )


def test_scores_do_not_depend_on_the_batch(faces: FaceBatch) -> None:
    detector = made(BLEND, RMSE)
    whole = detector.score_batch(faces)
    for i in range(len(faces)):
        alone = detector.score_batch(FaceBatch(images=[faces.images[i]], encoded_bytes=[None]))
        for name in (BLEND, RMSE):
            torch.testing.assert_close(alone[name][0], whole[name][i], rtol=1e-4, atol=1e-5)


def test_the_map_is_the_score_before_it_is_pooled(faces: FaceBatch) -> None:
    found = made(BLEND, RMSE).score_batch(faces, anomaly_map=True)
    assert found.anomaly_map is not None and found.anomaly_map.shape == (5, 8, 8)
    assert bool((found.anomaly_map > 0).all()) and bool((found.anomaly_map < 1).all())
    odds = (found.anomaly_map / (1 - found.anomaly_map)).flatten(1).mean(1)
    torch.testing.assert_close(odds.log(), found[BLEND], rtol=1e-3, atol=1e-3)


def test_a_head_that_was_not_trained_is_not_used(faces: FaceBatch) -> None:
    errors = made(RMSE).score_batch(faces, anomaly_map=True)
    assert errors.anomaly_map is not None and errors.anomaly_map.shape == (5, 32, 32)
    torch.testing.assert_close(errors.anomaly_map.square().flatten(1).mean(1).sqrt(), errors[RMSE])
    shown = made(BLEND).explain([draw_face(0)])
    assert shown.reconstructions is None and shown.anomaly_map.shape == (1, 8, 8)
    shown = made(BLEND, RMSE).explain([draw_face(0)])
    assert shown.reconstructions is not None and shown.reconstructions.shape == shown.inputs.shape


def test_the_default_score_comes_first_and_must_have_been_trained() -> None:
    assert made(BLEND, RMSE, default=RMSE).score_names == (RMSE, BLEND)
    with pytest.raises(InputError, match=r"no score 'rmse' of a network trained for blend"):
        made(BLEND, default=RMSE)
