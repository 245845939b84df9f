"""How likely some numbers of a face are, given others: conditional densities fitted to real faces.

Pure functions, float64 throughout.

A density of everything together would call a face atypical for being blurred or dark. Here the numbers that say what
kind of picture it is (the controls) are only conditioned on: p(values | controls) = p(controls, values) / p(controls).
Of a Gaussian, and of a mixture of them, both have a closed form.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from verovolto.core.errors import InputError
from verovolto.features.spectrum import ledoit_wolf

_ROUNDS = 500
_SETTLED = 1e-9
"""A fit has settled when the mean log likelihood of a face grows by less, in nats."""


@dataclass(frozen=True, kw_only=True)
class ConditionalMixture:
    """p(values | controls) under a mixture of `k` Gaussians of both together, `c` controls first, then `v` values.

    `shift` `[c + v]` and `scale` `[c + v]` standardise; `weights` `[k]` sum to 1; `means` `[k, c + v]` and `factors`
    `[k, c + v, c + v]`, the covariances' Cholesky factors (lower), are in standardised units. One component is a
    Gaussian.
    """

    controls: int
    shift: Float64[Tensor, " d"]
    scale: Float64[Tensor, " d"]
    weights: Float64[Tensor, " k"]
    means: Float64[Tensor, "k d"]
    factors: Float64[Tensor, "k d d"]

    def surprise(self, controls: Float[Tensor, "b c"], values: Float[Tensor, "b v"]) -> Float64[Tensor, " b"]:
        """-log p(values | controls) of each face in nats, in standardised units.

        Higher = less like the real faces fitted to, on either side of them. Each row depends on its own numbers alone.
        """
        rows = (torch.cat([controls.double(), values.double()], dim=1) - self.shift) / self.scale
        of_controls, of_values = _log_densities(rows, self.means, self.factors, self.controls)
        prior = self.weights.log() + of_controls
        found: Tensor = torch.logsumexp(prior, dim=1) - torch.logsumexp(prior + of_values, dim=1)
        return found

    def tensors(self) -> dict[str, Tensor]:
        """What has to be stored besides `controls`."""
        return {
            "shift": self.shift, "scale": self.scale, "weights": self.weights, "means": self.means,
            "factors": self.factors,
        }  # fmt: skip

    @staticmethod
    def from_tensors(tensors: Mapping[str, Tensor], controls: int) -> ConditionalMixture:
        """Back from `tensors`, after any detour through a file. Raises `KeyError` where one is missing."""
        names = ("shift", "scale", "weights", "means", "factors")
        return ConditionalMixture(controls=controls, **{name: tensors[name].double() for name in names})


def fit_conditional(
    controls: Float[Tensor, "n c"],
    values: Float[Tensor, "n v"],
    *,
    components: int = 1,
    names: Sequence[str] | None = None,
) -> ConditionalMixture:
    """Fit `ConditionalMixture` to the numbers of real faces; the same numbers give the same fit.

    Numbers are standardised. The covariance of one Gaussian is shrunk by Ledoit & Wolf's rule (`ledoit_wolf`). With
    more `components` that Gaussian is where a maximum a posteriori fit by expectation-maximisation begins (Dempster,
    Laird & Rubin, 1977), and each component's covariance is pulled towards it as if by as many faces as there are
    numbers (an inverse Wishart prior): some ten numbers a face are otherwise more than a component of a hundred faces
    can learn.

    Args:
        controls: numbers that say what kind of picture each face is.
        values: numbers whose density is fitted, given those.
        components: Gaussians in the mixture.
        names: of controls and values, for errors.

    Raises:
        InputError: fewer faces than `fewest`, numbers that are not finite, or one that never varies.
    """
    rows = torch.cat([controls.double(), values.double()], dim=1)
    _check_enough(len(rows), controls.shape[1], rows.shape[1])
    shift, scale = _standard(rows, names or [f"number {i + 1}" for i in range(rows.shape[1])])
    rows = (rows - shift) / scale
    factor = _gaussian(rows, controls.shape[1])
    weights, means, factors = torch.ones(1), torch.zeros(1, rows.shape[1]), factor[None]
    if components > 1:
        weights, means, covariances = _expectation_maximisation(rows, factor @ factor.T, components)
        factors = torch.linalg.cholesky(covariances)
    return ConditionalMixture(
        controls=controls.shape[1], shift=shift, scale=scale, weights=weights.double(), means=means.double(),
        factors=factors,
    )  # fmt: skip


def _gaussian(rows: Tensor, controls: int) -> Float64[Tensor, "d d"]:
    """Cholesky factor of the covariance of standardised rows: values follow controls by least squares.

    Only what least squares leaves is shrunk, and the controls among themselves: shrinking the whole would loosen the
    ties between values and controls, which are what is known best (an error follows its input to within a tenth).
    """
    given, values = rows[:, :controls], rows[:, controls:]
    slope: Tensor = torch.linalg.lstsq(given, values).solution
    rest = values - given @ slope
    spread = rest.std(0, correction=0)
    of_rest: Tensor = torch.linalg.cholesky(ledoit_wolf(rest / spread)) * spread[:, None]
    if not controls:
        return of_rest
    of_controls = torch.linalg.cholesky(ledoit_wolf(given))
    above = torch.zeros(controls, values.shape[1], dtype=torch.float64)
    return torch.cat([torch.cat([of_controls, above], 1), torch.cat([slope.T @ of_controls, of_rest], 1)])


def fewest(controls: int, numbers: int) -> int:
    """Real faces that a fit needs at least: least squares is not shrunk, so wants several for each control."""
    return max(3 * controls, numbers) + 2


def _check_enough(faces: int, controls: int, numbers: int) -> None:
    if faces < fewest(controls, numbers):
        raise InputError(
            f"{faces} real faces are too few to learn the density of {numbers} numbers from",
            hint=f"give at least {fewest(controls, numbers)}",
        )


def _standard(rows: Tensor, names: Sequence[str]) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of each number; refuses what nothing can be learned from."""
    for name, column in zip(names, rows.T, strict=True):
        if not column.isfinite().all():
            raise InputError(f"{name} is not finite for every real face", hint="leave those faces out")
        if column.min() == column.max():
            raise InputError(f"{name} is the same in all {len(rows)} real faces", hint="leave it out")
    return rows.mean(0), rows.std(0, correction=0)


