"""Landmarks of tight crops: in the crop's own pixels, kept in blocks, resumed, the same with any number of workers."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from tests.conftest import draw_face, write_set
from verovolto.core.errors import DataError, InputError
from verovolto.data.faceset import FaceSet
from verovolto.faces.detection.base import Face, FaceDetector, best_first
from verovolto.faces.landmarks import crop_landmarks, landmarks_of_crop

SIDE = 56
BORDER = 12


@dataclass(frozen=True, kw_only=True)
class Reddest:
    """Takes the reddest pixel for a face's landmarks, and sees none where nothing is red; it pickles.

    With `poison` it breaks down at the picture whose corner has this grey level.
    """

    name: str = "reddest"
    confidence: float = 0.9
    poison: int | None = None

    def detect(self, image: Tensor) -> list[Face]:
        pixels = image.int()
        if self.poison is not None and int(pixels[:, 0, 0].sum()) == 3 * self.poison:
            raise KeyboardInterrupt
        red = pixels[0] - pixels[1]
        if int(red.max()) < 100:
            return []
        y, x = divmod(int(red.argmax()), image.shape[2])
        points = torch.tensor([[float(x), float(y)]]).expand(5, 2) + torch.arange(5).float()[:, None]
        whole = (0.0, 0.0, float(image.shape[2]), float(image.shape[1]))
        doubtful = Face(box=whole, score=0.5, landmarks=torch.zeros(5, 2))
        return best_first([doubtful, Face(box=(1.0, 1.0, 9.0, 9.0), score=0.99, landmarks=points)])


def dotted(x: int, y: int, *, side: int = SIDE, level: int = 60) -> np.ndarray:
    image = np.full((side, side, 3), level, np.uint8)
    image[y, x] = (250, 10, 10)
    return image


@pytest.fixture
def faces(tmp_path: Path) -> FaceSet:
    """10 crops with a red dot at (4 + i, 20), of grey level 60 + i; number 3 has no dot, number 6 is no image."""
    folder = tmp_path / "crops" / "real"
    folder.mkdir(parents=True)
    for i in range(10):
        pixels = np.full((SIDE, SIDE, 3), 63, np.uint8) if i == 3 else dotted(4 + i, 20, level=60 + i)
        Image.fromarray(pixels).save(folder / f"{i}.png")
    (folder / "6.png").write_bytes(b"no image")
    return FaceSet.open(folder.parent)


def expected() -> np.ndarray:
    points = np.stack([np.array([[4 + i + k, 20 + k] for k in range(5)], np.float32) for i in range(10)])
    points[[3, 6]] = np.nan
    return points


def test_landmarks_are_in_pixels_of_the_crop_at_its_working_size() -> None:
    image = torch.from_numpy(dotted(10, 30)).permute(2, 0, 1)
    found = landmarks_of_crop(image, Reddest(), side=SIDE)
    assert found.dtype == np.float32 and found.tolist() == [[10 + k, 30 + k] for k in range(5)]
    enlarged = landmarks_of_crop(image, Reddest(), side=2 * SIDE)
    assert np.abs(enlarged[0] - [20.5, 60.5]).max() <= 1
    assert np.isnan(landmarks_of_crop(torch.full_like(image, 50), Reddest(), side=SIDE)).all()


def test_the_detector_sees_a_border_of_repeated_edges() -> None:
    seen = []

    class Watching(Reddest):
        def detect(self, image: Tensor) -> list[Face]:
            seen.append(image)
            return super().detect(image)

    image = torch.from_numpy(np.array(draw_face(1, size=SIDE))).permute(2, 0, 1)
    landmarks_of_crop(image, Watching(), side=SIDE)
    [padded] = seen
    assert padded.dtype == torch.uint8 and padded.shape == (3, SIDE + 2 * BORDER, SIDE + 2 * BORDER)
    assert torch.equal(padded[:, BORDER:-BORDER, BORDER:-BORDER], image)
    assert torch.equal(padded[:, :BORDER, BORDER:-BORDER], image[:, :1].expand(-1, BORDER, -1))
    assert torch.equal(padded[:, :BORDER, :BORDER], image[:, :1, :1].expand(-1, BORDER, BORDER))


@pytest.mark.parametrize("workers", [0, pytest.param(2, marks=pytest.mark.slow)])
def test_a_set_of_crops(faces: FaceSet, tmp_path: Path, workers: int) -> None:
    told: list[int] = []
    found = crop_landmarks(
        faces, Reddest(), tmp_path / "out", side=SIDE, block=4, workers=workers, on_progress=told.append
    )
    assert found.dtype == np.float32 and np.array_equal(found, expected(), equal_nan=True)
    assert sum(told) == 10
    assert len(list((tmp_path / "out").glob("*.npy"))) == 3


def test_a_run_that_was_stopped_goes_on_where_it_was(faces: FaceSet, tmp_path: Path) -> None:
    def run(detector: FaceDetector, told: list[int]) -> np.ndarray:
        return crop_landmarks(faces, detector, tmp_path / "out", side=SIDE, block=2, on_progress=told.append)

    with pytest.raises(KeyboardInterrupt):
        run(Reddest(poison=65), [])
    kept = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "out").glob("*.npy")}
    assert len(kept) == 2
    told: list[int] = []
    assert np.array_equal(run(Reddest(), told), expected(), equal_nan=True)
    assert told[0] == 4 and sum(told) == 10
    assert all((tmp_path / "out" / name).stat().st_mtime_ns == at for name, at in kept.items())
    # All is there: the detector is not asked again.
    assert np.array_equal(run(Reddest(poison=60), []), expected(), equal_nan=True)
    assert not list((tmp_path / "out").glob("*.part"))


def test_results_of_others_are_not_taken_for_ones_own(faces: FaceSet, tmp_path: Path) -> None:
    out = tmp_path / "out"
    crop_landmarks(faces, Reddest(), out, side=SIDE, block=4)
    for others in (
        {"faces": faces.take(range(9))},
        {"detector": Reddest(name="another")},
        {"side": 112},
        {"block": 5},
    ):
        given = {"faces": faces, "detector": Reddest(), "side": SIDE, "block": 4} | others
        with pytest.raises(InputError, match=f"other crops .{next(iter(others))} differ"):
            crop_landmarks(given.pop("faces"), given.pop("detector"), out, **given)  # type: ignore[arg-type]


def test_a_damaged_block_is_named(faces: FaceSet, tmp_path: Path) -> None:
    out = tmp_path / "out"
    crop_landmarks(faces, Reddest(), out, side=SIDE, block=4)
    block = out / "landmarks-000000004.npy"
    shutil.copy(out / "landmarks-000000008.npy", block)
    with pytest.raises(DataError, match="no block of 4 landmarks"):
        crop_landmarks(faces, Reddest(), out, side=SIDE, block=4)
    block.write_bytes(block.read_bytes()[:20])
    with pytest.raises(DataError, match="cannot be read"):
        crop_landmarks(faces, Reddest(), out, side=SIDE, block=4)


def test_no_crops_have_no_landmarks(tmp_path: Path) -> None:
    faces = FaceSet.open(write_set(tmp_path / "set", train=1)).take([])
    assert crop_landmarks(faces, Reddest(), tmp_path / "out", side=SIDE).shape == (0, 5, 2)
