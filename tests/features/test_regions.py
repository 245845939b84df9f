"""Statistics over regions against plain loops, and what they say of places."""

from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st

from verovolto.features.regions import REGIONS, columns, contributions, pooled, region_masks

FACE = torch.tensor([[71.0, 65], [161, 64], [115, 112], [77, 167], [153, 167]])
MASKS = region_masks(FACE, 224)


def drawn(seed: int, *shapes: tuple[int, ...]) -> list[torch.Tensor]:
    random = torch.Generator().manual_seed(seed)
    return [torch.randn(shape, generator=random) * 2 + 1 for shape in shapes]


def test_the_regions_lie_where_their_names_say() -> None:
    whole, inner, ring, outer, eyes, mouth = MASKS
    assert len(MASKS) == len(REGIONS)
    torch.testing.assert_close(inner + ring + outer, whole)
    for x, y in FACE[:2].div(2).long().tolist():
        assert eyes[y, x] == 1 and mouth[y, x] == 0 and inner[y, x] + ring[y, x] == 1
    for x, y in FACE[3:].div(2).long().tolist():
        assert mouth[y, x] == 1 and eyes[y, x] == 0
    assert outer[0, 0] == 1 and inner[56, 57] == 1


def test_masks_follow_the_face() -> None:
    moved = region_masks(FACE + torch.tensor([20.0, 0.0]), 224)
    torch.testing.assert_close(moved[4][:, 10:], MASKS[4][:, :-10])
    torch.testing.assert_close(region_masks(FACE * 2, 448), MASKS)


def test_landmarks_that_fall_together_are_no_error() -> None:
    assert torch.isfinite(region_masks(torch.full((5, 2), 50.0), 224)).all()


def test_pooled_is_the_weighted_mean_and_deviation() -> None:
    [features] = drawn(0, (2, 3, 112, 112))
    found = pooled([features], MASKS).view(2, len(REGIONS), 2, 3)
    for region, mask in enumerate(MASKS):
        inside = features[:, :, mask.bool()]
        # A place outside counts for a millionth.
        torch.testing.assert_close(found[:, region, 0], inside.mean(2), rtol=1e-3, atol=1e-3)
        torch.testing.assert_close(found[:, region, 1], inside.std(2, correction=0), rtol=1e-3, atol=1e-3)


def test_columns_are_named_in_the_order_of_pooled() -> None:
    maps = drawn(1, (1, 2, 8, 8), (1, 3, 4, 4))
    names = columns([2, 3])
    assert len(names) == pooled(maps, MASKS).shape[1] == 5 * len(REGIONS) * 2
    constant = pooled([torch.full((1, 2, 8, 8), 7.0), torch.zeros(1, 3, 4, 4)], MASKS)[0]
    for (number, _, statistic), value in zip(names, constant.tolist(), strict=True):
        assert abs(value - (7.0 if (number, statistic) == (0, "mean") else 0.0)) < 1e-2


@given(st.integers(0, 2**31), st.sampled_from([(112, 56, 7), (28, 14), (8, 56), (64, 16), (64, 32, 8)]))
def test_the_shares_of_all_places_add_up_to_the_score(seed: int, sizes: tuple[int, ...]) -> None:
    maps = drawn(seed, *((2, 3, edge, edge) for edge in sizes))
    features = pooled(maps, MASKS)
    slope, origin = drawn(seed + 1, (features.shape[1],), (features.shape[1],))
    where = contributions(maps, MASKS, slope, origin, side=56)
    assert where.shape == (2, 56, 56)
    torch.testing.assert_close(where.sum((1, 2)), (features - origin) @ slope, rtol=1e-3, atol=2e-2)


def test_what_is_odd_is_shown_where_it_is() -> None:
    plain = torch.zeros(1, 1, 56, 56)
    odd = plain.clone()
    odd[0, 0, 20:24, 30:34] = 1
    width = pooled([plain], MASKS).shape[1]
    slope = torch.zeros(width)
    slope[0] = 1  # the mean over the whole crop
    where = contributions([odd], MASKS, slope, torch.zeros(width), side=56)[0]
    assert where[20:24, 30:34].min() > 10 * where[:16].abs().max()
