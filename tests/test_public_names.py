"""What `from verovolto import …` gives: the same whatever was imported before, to programs and to type checkers."""

from __future__ import annotations

import ast
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

import verovolto

PACKAGE = Path(verovolto.__file__).parent
HEAVY = "torch", "numpy", "pyarrow", "fastapi"


@pytest.mark.parametrize("name", verovolto.__all__)
def test_each_name_resolves(name: str) -> None:
    assert getattr(verovolto, name) is not None
    assert name in dir(verovolto)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        verovolto.nonsense  # noqa: B018


def test_type_checkers_see_what_programs_get() -> None:
    tree = ast.parse((PACKAGE / "__init__.py").read_text(encoding="utf-8"))
    (block,) = (node for node in tree.body if isinstance(node, ast.If))
    typed = {
        alias.name: node.module
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert typed == verovolto._HOMES
    assert {*typed, "__version__"} == set(verovolto.__all__)


@pytest.mark.parametrize("name", verovolto._HOMES)
def test_no_room_hides_a_name(name: str) -> None:
    """Importing `verovolto.scan.run` would set `verovolto.scan` to the package, were there one of that name."""
    assert not (PACKAGE / name).exists()
    assert not (PACKAGE / f"{name}.py").exists()
    assert getattr(verovolto, name) is getattr(import_module(verovolto._HOMES[name]), name)


def test_importing_the_package_imports_nothing_heavy() -> None:
    code = f"import sys, verovolto; sys.exit(any(name in sys.modules for name in {HEAVY}))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
