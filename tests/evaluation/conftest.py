from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pytest

from tests.detectors.conftest import detector
from verovolto.data.score_table import ScoreTable

__all__ = ["detector", "make_table"]


@pytest.fixture
def make_table() -> Callable[..., ScoreTable]:
    """Builds a table of n reals and n fakes, `per` faces an identity, fakes higher by `shift`."""

    def make(n: int = 60, *, per: int = 4, shift: float = 1.0, seed: int = 0, **columns: list[str | None]):  # type: ignore[no-untyped-def]
        rng = np.random.default_rng(seed)
        fake = np.repeat([False, True], n)
        identity = np.tile(np.arange(n) // per, 2)
        by_person = rng.normal(size=n // per + 1)[identity]
        scores = by_person + rng.normal(size=2 * n) + shift * fake
        table = pa.table(
            {
                "face": [f"f{i:04d}" for i in range(2 * n)],
                "label": np.where(fake, "fake", "real"),
                "target_identity": [f"id{i}" for i in identity],
                "pair": [f"p{i}" for i in np.tile(np.arange(n), 2)],
                "status": ["ok"] * (2 * n),
                "rmse": scores,
                "mse": scores**3,
                "bytes": rng.normal(size=2 * n) - 0.3 * fake,
            }
        )
        for name, values in columns.items():
            if name in table.column_names:
                table = table.drop_columns([name])
            table = table.append_column(name, pa.array(values, pa.string()))
        return ScoreTable(table=table, scores=("rmse", "mse"), baselines=("bytes",))

    return make
