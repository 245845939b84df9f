from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from verovolto.thesis.experiments.comparison import difference_forest
from verovolto.thesis.experiments.forgeries import forgery_matrix

PNG = b"\x89PNG"


def row(forgery: str, value: float | None, *, low: float | None = None, clusters: int = 50) -> dict[str, Any]:
    high = None if low is None or value is None else 2 * value - low
    return {"forgery": forgery, "clusters": clusters, "auroc": {"value": value, "low": low, "high": high}}


def test_the_matrix_shows_undefined_figures_and_changes_with_them() -> None:
    with np.errstate(all="raise"):
        first = forgery_matrix(
            {"m": [row("A", 0.9, low=0.8), row("B", None)], "n": [row("A", 0.1), row("B", 0.5)]}
        )
    other = forgery_matrix(
        {"m": [row("A", 0.2, low=0.1), row("B", None)], "n": [row("A", 0.1), row("B", 0.5)]}
    )
    assert first.startswith(PNG) and other.startswith(PNG) and first != other


def test_too_few_people_print_nothing_in_bold() -> None:
    many, few = (forgery_matrix({"m": [row("A", 0.9, low=0.8, clusters=n)]}) for n in (50, 4))
    bare = forgery_matrix({"m": [row("A", 0.9)]})
    assert many != few == bare


@pytest.mark.parametrize("low", [None, -0.1, 0.02])
def test_a_forest_takes_differences_with_and_without_interval(low: float | None) -> None:
    high = None if low is None else 0.2
    verdict = "better" if low is not None and low > 0 else "no difference shown"
    interval = {"low": low, "high": high, "verdict": verdict}
    pairs = [
        {"name": name, "against": "b", "differences": {"auroc": {"value": value, **interval}}}
        for name, value in (("a", 0.05), ("c", None))
    ]
    assert difference_forest(pairs, "auroc", label="difference").startswith(PNG)
