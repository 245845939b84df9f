"""The order of an epoch: a pure function of seed and epoch, kind to files read in blocks."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from verovolto.core.errors import InputError


def epoch_order(
    blocks: npt.NDArray[np.int64], *, seed: int, epoch: int, window: int = 4096
) -> npt.NDArray[np.int64]:
    """A permutation of the rows: row groups shuffled, then rows shuffled within windows of `window` rows.

    `blocks` [n] is the row group of each row (`FaceSet.blocks`). A window of 4096 rows spans 64 row groups of
    64 rows, which the reader's cache holds, so that each row group is read about once an epoch; a `window` of
    at least n gives a uniform shuffle. The order depends on nothing but the arguments: the keys are the raw
    64-bit words of Philox (Salmon et al., SC 2011), whose stream NumPy keeps from version to version.

    Returns int64 [n]. Raises `InputError` for a negative seed or epoch, or a window below 1.
    """
    if seed < 0 or epoch < 0 or window < 1:
        raise InputError(f"seed {seed}, epoch {epoch}, window {window}: seed and epoch >= 0, window >= 1")
    random = np.random.Philox(np.random.SeedSequence([seed, epoch]))
    groups, group_of_row = np.unique(np.asarray(blocks), return_inverse=True)
    rank = np.empty(len(groups), dtype=np.int64)
    rank[np.argsort(random.random_raw(len(groups)), kind="stable")] = np.arange(len(groups))
    by_group = np.argsort(rank[group_of_row], kind="stable")
    windows = np.arange(len(by_group)) // window
    shuffled = np.lexsort((random.random_raw(len(by_group)), windows))
    return np.asarray(by_group[shuffled], dtype=np.int64)
