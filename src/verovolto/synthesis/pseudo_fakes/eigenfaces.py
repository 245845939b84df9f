"""Principal components of aligned faces (eigenfaces): what a face keeps when few numbers must describe it.

Turk & Pentland, "Eigenfaces for Recognition", Journal of Cognitive Neuroscience 3(1), 1991. A face rebuilt from its
leading components lacks what an auto-encoder's narrow code loses too.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from verovolto.core.errors import InputError

COMPONENTS = 400
"""Components that are kept at most: the finest face that is rebuilt uses as many."""


@dataclass(frozen=True, kw_only=True, eq=False)
class FaceBasis:
    """A mean face and orthonormal directions, most variable first.

    It consists of the faces it was fitted on, so that it stays in memory and goes into no file.

    Attributes:
        mean: float32 `[3 * n * n]`, grey levels.
        components: float32 `[k, 3 * n * n]`.
        side: n, pixels.
    """

    mean: NDArray[np.float32]
    components: NDArray[np.float32]
    side: int

    @staticmethod
    def fit(
        faces: NDArray[np.float32], *, side: int, components: int = COMPONENTS, seed: int = 0
    ) -> FaceBasis:
        """Fit the leading components, of which there are fewer where there are fewer faces.

        Randomised singular values: Halko, Martinsson & Tropp, SIAM Review 53(2), 2011, with 2 power iterations.

        Args:
            faces: aligned faces `[m, 3 * side * side]`, which are centred in place to save memory.
            side: of the faces, pixels.
            components: number of components at most.
            seed: of the random projection.

        Raises:
            InputError: fewer than two faces, or faces of another side.
        """
        from sklearn.utils.extmath import randomized_svd  # slow to import, and needed in training alone

        if len(faces) < 2 or faces.shape[1:] != (3 * side * side,):
            raise InputError(
                f"no components of an array {faces.shape}", hint="give two aligned faces or more"
            )
        mean = faces.mean(0)
        faces -= mean
        count = min(components, len(faces) - 1, faces.shape[1])
        _, _, rows = randomized_svd(faces, count, n_iter=2, random_state=seed)
        return FaceBasis(mean=mean, components=rows.astype(np.float32), side=side)

    def coordinates(self, faces: NDArray[np.float32]) -> NDArray[np.float32]:
        """Coordinates `[m, k]` of aligned faces `[m, 3 * n * n]`."""
        return np.asarray((faces - self.mean) @ self.components.T, dtype=np.float32)

    def rebuild(self, coordinates: NDArray[np.float32]) -> Float[Tensor, "3 n n"]:
        """The aligned face, `[3, n, n]`, of the first coordinates `[c]`, 0 <= c <= k; the others are 0."""
        flat = self.mean + coordinates @ self.components[: len(coordinates)]
        return torch.from_numpy(flat).view(3, self.side, self.side)
