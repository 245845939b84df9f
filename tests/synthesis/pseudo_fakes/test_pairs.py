"""Pairs and the chain: a function of seed and number alone, and nothing but the forgery between the two."""

from __future__ import annotations

import pickle
from collections import Counter
from dataclasses import FrozenInstanceError, replace
from itertools import islice, product
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.synthesis.pseudo_fakes.drawn import COUNT, SIDE
from verovolto.core.errors import InputError
from verovolto.data.faceset import FaceSet
from verovolto.faces.detection.mtcnn import MTCNNDetector
from verovolto.faces.landmarks import crop_landmarks
from verovolto.synthesis.pseudo_fakes import (
    PSEUDO_FAKE_METHODS,
    CompressionParameters,
    FacePool,
    PseudoPair,
    compress,
    draw_compression,
    make_pseudo_fake,
    native_sides,
    pair,
    pairs,
)


def same(one: PseudoPair, other: PseudoPair) -> bool:
    alike = one.index == other.index and one.method == other.method
    return alike and torch.equal(one.real, other.real) and torch.equal(one.fake, other.fake)


def parameters(seed: int, native: int = 50) -> CompressionParameters:
    return draw_compression(np.random.default_rng(seed), native, side=SIDE)


def test_a_pair_depends_on_seed_and_number_alone(face_pool: FacePool) -> None:
    in_order = list(pairs(face_pool, 20, seed=3))
    for number in (19, 7, 0, 7):
        assert same(pair(face_pool, number, seed=3), in_order[number])
    later = list(pairs(face_pool, 8, seed=3, start=12))
    assert all(same(*both) for both in zip(later, in_order[12:], strict=True))
    assert all(
        same(*both) for both in zip(islice(pairs(face_pool, 1000, seed=3), 5), in_order[:5], strict=True)
    )
    assert not any(same(pair(face_pool, n, seed=4), in_order[n]) for n in range(5))


def test_another_process_makes_the_same_pairs(face_pool: FacePool) -> None:
    sent = pickle.loads(pickle.dumps(face_pool))
    assert all(
        same(pair(sent, n, seed=3), pair(face_pool, n, seed=3)) for n in range(len(PSEUDO_FAKE_METHODS))
    )


def test_kinds_come_in_turn_and_faces_before_they_come_again(face_pool: FacePool) -> None:
    made = list(pairs(face_pool, 2 * COUNT, seed=0))
    assert [one.method for one in made] == [
        PSEUDO_FAKE_METHODS[n % len(PSEUDO_FAKE_METHODS)] for n in range(2 * COUNT)
    ]
    rounds = [[one.index for one in made[:COUNT]], [one.index for one in made[COUNT:]]]
    assert all(Counter(order) == Counter(range(COUNT)) for order in rounds)
    assert rounds[0] != rounds[1] and rounds[0] != list(range(COUNT))


def test_some_kinds_may_be_chosen(face_pool: FacePool) -> None:
    made = list(pairs(face_pool, 5, seed=0, methods=("pca", "self")))
    assert [one.method for one in made] == ["pca", "self", "pca", "self", "pca"]


def test_both_of_a_pair_are_bytes_of_one_size_and_differ(face_pool: FacePool) -> None:
    for one in pairs(face_pool, 2 * len(PSEUDO_FAKE_METHODS), seed=1):
        for image in (one.real, one.fake):
            assert image.dtype == torch.uint8 and image.shape == (3, SIDE, SIDE)
        assert not torch.equal(one.real, one.fake)


def test_the_real_one_passes_the_very_chain_of_its_forgery(face_pool: FacePool) -> None:
    for number in range(len(PSEUDO_FAKE_METHODS)):
        one, rng = pair(face_pool, number, seed=5), np.random.default_rng([5, number])
        drawn = draw_compression(rng, int(face_pool.native[one.index]), side=SIDE)
        assert torch.equal(one.real, compress(face_pool.pixels(one.index), drawn))
        assert torch.equal(
            one.fake, compress(make_pseudo_fake(face_pool, one.index, one.method, rng).image, drawn)
        )


def test_the_mask_says_where_the_forgery_lies(face_pool: FacePool) -> None:
    for number in range(len(PSEUDO_FAKE_METHODS)):
        one, rng = pair(face_pool, number, seed=5), np.random.default_rng([5, number])
        draw_compression(rng, int(face_pool.native[one.index]), side=SIDE)
        forged, mask = make_pseudo_fake(face_pool, one.index, one.method, rng)
        assert torch.equal(one.mask, mask) and float(mask.min()) >= 0 and float(mask.max()) <= 1
        untouched = (mask == 0).expand(3, -1, -1)
        assert torch.equal(forged[untouched], face_pool.image(one.index)[untouched])


