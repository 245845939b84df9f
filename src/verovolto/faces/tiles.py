"""Faces of very long pictures, such as screenshots of a whole page: looked for piece by piece.

Face detectors bring a picture to one working size. Of 1080 x 12000 pixels they would see 58 x 640, and no face in it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from jaxtyping import UInt8
from torch import Tensor
from torchvision.ops import nms

from verovolto.faces.detection.base import Face, FaceDetector, best_first

ASPECT = 2.5
"""Long over short side above which a picture is looked at in tiles: screens and films stay below."""

_LONG_SIDE = 1000
"""Pixels: what is not longer is seen well enough at once."""

_LEAST, _MOST = 320, 64
"""Least step from tile to tile, pixels, and the most tiles of a picture."""

OVERLAP = 0.3
"""Intersection over union above which two boxes show the same face."""

_SLACK = 0.1
"""Of a step: so far a face's centre may lie outside the part that is its tile's alone, since boxes tremble."""


def detect_faces(detector: FaceDetector, image: UInt8[Tensor, "3 h w"]) -> list[Face]:
    """All faces of an RGB image, best first; of a very long one those of its tiles, each once.

    Tiles are two short sides long and overlap by one, so that every face lies whole in one of them: the one in whose
    middle its centre lies.
    """
    height, width = int(image.shape[1]), int(image.shape[2])
    long, short = max(height, width), min(height, width)
    if long <= _LONG_SIDE or long <= ASPECT * short:
        return detector.detect(image)
    step = max(short, _LEAST, -(-long // _MOST))
    faces: list[Face] = []
    starts = [*range(0, max(long - 2 * step, 0), step), max(long - 2 * step, 0)]
    for i, start in enumerate(starts):
        tile = image.narrow(1 if height > width else 2, start, min(2 * step, long - start)).contiguous()
        low = -1.0 if i == 0 else (starts[i - 1] + start) / 2 + step - _SLACK * step
        high = long + 1.0 if i + 1 == len(starts) else (start + starts[i + 1]) / 2 + step + _SLACK * step
        for face in detector.detect(tile):
            x0, y0, x1, y1 = face.box
            dx, dy = (0, start) if height > width else (start, 0)
            moved = replace(
                face,
                box=(x0 + dx, y0 + dy, x1 + dx, y1 + dy),
                landmarks=face.landmarks + face.landmarks.new_tensor([dx, dy]),
            )
            if low <= moved.centre[1 if height > width else 0] <= high:
                faces.append(moved)
    return best_first(distinct(faces), confidence=detector.confidence)


def distinct(faces: Sequence[Face]) -> list[Face]:
    """The faces without those that another one of a higher score overlaps (non-maximum suppression)."""
    if not faces:
        return []
    boxes = torch.tensor([face.box for face in faces], dtype=torch.float64)
    keep = nms(boxes, torch.tensor([face.score for face in faces], dtype=torch.float64), OVERLAP)
    return [faces[i] for i in keep.tolist()]
