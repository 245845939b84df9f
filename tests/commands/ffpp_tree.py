"""FaceForensics++ in small, as its download script lays it out: drawn faces in folders of frames, all six methods."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageFilter
from torch import Tensor

from tests.faces.bright import BrightSquares
from verovolto.faces.detection.base import Face

METHODS = ("Deepfakes", "Face2Face", "FaceSwap", "NeuralTextures", "FaceShifter", "DeepFakeDetection")
PAIRS = {"train": 8, "val": 3, "test": 3}
ACTORS = 4
FRAMES = 2
_SIDE, _FACE, _LEFT, _TOP = 64, 40, 12, 14


@dataclass(frozen=True, kw_only=True)
class Landmarked(BrightSquares):
    """Takes a bright square for a face, with landmarks where a face that fills it has them."""

    name: str = "mtcnn"

    def detect(self, image: Tensor) -> list[Face]:
        return [
            Face(box=face.box, score=1.0, landmarks=_landmarks(face.box)) for face in super().detect(image)
        ]


def _landmarks(box: tuple[float, float, float, float]) -> Tensor:
    places = torch.tensor([[0.35, 0.4], [0.65, 0.4], [0.5, 0.55], [0.4, 0.7], [0.6, 0.7]])
    left, top, right, bottom = box
    return torch.tensor([left, top]) + places * torch.tensor([right - left, bottom - top])


def face(person: int, frame: int, *, method: int | None = None) -> Image.Image:
    """A frame `[64, 64]` in which somebody stands: a bright square with a pattern of their own, smooth in a fake."""
    drawn = np.random.default_rng([person, 0])
    coarse = drawn.integers(165, 245, (5, 5, 3), dtype=np.uint8)
    square = Image.fromarray(coarse).resize((_FACE, _FACE), Image.Resampling.BICUBIC)
    grain = np.random.default_rng([person, frame, 1]).normal(0, 5, (_FACE, _FACE, 1))
    pixels = np.clip(np.asarray(square, dtype=float) + grain, 150, 255).astype(np.uint8)
    if method is not None:
        smooth = Image.fromarray(pixels).filter(ImageFilter.GaussianBlur(0.4 + 0.3 * method))
        pixels = np.clip(np.asarray(smooth), 150, 255).astype(np.uint8)
    picture = np.full((_SIDE, _SIDE, 3), 40, np.uint8)
    picture[_TOP : _TOP + _FACE, _LEFT : _LEFT + _FACE] = pixels
    return Image.fromarray(picture)


def official_pairs() -> dict[str, list[list[str]]]:
    """The pairs of each official list: 000 and 001, 002 and 003, ..."""
    pairs: dict[str, list[list[str]]] = {}
    first = 0
    for split, count in PAIRS.items():
        pairs[split] = [[f"{first + 2 * i:03d}", f"{first + 2 * i + 1:03d}"] for i in range(count)]
        first += 2 * count
    return pairs


def build_tree(root: Path) -> Path:
    """Write the tree with the three official lists, which do not cover the actors."""
    for place, name, person, method in _videos():
        folder = root / place / "c23" / "images" / name
        folder.mkdir(parents=True)
        for frame in range(FRAMES):
            face(person, frame, method=method).save(folder / f"{frame:04d}.png")
    for split, pairs in official_pairs().items():
        (root / f"{split}.json").write_text(json.dumps(pairs))
    return root


def _videos() -> Iterator[tuple[str, str, int, int | None]]:
    """Folder, name, who is seen, and the number of the method, None of a real."""
    for pairs in official_pairs().values():
        for a, b in pairs:
            for target, source in ((a, b), (b, a)):
                yield "original_sequences/youtube", target, int(target), None
                for number, method in enumerate(METHODS[:-1]):
                    yield f"manipulated_sequences/{method}", f"{target}_{source}", int(target), number
    for actor in range(ACTORS):
        target, source = f"{actor + 1:02d}", f"{(actor + 1) % ACTORS + 1:02d}"
        yield "original_sequences/actors", f"{target}__hugging", 500 + actor, None
        name = f"{target}_{source}__hugging__ABCD{actor:04d}"
        yield "manipulated_sequences/DeepFakeDetection", name, 500 + actor, len(METHODS) - 1
