"""A Gaussian fitted to few rows of many columns. Pure functions, float64."""

from __future__ import annotations

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from verovolto.core.errors import DataError
from verovolto.features.spectrum import ledoit_wolf


def fit_gaussian(rows: Float[Tensor, "n k"]) -> tuple[Float64[Tensor, " k"], Float64[Tensor, "k k"]]:
    """Mean `m` and whitening `W` of rows: `|(x - m) @ W|` is the Mahalanobis distance of x, the covariance shrunken by
    Ledoit & Wolf's rule (2004), so that it can be inverted when rows are fewer than columns.

    Raises `DataError` where nothing varies.
    """
    rows = rows.double()
    mean = rows.mean(0)
    covariance = ledoit_wolf(rows - mean)
    unit = torch.eye(len(covariance), dtype=torch.float64, device=rows.device)
    # With L L^T the covariance, rows times L^-T have covariance 1.
    lower, failed = torch.linalg.cholesky_ex(covariance)
    if int(failed):
        raise DataError(
            f"the features of {len(rows)} training faces hardly vary, so no Gaussian can be fitted",
            hint="are the faces all alike? give more of them",
        )
    return mean, torch.linalg.solve_triangular(lower, unit, upper=False).T.contiguous()
