"""Cuts on drawn scenes: a new scene is one; pans, flashes, motion and noise are none."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageDraw
from torch import Tensor

from verovolto.core.errors import InputError
from verovolto.faces.shot_boundary import CUT, SIDE, is_cut, likeness, signature

SEEDS = st.integers(0, 10_000)


def scene(seed: int, *, width: int = 160, height: int = 90, people: float | None = None) -> Image.Image:
    """Random furniture; with `people` a large ellipse stands at that share of the width."""
    random = np.random.default_rng(seed)
    image = Image.new("RGB", (width, height), tuple(int(v) for v in random.integers(60, 200, 3)))
    draw = ImageDraw.Draw(image)
    for _ in range(width * height // 400):
        x, y = random.uniform(-20, width), random.uniform(-20, height)
        w, h = random.uniform(6, 40, 2)
        shape = draw.ellipse if random.random() < 0.5 else draw.rectangle
        shape([x, y, x + w, y + h], fill=tuple(int(v) for v in random.integers(0, 256, 3)))
    if people is not None:
        x = people * width
        draw.ellipse([x - 12, 20, x + 12, 56], fill=(220, 170, 140))
    return image


def tensor(image: Image.Image) -> Tensor:
    return torch.from_numpy(np.array(image)).permute(2, 0, 1)


def cut_between(a: Image.Image, b: Image.Image) -> bool:
    return is_cut(signature(tensor(a)), signature(tensor(b)))


def test_another_scene_is_a_cut() -> None:
    """A chance likeness of two drawn scenes is rare, and no scene is cut from itself."""
    drawn = [signature(tensor(scene(seed))) for seed in range(40)]
    missed = [(a, b) for a, b in itertools.combinations(drawn, 2) if not is_cut(a, b)]
    assert len(missed) <= 4  # of 780
    assert not any(is_cut(a, a) for a in drawn)


@given(seed=SEEDS, dx=st.integers(0, 64), dy=st.integers(0, 16), noise=st.floats(0, 8))
def test_a_pan_is_none(seed: int, dx: int, dy: int, noise: float) -> None:
    """Up to 40 % of the width and 18 % of the height from one frame to the next, with grain."""
    wide = scene(seed, width=224, height=106)
    before = np.asarray(wide.crop((0, 0, 160, 90)), float)
    after = np.asarray(wide.crop((dx, dy, dx + 160, dy + 90)), float)
    grain = np.random.default_rng(seed).normal(0, noise, after.shape)
    pictures = (Image.fromarray(np.clip(p, 0, 255).astype(np.uint8)) for p in (before, after + grain))
    assert not cut_between(*pictures)


@given(seed=SEEDS, gain=st.floats(0.4, 1.5), offset=st.floats(-20, 40))
def test_a_flash_is_none(seed: int, gain: float, offset: float) -> None:
    lit = Image.eval(scene(seed), lambda v: int(min(max(v * gain + offset, 0), 255)))
    assert not cut_between(scene(seed), lit)


@given(seed=SEEDS, before=st.floats(0, 1), after=st.floats(0, 1))
def test_somebody_moving_is_none(seed: int, before: float, after: float) -> None:
    assert not cut_between(scene(seed, people=before), scene(seed, people=after))


@pytest.mark.parametrize("grey", [0, 128, 255])
def test_an_even_picture_tells_nothing(grey: int) -> None:
    even = signature(torch.full((3, 90, 160), grey, dtype=torch.uint8))
    full = signature(tensor(scene(1)))
    assert even.flat and not full.flat
    assert not is_cut(even, full) and not is_cut(full, even) and not is_cut(even, even)


@given(a=SEEDS, b=SEEDS)
def test_likeness_is_symmetric_and_largest_for_the_same(a: int, b: int) -> None:
    x, y = signature(tensor(scene(a))), signature(tensor(scene(b)))
    assert likeness(x, y) == pytest.approx(likeness(y, x), abs=1e-9)
    assert -1 <= likeness(x, y) <= likeness(x, x) + 1e-12 <= 1 + 1e-12
    assert likeness(x, x) == pytest.approx(1)


def test_likeness_is_the_correlation_coefficient_of_the_overlap() -> None:
    """Against numpy at each shift."""
    x, y = (signature(tensor(scene(seed))) for seed in (4, 5))
    a, b = x.structure.astype(float), y.structure.astype(float)

    def overlap(shift: int) -> slice:
        return slice(max(0, shift), SIDE + min(0, shift))

    found = []
    for dy in range(-(SIDE // 4), SIDE // 4 + 1):
        for dx in range(-(SIDE // 2), SIDE // 2 + 1):
            one, other = a[overlap(dy), overlap(dx)], b[overlap(-dy), overlap(-dx)]
            found.append(np.corrcoef(one.ravel(), other.ravel())[0, 1])
    assert likeness(x, y) == pytest.approx(max(found), abs=1e-9)


def test_size_and_shape_of_the_picture_do_not_matter() -> None:
    small, large, squeezed = scene(7), scene(7).resize((640, 360)), scene(7).resize((90, 160))
    assert not cut_between(small, large) and not cut_between(small, squeezed)


def test_the_threshold_can_be_set() -> None:
    a, b = signature(tensor(scene(1))), signature(tensor(scene(1, people=0.5)))
    assert CUT < likeness(a, b) < 0.999
    assert is_cut(a, b, threshold=0.999) and not is_cut(a, b, threshold=-1)


@pytest.mark.parametrize(
    "image",
    [torch.zeros(3, 8, 8), torch.zeros(8, 8, dtype=torch.uint8), torch.zeros(3, 0, 8, dtype=torch.uint8)],
)
def test_what_is_no_image_is_refused(image: Tensor) -> None:
    with pytest.raises(InputError, match="uint8"):
        signature(image)
