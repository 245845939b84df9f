"""MTCNN on photographs of faces and on images that show none; its cascade gives what facenet-pytorch gives."""

from __future__ import annotations

import pickle
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d, max_pool2d

from verovolto.core import files
from verovolto.core.errors import InputError, VerovoltoError, WeightsError
from verovolto.data.decode import decode_image
from verovolto.demo.faces import Photo, orl_photos
from verovolto.faces.detection import mtcnn
from verovolto.faces.detection.mtcnn import (
    Cascade,
    MTCNNDetector,
    SumTable,
    largest,
    load_states,
    pyramid,
    squares,
    uncovered,
)


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


@pytest.fixture(scope="module")
def cascade() -> Cascade:
    return Cascade()


@pytest.fixture(scope="module")
def library() -> Any:
    from facenet_pytorch.models.mtcnn import MTCNN

    return MTCNN(keep_all=True, device=torch.device("cpu")).eval()


@pytest.fixture(scope="module")
def scenes() -> list[Tensor]:
    """Several faces in one picture, one, and none at all."""
    try:
        photos = [decode_image(photo.file.read_bytes()) for photo in orl_photos()[::60]]
    except VerovoltoError as error:
        pytest.skip(f"no photographs of faces here: {error}")
    noise = torch.randint(0, 256, (3, 150, 210), generator=torch.Generator().manual_seed(0)).to(torch.uint8)
    return [
        torch.cat(photos[:3], dim=2),
        *photos[3:6],
        noise,
        torch.full((3, 60, 60), 128, dtype=torch.uint8),
    ]


def test_it_finds_what_the_library_finds(cascade: Cascade, library: Any, scenes: list[Tensor]) -> None:
    faces = 0
    for image in scenes:
        [boxes], [scores], [points] = library.detect(image.permute(1, 2, 0)[None], landmarks=True)
        [found] = cascade(image[None], 20)
        expected = 0 if boxes is None else len(boxes)
        assert len(found.boxes) == len(found.scores) == len(found.landmarks) == expected
        faces += expected
        if expected:
            theirs, ours = np.argsort(-scores.astype(float)), np.argsort(-found.scores)
            np.testing.assert_allclose(found.boxes[ours], boxes.astype(float)[theirs], atol=2e-3)
            np.testing.assert_allclose(found.landmarks[ours], points.astype(float)[theirs], atol=2e-3)
            np.testing.assert_allclose(found.scores[ours], scores.astype(float)[theirs], atol=1e-4)
    assert faces >= 6


def test_frames_do_not_depend_on_their_neighbours(cascade: Cascade, scenes: list[Tensor]) -> None:
    face = scenes[1]
    together = cascade(torch.stack([face, face.flip(2), torch.zeros_like(face)]), 20)
    alone = [cascade(image[None], 20)[0] for image in (face, face.flip(2), torch.zeros_like(face))]
    assert [len(found.boxes) for found in together] == [1, 1, 0]
    for one, other in zip(together, alone, strict=True):
        np.testing.assert_allclose(one.boxes, other.boxes, atol=1e-3)


def test_a_larger_smallest_face_leaves_the_large_ones_as_they_are(
    detector: MTCNNDetector, scenes: list[Tensor]
) -> None:
    """Whole steps of the pyramid are left out, so that those that remain are the same."""
    faces = 0
    for image in scenes:
        everything = detector.detect(image)
        faces += len(everything)
        for face in everything:
            again = detector.detect(image, smallest=0.5 * min(face.width, face.height))
            assert any((one.box, one.score) == (face.box, face.score) for one in again)
    assert faces >= 6


def test_a_picture_at_working_size_is_taken_as_it_is(detector: MTCNNDetector, scenes: list[Tensor]) -> None:
    """Turned before or after, it is the same but for rounding: it is resized once for all turns."""
    image = scenes[0].repeat_interleave(3, 1).repeat_interleave(3, 2)
    small, scale = detector.at_working_size(image)
    assert scale < 1 and detector.at_working_size(small)[1] == 1.0
    turned = detector.at_working_size(image.rot90(1, (1, 2)))[0]
    assert (turned.int() - small.rot90(1, (1, 2)).int()).abs().max() <= 1
    found = [face.before_resizing(scale) for face in detector.detect(small)]
    assert [(face.box, face.score) for face in found] == [(f.box, f.score) for f in detector.detect(image)]


