"""How the scores of real faces spread by their distance."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.conftest import draw_face
from tests.detectors.region_discriminant.test_detector import FACE, made
from verovolto import Detector
from verovolto.core.errors import InputError
from verovolto.data.face_batch import Preprocessing, to_batch
from verovolto.detectors.region_discriminant.detector import SCORE, FeatureDetector, LinearHead
from verovolto.detectors.region_discriminant.features import FeatureSpec
from verovolto.detectors.region_discriminant.spread import FEWEST, ScoreSpread
from verovolto.features.distance import FeatureDistance
from verovolto.networks.backbones.clip import MEAN, STD

NUMBER = FeatureDistance(
    origin=torch.zeros(1), scale=torch.ones(1), directions=torch.ones(1, 1), typical=torch.tensor([torch.inf])
)
"""The distance of a face with one feature is that feature."""


def fitted(scores: np.ndarray, distances: np.ndarray, weights: np.ndarray | None = None) -> ScoreSpread:
    shares = np.ones(len(scores)) if weights is None else weights
    return ScoreSpread.fit(scores, distances[:, None].astype(np.float32), shares, NUMBER)


def drawn(level: float, growth: float, count: int = 4000) -> tuple[np.ndarray, np.ndarray]:
    """Scores and distances of faces whose spread is known."""
    random = np.random.default_rng(0)
    distances = random.uniform(1, 2, count)
    return random.normal(0, np.exp(level + growth * distances)), distances


@pytest.mark.parametrize(("level", "growth"), [(-1.2, 0.8), (0.3, 0.0), (-3.0, 2.0)])
def test_what_was_drawn_is_found(level: float, growth: float) -> None:
    scores, distances = drawn(level, growth)
    spread = fitted(scores, distances)
    places = torch.tensor([1.1, 1.5, 1.9])
    torch.testing.assert_close(spread(places[:, None]), torch.exp(level + growth * places), rtol=0.05, atol=0)


def test_near_and_far_faces_are_flagged_alike() -> None:
    scores, distances = drawn(-2.0, 1.5)
    spread = fitted(scores, distances)
    near = distances < 1.5
    plain = scores > np.quantile(scores, 0.95)
    scaled = scores / spread(torch.from_numpy(distances[:, None]).float()).numpy()
    flagged = scaled > np.quantile(scaled, 0.95)
    assert plain[near].mean() < 0.02 < 0.08 < plain[~near].mean()
    assert flagged[near].mean() == pytest.approx(0.05, abs=0.015)
    assert flagged[~near].mean() == pytest.approx(0.05, abs=0.015)


def test_a_source_counts_by_its_weight() -> None:
    (wide, places), (narrow, _) = drawn(1.0, 0.0, 2000), drawn(0.0, 0.0, 2000)
    both, distances = np.concatenate([wide, narrow]), np.concatenate([places, places])
    heavy = np.repeat([1.0, 1e-6], 2000)
    assert float(fitted(both, distances, heavy)(torch.tensor([[1.5]]))) == pytest.approx(np.e, rel=0.05)


@given(
    st.floats(-5, 5), st.floats(0, 5), st.floats(0.5, 3), st.lists(st.floats(0, 10), min_size=2, max_size=20)
)
def test_the_spread_is_above_0_and_never_falls(
    level: float, growth: float, most: float, distances: list[float]
) -> None:
    places = torch.tensor(sorted(distances))
    values = ScoreSpread(distance=NUMBER, level=level, growth=growth, most=most)(places[:, None])
    assert (values > 0).all() and (values.diff() >= 0).all()
    assert (values[places >= most] == values[places >= most][:1]).all()


def test_where_far_faces_spread_less_distance_does_not_count() -> None:
    scores, distances = drawn(1.0, -1.0)
    spread = fitted(scores, distances)
    assert spread.growth == 0
    assert float(spread(torch.tensor([[1.0]]))) == pytest.approx(np.sqrt(np.mean(scores**2)), rel=1e-6)


def test_too_few_faces_are_refused() -> None:
    with pytest.raises(InputError, match="38 faces") as error:
        fitted(np.ones(FEWEST - 1), np.ones(FEWEST - 1))
    assert error.value.hint == "give 39 or more"


def test_a_detector_scores_in_units_of_it_and_keeps_it(tmp_path: Path) -> None:
    spec = FeatureSpec(backbone="clip-vit-b16", layers=(), tokens=(9,))
    random = torch.Generator().manual_seed(0)
    faces = [draw_face(number) for number in range(4)]
    head = LinearHead(
        spec=spec, landmarks=FACE, side=64,
        slope=torch.randn(768, generator=random), origin=torch.randn(768, generator=random),
    )  # fmt: skip
    distance, other = (
        FeatureDistance.fit(torch.randn(20, 768, generator=random).numpy(), np.ones(20, dtype=np.float32))
        for _ in range(2)
    )
    plain = FeatureDetector(
        name="tiny", head=head, preprocessing=Preprocessing(size=32, mean=MEAN, std=STD), distance=distance,
        calibration=made().calibration, metadata={},
    )  # fmt: skip
    spread = ScoreSpread(distance=other, level=-0.5, growth=0.7, most=1e6)
    before = plain.score(faces)
    want = before[SCORE] / spread(plain.features.columns(to_batch(faces)))
    plain.spread = spread
    torch.testing.assert_close(plain.score(faces)[SCORE], want)
    torch.testing.assert_close(plain.score(faces)["distance"], before["distance"])
    plain.save(tmp_path)
    again = Detector.load(tmp_path)
    assert isinstance(again, FeatureDetector) and again.spread is not None
    assert again.spread.to_dict() == spread.to_dict()
    torch.testing.assert_close(again.score(faces)[SCORE], want)
