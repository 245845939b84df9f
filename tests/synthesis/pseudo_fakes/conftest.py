"""A crowd of drawn faces that the tests share."""

from __future__ import annotations

import numpy as np
import pytest

from tests.synthesis.pseudo_fakes.drawn import COUNT, SIDE, Drawn, drawn_landmarks
from verovolto.synthesis.pseudo_fakes import FacePool


@pytest.fixture(scope="session")
def face_pool() -> FacePool:
    """30 faces of 64 pixels, each of another size in its picture; do not change it."""
    native = np.arange(COUNT) + 40
    return FacePool.gather(Drawn(), drawn_landmarks(), native=native, side=SIDE, components=20)
