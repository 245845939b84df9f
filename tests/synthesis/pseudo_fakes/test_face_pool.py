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
from verovolto.synthesis.pseudo_fakes import Crowd, native_sides
from verovolto.synthesis.pseudo_fakes.image_cache import Album
from verovolto.synthesis.pseudo_fakes.imaging import resize, warp
from verovolto.synthesis.pseudo_fakes.masks import mean_landmarks


def generator(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_a_donor_is_never_the_face_itself_nor_one_without_landmarks(crowd: Crowd) -> None:
    rng = generator()
    donors = {i: {crowd.donor(i, rng, drawn=4) for _ in range(40)} for i in range(COUNT)}
    assert not any(i in found for i, found in donors.items())
    assert not set(WITHOUT_LANDMARKS) & set().union(*donors.values())
    assert set(crowd.lenders) == set(range(COUNT)) - set(WITHOUT_LANDMARKS)
    assert min(len(found) for found in donors.values()) > 3


def test_of_all_that_are_drawn_the_most_alike_lends(crowd: Crowd) -> None:
    for index in (0, 4, 9):
        others = [int(i) for i in crowd.lenders if i != index]
        far = [
            float((crowd.shapes[i] - crowd.shapes[index]).norm()) * 224 / SIDE
            + 0.25 * abs(float(crowd.brightness[i] - crowd.brightness[index]))
            for i in others
        ]
        assert crowd.donor(index, generator(), drawn=COUNT) == others[int(np.argmin(far))]


def test_two_faces_lend_to_each_other() -> None:
    pair = Crowd.gather(Drawn(2), drawn_landmarks(2), side=SIDE)
    assert [pair.donor(i, generator(n)) for n in range(5) for i in (0, 1)] == [1, 0] * 5


def test_where_no_landmarks_were_found_average_ones_stand(crowd: Crowd) -> None:
    for index in WITHOUT_LANDMARKS:
        assert torch.equal(crowd.landmarks[index], mean_landmarks(SIDE))
    assert torch.equal(crowd.landmarks[0], torch.from_numpy(drawn_landmarks()[0]))
    assert set(crowd.targets) == set(range(COUNT))


def test_landmarks_at_one_place_are_none() -> None:
    points = drawn_landmarks()
    points[7] = 30.0
    points[8, 2, 1] = np.inf
    crowd = Crowd.gather(Drawn(), points, side=SIDE)
    assert not {7, 8} & set(crowd.lenders)


def test_the_arguments_are_left_as_they_were() -> None:
    points = drawn_landmarks()
    before = points.copy()
    Crowd.gather(Drawn(), points, side=SIDE)
    assert np.array_equal(points, before, equal_nan=True)


def test_an_aligned_donor_lies_on_the_target(crowd: Crowd) -> None:
    """A picture shifted with its landmarks is shifted back, up to its border."""

    class Shifted(Drawn):
        def image(self, i: int, /) -> Tensor:
            return super().image(0).roll(6 * i, 2)

    points = np.stack([drawn_landmarks()[0] + [6 * i, 0] for i in range(2)])
    two = Crowd.gather(Shifted(2), points, side=SIDE)
    assert torch.allclose(two.aligned(1, 0)[:, :, :58], two.image(0)[:, :, :58], atol=0.05)


def test_what_cannot_be_read_is_named_and_neither_lends_nor_is_forged() -> None:
    crowd = Crowd.gather(Drawn(unreadable=(2, 5)), drawn_landmarks(), side=SIDE)
    assert crowd.unreadable == ("face 2: damaged", "face 5: damaged")
    assert not {2, 5} & set(crowd.targets) and not {2, 5} & set(crowd.lenders)
    assert len(crowd) == COUNT


def test_components_may_be_fitted_on_a_part_of_the_faces() -> None:
    part, same, other = (
        Crowd.gather(Drawn(), drawn_landmarks(), side=SIDE, components=8, fitted_on=12, seed=seed)
        for seed in (1, 1, 2)
    )
    assert np.array_equal(part.coordinates, same.coordinates)
    assert not np.allclose(part.basis.components, other.basis.components)
    assert part.coordinates.shape == (COUNT, 8) and (np.abs(part.coordinates).max(1) > 0).all()
    # The mean is that of the 12 alone: the coordinates of all do not average to nothing.
    assert np.abs(part.coordinates.mean(0)).max() > 1


def test_a_face_rebuilt_from_its_coordinates_is_like_itself(crowd: Crowd) -> None:
    middle = slice(20, 48)  # inside every inner face
    assert np.abs(crowd.coordinates.mean(0)).max() < 1e-2
    for i in range(COUNT):
        aligned = resize(crowd.basis.rebuild(crowd.coordinates[i]), SIDE, "bicubic")
        face = warp(aligned, crowd.to_template[i], SIDE)[:, middle, middle]
        far = [float((face - crowd.image(j)[:, middle, middle]).square().mean()) for j in range(COUNT)]
        assert int(np.argmin(far)) == i


def test_every_face_is_looked_at_once_and_told() -> None:
    pictures, told = Drawn(unreadable=(3,)), []
    Crowd.gather(pictures, drawn_landmarks(), side=SIDE, fitted_on=10, advance=told.append)
    assert pictures.read == [1] * COUNT and sum(told) == COUNT


def test_few_pictures_are_kept_decoded() -> None:
    pictures = Drawn()
    album = Album(pictures, SIDE, kept=3)
    for i in (0, 0, 1, 2, 0, 3):
        assert torch.equal(album.pixels(i), Drawn().image(i))
    assert pictures.read[:4] == [1, 1, 1, 1]
    album.pixels(0)
    album.pixels(1)  # asked for longest ago, so that it was forgotten
    assert pictures.read[:2] == [1, 2]


def test_pictures_of_another_size_are_brought_to_the_crowds() -> None:
    crowd = Crowd.gather(Drawn(4, side=96), drawn_landmarks(4), side=SIDE)
    assert crowd.pixels(0).shape == (3, SIDE, SIDE) and crowd.pixels(0).dtype == torch.uint8
    assert crowd.image(0).dtype == torch.float32


def test_it_pickles_without_the_pictures_it_has_decoded(crowd: Crowd) -> None:
    crowd.pixels(0)
    again = pickle.loads(pickle.dumps(crowd))
    assert torch.equal(again.pixels(3), crowd.pixels(3))
    assert again.donor(3, generator()) == crowd.donor(3, generator())
    assert again.album.pictures.read[0] == crowd.album.pictures.read[0]


def test_a_face_set_is_a_crowd(tmp_path: Path) -> None:
    faces = FaceSet.open(write_set(tmp_path / "faces", train=6)).select(split="train", label="real")
    crowd = Crowd.gather(faces, drawn_landmarks(6), native=native_sides(faces, SIDE), side=SIDE)
    assert torch.equal(crowd.pixels(1), faces.image(1))
    assert crowd.native.tolist() == [64] * 6


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
        Crowd.gather(Drawn(4), landmarks, native=native, side=SIDE)
