"""Faces of very long pictures are found piece by piece, each once."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from tests.faces.bright import BrightSquares
from verovolto.faces.detection.base import Face
from verovolto.faces.upright import detect_faces


@dataclass(frozen=True)
class Counting(BrightSquares):
    """Remembers the sizes of the pictures that it was shown."""

    shown: list[tuple[int, ...]] = field(default_factory=list)

    def detect(self, image: Tensor) -> list[Face]:
        self.shown.append(tuple(image.shape[1:]))
        return super().detect(image)


def strip(tops: list[int], *, length: int = 2600, width: int = 400, side: int = 60, lying: bool) -> Tensor:
    image = torch.zeros(3, length, width, dtype=torch.uint8)
    for at, top in enumerate(tops):
        left = 40 * (at % 8)
        image[:, top : top + side, left : left + side] = 255
    return image.transpose(1, 2).contiguous() if lying else image


@given(
    first=st.integers(0, 90),
    gaps=st.lists(st.integers(70, 700), max_size=12),
    side=st.sampled_from([5, 60, 300]),
    lying=st.booleans(),
)
def test_every_face_is_found_once_and_whole(first: int, gaps: list[int], side: int, lying: bool) -> None:
    tops = [first]
    for gap in gaps:
        tops.append(tops[-1] + gap + side)
    tops = [top for top in tops if top + side <= 2600]
    drawn = strip(tops, side=side, lying=lying)
    detector = Counting()
    whole = BrightSquares().detect(drawn)
    found = detect_faces(detector, drawn)
    assert [face.box for face in found] == [face.box for face in whole] and len(found) == len(tops)
    assert len(detector.shown) > 1 and max(max(size) for size in detector.shown) <= 800


@pytest.mark.parametrize("size", [(1080, 1920), (2400, 1080), (999, 100), (1000, 1000)])
def test_other_pictures_are_looked_at_at_once(size: tuple[int, int]) -> None:
    detector = Counting()
    detect_faces(detector, torch.zeros(3, *size, dtype=torch.uint8))
    assert detector.shown == [size]


def test_the_number_of_tiles_is_bounded() -> None:
    detector = Counting()
    detect_faces(detector, torch.zeros(3, 10, 400_000, dtype=torch.uint8))
    assert len(detector.shown) <= 64 and {height for height, _ in detector.shown} == {10}
