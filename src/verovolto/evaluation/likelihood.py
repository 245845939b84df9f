"""How good the likelihood ratios are that a detector states: the log-likelihood-ratio cost. Pure functions."""

from __future__ import annotations

import numpy as np
from sklearn.isotonic import IsotonicRegression

from verovolto.evaluation.bootstrap import Statistics
from verovolto.evaluation.metrics import divide


def cllr_statistics(ratios: np.ndarray, fake: np.ndarray) -> Statistics:
    """`cllr` of likelihood ratios `[n]` under weightings `[R, n]` of the faces.

    Half the mean of log2(1 + 1/LR) over fakes and of log2(1 + LR) over reals (Brümmer & du Preez,
    "Application-independent evaluation of speaker detection", Computer Speech & Language 20, 2006): 0 is perfect, 1 is
    what saying nothing (LR = 1) costs, above 1 the ratios mislead.
    """
    cost = np.where(fake, np.log2(1 + 1 / ratios), np.log2(1 + ratios))

    def statistics(weights: np.ndarray) -> dict[str, np.ndarray]:
        of_fakes = divide(weights @ (cost * fake), weights @ fake.astype(np.float64))
        of_reals = divide(weights @ (cost * ~fake), weights @ (~fake).astype(np.float64))
        return {"cllr": (of_fakes + of_reals) / 2}

    return statistics


def least_cllr(scores: np.ndarray, fake: np.ndarray) -> float:
    """The least that any rising function from scores to likelihood ratios costs on these faces (same source).

    The pool-adjacent-violators fit to these very faces: what is lost by the ranking alone.

    >>> least_cllr(np.array([1.0, 2.0, 3.0]), np.array([False, False, True]))
    0.0
    """
    fit = IsotonicRegression(y_min=0.0, y_max=1.0)
    classes = np.array([(~fake).sum(), fake.sum()], dtype=np.float64)
    weights = np.where(fake, 1 / classes[1], 1 / classes[0])  # both classes count alike
    share = fit.fit_transform(scores, fake.astype(np.float64), sample_weight=weights)
    with np.errstate(divide="ignore"):
        cost = np.where(fake, -np.log2(share), -np.log2(1 - share))
    return float((cost[fake].mean() + cost[~fake].mean()) / 2)