def test_pairs_of_a_crowd_with_unreadable_faces_leave_these_out(face_pool: FacePool) -> None:
    fewer = replace(face_pool, targets=np.array([1, 2, 8]))
    assert Counter(one.index for one in pairs(fewer, 6, seed=0)) == {1: 2, 2: 2, 8: 2}


def test_what_cannot_be_made_is_refused(face_pool: FacePool) -> None:
    for kinds, said in ((("self", "magic"), "'magic'"), ((), "no kind of forgery is named")):
        with pytest.raises(InputError, match=said):
            pairs(face_pool, 1, seed=0, methods=kinds)
    for numbers in ({"seed": -1}, {"seed": 0, "start": -1}):
        with pytest.raises(InputError, match="is -1"):
            pairs(face_pool, 1, **numbers)
    with pytest.raises(InputError, match="is -1"):
        pairs(face_pool, -1, seed=0)


@pytest.mark.parametrize("seed", range(12))
def test_an_unforged_image_leaves_the_chain_as_its_source_does(face_pool: FacePool, seed: int) -> None:
    """Whatever form it has: bytes, floats, or a forgery whose mask is empty."""
    drawn, source = parameters(seed), face_pool.pixels(seed)
    unforged = face_pool.image(seed) * (1 - torch.zeros(SIDE, SIDE)) + 300 * torch.zeros(SIDE, SIDE)
    assert torch.equal(compress(unforged, drawn), compress(source, drawn))
    assert torch.equal(compress(source.float() + 0.3, drawn), compress(source, drawn))
    assert torch.equal(source, face_pool.pixels(seed))


def test_a_chain_costs_detail_the_more_the_lower_it_is_recorded(face_pool: FacePool) -> None:
    image = face_pool.pixels(0)
    harsh = CompressionParameters(mild=False, recorded=24, quality=45, down="bilinear", up="bilinear")
    errors = [
        float((compress(image, drawn).float() - image.float()).abs().mean())
        for drawn in (replace(harsh, mild=True), replace(harsh, recorded=48, quality=90), harsh)
    ]
    assert errors[0] < errors[1] < errors[2]
    # Without enlargement a chain is two compressions; a mild one is the last alone.
    assert not torch.equal(
        compress(image, replace(harsh, recorded=SIDE)), compress(image, replace(harsh, mild=True))
    )


def test_chains_are_drawn_within_their_limits_and_frozen() -> None:
    drawn = [parameters(seed, native) for seed in range(200) for native in (10, 50, 300)]
    for one, native in zip(drawn, (10, 50, 300) * 200, strict=True):
        assert 80 * SIDE // 224 <= one.recorded <= SIDE
        assert one.recorded == 80 * SIDE // 224 or native != 10
        assert one.recorded == SIDE or native != 300
        assert 45 <= one.quality < 95 and one.last_quality == 75
    assert 0.25 < np.mean([one.mild for one in drawn]) < 0.45
    assert {(one.down, one.up) for one in drawn} == set(product(("bilinear", "bicubic"), repeat=2))
    assert parameters(1) == parameters(1)
    with pytest.raises(FrozenInstanceError):
        drawn[0].quality = 100  # type: ignore[misc]


@pytest.mark.data
def test_real_crops_give_a_pair_of_each_kind(real_data: Path, tmp_path: Path) -> None:
    reals = FaceSet.open(real_data / "dfdc-faces").select(split="train", label="real")
    faces = reals.take(range(0, len(reals), len(reals) // 40))
    points = crop_landmarks(faces, MTCNNDetector(), tmp_path / "landmarks")
    assert np.isnan(points[:, 0, 0]).mean() < 0.1
    face_pool = FacePool.gather(faces, points, native=native_sides(faces))
    assert not face_pool.unreadable and face_pool.native.min() > 50
    made = list(pairs(face_pool, len(PSEUDO_FAKE_METHODS), seed=0))
    assert [one.method for one in made] == list(PSEUDO_FAKE_METHODS)
    for one in made:
        change = (one.fake.float() - one.real.float()).abs().mean(0)
        assert one.fake.shape == (3, 224, 224) and 0.2 < float(change.mean()) < 40
        edge = torch.cat((change[:, :4].flatten(), change[:, -4:].flatten()))
        assert one.method == "whole" or float(edge.mean()) < float(change[80:160, 60:160].mean())
