"""What tests of several commands share."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.evaluation.conftest import make_table

__all__ = ["make_table"]


@pytest.fixture(scope="module")
def undrawn() -> Iterator[None]:
    """Reproductions without the thesis's figures, which take most of the time and have tests of their own."""
    with pytest.MonkeyPatch.context() as patch:
        nothing: dict[str, Any] = {"figures": [], "latents": None}
        patch.setattr("verovolto.thesis.figures.model_figures", lambda *_: nothing)
        yield
