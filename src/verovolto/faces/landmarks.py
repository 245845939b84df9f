"""Five landmarks of every tight crop of a face set.

A crop that ends at the forehead and the chin is no picture that a face detector was made for: it is given a border
first. Results are kept in a folder in blocks, so that a killed run goes on where it was.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import UInt8
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import pad

from verovolto.core.errors import UnreadableImage
from verovolto.core.workdir import compute_chunks, record_or_verify
from verovolto.data.face_batch import resize
from verovolto.data.faceset import FaceSet
from verovolto.faces.detection.base import LANDMARKS, FaceDetector, main_face

SIDE = 224
"""Side that crops are brought to before a face is looked for, pixels."""

BORDER = 3 / 14
"""Width of the border, in sides of the crop: 48 pixels round 224."""

BLOCK = 256
"""Crops in a block: some ten seconds' work of MTCNN."""

_METADATA = "landmarks.json"
_SCHEMA = 1


def landmarks_of_crop(
    image: UInt8[Tensor, "3 h w"], detector: FaceDetector, *, side: int = SIDE
) -> NDArray[np.float32]:
    """Landmarks of the face that a crop shows, float32 `[5, 2]`; NaN where none is found.

    Pixels `(x, y)` of the crop brought to `side` x `side`, in the order of `LANDMARKS`; they may lie outside it.
    The crop's own edge pixels are repeated to make the border.
    """
    width = round(BORDER * side)
    square = resize(image, side).float()[None]
    padded = pad(square, (width,) * 4, mode="replicate")[0].to(torch.uint8)
    face = main_face(detector.detect(padded))
    if face is None:
        return np.full((len(LANDMARKS), 2), np.nan, dtype=np.float32)
    return np.asarray(face.landmarks.numpy() - width, dtype=np.float32)


def crop_landmarks(
    faces: FaceSet,
    detector: FaceDetector,
    folder: Path,
    *,
    side: int = SIDE,
    workers: int = 0,
    block: int = BLOCK,
    on_progress: Callable[[int], None] = lambda done: None,
) -> NDArray[np.float32]:
    """Landmarks of all crops of a set, float32 `[N, 5, 2]`; see `landmarks_of_crop`.

    Rows are NaN where no face was found or the crop cannot be read. They do not depend on `workers`, nor on
    whether a run was interrupted.

    Args:
        faces: the crops.
        detector: must pickle where there are workers.
        folder: where blocks of results are kept, and found again by the next run on the same set. It holds
            coordinates, no pixels.
        side: pixels that the landmarks are stated in.
        workers: processes; with 0 everything happens in this one.
        block: crops to a file; a killed run loses the one that it was at.
        on_progress: called with how many more crops are done.

    Raises:
        InputError: the folder holds landmarks of other crops, of another detector, size or block.
        DataError: a process died twice at one block, or a file in the folder is damaged.
    """
    settings = {
        "schema_version": _SCHEMA,
        "faces": faces.fingerprint(),
        "detector": detector.name,
        "side": side,
        "block": block,
    }
    record_or_verify(folder / _METADATA, settings, what="landmarks of other crops ({} differ)")
    if not len(faces):
        return np.empty((0, len(LANDMARKS), 2), dtype=np.float32)
    return compute_chunks(
        len(faces),
        _Landmarks(faces=faces, detector=detector, side=side),
        folder,
        chunk=block,
        name="landmarks-{:09d}.npy",
        what="landmarks",
        workers=workers,
        on_progress=on_progress,
    )


@dataclass(frozen=True, kw_only=True)
class _Landmarks:
    """The landmarks of some crops; picklable."""

    faces: FaceSet
    detector: FaceDetector
    side: int

    def __call__(self, rows: range) -> NDArray[np.float32]:
        return np.stack([self._of(i) for i in rows])

    def _of(self, i: int) -> NDArray[np.float32]:
        try:
            image = self.faces.image(i)
        except UnreadableImage:
            return np.full((len(LANDMARKS), 2), np.nan, dtype=np.float32)
        return landmarks_of_crop(image, self.detector, side=self.side)
