"""The house's plan, kept: imports run down, nothing goes in circles, and what is heavy is imported when it is
needed."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src" / "verovolto"
LEVELS = (
    {"core"},
    {"data", "networks"},
    {"faces", "media", "features", "synthesis"},
    {"calibration", "preparation"},
    {"detectors"},
    {"training"},
    {"scanning", "evaluation"},
    {"report", "experimental"},
    {"thesis", "demo", "service", "fleet", "sklearn"},
    {"commands"},
    {"cli"},
)
"""The rooms, from the ground up: each may import those of the levels below it alone."""
ALONE: dict[str, set[str]] = {
    "demo": {"commands"},
    "thesis": {"commands"},
    "service": {"commands"},
    "fleet": {"commands"},
    "sklearn": set(),
}
"""Rooms that nobody may import but the ones named: the product knows nothing of them."""
REGISTRY = "detectors/registry.py"
PROGRAM = {"verovolto", "__main__"}
"""The package itself, which names what it exports, and `python -m`."""
HEAVY = (
    "torch",
    "numpy",
    "pyarrow",
    "scipy",
    "sklearn",
    "matplotlib",
    "PIL",
    "rich",
    "pytorch_lightning",
    "fastapi",
    "uvicorn",
    "ray",
)
LIGHT = {"cli.py", "__init__.py", "core/errors.py", "core/files.py"}

EXTRAS = {"av", "pillow_heif", "onnx", "c2pa", "huggingface_hub"}


def level(room: str) -> int:
    return next(number for number, rooms in enumerate(LEVELS) if room in rooms)


def sources() -> list[Path]:
    return sorted(SOURCE.rglob("*.py"))


def name(path: Path) -> str:
    return path.relative_to(SOURCE).as_posix()


def room(path: Path) -> str:
    """`scanning` for `scanning/run.py`, `cli` for `cli.py`, `verovolto` for the package's own `__init__.py`."""
    first = path.relative_to(SOURCE).parts[0]
    return "verovolto" if first == "__init__.py" else first.removesuffix(".py")


def module(path: Path) -> str:
    return ".".join(("verovolto", *path.relative_to(SOURCE).with_suffix("").parts)).removesuffix(".__init__")


MODULES = {module(path) for path in sources()}


def typing_only(tree: ast.Module) -> set[int]:
    """Nodes that only type checkers look at."""
    blocks = [
        node for node in tree.body if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
    ]
    return {id(inner) for block in blocks for inner in ast.walk(block)}


def imports(path: Path, *, at_start: bool = False) -> Iterator[str]:
    """Dotted names that a file imports anywhere; with `at_start` those imported with the file itself."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    left_out = typing_only(tree)
    for node in tree.body if at_start else list(ast.walk(tree)):
        if id(node) in left_out:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{name(path)} imports relative to itself"
            # `from verovolto import errors` names a room; `from verovolto.errors import X` names a thing in one.
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def modules_imported(path: Path) -> set[str]:
    """Our own modules that a file imports, early or late."""
    found = set()
    for dotted in imports(path):
        one = dotted if dotted in MODULES else dotted.rpartition(".")[0]
        if one.startswith("verovolto") and one in MODULES:
            found.add(one)
    return found - {module(path), "verovolto"}


def rooms_imported(path: Path) -> set[str]:
    return {one.split(".")[1] for one in modules_imported(path)} - {room(path)}


def inside_functions(path: Path) -> Iterator[str]:
    """Dotted names that are imported inside functions."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for outer in ast.walk(tree):
        if not isinstance(outer, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        for node in ast.walk(outer):
            if isinstance(node, ast.Import):
                yield from (alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                yield str(node.module)


def test_every_room_has_its_place_in_the_plan() -> None:
    assert {room(path) for path in sources()} == set().union(*LEVELS) | PROGRAM


@pytest.mark.parametrize("path", [path for path in sources() if room(path) not in PROGRAM], ids=name)
def test_imports_run_down(path: Path) -> None:
    here = room(path)
    wrong = {other for other in rooms_imported(path) if level(other) >= level(here)}
    assert not wrong


@pytest.mark.parametrize("guarded", ALONE)
def test_some_rooms_are_for_their_command_alone(guarded: str) -> None:
    users = {room(path) for path in sources() if guarded in rooms_imported(path)}
    assert users <= ALONE[guarded]


def test_nothing_but_the_registry_names_what_is_experimental() -> None:
    names = re.compile(r"verovolto\.experimental")
    users = {name(path) for path in sources() if names.search(path.read_text(encoding="utf-8"))}
    inside = {user for user in users if user.startswith("experimental/")}
    assert users - inside <= {REGISTRY}


def test_no_module_is_in_a_circle() -> None:
    graph = {module(path): modules_imported(path) for path in sources()}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(f"these import each other: {' -> '.join(error.args[1])}")


@pytest.mark.parametrize(
    "path", [path for path in sources() if room(path) not in PROGRAM | {"commands"}], ids=name
)
def test_imports_stand_at_the_top(path: Path) -> None:
    """But for those of commands, so that they start fast, and of optional extras."""
    late = {dotted for dotted in inside_functions(path) if dotted.split(".")[0] not in EXTRAS}
    assert not {dotted for dotted in late if dotted.startswith("verovolto")}


@pytest.mark.parametrize("path", [path for path in sources() if room(path) != "training"], ids=name)
def test_lightning_is_known_to_training_alone(path: Path) -> None:
    assert not [found for found in imports(path) if found.startswith(("pytorch_lightning", "lightning"))]


@pytest.mark.parametrize(
    "path",
    [path for path in sources() if name(path) in LIGHT or room(path) in {"commands"} | PROGRAM],
    ids=name,
)
def test_commands_start_without_what_is_heavy(path: Path) -> None:
    found = {dotted.split(".")[0] for dotted in imports(path, at_start=True)}
    assert not found & set(HEAVY)


@pytest.mark.parametrize("command", ["evaluate", "compare"])
def test_judging_never_imports_training(command: str) -> None:
    assert "training" not in rooms_imported(SOURCE / "commands" / f"{command}.py")
