"""Degradations: what they promise for any crop, and what each does to drawn faces."""

from __future__ import annotations

import io
import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from scipy.stats import kstest

from tests.conftest import draw_face
from verovolto.core.errors import InputError
from verovolto.data.corruptions import (
    CORRUPTIONS,
    Corruption,
    blur,
    contrast,
    darkening,
    downscale,
    jpeg,
    noise,
)
from verovolto.data.decode import to_pixels

EACH = pytest.mark.parametrize("degradation", CORRUPTIONS, ids=lambda one: one.name)


def face(seed: int, size: int = 64) -> torch.Tensor:
    return to_pixels(draw_face(seed, size=size))


def psnr(a: torch.Tensor, b: torch.Tensor) -> float:
    """Peak signal-to-noise ratio, dB."""
    error = float((a.double() - b.double()).square().mean())
    return math.inf if error == 0 else 10 * math.log10(255**2 / error)


@EACH
@given(
    height=st.integers(1, 40),
    width=st.integers(1, 40),
    seed=st.integers(0, 2**62),
    number=st.integers(0, 2**40),
)
def test_any_crop_keeps_its_shape_and_the_same_call_gives_the_same_pixels(
    degradation: Corruption, height: int, width: int, seed: int, number: int
) -> None:
    image = torch.randint(0, 256, (3, height, width), dtype=torch.uint8)
    before = image.clone()
    for level in degradation.levels:
        first, again = (degradation.apply(image, level, seed=seed, face=number) for _ in range(2))
        assert first.image.shape == image.shape and first.image.dtype == torch.uint8
        assert torch.equal(first.image, again.image) and first.encoded_bytes == again.encoded_bytes
    assert torch.equal(image, before), "the crop that was given is left alone"


@EACH
def test_no_degradation_is_the_very_pixels(degradation: Corruption) -> None:
    image = face(0)
    untouched = degradation.apply(image, None, encoded_bytes=123, face=5)
    assert torch.equal(untouched.image, image) and untouched.encoded_bytes == 123


@EACH
@given(seed=st.integers(0, 10_000))
def test_every_level_is_worse_than_the_one_before(degradation: Corruption, seed: int) -> None:
    image = face(seed)
    quality = [psnr(image, degradation.apply(image, level, face=seed).image) for level in degradation.levels]
    assert all(worse < better for better, worse in pairwise(quality)), quality
    assert quality[0] < 60


def test_names_are_words_and_levels_differ() -> None:
    names = [one.name for one in CORRUPTIONS]
    assert len(set(names)) == len(names) and all(name.isalpha() for name in names)
    for one in CORRUPTIONS:
        assert one.phrase.count("{}") == 1
        assert len(set(one.levels)) == len(one.levels) >= 3
        assert set(one.describe()) == {"name", "title", "parameter", "phrase", "levels"}


def test_noise_depends_on_seed_level_and_face_alone() -> None:
    grey = torch.full((3, 32, 32), 128, dtype=torch.uint8)
    noisy = next(one for one in CORRUPTIONS if one.name == "noise")
    first = noisy.apply(grey, 10, seed=1, face=7).image
    for other in ({"seed": 2, "face": 7}, {"seed": 1, "face": 8}):
        assert not torch.equal(first, noisy.apply(grey, 10, **other).image)
    stronger = noisy.apply(grey, 20, seed=1, face=7).image
    correlation = np.corrcoef(first.flatten().numpy(), stronger.flatten().numpy())[0, 1]
    assert abs(correlation) < 0.1, "each level draws its own"


def test_noise_is_normal_and_of_the_deviation_asked_for() -> None:
    grey = torch.full((3, 200, 201), 128, dtype=torch.uint8)
    drawn = (noise(grey, 12.0, 99).image.double() - 128).flatten().numpy()
    assert drawn.std() == pytest.approx(math.sqrt(12**2 + 1 / 12), rel=0.01) and abs(drawn.mean()) < 0.15
    smoothed = drawn + np.random.default_rng(0).uniform(-0.5, 0.5, drawn.size)
    assert kstest(smoothed / smoothed.std(), "norm").pvalue > 1e-3


def test_jpeg_is_that_of_pillow_and_says_how_large_it_is() -> None:
    image = face(3)
    ours = jpeg(image, 50)
    file = io.BytesIO()
    Image.fromarray(image.permute(1, 2, 0).numpy()).save(file, "JPEG", quality=50, subsampling="4:2:0")
    theirs = to_pixels(Image.open(file))
    assert (ours.image.int() - theirs.int()).abs().max() <= 2
    assert ours.encoded_bytes is not None and ours.encoded_bytes == pytest.approx(
        len(file.getvalue()), rel=0.05
    )
    assert ours.encoded_bytes > (jpeg(image, 30).encoded_bytes or 0)
    assert blur(image, 1).encoded_bytes is None


def test_a_factor_of_one_changes_nothing() -> None:
    image = face(1)
    for change in (downscale, darkening, contrast):
        assert (change(image, 1.0).image.int() - image.int()).abs().max() <= 1, change.__name__
    assert torch.equal(blur(image, 0.0).image, image) and torch.equal(noise(image, 0.0, 5).image, image)


def test_a_blurred_edge_spreads_by_the_stated_part_of_the_side() -> None:
    edge = torch.zeros(3, 141, 101, dtype=torch.uint8)
    edge[:, :, 50:] = 255
    blurred = blur(edge, 2).image[0].double()
    rise, place = blurred[70].diff(), torch.arange(100).double() - 49
    assert float((rise * place.square()).sum() / rise.sum()) ** 0.5 == pytest.approx(0.02 * 101, rel=0.05)
    assert torch.equal(blur(edge.mT, 2).image[0].double(), blurred.mT), "alike in both directions"


def test_brightness_and_contrast_scale_what_they_name() -> None:
    image = face(2)
    assert darkening(image, 0.5).image.float().mean() == pytest.approx(
        float(image.float().mean()) / 2, abs=0.5
    )
    flat = contrast(image, 0.5).image.float()
    assert flat.std() == pytest.approx(float(image.float().std()) / 2, rel=0.05)


def test_what_is_no_crop_is_refused() -> None:
    for wrong in (torch.zeros(3, 8, 8), torch.zeros(1, 8, 8, dtype=torch.uint8), torch.zeros(3, 0, 8).byte()):
        with pytest.raises(InputError, match="is no crop"):
            CORRUPTIONS[0].apply(wrong, 95, face=0)