def _log_densities(
    rows: Tensor, means: Tensor, factors: Tensor, controls: int
) -> tuple[Float64[Tensor, "n k"], Float64[Tensor, "n k"]]:
    """Log N(controls) and log N(values | controls) of each row under each component.

    With L the Cholesky factor of the whole and the controls first, the first rows of L^-1 (x - mean) are those of the
    controls alone and the others what is left of the values once the controls have foretold them.
    """
    centred = (rows[None] - means[:, None]).transpose(1, 2)
    whitened = torch.linalg.solve_triangular(factors, centred, upper=False)
    spread = torch.diagonal(factors, dim1=1, dim2=2).log()
    terms = -0.5 * whitened.square() - spread[..., None] - 0.5 * math.log(2 * math.pi)
    return terms[:, :controls].sum(1).T, terms[:, controls:].sum(1).T


def _expectation_maximisation(rows: Tensor, pooled: Tensor, components: int) -> tuple[Tensor, Tensor, Tensor]:
    """Weights, means and covariances; begun with equal parts of the faces along their first principal axis."""
    faces, numbers = rows.shape
    axis = torch.linalg.eigh(pooled).eigenvectors[:, -1]
    # The sign of an eigenvector is arbitrary: without this, components could change places between machines.
    place = (rows @ (axis * torch.sign(axis[axis.abs().argmax()]))).argsort().argsort()
    share = torch.nn.functional.one_hot(place * components // faces, components).double()
    before = -math.inf
    for _ in range(_ROUNDS):
        weights, means, covariances = _maximise(rows, share, pooled)
        of_all, _ = _log_densities(rows, means, torch.linalg.cholesky(covariances), numbers)
        joint = weights.log() + of_all
        likelihood = torch.logsumexp(joint, dim=1, keepdim=True)
        share = (joint - likelihood).exp()
        now = float(likelihood.mean())
        if abs(now - before) < _SETTLED:
            break
        before = now
    return weights, means, covariances


def _maximise(rows: Tensor, share: Tensor, pooled: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The most likely mixture where `share` `[n, k]` of each face belongs to each component."""
    numbers = rows.shape[1]
    count = share.sum(0) + 1e-9  # a component that lost its faces keeps the pooled covariance, and no weight
    means = share.T @ rows / count[:, None]
    centred = rows[None] - means[:, None]
    scatter = torch.einsum("nk,kni,knj->kij", share, centred, centred)
    covariances = (scatter + numbers * pooled) / (count + numbers)[:, None, None]
    return count / count.sum(), means, covariances
