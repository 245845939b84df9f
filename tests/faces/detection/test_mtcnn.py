"""MTCNN on photographs of faces (where they are installed) and on images that show none."""

from __future__ import annotations

import pickle

import pytest
import torch
from torch import Tensor

from verovolto.core.errors import InputError, VerovoltoError
from verovolto.data.decode import decode_image
from verovolto.demo.faces import Photo, orl_photos
from verovolto.faces.detection.mtcnn import MTCNNDetector


@pytest.fixture(scope="module")
def photos() -> list[Photo]:
    try:
        return orl_photos()
    except VerovoltoError as error:
        pytest.skip(f"no photographs of faces here: {error}")


@pytest.fixture(scope="module")
def detector() -> MTCNNDetector:
    return MTCNNDetector()


def load(photo: Photo) -> Tensor:
    return decode_image(photo.file.read_bytes(), name=photo.name)


def test_it_finds_one_face_in_each_photograph(photos: list[Photo], detector: MTCNNDetector) -> None:
    for photo in photos[::29]:
        [face] = detector.detect(load(photo))
        left, right, nose, mouth_left, mouth_right = face.landmarks.tolist()
        assert face.score > 0.9
        assert 40 < face.height < 120
        assert left[0] < right[0] and mouth_left[0] < mouth_right[0]
        assert max(left[1], right[1]) < nose[1] < min(mouth_left[1], mouth_right[1])


def test_boxes_are_in_pixels_of_the_image_given(photos: list[Photo], detector: MTCNNDetector) -> None:
    """A large image is shrunk before detection, its boxes are not."""
    image = load(photos[0])
    [face] = detector.detect(image)
    large = image.repeat_interleave(10, 1).repeat_interleave(10, 2)
    [same] = detector.detect(large)
    for ours, tenfold in zip(face.box, same.box, strict=True):
        assert tenfold / 10 == pytest.approx(ours, abs=4)
    assert (same.landmarks / 10 - face.landmarks).abs().max() < 3


def test_two_faces_are_found_and_results_repeat(photos: list[Photo], detector: MTCNNDetector) -> None:
    both = torch.cat([load(photos[0]), load(photos[15])], dim=2)
    found = detector.detect(both)
    again = pickle.loads(pickle.dumps(detector)).detect(both)
    assert len(found) == 2
    assert [face.to_dict() for face in found] == [face.to_dict() for face in again]


def test_the_thread_count_is_left_as_it_was(detector: MTCNNDetector) -> None:
    before = torch.get_num_threads()
    detector.detect(torch.zeros(3, 64, 64, dtype=torch.uint8))
    assert torch.get_num_threads() == before


@pytest.mark.parametrize("size", [(1, 1), (2, 700), (30, 31), (64, 900), (200, 200)])
def test_no_face_is_an_empty_list(detector: MTCNNDetector, size: tuple[int, int]) -> None:
    noise = torch.randint(0, 256, (3, *size), generator=torch.Generator().manual_seed(0)).to(torch.uint8)
    for image in (torch.zeros(3, *size, dtype=torch.uint8), noise):
        assert all(face.score < 0.999 for face in detector.detect(image))
    assert detector.detect(torch.full((3, *size), 128, dtype=torch.uint8)) == []


@pytest.mark.parametrize(
    "image",
    [torch.zeros(3, 8, 8), torch.zeros(8, 8, dtype=torch.uint8), torch.zeros(3, 0, 8, dtype=torch.uint8)],
)
def test_what_is_no_image_is_refused(detector: MTCNNDetector, image: Tensor) -> None:
    with pytest.raises(InputError, match="uint8"):
        detector.detect(image)


def test_an_impossible_working_size_is_refused() -> None:
    with pytest.raises(InputError, match="short side of 700"):
        MTCNNDetector(short_side=700)
