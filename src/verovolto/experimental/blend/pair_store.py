"""Pairs of a forgery and its source, drawn ahead of training and kept as bytes at the network's size.

A folder holds `pairs.json` (what is drawn), `landmarks/` (coordinates), `face_pool.json` (faces that cannot be read),
`blocks/` while pairs are drawn, and `pairs.npy` once all are. It holds faces: who drew them deletes it in the end.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, UInt8
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d

from verovolto.core.files import atomic_path, read_json_object, write_json
from verovolto.core.progress import Task
from verovolto.core.workdir import compute_chunks, record_or_verify
from verovolto.data.face_batch import resize
from verovolto.data.faceset import FaceSet
from verovolto.detectors.fitting import check_readable
from verovolto.faces.detection.registry import open_detector
from verovolto.faces.landmarks import crop_landmarks
from verovolto.synthesis.pseudo_fakes import FacePool, native_sides, pair

SIDE = 224
"""Side in pixels at which faces are forged and compressed, before they are brought to the network's."""

FACE_DETECTOR = "mtcnn"


class PairBatch(NamedTuple):
    """uint8 pixels `[B, 3, S, S]` of both and the mask `[B, m, m]`, float32 in [0, 1]."""

    real: UInt8[Tensor, "b 3 s s"]
    fake: UInt8[Tensor, "b 3 s s"]
    mask: Float[Tensor, "b m m"]


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What is to be drawn.

    Attributes:
        count: pairs.
        kinds: of forgery, in turn.
        size: side of the pictures, pixels.
        mask_size: side of the masks, pixels.
        seed: decides, with a pair's number, over all that is random.
    """

    count: int
    kinds: tuple[str, ...]
    size: int
    mask_size: int
    seed: int

    @property
    def pixels(self) -> int:
        """Bytes of one picture."""
        return 3 * self.size**2


@dataclass(frozen=True, kw_only=True)
class DrawnPairs:
    """Pairs by number; their bytes stay in the file until they are asked for.

    `rows` is uint8 `[n, 2 * 3 * S * S + m * m]`: real, forgery, mask. `unreadable` counts faces left out.
    """

    asked: Asked
    rows: NDArray[np.uint8]
    unreadable: int

    def __len__(self) -> int:
        return len(self.rows)

    def batch(self, numbers: NDArray[np.int64]) -> PairBatch:
        """The pairs of these numbers, in their order."""
        rows = torch.from_numpy(np.ascontiguousarray(self.rows[numbers]))
        size, side, pixels = self.asked.size, self.asked.mask_size, self.asked.pixels
        real, fake, mask = torch.split(rows, [pixels, pixels, side**2], dim=1)
        return PairBatch(
            real.reshape(-1, 3, size, size),
            fake.reshape(-1, 3, size, size),
            mask.reshape(-1, side, side).float() / 255,
        )


def draw_pairs(
    faces: FaceSet, asked: Asked, folder: Path, *, workers: int, max_unreadable: float, task: Task
) -> DrawnPairs:
    """Pairs made of the real faces of a set; what lies in `folder` already is not made again.

    Args:
        faces: the real faces; pairs depend on these and on `asked` alone.
        asked: what is to be drawn.
        folder: where it is kept.
        workers: processes; 0 for none but this one.
        max_unreadable: share of faces that may be unreadable.
        task: shows the progress.

    Raises:
        InputError: the folder holds other pairs.
        DataError: too many faces cannot be read, or a process died twice.
    """
    _claim(folder, faces, asked)
    whole = folder / "pairs.npy"
    if not whole.is_file():
        face_pool = _face_pool(
            faces, asked, folder, workers=workers, max_unreadable=max_unreadable, task=task
        )
        on_progress = task("pairs of a forgery and its source", asked.count)
        rows = compute_chunks(
            asked.count,
            _Draw(face_pool=face_pool, asked=asked),
            folder / "blocks",
            workers=workers,
            on_progress=on_progress,
        )
        with atomic_path(whole) as part, part.open("wb") as file:
            np.save(file, rows)
        shutil.rmtree(folder / "blocks", ignore_errors=True)
    return DrawnPairs(
        asked=asked,
        rows=np.load(whole, mmap_mode="r", allow_pickle=False),
        unreadable=int(read_json_object(folder / "crowd.json")["unreadable"]),
    )


def _face_pool(
    faces: FaceSet, asked: Asked, folder: Path, *, workers: int, max_unreadable: float, task: Task
) -> FacePool:
    """The faces that are forged and that lend."""
    landmarks = crop_landmarks(
        faces,
        open_detector(FACE_DETECTOR),
        folder / "landmarks",
        workers=workers,
        on_progress=task("landmarks of real faces", len(faces)),
    )
    face_pool = FacePool.gather(
        faces,
        landmarks,
        native=native_sides(faces),
        side=SIDE,
        seed=asked.seed,
        on_progress=task("looking at real faces", len(faces)),
    )
    lost = len(face_pool.unreadable)
    check_readable(lost, len(faces), max_unreadable, what="faces", first="".join(face_pool.unreadable[:1]))
    write_json(folder / "crowd.json", {"unreadable": lost})
    return face_pool


@dataclass(frozen=True, kw_only=True)
class _Draw:
    """Draws pairs by their numbers; it pickles with the face pool, so that processes share the work."""

    face_pool: FacePool
    asked: Asked

    def __call__(self, rows: range) -> NDArray[np.uint8]:
        return np.stack([self._row(number) for number in rows])

    def _row(self, number: int) -> NDArray[np.uint8]:
        asked = self.asked
        made = pair(self.face_pool, number, seed=asked.seed, methods=asked.kinds)
        mask = adaptive_avg_pool2d(made.mask[None], asked.mask_size)[0]
        parts = (
            resize(made.real, asked.size),
            resize(made.fake, asked.size),
            (mask * 255).round().to(torch.uint8),
        )
        return np.concatenate([part.flatten().numpy() for part in parts])


def _claim(folder: Path, faces: FaceSet, asked: Asked) -> None:
    """Write down what the folder's pairs are, or check that these are the same."""
    metadata: dict[str, Any] = {
        "faces": faces.fingerprint(),
        "count": asked.count,
        "kinds": list(asked.kinds),
        "size": asked.size,
        "mask_size": asked.mask_size,
        "seed": asked.seed,
    }
    record_or_verify(folder / "pairs.json", metadata, what="other pairs ({} differ)")
