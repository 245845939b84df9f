"""A crowd: who may lend a face to whom, what is kept in memory, what cannot be read."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.conftest import write_set
from tests.synthesis.pseudo_fakes.drawn import COUNT, SIDE, WITHOUT_LANDMARKS, Drawn, drawn_landmarks
from verovolto.core.errors import InputError
from verovolto.data.faceset import FaceSet
from verovolto.synthesis.pseudo_fakes import FacePool, native_sides
from verovolto.synthesis.pseudo_fakes.face_pool import ImageCache
from verovolto.synthesis.pseudo_fakes.imaging import mean_landmarks, resize, warp


def generator(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_a_donor_is_never_the_face_itself_nor_one_without_landmarks(face_pool: FacePool) -> None:
    rng = generator()
    donors = {i: {face_pool.donor(i, rng, drawn=4) for _ in range(40)} for i in range(COUNT)}
    assert not any(i in found for i, found in donors.items())
    assert not set(WITHOUT_LANDMARKS) & set().union(*donors.values())
    assert set(face_pool.donors) == set(range(COUNT)) - set(WITHOUT_LANDMARKS)
    assert min(len(found) for found in donors.values()) > 3


def test_of_all_that_are_drawn_the_most_alike_lends(face_pool: FacePool) -> None:
    for index in (0, 4, 9):
        others = [int(i) for i in face_pool.donors if i != index]
        far = [
            float((face_pool.shapes[i] - face_pool.shapes[index]).norm()) * 224 / SIDE
            + 0.25 * abs(float(face_pool.brightness[i] - face_pool.brightness[index]))
            for i in others
        ]
        assert face_pool.donor(index, generator(), drawn=COUNT) == others[int(np.argmin(far))]


def test_two_faces_lend_to_each_other() -> None:
    pair = FacePool.gather(Drawn(2), drawn_landmarks(2), side=SIDE)
    assert [pair.donor(i, generator(n)) for n in range(5) for i in (0, 1)] == [1, 0] * 5


def test_where_no_landmarks_were_found_average_ones_stand(face_pool: FacePool) -> None:
    for index in WITHOUT_LANDMARKS:
        assert torch.equal(face_pool.landmarks[index], mean_landmarks(SIDE))
    assert torch.equal(face_pool.landmarks[0], torch.from_numpy(drawn_landmarks()[0]))
    assert set(face_pool.targets) == set(range(COUNT))


def test_landmarks_at_one_place_are_none() -> None:
    points = drawn_landmarks()
    points[7] = 30.0
    points[8, 2, 1] = np.inf
    face_pool = FacePool.gather(Drawn(), points, side=SIDE)
    assert not {7, 8} & set(face_pool.donors)


def test_the_arguments_are_left_as_they_were() -> None:
    points = drawn_landmarks()
    before = points.copy()
    FacePool.gather(Drawn(), points, side=SIDE)
    assert np.array_equal(points, before, equal_nan=True)


def test_an_aligned_donor_lies_on_the_target(face_pool: FacePool) -> None:
    """A picture shifted with its landmarks is shifted back, up to its border."""

    class Shifted(Drawn):
        def image(self, i: int, /) -> Tensor:
            return super().image(0).roll(6 * i, 2)

    points = np.stack([drawn_landmarks()[0] + [6 * i, 0] for i in range(2)])
    two = FacePool.gather(Shifted(2), points, side=SIDE)
    assert torch.allclose(two.aligned(1, 0)[:, :, :58], two.image(0)[:, :, :58], atol=0.05)


def test_what_cannot_be_read_is_named_and_neither_lends_nor_is_forged() -> None:
    face_pool = FacePool.gather(Drawn(unreadable=(2, 5)), drawn_landmarks(), side=SIDE)
    assert face_pool.unreadable == ("face 2: damaged", "face 5: damaged")
    assert not {2, 5} & set(face_pool.targets) and not {2, 5} & set(face_pool.donors)
    assert len(face_pool) == COUNT


def test_components_may_be_fitted_on_a_part_of_the_faces() -> None:
    part, same, other = (
        FacePool.gather(Drawn(), drawn_landmarks(), side=SIDE, components=8, fitted_on=12, seed=seed)
        for seed in (1, 1, 2)
    )
    assert np.array_equal(part.coordinates, same.coordinates)
    assert not np.allclose(part.basis.components, other.basis.components)
    assert part.coordinates.shape == (COUNT, 8) and (np.abs(part.coordinates).max(1) > 0).all()
    # The mean is that of the 12 alone: the coordinates of all do not average to nothing.
    assert np.abs(part.coordinates.mean(0)).max() > 1


def test_a_face_rebuilt_from_its_coordinates_is_like_itself(face_pool: FacePool) -> None:
    middle = slice(20, 48)  # inside every inner face
    assert np.abs(face_pool.coordinates.mean(0)).max() < 1e-2
    for i in range(COUNT):
        aligned = resize(face_pool.basis.rebuild(face_pool.coordinates[i]), SIDE, "bicubic")
        face = warp(aligned, face_pool.to_template[i], SIDE)[:, middle, middle]
        far = [float((face - face_pool.image(j)[:, middle, middle]).square().mean()) for j in range(COUNT)]
        assert int(np.argmin(far)) == i


def test_every_face_is_looked_at_once_and_told() -> None:
    pictures, told = Drawn(unreadable=(3,)), []
    FacePool.gather(pictures, drawn_landmarks(), side=SIDE, fitted_on=10, on_progress=told.append)
    assert pictures.read == [1] * COUNT and sum(told) == COUNT


def test_few_pictures_are_kept_decoded() -> None:
    pictures = Drawn()
    image_cache = ImageCache(pictures, SIDE, cached=3)
    for i in (0, 0, 1, 2, 0, 3):
        assert torch.equal(image_cache.pixels(i), Drawn().image(i))
    assert pictures.read[:4] == [1, 1, 1, 1]
    image_cache.pixels(0)
    image_cache.pixels(1)  # asked for longest ago, so that it was forgotten
    assert pictures.read[:2] == [1, 2]


def test_pictures_of_another_size_are_brought_to_the_crowds() -> None:
    face_pool = FacePool.gather(Drawn(4, side=96), drawn_landmarks(4), side=SIDE)
    assert face_pool.pixels(0).shape == (3, SIDE, SIDE) and face_pool.pixels(0).dtype == torch.uint8
    assert face_pool.image(0).dtype == torch.float32


def test_it_pickles_without_the_pictures_it_has_decoded(face_pool: FacePool) -> None:
    face_pool.pixels(0)
    again = pickle.loads(pickle.dumps(face_pool))
    assert torch.equal(again.pixels(3), face_pool.pixels(3))
    assert again.donor(3, generator()) == face_pool.donor(3, generator())
    assert again.image_cache.images.read[0] == face_pool.image_cache.images.read[0]


def test_a_face_set_is_a_crowd(tmp_path: Path) -> None:
    faces = FaceSet.open(write_set(tmp_path / "faces", train=6)).select(split="train", label="real")
    face_pool = FacePool.gather(faces, drawn_landmarks(6), native=native_sides(faces, SIDE), side=SIDE)
    assert torch.equal(face_pool.pixels(1), faces.image(1))
    assert face_pool.native.tolist() == [64] * 6


@pytest.mark.parametrize(
    ("landmarks", "native", "said"),
    [
        (drawn_landmarks(5), None, "landmarks of shape"),
        (drawn_landmarks(4)[:, :4], None, "landmarks of shape"),
        (drawn_landmarks(4), [64] * 3, "sizes"),
        (np.full((4, 5, 2), np.nan), None, "0 faces can lend"),
    ],
)
def test_what_does_not_fit_is_refused(landmarks: np.ndarray, native: list[int] | None, said: str) -> None:
    with pytest.raises(InputError, match=said):
        FacePool.gather(Drawn(4), landmarks, native=native, side=SIDE)
