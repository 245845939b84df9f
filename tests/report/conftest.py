from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from verovolto.calibration.thresholds import Calibration, one_class_thresholds
from verovolto.data.score_table import ScoreTable
from verovolto.evaluation.evaluate import evaluate_scores


@pytest.fixture
def judge() -> Callable[..., dict[str, Any]]:
    """Figures of `n` reals and fakes (16 people), the fakes higher by `shift`, their sharpness by `smoother`."""

    def make(shift: float, *, smoother: float = 0.0, n: int = 96, rows: bool = False, **options: Any) -> Any:
        rng = np.random.default_rng(0)
        fake = np.repeat([False, True], n)
        values, sharpness = rng.normal(size=2 * n) + shift * fake, rng.normal(size=2 * n) - smoother * fake
        table = pa.table(
            {
                "label": np.where(fake, "fake", "real"),
                "face": [f"f{i}" for i in range(2 * n)],
                "target_identity": [f"id{i % 16}" for i in range(2 * n)],
                "pair": [f"p{i % n}" for i in range(2 * n)],
                "status": ["ok"] * (2 * n),
                "rmse": values,
                "latent": values**3,
                "sharpness": sharpness,
            }
        )
        held_out = Calibration.of(rng.normal(size=60), score="rmse", clusters=9, cluster="identity")
        metrics = evaluate_scores(
            ScoreTable(table=table, scores=("rmse", "latent"), baselines=("sharpness",)),
            thresholds=one_class_thresholds(held_out, (0.1, 0.05), chosen_on="val reals"),
            calibration={"rmse": held_out},
            resamples=100,
            **options,
        )
        metrics |= {"version": "0", "correlations": {"sharpness": 0.0}, "about": {"detector": "d<&>"}}
        scores = {"rmse": values, "sharpness": sharpness}
        return (metrics, scores, fake) if rows else metrics

    return make
