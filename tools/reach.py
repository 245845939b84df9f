"""Count what somebody has to read: modules within reach of a command, files, lines, functions.

    python tools/reach.py [--source PATH] [--static]

`PATH` is a source tree that holds `verovolto` (default: that of this checkout; older ones with `workflows/` will do).
A module is within reach of a command when the command imports it, directly or through others, at the top of a file
or inside a function; what only type checkers look at is left out, and a package counts where its `__init__` holds
code. Beside that stand the modules really loaded by one run: `scan` of a drawn picture with the default detector, and
`train --model resnet-ocvae2` of a small drawn set. These runs need the package's dependencies; `--static` leaves them
out.
"""

from __future__ import annotations

import argparse
import ast
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from statistics import median, quantiles

HERE = Path(__file__).parents[1] / "src"
PACKAGE = "verovolto"
ROOMS = "commands", "workflows"
"""Where commands are, now and formerly."""
SHORT = 60, 80
"""Files with fewer lines than these are counted."""

PROGRAM = """
import sys
from PIL import Image, ImageDraw
from pathlib import Path
from verovolto import cli

def draw(path, seed):
    picture = Image.effect_noise((64, 64), 12 + seed).convert("RGB")
    ImageDraw.Draw(picture).ellipse([10, 4, 54, 60], fill=(200, 150 + seed, 120))
    path.parent.mkdir(parents=True, exist_ok=True)
    picture.save(path)

rows = ["path,label,split,source_video,identity"]
for split, label, count in (("train", "real", 8), ("val", "real", 24), ("val", "fake", 8)):
    for at in range(count):
        path = Path("faces", split, label, f"{at:03d}.png")
        draw(path, at)
        rows.append(f"{path.relative_to('faces')},{label},{split},{split}{label}{at},{split}{at}")
Path("faces/manifest.csv").write_text("\\n".join(rows))
draw(Path("photo.png"), 1)
sys.argv[1:] = WORDS
code = 0
try:
    cli.main()
except SystemExit as left:
    code = left.code
Path("modules").write_text("\\n".join(name for name in sys.modules if name.split(".")[0] == "verovolto"))
sys.exit(code)
"""
RUNS = {
    "scan": ["scan", "photo.png"],
    "train --model resnet-ocvae2": [
        "train", "--model", "resnet-ocvae2", "--data", "faces", "--out", "run", "--size", "64", "--latent", "8",
        "--epochs", "1", "--batch-size", "4", "--device", "cpu", "--precision", "32",
    ],
}  # fmt: skip


class Tree:
    """The modules of a source tree, and what each imports."""

    def __init__(self, source: Path) -> None:
        self.source = source
        self.parsed: dict[str, ast.Module] = {}
        self.lines: dict[str, int] = {}
        for path in sorted((source / PACKAGE).rglob("*.py")):
            name = ".".join(path.relative_to(source).with_suffix("").parts).removesuffix(".__init__")
            text = path.read_text(encoding="utf-8")
            self.parsed[name], self.lines[name] = ast.parse(text), text.count("\n")
        # `from verovolto import scan` leads to where the package's `__init__` takes `scan` from, for type checkers.
        exports = ast.walk(self.parsed[PACKAGE])
        self.homes = {
            f"{PACKAGE}.{alias.name}": str(node.module)
            for node in exports
            if isinstance(node, ast.ImportFrom)
            for alias in node.names
        }

    def holds_code(self, name: str) -> bool:
        """Whether there is more in a module than its docstring."""
        return any(
            not (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant))
            for node in self.parsed[name].body
        )

    def imported(self, name: str) -> set[str]:
        """Modules of the package that a module imports."""
        found = set()
        for dotted in imports(self.parsed[name]):
            dotted = self.homes.get(dotted, dotted)
            found.add(dotted if dotted in self.parsed else dotted.rpartition(".")[0])
        return found & self.parsed.keys()

    def reach(self, start: str) -> set[str]:
        """All modules with code that reading from `start` on leads to, itself among them."""
        reached, ahead = {start}, [start]
        while ahead:
            for name in self.imported(ahead.pop()) - reached:
                reached.add(name)
                ahead.append(name)
        return self.counted(reached)

    def counted(self, names: set[str]) -> set[str]:
        """Those of `names` that hold code; the package's own `__init__`, a table of names, is none to read."""
        return {name for name in names & self.parsed.keys() if name != PACKAGE and self.holds_code(name)}

    def functions(self) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
        """All functions and methods, inner ones too."""
        for tree in self.parsed.values():
            for node in ast.walk(tree):
                if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                    yield node


def imports(tree: ast.Module) -> Iterator[str]:
    """Dotted names that a module imports anywhere but under TYPE_CHECKING; of `from a import b`, `a.b`."""
    ahead: list[ast.AST] = [tree]
    while ahead:
        node = ahead.pop()
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            ahead.extend(node.orelse)
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        ahead.extend(ast.iter_child_nodes(node))


def length(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines of a function from its `def` on, without its docstring."""
    assert function.end_lineno is not None
    lines = function.end_lineno - function.lineno + 1
    first = function.body[0]
    if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and first.end_lineno is not None:
        lines -= first.end_lineno - first.lineno + 1
    return lines


def loaded(source: Path, words: list[str]) -> set[str]:
    """Modules of the package that are loaded once the command has run."""
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "PYTHONPATH": str(source), "OMP_NUM_THREADS": "1"}
        program = PROGRAM.replace("WORDS", repr(words))
        done = subprocess.run(
            [sys.executable, "-c", program], cwd=folder, env=environment, capture_output=True, text=True
        )
        if done.returncode:
            sys.exit(f"verovolto {' '.join(words)} failed:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
        return set(Path(folder, "modules").read_text().split())


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description="Count modules within reach, files, lines and functions.")
    parser.add_argument("--source", type=Path, default=HERE, help="folder that holds verovolto/")
    parser.add_argument("--static", action="store_true", help="only read, run nothing")
    given = parser.parse_args()
    tree = Tree(given.source.resolve())

    room = next(room for room in ROOMS if f"{PACKAGE}.{room}" in tree.parsed)
    print(f"{'modules within reach':<32}{'imported':>9}" + ("" if given.static else f"{'loaded':>9}"))
    for title, words in RUNS.items():
        counts = [len(tree.reach(f"{PACKAGE}.{room}.{words[0]}"))]
        if not given.static:
            counts.append(len(tree.counted(loaded(tree.source, words))))
        print(f"{title:<32}" + "".join(f"{count:>9}" for count in counts))

    functions = list(tree.functions())
    lengths = [length(function) for function in functions]
    lines = tree.lines.values()
    print(f"\n{'files':<32}{len(lines):>9,}\n{'lines':<32}{sum(lines):>9,}")
    for limit in SHORT:
        print(f"{f'files under {limit} lines':<32}{sum(count < limit for count in lines):>9,}")
    print(f"{'functions':<32}{len(functions):>9,}")
    print(f"{'  median length, lines':<32}{median(lengths):>9g}")
    print(f"{'  p90':<32}{quantiles(lengths, n=10)[-1]:>9g}")
    typed = sum(function.returns is not None for function in functions)
    print(f"{'  with typed returns':<32}{typed / len(functions):>9.1%}")


if __name__ == "__main__":
    main()
