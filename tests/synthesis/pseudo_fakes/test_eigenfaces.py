"""Principal components of faces: the more of them, the more alike is what is rebuilt."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch

from verovolto.core.errors import InputError
from verovolto.synthesis.pseudo_fakes.face_pool import FaceBasis

SIDE = 6


def faces(count: int = 40, rank: int = 12, seed: int = 0) -> np.ndarray:
    """Faces of a few hidden numbers, of falling weight, about a common mean."""
    rng = np.random.default_rng(seed)
    hidden = rng.normal(0, 1, (count, rank)) * 40 / np.arange(1, rank + 1)
    return (120 + hidden @ rng.normal(0, 1, (rank, 3 * SIDE**2))).astype(np.float32)


def test_the_error_falls_with_the_components_down_to_nothing() -> None:
    x = faces()
    basis = FaceBasis.fit(x.copy(), side=SIDE, components=12)
    coordinates = basis.coordinates(x)
    rebuilt = [np.stack([basis.rebuild(z[:k]).flatten().numpy() for z in coordinates]) for k in range(13)]
    errors = [float(np.square(r - x).mean()) for r in rebuilt]
    assert all(after < before for before, after in pairwise(errors))
    assert errors[0] == pytest.approx(float(x.var(0).mean()), rel=1e-3)
    assert errors[12] < 1e-3 * errors[0]


def test_directions_are_orthonormal_and_in_falling_order() -> None:
    x = faces()
    basis = FaceBasis.fit(x.copy(), side=SIDE, components=8)
    assert np.allclose(basis.components @ basis.components.T, np.eye(8), atol=1e-4)
    variances = basis.coordinates(x).var(0)
    assert (np.diff(variances) <= 1e-3 * variances[0]).all()
    assert np.allclose(basis.mean, x.mean(0), atol=1e-2)


def test_no_components_give_the_mean_and_coordinates_come_back() -> None:
    x = faces()
    basis = FaceBasis.fit(x.copy(), side=SIDE, components=5)
    none = basis.rebuild(np.empty(0, np.float32))
    assert none.shape == (3, SIDE, SIDE)
    assert torch.allclose(none.flatten(), torch.from_numpy(basis.mean))
    z = np.array([5, -3, 2, 0, 1], np.float32)
    assert np.allclose(basis.coordinates(basis.rebuild(z).view(1, -1).numpy())[0], z, atol=1e-2)


def test_the_same_seed_gives_the_same_basis() -> None:
    one, same = (FaceBasis.fit(faces(), side=SIDE, components=6, seed=3) for _ in range(2))
    assert np.array_equal(one.components, same.components)


def test_there_are_no_more_components_than_faces_can_have() -> None:
    assert len(FaceBasis.fit(faces(5), side=SIDE, components=400).components) == 4
    for bad in (faces(1), faces(5)[:, :-3]):
        with pytest.raises(InputError, match="components"):
            FaceBasis.fit(bad, side=SIDE)