@given(st.integers(1, 40), st.integers(1, 40), st.sampled_from([(2, 2), (3, 2)]), st.integers(0, 2**16))
def test_largest_is_max_pooling(height: int, width: int, how: tuple[int, int], seed: int) -> None:
    window, stride = how
    x = torch.randn(2, 3, height + window, width + window, generator=torch.Generator().manual_seed(seed))
    assert torch.equal(largest(x, window, stride), max_pool2d(x, window, stride, ceil_mode=True))


@given(st.integers(1, 50), st.integers(1, 50), st.integers(0, 2**16), st.data())
def test_crops_are_means_of_areas(height: int, width: int, seed: int, data: st.DataObject) -> None:
    images = torch.randint(0, 256, (2, 3, height, width), generator=torch.Generator().manual_seed(seed))
    images = images.to(torch.uint8)
    x0, x1 = sorted((data.draw(st.integers(0, width - 1)), data.draw(st.integers(0, width - 1))))
    y0, y1 = sorted((data.draw(st.integers(0, height - 1)), data.draw(st.integers(0, height - 1))))
    box = torch.tensor([[x0 + 1, y0 + 1, x1 + 1, y1 + 1]]).float()  # counted from 1, both ends in
    sums = SumTable(images)
    candidates = mtcnn._Candidates(boxes=box, scores=torch.ones(1), image=torch.tensor([1]))
    expected = adaptive_avg_pool2d(images[1:, :, y0 : y1 + 1, x0 : x1 + 1].float(), 24)
    torch.testing.assert_close(sums.crops(candidates, 24), expected, atol=1e-3, rtol=0)
    small = sums.scaled(0.6)
    torch.testing.assert_close(small, adaptive_avg_pool2d(images.float(), small.shape[2:]), atol=1e-3, rtol=0)


def test_boxes_outside_the_image_are_left_out() -> None:
    sums = SumTable(torch.zeros(1, 3, 20, 30, dtype=torch.uint8))
    boxes = torch.tensor([[5.0, 5, 12, 12], [40, 5, 50, 15], [-20, -20, -5, -5], [25, 15, 60, 60]])
    assert sums.inside(boxes).tolist() == [0, 3]


def test_levels_for_smaller_faces_are_left_out() -> None:
    whole = pyramid(300, 200, 20)
    assert pyramid(300, 200, 0) == whole and pyramid(300, 200, 60) == [s for s in whole if 60 * s <= 12]
    assert pyramid(300, 200, 1000) == whole[-1:]


def test_the_pyramid_ends_where_the_image_is_as_small_as_a_face() -> None:
    assert pyramid(100, 200, 20)[0] == pytest.approx(0.6)
    assert all(100 * scale >= 12 for scale in pyramid(100, 200, 20)) and pyramid(19, 300, 20) == []


def test_squares_keep_their_centre() -> None:
    assert squares(torch.tensor([[0.0, 0, 10, 4]])).tolist() == [[0, -3, 10, 7]]


def test_what_a_surer_face_covers_is_dropped() -> None:
    boxes = np.array([[0, 0, 100, 100], [20, 20, 40, 40], [200, 0, 300, 100.0]])
    assert uncovered(boxes, np.array([0.9, 0.8, 0.95])) == [2, 0]
    assert uncovered(boxes, np.array([0.8, 0.9, 0.95])) == [2, 1]


def test_missing_weights_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "find_spec", lambda name: None)
    with pytest.raises(WeightsError, match="facenet-pytorch"):
        load_states()


def test_other_weights_are_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data/pnet.pt").write_bytes(b"another")
    monkeypatch.setattr(
        files, "find_spec", lambda name: SimpleNamespace(origin=str(tmp_path / "__init__.py"))
    )
    with pytest.raises(WeightsError, match=r"pnet\.pt is not the MTCNN weights"):
        load_states()
