"""What doctests find without making it: `face_set`, the folder of a small set of drawn faces, and an empty `folder`."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from _pytest.doctest import DoctestItem

# Modules that need an extra at their top cannot be searched for doctests without it.
collect_ignore = [] if find_spec("ray") else ["src/verovolto/fleet.py"]


@pytest.fixture(scope="session")
def drawn_faces(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the set."""
    from tests.conftest import write_set

    return write_set(tmp_path_factory.mktemp("doctest") / "faces", train=4, people=4)


@pytest.fixture(autouse=True)
def names_of_doctests(request: pytest.FixtureRequest, doctest_namespace: dict[str, Any]) -> None:
    """Hand both to doctests alone."""
    if isinstance(request.node, DoctestItem):
        doctest_namespace["face_set"] = request.getfixturevalue("drawn_faces")
        doctest_namespace["folder"] = request.getfixturevalue("tmp_path")
