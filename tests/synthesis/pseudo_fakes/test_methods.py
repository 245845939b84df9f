"""Every kind of forgery: seeded, inside its mask, neither nothing nor noise; what each is made of."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.synthesis.pseudo_fakes.drawn import COUNT, SIDE, WITHOUT_LANDMARKS
from verovolto.core.errors import InputError
from verovolto.synthesis.pseudo_fakes import PSEUDO_FAKE_METHODS, FacePool, make_pseudo_fake, pair
from verovolto.synthesis.pseudo_fakes.imaging import inner_distance
from verovolto.synthesis.pseudo_fakes.methods import INNER_FACES, decode_coarsely, tint

FACES = (0, 3, *WITHOUT_LANDMARKS, 21)


def generator(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng([seed, 99])


def detail(image: Tensor) -> float:
    """Mean difference of neighbouring pixels."""
    return float((image[:, :, 1:] - image[:, :, :-1]).abs().mean())


@pytest.mark.parametrize("kind", PSEUDO_FAKE_METHODS)
def test_it_is_an_image_and_a_function_of_the_seed(face_pool: FacePool, kind: str) -> None:
    for index in FACES:
        fake = make_pseudo_fake(face_pool, index, kind, generator(index)).image
        assert fake.shape == (3, SIDE, SIDE) and fake.dtype == torch.float32
        assert fake.isfinite().all() and fake.min() >= 0 and fake.max() <= 255
        assert torch.equal(fake, make_pseudo_fake(face_pool, index, kind, generator(index)).image)
        assert not torch.equal(fake, make_pseudo_fake(face_pool, index, kind, generator(index + 1)).image)


@pytest.mark.parametrize("kind", PSEUDO_FAKE_METHODS)
def test_outside_the_mask_every_pixel_is_the_real_ones(face_pool: FacePool, kind: str) -> None:
    for index in FACES:
        fake, mask = make_pseudo_fake(face_pool, index, kind, generator(index))
        outside = mask == 0
        assert torch.equal(fake[:, outside], face_pool.image(index)[:, outside])
        assert outside.any() == (kind != "whole")
        assert mask.shape == (SIDE, SIDE) and mask.min() >= 0 and mask.max() <= 1


@pytest.mark.parametrize("kind", PSEUDO_FAKE_METHODS)
def test_the_inner_face_is_another_but_still_in_place(face_pool: FacePool, kind: str) -> None:
    """Inside the mask forgeries differ from the real face, on average by some grey levels, never by a world."""
    changes = []
    for index in range(COUNT):
        fake, mask = make_pseudo_fake(face_pool, index, kind, generator(index))
        changed = (fake - face_pool.image(index)).abs().mean(0)
        changes.append(float(changed[mask > 0.5].mean()))
    assert min(changes) > 0.3
    assert 2 < np.mean(changes) < 60


def test_the_real_faces_are_left_as_they_are(face_pool: FacePool) -> None:
    before = [face_pool.pixels(i).clone() for i in range(COUNT)]
    coordinates, landmarks = face_pool.coordinates.copy(), face_pool.landmarks.clone()
    for kind in PSEUDO_FAKE_METHODS:
        for index in FACES:
            make_pseudo_fake(face_pool, index, kind, generator(index))
    assert all(torch.equal(face_pool.pixels(i), before[i]) for i in range(COUNT))
    assert np.array_equal(face_pool.coordinates, coordinates) and torch.equal(face_pool.landmarks, landmarks)


@pytest.mark.parametrize("kind", ["swap", "swaphi", "mean", "pcamix"])
def test_another_lends_and_never_one_without_landmarks(
    face_pool: FacePool, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    donors: Counter[int] = Counter()
    draw = FacePool.donor

    def noted(self: FacePool, index: int, rng: np.random.Generator, **options: int) -> int:
        donor = draw(self, index, rng, **options)
        assert donor != index
        donors[donor] += 1
        return donor

    monkeypatch.setattr(FacePool, "donor", noted)
    for index in range(COUNT):
        make_pseudo_fake(face_pool, index, kind, generator(index))
    assert donors and not set(donors) & set(WITHOUT_LANDMARKS)
    per_face = sum(donors.values()) / COUNT
    assert {
        "swap": per_face == 1,
        "swaphi": per_face == 1,
        "mean": 2 < per_face < 5,
        "pcamix": per_face == 2,
    }[kind]


@pytest.mark.parametrize("kind", ["self", "pca", "whole"])
def test_these_need_nobody_else(face_pool: FacePool, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FacePool, "donor", lambda *_: pytest.fail("a donor was asked for"))
    assert make_pseudo_fake(face_pool, 5, kind, generator()).image.shape == (3, SIDE, SIDE)


@contextmanager
def files_written() -> Iterator[list[str]]:
    """Names of files that are opened to be written meanwhile, by whatever way Python has."""
    found: list[str] = []
    watching = True

    def hook(event: str, arguments: tuple[object, ...]) -> None:
        if not watching or event != "open":
            return
        path, mode, flags = (*arguments, None, None, None)[:3]
        writes = isinstance(mode, str) and set(mode) & set("wax+")
        if writes or (isinstance(flags, int) and flags & 3):
            found.append(str(path))

    sys.addaudithook(hook)  # for good: it is told to be quiet afterwards
    try:
        yield found
    finally:
        watching = False


def test_no_file_is_written(face_pool: FacePool) -> None:
    with files_written() as found:
        for number in range(len(PSEUDO_FAKE_METHODS)):
            pair(face_pool, number, seed=0)
    assert not found


def test_unknown_kinds_and_faces_are_refused(face_pool: FacePool) -> None:
    with pytest.raises(InputError, match=r"no kind of forgery 'magic'.*swap"):
        make_pseudo_fake(face_pool, 0, "magic", generator())
    for index in (-1, COUNT):
        with pytest.raises(IndexError):
            make_pseudo_fake(face_pool, index, "self", generator())


@pytest.mark.parametrize("source", INNER_FACES)
def test_a_source_is_a_face_in_place(face_pool: FacePool, source: str) -> None:
    """Eyes and mouth, whatever their colours, lie where the target's do: not where they were upside down."""
    nearer = 0
    for index in range(COUNT):
        image = face_pool.image(index)
        new = INNER_FACES[source](face_pool, index, generator(index), image)
        assert new.shape == image.shape and new.isfinite().all()
        flipped = image.flip(1)
        inside = inner_distance(face_pool.landmarks[index], SIDE) < 0.8
        new, image, flipped = (
            (x[:, inside] - x[:, inside].median(1, True).values).abs().mean(0) for x in (new, image, flipped)
        )
        nearer += bool((new * image).sum() > (new * flipped).sum())
    assert nearer > 0.7 * COUNT


