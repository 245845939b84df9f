"""What pictures go through on their way: any of it, in any order of draws, leaves a picture of the same face."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.conftest import draw_face
from verovolto.synthesis.pseudo_fakes.pairs import corrupt_benignly, relight


def face(side: int = 64) -> torch.Tensor:
    return torch.from_numpy(np.array(draw_face(1, size=side))).permute(2, 0, 1).float()


@given(seed=st.integers(0, 10_000), side=st.sampled_from([48, 64, 112]))
def test_it_stays_a_picture_of_the_same_size_and_face(seed: int, side: int) -> None:
    corrupted = corrupt_benignly(face(side), np.random.default_rng(seed))
    assert corrupted.dtype == torch.uint8 and corrupted.shape == (3, side, side)
    plain, seen = face(side).flatten().numpy(), corrupted.float().flatten().numpy()
    assert np.corrcoef(plain, seen)[0, 1] > 0.6


def test_the_draws_alone_decide() -> None:
    one, same, other = (corrupt_benignly(face(), np.random.default_rng(seed)) for seed in (3, 3, 4))
    assert torch.equal(one, same) and not torch.equal(one, other)


def test_it_leaves_its_input_as_it_was() -> None:
    given_face = face()
    for seed in range(20):
        corrupt_benignly(given_face, np.random.default_rng(seed))
    assert torch.equal(given_face, face())


def test_it_is_mild_and_severe() -> None:
    smooth = torch.from_numpy(np.array(draw_face(1, smooth=True))).permute(2, 0, 1).float()
    errors = [
        float((corrupt_benignly(smooth, np.random.default_rng(seed)).float() - smooth).square().mean())
        for seed in range(60)
    ]
    assert min(errors) < 100 and max(errors) > 400


@pytest.mark.parametrize(("gamma", "gain"), [(1.0, 1.0), (0.7, 0.9), (1.4, 1.15)])
def test_light(gamma: float, gain: float) -> None:
    levels = torch.tensor([[[0.0, 64, 128, 255]]]).expand(3, 1, 4)
    expected = [min(255.0, 255 * gain * (level / 255) ** gamma) for level in (0, 64, 128, 255)]
    torch.testing.assert_close(relight(levels, gamma=gamma, gain=gain)[0, 0], torch.tensor(expected))
