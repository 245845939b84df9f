"""Which features a head weighs: their columns, parts of them, and how they are written."""

from __future__ import annotations

import numpy as np
import pytest

from verovolto.core.errors import InputError
from verovolto.detectors.region_discriminant.features import FeatureSpec
from verovolto.networks.backbones.clip import SHA256

CLIP = FeatureSpec(backbone="clip-vit-b16", layers=(6, 8), tokens=(9, 11))


def test_columns_are_counted() -> None:
    assert len(FeatureSpec(backbone="lite0", layers=(0, 2), regions=("inner",))) == 2 * (16 + 24)
    assert len(CLIP) == 2 * 2 * 2 * 768 + 2 * 768 and CLIP.of_distance == slice(6144, 6912)


def test_the_distance_is_that_of_one_token_wherever_it_lies() -> None:
    many = FeatureSpec.default("clip-vit-b16")
    start = 2 * 768 + 5 * 768  # block 6 over the inner face, tokens of 4 to 8
    assert many.tokens == tuple(range(4, 12)) and many.of_distance == slice(start, start + 768)
    none = FeatureSpec(backbone="clip-vit-b16", layers=(6,), tokens=(10, 11))
    assert none.of_distance.start == none.of_distance.stop
    assert FeatureSpec.default("lite0").of_distance.start == FeatureSpec.default("lite0").of_distance.stop


def test_the_columns_of_a_part_are_found_in_the_whole() -> None:
    kept = CLIP.kept
    assert len(kept) > len(CLIP) and set(CLIP.layers) <= set(kept.layers)
    names = [f"{group}{i}" for group, count in kept.groups for i in range(count)]
    wanted = [f"{group}{i}" for group, count in CLIP.groups for i in range(count)]
    assert np.asarray(names)[CLIP.positions(kept)].tolist() == wanted
    with pytest.raises(InputError, match="not among"):
        kept.positions(CLIP)
    lite = FeatureSpec.default("lite0")
    assert lite.kept == lite and (lite.positions(lite) == np.arange(len(lite))).all()


def test_what_is_written_is_read_and_other_weights_are_refused() -> None:
    assert FeatureSpec.from_dict(CLIP.to_dict()) == CLIP and CLIP.to_dict()["sha256"] == SHA256
    lite = FeatureSpec.default("lite0")
    assert "tokens" not in lite.to_dict() and "sha256" not in lite.to_dict()
    assert FeatureSpec.from_dict(lite.to_dict()) == lite
    with pytest.raises(InputError, match="other weights of clip-vit-b16"):
        FeatureSpec.from_dict({**CLIP.to_dict(), "sha256": "0" * 64})
