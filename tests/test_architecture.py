"""The house's plan, kept: imports run one way, and what is heavy is imported only when it is needed."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src" / "verovolto"
FOUNDATION = {"errors", "files"}
ALLOWED = {
    "errors": set(),
    "files": {"errors"},
    "config": FOUNDATION,
    "data": FOUNDATION,
    "media": FOUNDATION | {"data"},
    "models": FOUNDATION,
    "faces": FOUNDATION | {"data", "media", "models"},
    "forge": FOUNDATION | {"data", "media", "models"},
    "scoring": FOUNDATION | {"data", "faces", "media", "models"},
    "training": FOUNDATION | {"config", "data", "faces", "forge", "models", "scoring"},
    "evaluation": FOUNDATION | {"data", "scoring"},
    "report": FOUNDATION | {"evaluation", "models", "scoring"},
    "workflows": FOUNDATION
    | {"config", "data", "evaluation", "faces", "forge", "media", "models", "report", "scoring", "training"},
    "cli": FOUNDATION | {"config"},
}
"""What each room, a package or module of `verovolto`, may import of the others."""
PROGRAM = {"verovolto", "__main__"}
"""The package itself, which names what it exports, and `python -m`."""
LIGHT = {"cli", "config", "errors", "files"}
HEAVY = ("torch", "numpy", "pyarrow", "scipy", "sklearn", "matplotlib", "PIL", "rich", "pytorch_lightning")


def sources() -> list[Path]:
    return sorted(SOURCE.rglob("*.py"))


def room(path: Path) -> str:
    """`scoring` for `scoring/run.py`, `cli` for `cli.py`, `verovolto` for the package's own `__init__.py`."""
    first = path.relative_to(SOURCE).parts[0]
    return "verovolto" if first == "__init__.py" else first.removesuffix(".py")


def name(path: Path) -> str:
    return path.relative_to(SOURCE).as_posix()


def imports(path: Path, *, at_start: bool = False) -> Iterator[str]:
    """Dotted names that a file imports anywhere; with `at_start` those imported with the file itself."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    nodes = tree.body if at_start else list(ast.walk(tree))
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{name(path)} imports relative to itself"
            # `from verovolto import errors` names a room; `from verovolto.errors import X` names a thing in one.
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def rooms_imported(path: Path) -> set[str]:
    parts = [found.split(".") for found in imports(path)]
    known = set(ALLOWED)
    return {part[1] for part in parts if part[0] == "verovolto" and part[1] in known} - {room(path)}


def test_every_room_has_its_place_in_the_plan() -> None:
    assert {room(path) for path in sources()} <= set(ALLOWED) | PROGRAM


@pytest.mark.parametrize("path", [path for path in sources() if room(path) not in PROGRAM], ids=name)
def test_imports_run_one_way(path: Path) -> None:
    assert rooms_imported(path) <= ALLOWED[room(path)]


def test_no_two_rooms_import_each_other() -> None:
    below = {one: set(others) for one, others in ALLOWED.items()}
    while below:
        done = {one for one, others in below.items() if not others & set(below)}
        assert done, f"these import each other: {', '.join(below)}"
        below = {one: others for one, others in below.items() if one not in done}


@pytest.mark.parametrize("path", [path for path in sources() if room(path) != "training"], ids=name)
def test_lightning_is_known_to_training_alone(path: Path) -> None:
    assert not [found for found in imports(path) if found.startswith(("pytorch_lightning", "lightning"))]


@pytest.mark.parametrize(
    "path", [path for path in sources() if room(path) in LIGHT | {"workflows"} | PROGRAM], ids=name
)
def test_commands_start_without_what_is_heavy(path: Path) -> None:
    found = {module.split(".")[0] for module in imports(path, at_start=True)}
    assert not found & set(HEAVY)


@pytest.mark.parametrize("workflow", ["evaluate", "compare", "pictures"])
def test_judging_never_imports_training(workflow: str) -> None:
    assert "training" not in rooms_imported(SOURCE / "workflows" / f"{workflow}.py")
