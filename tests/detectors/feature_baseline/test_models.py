"""Mahalanobis, PaDiM and PatchCore: against their formulas, against scikit-learn, and as detectors."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from sklearn.covariance import LedoitWolf
from sklearn.neighbors import NearestNeighbors

from tests.conftest import draw_face
from verovolto import Detector
from verovolto.calibration.thresholds import Calibration
from verovolto.core.errors import DataError
from verovolto.data.crop_rule import TIGHT
from verovolto.data.face_batch import Preprocessing, to_batch
from verovolto.detectors.feature_baseline import (
    BACKBONE,
    FeatureBaselineDetector,
    FeatureModel,
    above_median,
    aligned,
    fit_gaussian,
    smoothed,
)
from verovolto.detectors.mahalanobis import detector as mahalanobis
from verovolto.detectors.padim import detector as padim
from verovolto.detectors.patchcore import detector as patchcore
from verovolto.networks.backbones.efficientnet_lite import MEAN, STD, Lite

SEEDS = st.integers(0, 2**31)
SIDE = 64
METHODS = ("mahalanobis", "padim", "patchcore")
CLASSES: dict[str, type[FeatureBaselineDetector]] = {
    "mahalanobis": mahalanobis.MahalanobisDetector,
    "padim": padim.PadimDetector,
    "patchcore": patchcore.PatchcoreDetector,
}


def drawn(seed: int, *shape: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def maps_of(layers: tuple[int, ...], faces: list[Image.Image]) -> list[torch.Tensor]:
    crops = Preprocessing(size=SIDE, mean=MEAN, std=STD)(to_batch(faces), torch.device("cpu"))
    with torch.inference_mode():
        return [found.clone() for found in Lite(BACKBONE, layers)(crops)]


def fitted(method: str, faces: list[Image.Image]) -> FeatureModel:
    if method == "mahalanobis":
        rows = mahalanobis.pooled_levels(maps_of(mahalanobis.LAYERS, faces))
        return mahalanobis.Mahalanobis.fit(rows, mahalanobis.LAYERS)
    if method == "padim":
        channels = padim.drawn_channels(12, seed=0)
        kept = padim.embedded(maps_of(padim.LAYERS, faces), channels)
        return padim.PaDiM.fit(kept.numpy().astype(np.float16), padim.LAYERS, channels)
    patches = patchcore.embedded(maps_of(patchcore.LAYERS, faces)).flatten(2).transpose(1, 2).flatten(0, 1)
    return patchcore.PatchCore.fit(patches[::4], patchcore.LAYERS, 200)


def with_grain(seed: int) -> Image.Image:
    """One and the same face, each time with other grain."""
    face = np.asarray(draw_face(1, size=SIDE, smooth=True)).astype(np.float64)
    noise = np.random.default_rng(seed).normal(0, 6, face.shape)
    return Image.fromarray(np.clip(face + noise, 0, 255).astype(np.uint8))


@pytest.fixture(scope="module")
def detectors() -> dict[str, FeatureBaselineDetector]:
    faces = [with_grain(seed) for seed in range(24)]
    preprocessing = Preprocessing(size=SIDE, mean=MEAN, std=STD, crop_rule=TIGHT.to_dict())
    return {
        method: CLASSES[method](
            name=method,
            model=fitted(method, faces),
            preprocessing=preprocessing,
            calibration={
                method: Calibration.of([1.0, 2.0], score=method, clusters=2, cluster="face", fakes={})
            },
            metadata={"seed": 3},
        )
        for method in METHODS
    }


@pytest.fixture(params=METHODS)
def detector(
    request: pytest.FixtureRequest, detectors: dict[str, FeatureBaselineDetector]
) -> FeatureBaselineDetector:
    return detectors[request.param]


class TestGaussian:
    @given(SEEDS, st.integers(8, 40), st.integers(1, 12))
    def test_whitened_by_it_the_shrunken_covariance_is_one(self, seed: int, n: int, k: int) -> None:
        rows = drawn(seed, n, k, dtype=torch.float64) @ drawn(seed + 1, k, k, dtype=torch.float64) + 5
        mean, whitening = fit_gaussian(rows)
        known = LedoitWolf().fit(rows.numpy())
        torch.testing.assert_close(mean, rows.mean(0))
        covariance = torch.from_numpy(known.covariance_)
        unit = torch.eye(k, dtype=torch.float64)
        torch.testing.assert_close(whitening.T @ covariance @ whitening, unit, rtol=1e-6, atol=1e-6)
        others = drawn(seed + 2, 5, k, dtype=torch.float64)
        squared = ((others - mean) @ whitening).square().sum(1)
        torch.testing.assert_close(
            squared, torch.from_numpy(known.mahalanobis(others.numpy())), rtol=1e-6, atol=1e-6
        )

    def test_rows_that_are_all_alike_are_refused(self) -> None:
        with pytest.raises(DataError, match="features of 9 training faces hardly vary"):
            fit_gaussian(torch.ones(9, 3))


class TestMaps:
    @given(SEEDS, st.floats(-5, 5))
    def test_what_is_everywhere_the_same_stays_so(self, seed: int, value: float) -> None:
        several = [torch.full((2, 3, edge, edge), value) for edge in (56, 28, 7)]
        torch.testing.assert_close(aligned(several, 28), torch.full((2, 9, 28, 28), value))
        torch.testing.assert_close(smoothed(several[1][:, 0]), torch.full((2, 56, 56), value))
        assert not above_median(several[0][:, 0]).any()

    def test_a_map_at_its_own_size_is_left_alone_and_a_larger_one_averaged(self) -> None:
        fine = drawn(0, 1, 2, 8, 8)
        torch.testing.assert_close(aligned([fine], 8), fine)
        means = fine.view(1, 2, 4, 2, 4, 2).mean((3, 5))
        torch.testing.assert_close(aligned([fine], 4), means)

    def test_above_the_median_half_of_the_places_are_zero(self) -> None:
        anomaly_map = above_median(drawn(0, 3, 10, 10))
        assert ((anomaly_map == 0).flatten(1).sum(1) == 50).all() and (anomaly_map >= 0).all()


class TestMahalanobis:
    @given(SEEDS)
    def test_the_score_is_the_sum_of_the_levels_distances(self, seed: int) -> None:
        rows = drawn(seed, 30, 16 + 24)
        model = mahalanobis.Mahalanobis.fit(rows, (0, 2))
        maps = [drawn(seed + 1, 3, 16, 8, 8), drawn(seed + 2, 3, 24, 4, 4)]
        columns, anomaly_map = model.score_maps(maps)
        expected = np.zeros(3)
        for part, features in zip((rows[:, :16], rows[:, 16:]), maps, strict=True):
            known = LedoitWolf().fit(part.double().numpy())
            expected += np.sqrt(known.mahalanobis(features.double().mean((2, 3)).numpy()))
        np.testing.assert_allclose(columns["mahalanobis"], expected, rtol=1e-3)
        assert anomaly_map is None

    @given(SEEDS, st.sampled_from([112, 56, 28, 14, 7]))
    def test_the_shares_of_all_places_add_up_to_the_distance(self, seed: int, edge: int) -> None:
        mean, whitening = (part.float() for part in fit_gaussian(drawn(seed, 30, 5)))
        features = drawn(seed + 1, 2, 5, edge, edge)
        pooled = features.mean((2, 3))
        distance = torch.linalg.vector_norm((pooled - mean) @ whitening, dim=1)
        shares = mahalanobis.shares_of(features, pooled, mean, whitening, distance)
        torch.testing.assert_close(shares.sum((1, 2)), distance, rtol=1e-3, atol=1e-3)


class TestPaDiM:
    def test_each_place_has_a_gaussian_of_its_own(self) -> None:
        channels = torch.tensor([0, 1, 2])
        faces = drawn(0, 20, 3, 28, 28) * torch.linspace(1, 3, 28)
        model = padim.PaDiM.fit(faces.numpy(), (2,), channels)
        shown = drawn(1, 2, 24, 28, 28)
        columns, anomaly_map = model.score_maps([shown], anomaly_map=True)
        distance = np.empty((2, 28, 28))
        for y, x in np.ndindex(28, 28):
            known = LedoitWolf().fit(faces[:, :, y, x].double().numpy())
            distance[:, y, x] = np.sqrt(known.mahalanobis(shown[:, :3, y, x].double().numpy()))
        np.testing.assert_allclose(columns["padim_mean"], distance.mean((1, 2)), rtol=1e-3)
        smooth = smoothed(torch.from_numpy(distance).float())
        torch.testing.assert_close(columns["padim"], smooth.amax((1, 2)), rtol=1e-3, atol=1e-3)
        assert anomaly_map is not None
        torch.testing.assert_close(anomaly_map, above_median(smooth), rtol=1e-2, atol=1e-2)

    @given(SEEDS, st.integers(1, padim.DEPTH))
    def test_channels_are_drawn_by_the_seed_without_repetition(self, seed: int, count: int) -> None:
        one = padim.drawn_channels(count, seed)
        assert one.tolist() == sorted(set(one.tolist())) == padim.drawn_channels(count, seed).tolist()
        assert len(one) == count and int(one[0]) >= 0 and int(one[-1]) < padim.DEPTH


class TestPatchCore:
    @given(SEEDS, st.integers(2, 60), st.integers(1, 8))
    def test_the_nearest_is_scikit_learn_s(self, seed: int, size: int, d: int) -> None:
        memory, points = drawn(seed, size, d), drawn(seed + 1, 7, d)
        distance, nearest = patchcore.nearest_in(memory, points)
        known, index = NearestNeighbors(n_neighbors=1).fit(memory.numpy()).kneighbors(points.numpy())
        np.testing.assert_allclose(distance, known[:, 0], rtol=1e-3, atol=1e-3)
        assert (nearest.numpy() == index[:, 0]).mean() > 0.8  # nearly equal ones may change places

    @given(SEEDS, st.integers(2, 40), st.data())
    def test_always_the_farthest_is_chosen(self, seed: int, n: int, data: st.DataObject) -> None:
        points = drawn(seed, n, 3, dtype=torch.float64)
        size = data.draw(st.integers(1, n))
        chosen = patchcore.greedy_coreset(points, size)
        assert len(set(chosen.tolist())) == size
        apart = torch.cdist(points, points)
        for number in range(1, size):
            least = apart[:, chosen[:number]].amin(1)
            assert float(least[chosen[number]]) >= float(least.max()) - 1e-6

    def test_equal_points_are_chosen_once_each(self) -> None:
        assert sorted(patchcore.greedy_coreset(torch.ones(5, 2), 5).tolist()) == list(range(5))

    @given(SEEDS, st.integers(2, 30))
    def test_the_weight_is_that_of_the_paper(self, seed: int, size: int) -> None:
        memory, point = drawn(seed, size, 4, dtype=torch.float64), drawn(seed + 1, 4, dtype=torch.float64)
        nearest = int((memory - point).square().sum(1).argmin())
        count = min(patchcore.NEIGHBOURS, size)
        search = NearestNeighbors(n_neighbors=count).fit(memory.numpy())
        around = search.kneighbors(memory[nearest : nearest + 1].numpy(), return_distance=False)[0]
        distances = np.linalg.norm(memory.numpy()[around] - point.numpy(), axis=1)
        own = float(np.linalg.norm(memory.numpy()[nearest] - point.numpy()))
        expected = (1 - np.exp(own) / np.exp(distances).sum()) * own
        assert float(patchcore.weighted(memory, point, nearest)) == pytest.approx(expected, rel=1e-9)

    def test_what_lies_in_the_memory_is_no_anomaly(self) -> None:
        memory = drawn(0, 20, 4)
        distance, nearest = patchcore.nearest_in(memory, memory)
        assert nearest.tolist() == list(range(20)) and not distance.any()


class TestDetector:
    def test_what_is_saved_is_loaded(self, detector: FeatureBaselineDetector, tmp_path: Path) -> None:
        detector.save(tmp_path)
        again = Detector.load(tmp_path)
        assert isinstance(again, FeatureBaselineDetector) and again.name == detector.name
        assert again.crop_rule == TIGHT.to_dict() and again.metadata == {"seed": 3}
        assert again.score_names == detector.score_names and again.default_score == detector.name
        faces = to_batch([draw_face(i) for i in range(3)])
        before, after = (each.score_batch(faces, anomaly_map=True) for each in (detector, again))
        for name in detector.score_names:
            assert torch.equal(before[name], after[name])
        assert (
            before.anomaly_map is not None
            and after.anomaly_map is not None
            and torch.equal(before.anomaly_map, after.anomaly_map)
        )

    def test_scores_do_not_depend_on_batch_or_order(self, detector: FeatureBaselineDetector) -> None:
        faces = [draw_face(i, size=40 + 8 * i) for i in range(5)]
        together = detector.score(faces)
        backwards = detector.score(faces[::-1], batch_size=2)
        alone = [detector.score(face, batch_size=1) for face in faces]
        for name in detector.score_names:
            assert together[name].dtype == torch.float32
            for other in (backwards[name].flip(0), torch.cat([one[name] for one in alone])):
                torch.testing.assert_close(together[name], other, rtol=1e-3, atol=1e-3)

    def test_another_face_scores_higher_than_another_picture_of_the_same(
        self, detector: FeatureBaselineDetector
    ) -> None:
        same = detector.score([with_grain(seed) for seed in range(100, 106)])
        other = detector.score([draw_face(seed, size=SIDE) for seed in range(2, 8)])
        for name in detector.score_names:
            assert float(same[name].max()) < float(other[name].min())

    @pytest.mark.parametrize("corner", [(8, 8), (8, 40), (40, 8), (40, 40)])
    def test_the_anomaly_map_shows_where_a_patch_was_planted(
        self, detector: FeatureBaselineDetector, corner: tuple[int, int]
    ) -> None:
        pixels = np.array(with_grain(200))
        y, x = corner
        pixels[y : y + 16, x : x + 16] = np.random.default_rng(0).integers(0, 256, (16, 16, 3))
        batch = to_batch([with_grain(200), Image.fromarray(pixels)])
        scores = detector.score_batch(batch, anomaly_map=True)
        assert scores.anomaly_map is not None and scores.anomaly_map.shape == (2, 56, 56)
        assert (scores.anomaly_map >= 0).all() and scores.score[1] > scores.score[0]
        inside = torch.zeros(56, 56, dtype=torch.bool)
        inside[y * 7 // 8 : (y + 16) * 7 // 8, x * 7 // 8 : (x + 16) * 7 // 8] = True
        assert float(scores.anomaly_map[1][inside].mean()) > 1.5 * float(
            scores.anomaly_map[1][~inside].mean()
        )
        explained = detector.explain([with_grain(200), Image.fromarray(pixels)])
        torch.testing.assert_close(explained.anomaly_map, scores.anomaly_map)
        assert explained.reconstructions is None and explained.inputs.shape == (2, 3, SIDE, SIDE)
        assert detector.score_batch(batch).anomaly_map is None
