"""Smooth conformal p-values of scores on any scale, and rules that combine several p-values. Pure functions, float64.

Everything is computed with logarithms of p and of 1 - p, so that neither end of the scale is lost.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from verovolto.core.errors import CalibrationError
from verovolto.networks import FusionRule

Array = NDArray[np.float64]

_FEWEST_IN_TAIL = 5
_TAIL = 0.1
"""Share of the reference scores that say how fast their tail falls."""


@dataclass(frozen=True, kw_only=True)
class SmoothP:
    """Conformal p-values without steps.

    A conformal p-value, (1 + #{reference >= s}) / (n + 1), has steps: all scores between two neighbours of the
    reference share one, all above its largest share the smallest, 1 / (n + 1). As a statement on one face that is
    right; as a term of a sum it forgets which of two faces is the stranger. So p falls strictly everywhere here:

    - at a reference score it is (1 + #{reference >= s}) / (n + 2), tied ones counted all, and in between it is
      interpolated, which keeps it above the conformal one but for the factor (n + 1) / (n + 2);
    - beyond the largest it falls as exp(-(s - largest) / `above`), the mean excess of the largest tenth (exceedances of
      a high threshold are exponential for a wide class of distributions: Pickands, Annals of Statistics 3, 1975). It
      starts at 2 / (n + 2), so falls short of the conformal p-value after a while: **there p is an extrapolation**, and
      promises nothing;
    - below the smallest, 1 - p falls likewise, by `below`.

    Attributes:
        knots: `[m]`, distinct reference scores, ascending.
        p: `[m]`, their p-values, descending from near 1.
        above: Scale of the tail above the largest, in units of the score.
        below: Scale of the tail below the smallest.

    >>> smooth = SmoothP.of(np.arange(98.0))
    >>> log_p, _ = smooth.logs([49.0, 1000.0])
    >>> np.exp(log_p).round(2).tolist()
    [0.5, 0.0]
    """

    knots: Array
    p: Array
    above: float
    below: float

    @staticmethod
    def of(reference: ArrayLike) -> SmoothP:
        """From scores of real faces `[n]`, in any order.

        Raises:
            CalibrationError: When there are none, or they are not finite.
        """
        values = np.sort(np.asarray(reference, dtype=np.float64).ravel())
        if not values.size or not np.isfinite(values).all():
            raise CalibrationError("p-values need scores of real faces, all finite numbers")
        knots, first = np.unique(values, return_index=True)
        n = len(values)
        return SmoothP(
            knots=knots,
            p=(n - first + 1) / (n + 2),
            above=_mean_excess(values),
            below=_mean_excess(-values[::-1]),
        )

    def logs(self, scores: ArrayLike) -> tuple[Array, Array]:
        """The logarithms of p and of 1 - p, of scores of any shape; NaN stays NaN."""
        s = np.asarray(scores, dtype=np.float64)
        p = np.interp(s, self.knots, self.p)
        log_p, log_q = np.log(p), np.log1p(-p)
        over, under = s > self.knots[-1], s < self.knots[0]
        log_p = np.where(over, math.log(self.p[-1]) - (s - self.knots[-1]) / self.above, log_p)
        log_q = np.where(over, _log_rest(log_p), log_q)
        log_q = np.where(under, math.log1p(-self.p[0]) - (self.knots[0] - s) / self.below, log_q)
        log_p = np.where(under, _log_rest(log_q), log_p)
        return log_p, log_q


def _mean_excess(ascending: Array) -> float:
    """Mean excess of the largest tenth over the next below; where those are all alike, the spread of all, or 1."""
    many = min(max(_FEWEST_IN_TAIL, math.ceil(_TAIL * len(ascending))), len(ascending) - 1)
    for excess in (ascending[len(ascending) - many :] - ascending[-many - 1], ascending - ascending.mean()):
        if (mean := float(np.abs(excess).mean()) if len(excess) else 0.0) > 0:
            return mean
    return 1.0


def _log_rest(log_p: Array) -> Array:
    """log(1 - exp(log_p)), to full precision at both ends (Mächler, 2012, accompanying the R package Rmpfr)."""
    # Each branch is given numbers of its own kind: those of the other could warn of what is thrown away.
    log_p = np.minimum(log_p, -np.finfo(float).tiny)
    near_one = log_p > -math.log(2)
    for_near = np.log(-np.expm1(np.where(near_one, log_p, -1.0)))
    return np.where(near_one, for_near, np.log1p(-np.exp(np.where(near_one, -1.0, log_p))))


def fisher(log_p: Array, log_q: Array, weights: Array) -> tuple[Array, Array]:
    """Fisher's (1925), -2 sum log p: chi square of 2k degrees for independent parts. One strong one is enough.

    With weights it is Good's (J. R. Stat. Soc. B 17, 1955), -2 sum w log p.
    """
    terms = -2 * weights * log_p
    return terms.sum(-1), terms


def stouffer(log_p: Array, log_q: Array, weights: Array) -> tuple[Array, Array]:
    """Stouffer's (1949), sum of z = Phi^-1(1 - p) over sqrt(k): normal for independent parts.

    All parts count, also where a face is more typical than most. With weights it is Liptak's (1958),
    sum w z over sqrt(sum w^2).
    """
    from scipy.special import ndtri_exp  # slow to import, and a single photo needs none

    # Of the smaller of the two: the other's logarithm is 0 to all digits.
    z = np.where(log_p < log_q, -ndtri_exp(log_p), ndtri_exp(log_q))
    # Beyond some 1e9 standard deviations logarithms of p cannot be told apart; no reference of real faces gets there.
    z = np.clip(z, -1e9, 1e9)
    terms = weights * z / np.sqrt((weights**2).sum())
    return terms.sum(-1), terms


def smallest(log_p: Array, log_q: Array, weights: Array) -> tuple[Array, Array]:
    """Tippett's (1931), -log of the smallest p: the most suspicious part alone counts.

    With weights it is the smallest p / w (Genovese, Roeder & Wasserman, Biometrika 93, 2006).
    """
    terms = np.log(weights) - log_p
    least = terms.max(-1)
    return least, np.where(terms == least[..., None], terms, 0.0)


def cauchy(log_p: Array, log_q: Array, weights: Array) -> tuple[Array, Array]:
    """Liu & Xie's (J. Am. Stat. Assoc. 115, 2020): arsinh of the (weighted) mean of tan((1/2 - p) pi).

    Its tail is the same however the parts depend on each other. arsinh keeps the order and enough digits.
    """
    # log |cot(pi t)| of the smaller of p and 1 - p; 1 / (pi t) is it to the last digit before t underflows.
    least = np.minimum(log_p, log_q)
    angle = math.pi * np.exp(np.maximum(least, -20.0))
    size = np.where(least > -20, np.log(1 / np.tan(angle)), -least - math.log(math.pi)) + np.log(weights)
    suspicious = log_p <= log_q
    for_fake, for_real = (
        np.logaddexp.reduce(np.where(of, size, -np.inf), axis=-1) for of in (suspicious, ~suspicious)
    )
    larger = np.maximum(for_fake, for_real)
    with np.errstate(divide="ignore"):  # both alike: a mean of 0
        mean = larger + np.log(-np.expm1(-np.abs(for_fake - for_real))) - math.log(log_p.shape[-1])
    return np.sign(for_fake - for_real) * _arsinh_of_exp(mean), np.where(suspicious, 1, -1) * _arsinh_of_exp(
        size
    )


def _arsinh_of_exp(log: Array) -> Array:
    return np.where(log > 20, log + math.log(2), np.arcsinh(np.exp(np.minimum(log, 20.0))))


RULES: dict[FusionRule, Callable[[Array, Array, Array], tuple[Array, Array]]] = {
    "fisher": fisher,
    "stouffer": stouffer,
    "min": smallest,
    "cauchy": cauchy,
}
"""Each takes log p and log(1 - p) `[..., k]` of `k` parts and their weights `[k]`, above 0 and 1 on average. It gives
the statistic `[...]`, higher = smaller p-values, and what each part adds to it `[..., k]`: above 0 where the part
speaks for a fake."""


def combined(
    rule: FusionRule, log_p: Array, log_q: Array, weights: ArrayLike | None = None
) -> tuple[Array, Array]:
    """One statistic of several p-values by a rule of `RULES`.

    Args:
        rule: its name.
        log_p: log p of `k` parts, `[..., k]`.
        log_q: log(1 - p), likewise.
        weights: of the parts `[k]`, above 0; only their ratios matter. None: all alike.

    Returns:
        The statistic `[...]`, higher = smaller p-values, and what each part adds to it `[..., k]`.

    >>> statistic, terms = combined("fisher", np.log([0.01, 0.5]), np.log([0.99, 0.5]), weights=[3, 1])
    >>> float(statistic.round(3)), terms.round(3).tolist()
    (14.509, [13.816, 0.693])
    """
    given = np.ones(log_p.shape[-1]) if weights is None else np.asarray(weights, dtype=np.float64)
    return RULES[rule](log_p, log_q, given / given.mean())
