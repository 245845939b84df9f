"""Docstrings say what a caller has to know: every parameter of a public function of four or more is described."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src" / "verovolto"
MANY = 4
"""From so many parameters on, all are described."""
ARGS = re.compile(r"^\s*(Args:|Parameters$|Attributes:)", re.MULTILINE)


def public_functions(path: Path) -> Iterator[tuple[str, ast.FunctionDef]]:
    """Functions, and methods of classes, that no leading underscore marks as private."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in tree.body:
        if isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
            yield node.name, node
        elif isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            for inner in node.body:
                if isinstance(inner, ast.FunctionDef) and not inner.name.startswith("_"):
                    yield f"{node.name}.{inner.name}", inner


def parameters(function: ast.FunctionDef) -> list[str]:
    given = [*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs]
    return [each.arg for each in given if each.arg not in ("self", "cls")]


def undescribed(function: ast.FunctionDef) -> list[str]:
    """Parameters that an `Args` section (of a command: `Parameters`) should describe, and does not."""
    wanted = parameters(function)
    if len(wanted) < MANY or any("override" in ast.unparse(each) for each in function.decorator_list):
        return []
    text = ast.get_docstring(function) or ""
    section = text[found.start() :] if (found := ARGS.search(text)) else ""
    return [
        name
        for name in wanted
        if not re.search(rf"^\s*(\w+, )*{name}(, \w+)*( \(.*\))?:?(\s|$)", section, re.MULTILINE)
    ]


@pytest.mark.parametrize(
    "path",
    sorted(SOURCE.rglob("*.py")),
    ids=lambda path: path.relative_to(SOURCE).as_posix(),
)
def test_functions_of_many_parameters_describe_each(path: Path) -> None:
    lacking = {
        name: missing for name, function in public_functions(path) if (missing := undescribed(function))
    }
    assert not lacking
