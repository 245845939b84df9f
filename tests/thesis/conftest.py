"""What tests of several commands share."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.evaluation.conftest import make_table

__all__ = ["make_table"]


@pytest.fixture(autouse=True, scope="module")
def unmeasured(request: pytest.FixtureRequest) -> Iterator[None]:
    """Reproductions that do not time the networks of their estimates, but for the tests of these."""
    with pytest.MonkeyPatch.context() as patch:
        if not request.module.__name__.endswith("test_estimate"):
            patch.setattr("verovolto.thesis.estimate._measured", lambda config: (0.0, 0.0, 0))
        yield


@pytest.fixture(scope="module")
def undrawn() -> Iterator[None]:
    """Reproductions without the thesis's figures, which take most of the time and have tests of their own."""
    with pytest.MonkeyPatch.context() as patch:
        nothing: dict[str, Any] = {"figures": [], "latents": None}
        patch.setattr("verovolto.thesis.figures.model_figures", lambda *_: nothing)
        yield
