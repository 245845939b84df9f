"""What scans are tried on: drawn media whose bright squares are the faces, and detectors that judge them.

This file is imported by processes that scans start.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import numpy as np
from PIL import Image

from tests.detectors.conftest import make_detector
from tests.faces.bright import RULE, BrightSquares, picture
from verovolto.calibration.thresholds import Calibration
from verovolto.detectors.trivial.detector import TrivialDetector
from verovolto.detectors.vae.detector import VAEDetector
from verovolto.scanning import run
from verovolto.scanning.result import FileResult
from verovolto.scanning.run import MediaPath, Scanner
from verovolto.scanning.settings import ScanContext, ScanSettings

REAL, ODD = 175, 250
"""Levels of squares that `by_brightness` takes for real faces, and for an anomaly."""

SMALL = {"smallest": 8.0, "sharpness": 0.0, "confidence": 0.5}
"""Squares of a few pixels are faces."""


def settings(**given: Any) -> ScanSettings:
    """Every frame is looked at, and `SMALL` faces are judged."""
    return ScanSettings(**{"crop": RULE, "fps": None, **SMALL, **given})


def by_brightness(*, faces: int = 400) -> TrivialDetector:
    """A detector whose score is the face's brightness, calibrated on real faces around `REAL`."""
    values = np.linspace(REAL - 25, REAL + 25, faces)
    known = Calibration.of(values, score="brightness", clusters=faces, cluster="face")
    return TrivialDetector(default_score="brightness", calibration={"brightness": known})


def network() -> VAEDetector:
    """A small network; what it makes of a bright square lies within its calibration."""
    detector = make_detector()
    values = np.linspace(0.3, 0.4, 99)
    detector.calibration["rmse"] = Calibration.of(values, score="rmse", clusters=99, cluster="face")
    return detector


def context(detector: Any = None, face_detector: Any = None, **given: Any) -> ScanContext:
    """A detector behind the finder of squares."""
    return ScanContext.of(detector or by_brightness(), face_detector or BrightSquares(), settings(**given))


@dataclass(kw_only=True)
class BrightScanner(Scanner):
    """A `Scanner` whose processes find squares, and are killed by a green picture."""

    def __call__(self, file: MediaPath) -> FileResult:
        run.open_detector = lambda name: BrightSquares(deadly=True)
        return super().__call__(file)


def film(path: Path, pictures: Sequence[np.ndarray], *, rotate: int = 0, rate: int = 8) -> Path:
    """A video of exactly these pictures, uint8 `[H, W, 3]`: nothing is lost. `rotate` is counter-clockwise, degrees."""
    height, width = pictures[0].shape[:2]
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=rate, options={"qp": "0", "preset": "ultrafast"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv444p"
        if rotate:
            stream.set_display_rotation(rotate)
        for drawn in pictures:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(drawn), "rgb24")))
        container.mux(stream.encode())
    return path


def walk(frames: int, *, level: int = REAL, seed: int = 0) -> list[np.ndarray]:
    """Pictures of a grainy square that walks to the right, a pixel a frame and back at the border."""
    random = np.random.default_rng(seed)
    drawn = []
    for number in range(frames):
        left = 4 + abs((number + 30) % 60 - 30)
        pixels = picture([(left, 16, 40)], level=level)
        grain = random.integers(-12, 13, (40, 40, 3))
        square = pixels[16:56, left : left + 40]
        square[:] = np.clip(square + grain, 150, 255)
        drawn.append(pixels)
    return drawn


def photo(
    path: Path, squares: Sequence[tuple[int, int, int]] = ((24, 16, 40),), *, level: int = REAL
) -> Path:
    """A photo of even squares."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(picture(squares, level=level)).save(path)
    return path
