"""The distance of a face from all real faces."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from verovolto.core.errors import InputError
from verovolto.features.distance import FeatureDistance


def drawn(n: int = 60, d: int = 9, seed: int = 0) -> np.ndarray:
    random = np.random.default_rng(seed)
    return (random.normal(size=(n, d)) @ random.normal(size=(d, d)) + 3).astype(np.float32)


def test_it_is_the_mahalanobis_distance_where_all_components_are_kept() -> None:
    x = drawn()
    fitted = FeatureDistance.fit(x, np.ones(60, np.float32), components=9)
    centred = (x - x.mean(0)).astype(np.float64)
    wanted = np.einsum("ni,ij,nj->n", centred, np.linalg.inv(centred.T @ centred / 60), centred) / 9
    found = fitted(torch.from_numpy(x)).double().square().numpy()
    np.testing.assert_allclose(found, wanted, rtol=1e-3)  # the scale has a little added to it


@given(st.integers(0, 99))
def test_real_faces_have_a_mean_square_of_two(seed: int) -> None:
    x = drawn(seed=seed)
    fitted = FeatureDistance.fit(x, np.ones(60, np.float32), components=4)
    assert abs(float(fitted(torch.from_numpy(x)).square().mean()) - 2) < 0.05


def test_what_leaves_the_subspace_is_far() -> None:
    random = np.random.default_rng(1)
    x = np.zeros((90, 5), np.float32)
    x[:, :2] = random.normal(size=(90, 2))
    x[:, 2:] = 0.05 * random.normal(size=(90, 3))
    fitted = FeatureDistance.fit(x, np.ones(90, np.float32), components=2)
    odd = torch.tensor([[0.0, 0, 1, 0, 0]])
    assert float(fitted(odd)) > 3 * float(fitted(torch.from_numpy(x)).max())


def test_weights_count() -> None:
    x = np.concatenate([drawn(30, seed=2), drawn(30, seed=3) + 20])
    weights = np.repeat(np.array([2.0, 0.0], np.float32), 30)
    only = FeatureDistance.fit(x, weights, components=4)
    torch.testing.assert_close(only.origin, torch.from_numpy(x[:30].mean(0)), rtol=1e-4, atol=1e-4)
    with pytest.raises(InputError, match="no distance from 5 faces"):
        FeatureDistance.fit(x[:5], weights[:5])


def test_what_corruptions_do_is_not_far() -> None:
    random = np.random.default_rng(4)
    x = random.normal(size=(200, 5)).astype(np.float32)
    moved = np.zeros((40, 5), np.float32)
    moved[:, 0] = 6 * random.normal(size=40)
    plain, tolerant = (
        FeatureDistance.fit(x, np.ones(200, np.float32), corruptions=each, components=5)
        for each in (None, moved)
    )
    along, across = torch.tensor([[8.0, 0, 0, 0, 0]]), torch.tensor([[0.0, 8, 0, 0, 0]])
    assert float(tolerant(along)) < 0.3 * float(plain(along))
    assert float(tolerant(across)) == pytest.approx(float(plain(across)), rel=0.05)
    none = FeatureDistance.fit(x, np.ones(200, np.float32), corruptions=moved[:0], components=5)
    torch.testing.assert_close(none(along), plain(along))
