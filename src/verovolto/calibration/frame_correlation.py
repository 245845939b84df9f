"""How much the frames of one video have in common, and so how far their mean score may stray. Pure functions.

A mean over frames spreads less than a single face does, but not as little as if the frames were of different people:
most of what sets a face apart is there in every frame. How much is the intraclass correlation.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import fdtri

from verovolto.core.errors import InputError

CONFIDENCE = 0.8
"""With which the correlation of all videos lies below the bound that is used: few videos tell it roughly."""


def upper_correlation(values: ArrayLike, videos: ArrayLike, *, confidence: float = CONFIDENCE) -> float:
    """Upper confidence bound, in [0, 1], of the share of variance that the frames of a video have in common.

    The intraclass correlation of a one-way layout of random effects, and its bound by the F distribution: Shrout &
    Fleiss, "Intraclass correlations", Psychological Bulletin 86(2), 1979, ICC(1, 1), with the mean number of frames of
    unequal groups after Fisher.

    Args:
        values: scores of frames `[n]`.
        videos: which video each is of, `[n]`.
        confidence: in (0, 1).

    Raises:
        InputError: fewer than two videos, or none with two frames.

    >>> upper_correlation([0.0, 0.1, 5.0, 5.1, 9.0, 9.1], [1, 1, 2, 2, 3, 3]) > 0.99
    True
    """
    values, of_frame = np.asarray(values, dtype=np.float64), np.unique(videos, return_inverse=True)[1]
    sizes = np.bincount(of_frame)
    groups, frames = len(sizes), len(values)
    if groups < 2 or frames == groups:
        raise InputError("what frames have in common takes two videos or more, of several frames each")
    means = np.bincount(of_frame, values) / sizes
    between = float(sizes @ (means - values.mean()) ** 2) / (groups - 1)
    within = float(((values - means[of_frame]) ** 2).sum()) / (frames - groups)
    if within == 0:
        return 1.0 if between > 0 else 0.0
    per_video = (frames - float((sizes**2).sum()) / frames) / (groups - 1)
    ratio = between / within * float(fdtri(frames - groups, groups - 1, confidence))
    return float(np.clip((ratio - 1) / (ratio + per_video - 1), 0.0, 1.0))


def spread_of_mean(frames: int, correlation: float) -> float:
    """Standard deviation of a mean over the frames of a video, in that of a single face's score.

    `sqrt(r + (1 - r) / n)` with the intraclass correlation r.

    >>> spread_of_mean(1, 0.5), spread_of_mean(4, 0.0), spread_of_mean(9, 1.0)
    (1.0, 0.5, 1.0)
    """
    return math.sqrt(correlation + (1 - correlation) / frames)


def as_single_face(mean: float, centre: float, spread: float) -> float:
    """The score of a single face as rare as a mean score `mean`; below the centre of real faces the mean itself."""
    return centre + (mean - centre) / spread if mean > centre else mean


def largest_correlation(
    values: NDArray[np.floating],
    videos: NDArray[np.str_],
    sources: NDArray[np.str_],
    *,
    fewest: int,
    frames: int,
) -> float | None:
    """The largest bound of any source, None where no source has videos enough.

    Args:
        values: scores of the frames of real videos `[n]`.
        videos: which video each is of, `[n]`.
        sources: the collection of each, `[n]`.
        fewest: videos that a source needs.
        frames: that a video needs to count.
    """
    _, of_frame, counts = np.unique(videos, return_inverse=True, return_counts=True)
    long = counts[of_frame] >= frames
    found = []
    for source in np.unique(sources[long]):
        rows = long & (sources == source)
        if len(np.unique(videos[rows])) >= fewest:
            found.append(upper_correlation(values[rows], videos[rows]))
    return max(found, default=None)
