"""Where one shot ends and the next begins: a pure comparison of two small pictures.

Frames are sampled, half a second apart or more, so between two of them people move, cameras pan and lights flash.
Histograms mistake a flash for a cut, and a pixel-wise difference a pan. Compared is therefore what both leave
alone: fine structure, at the best of all shifts, up to gain and offset.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, UInt8
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import avg_pool2d, pad

from verovolto.data.face_batch import luma, resize
from verovolto.faces.detection.base import check_image

SIDE = 48
"""Side of the thumbnail, pixels, whatever the picture's shape. Finer ones tell scenes apart hardly better, and are
more easily upset by motion."""

CUT = 0.45
"""Likeness below which two frames are of different shots. At 2 frames/s the neighbours within a shot of two talking
people and their two forgeries had 0.82 and more, frames 4 s apart 0.53 and more. Unrelated scenes had 0.25 at most
between those clips, and less than 0.40 in 999 of 1,000 pairs of drawn ones: the best of many shifts by chance."""

_NEIGHBOURHOOD = 7
"""Side of the box mean that is taken away, thumbnail pixels: slow shading is alike in most pictures."""

_FLAT = 2.0
"""Standard deviation, grey levels, below which a thumbnail's fine structure is compression noise."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Signature:
    """What is kept of a frame to tell whether the next one belongs to the same shot: 9 kB, whatever the frame's size.

    Attributes:
        structure: float32 `[SIDE, SIDE]`, luma less its local mean, grey levels.
    """

    structure: Float32[NDArray[np.float32], "side side"]

    @property
    def flat(self) -> bool:
        """Whether there is nothing to compare: black, white or otherwise even, as in a fade or a flash."""
        return float(self.structure.std()) < _FLAT


def signature(image: UInt8[Tensor, "3 h w"]) -> Signature:
    """The signature of an RGB image, uint8 `[3, H, W]`.

    Raises:
        InputError: the image is not uint8 `[3, H, W]`, or has no pixels.
    """
    check_image(image, "a signature")
    small, margin = luma(resize(image, SIDE))[None, None], _NEIGHBOURHOOD // 2
    shading = avg_pool2d(pad(small, (margin,) * 4, mode="replicate"), _NEIGHBOURHOOD, stride=1)
    return Signature(structure=(small - shading)[0, 0].numpy())


def is_cut(a: Signature, b: Signature, *, threshold: float = CUT) -> bool:
    """Whether a cut lies between two frames: neither is flat, and they are less alike than `threshold`.

    A flat frame gives no evidence. Compare the frames before and after it: a flash leaves them alike, a fade
    to black between two scenes does not.
    """
    return not a.flat and not b.flat and likeness(a, b) < threshold


def likeness(a: Signature, b: Signature) -> float:
    """Largest correlation of two structures over all shifts by up to half the width and a quarter of the height.

    The correlation coefficient is taken over the overlap alone (masked normalised cross-correlation: Padfield, IEEE
    Trans. Image Processing 21(5), 2012), so that a pan costs nothing and neither gain nor offset matters.

    Returns:
        In [-1, 1], 1 for a picture and its shifted, brightened copy; the same for (b, a). At a shift at which either
        is even all over the overlap, the coefficient counts as 0.
    """
    one = np.ones((SIDE, SIDE))
    x, y = a.structure.astype(np.float64), b.structure.astype(np.float64)
    of_x, of_y = (np.fft.rfft2([one, each, each * each], s=_TRANSFORM) for each in (x, y[::-1, ::-1]))
    pixels = np.rint(_over_shifts(of_x[0] * of_y[0]))
    sum_x, sum_y = _over_shifts(of_x[1] * of_y[0]), _over_shifts(of_x[0] * of_y[1])
    spread_x = _over_shifts(of_x[2] * of_y[0]) - sum_x**2 / pixels
    spread_y = _over_shifts(of_x[0] * of_y[2]) - sum_y**2 / pixels
    common = _over_shifts(of_x[1] * of_y[1]) - sum_x * sum_y / pixels
    least = _FLAT**2 / 4 * pixels
    textured = (spread_x > least) & (spread_y > least)
    spread = np.sqrt(np.where(textured, spread_x * spread_y, 1.0))
    return float(np.clip(np.where(textured, common / spread, 0.0), -1.0, 1.0).max())


_TRANSFORM = (2 * SIDE, 2 * SIDE)
"""Size of the Fourier transforms: with room for every shift, nothing comes in again from the other side."""


def _over_shifts(product: NDArray[np.complex128]) -> NDArray[np.float64]:
    """Sum of products of one picture and another shifted one over their overlap, for the shifts that `likeness` tries.

    Args:
        product: of the transforms of the one and of the other turned by 180 degrees.
    """
    down, across, none = SIDE // 4, SIDE // 2, SIDE - 1
    every: NDArray[np.float64] = np.fft.irfft2(product, s=_TRANSFORM)
    return every[none - down : none + down + 1, none - across : none + across + 1]