def test_the_own_face_is_nearly_itself(face_pool: FacePool) -> None:
    for index in FACES:
        image = face_pool.image(index)
        middle = slice(16, 48)
        change = (
            (INNER_FACES["self"](face_pool, index, generator(index), image) - image)[:, middle, middle]
            .abs()
            .mean()
        )
        assert 0.1 < float(change) < 40


def test_more_components_rebuild_a_face_better(face_pool: FacePool) -> None:
    """By the generator's own draw: 25 and more of 400 are all that this crowd has, so the draw is lowered."""

    def error(count: int) -> float:
        total = 0.0
        for index in range(COUNT):
            image, rng = face_pool.image(index), _Fixed(count)
            inside = inner_distance(face_pool.landmarks[index], SIDE) < 0.7
            new = INNER_FACES["pca"](face_pool, index, rng, image)  # type: ignore[arg-type]
            total += float((new - image)[:, inside].square().mean())
        return total / COUNT

    errors = [error(count) for count in (1, 4, 10, 20)]
    assert errors == sorted(errors, reverse=True) and errors[-1] < 0.7 * errors[0]


class _Fixed:
    """A generator whose logarithmic draw gives one number."""

    def __init__(self, number: float) -> None:
        self.number = number

    def uniform(self, low: float, high: float) -> float:
        return float(np.log(self.number + 0.5))


def test_a_mixed_face_keeps_the_pose_and_light_of_its_own(face_pool: FacePool) -> None:
    """Its leading components are the target's, so that it is nearer to it than other faces are."""
    own, others = [], []
    for index in range(COUNT):
        new = INNER_FACES["pcamix"](face_pool, index, generator(index), face_pool.image(index))
        inside = inner_distance(face_pool.landmarks[index], SIDE) < 0.7
        own.append(float((new - face_pool.image(index))[:, inside].abs().mean()))
        others.append(float((new - face_pool.image((index + 1) % COUNT))[:, inside].abs().mean()))
    assert np.mean(own) < 0.7 * np.mean(others)


def test_an_average_face_is_smoother_than_those_it_is_made_of(face_pool: FacePool) -> None:
    grain = [
        detail(INNER_FACES["mean"](face_pool, i, generator(i), face_pool.image(i))) for i in range(COUNT)
    ]
    assert np.mean(grain) < 0.9 * np.mean([detail(face_pool.image(i)) for i in range(COUNT)])


def test_a_coarse_decoder_takes_detail_on_average_and_keeps_the_mean(face_pool: FacePool) -> None:
    image = face_pool.image(0)
    out = [decode_coarsely(image, generator(n)) for n in range(100)]
    assert np.mean([detail(x) for x in out]) < 0.9 * detail(image)
    assert max(float((x.mean() - image.mean()).abs()) for x in out) < 3
    assert len({round(detail(x), 4) for x in out}) > 60


def test_a_tint_changes_colours_alone(face_pool: FacePool) -> None:
    """A channel's grey levels are mapped by one straight line, of a slope in [0.75, 1.15]."""
    image = face_pool.image(0)
    for seed in range(20):
        tinted = tint(image, generator(seed))
        x, y = (v.flatten(1) - v.flatten(1).mean(1, keepdim=True) for v in (image, tinted))
        slope = (x * y).sum(1) / x.square().sum(1)
        assert (y - slope[:, None] * x).abs().max() < 1e-2
        assert float(slope.max() - slope.min()) < 1e-4 and 0.75 <= float(slope[0]) <= 1.15
        assert 0 < float((tinted - image).mean((1, 2)).abs().max()) < 40


def test_a_tint_turns_about_the_mean_under_the_weight(face_pool: FacePool) -> None:
    image, weight = face_pool.image(0), torch.zeros(SIDE, SIDE)
    weight[20:40, 20:40] = 1
    tinted = [tint(image, generator(n), weight)[:, 20:40, 20:40].mean() for n in range(200)]
    assert float(torch.stack(tinted).mean()) == pytest.approx(float(image[:, 20:40, 20:40].mean()), abs=1.5)
