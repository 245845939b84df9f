"""Check documents and docstrings against the code: links, anchors, commands, flags, paths and names.

    python tools/check_docs.py        # one line a fault; exit code 1 where there is one

What is checked: relative links and their anchors, the form of others; the imports of Python examples; every `verovolto
COMMAND` in a block, read by the command line as it would be if given, and every flag in a block or in backticks; every
other command of a block (`tools/shell_lines.py`); every path of this repository; and every backticked name of a module
or of something in one (`core.errors.InputError`), in documents, docstrings and comments.
"""

from __future__ import annotations

import ast
import io
import re
import shlex
import sys
import tokenize
from collections.abc import Iterable, Iterator
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).parent))
import shell_lines

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src" / "verovolto"
PAGES = ("*.md", "docs/**/*.md", "benchmarks/*.md", "examples/*.md", "src/verovolto/**/*.md")

LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
SPAN = re.compile(r"`([^`\n]+)`")
COMMAND = re.compile(r"(?:^|[\s/;$])verovolto ((?:[^|;&#\n]|\|(?=\w))+)")
CALL = re.compile(r"\s*(?:\$ )?(?:[\w./-]*/)?verovolto (.+)")
FLAG = re.compile(r"(?<![\w-])--[a-z][\w.-]*")
PATH = re.compile(r"(?<![\w/.<-])(?:src|tests|docs|benchmarks|tools)/[\w./-]*\w")
DOTTED = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)+")
PLACEHOLDER = re.compile(r"\b[A-Z]+\b")
IDENTIFIER = re.compile(r"[a-z]{2,}(?:_[a-z]+)+(?:\(\))?")
SUFFIXES = {
    "md", "py", "sh", "json", "csv", "toml", "html", "j2", "parquet", "png", "jpg", "mp4", "avi", "npy", "pth", "ckpt",
    "onnx", "safetensors", "lock", "work", "txt", "yml", "zip",
}  # fmt: skip
FOREIGN_FLAGS = {"--no-deps", "--editable", "--help", "--version", "--doctest-modules"}
"""Flags of other programs, and those that every command has."""
MADE = {"benchmarks/out"}
"""Paths that programs write."""
KEYS = {"verovolto.scores"}
"""Keys in files that look like names of modules."""
LIBRARIES = {"average_precision_score", "predict_proba", "save_file"}
"""Functions of other packages that docstrings name alone."""


# ---------------------------------------------------------------- the code
class Module(NamedTuple):
    """What a module defines: its names, and for classes their members."""

    names: set[str]
    members: dict[str, set[str]]


def targets(node: ast.stmt) -> Iterator[str]:
    """Names that a statement binds."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        yield node.name
    elif isinstance(node, ast.Assign | ast.AnnAssign):
        for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
            yield from (inner.id for inner in ast.walk(target) if isinstance(inner, ast.Name))
    elif isinstance(node, ast.Import | ast.ImportFrom):
        yield from (alias.asname or alias.name.split(".")[0] for alias in node.names)
    elif isinstance(node, ast.If | ast.Try):
        for inner in (*node.body, *node.orelse):
            yield from targets(inner)


def members(node: ast.ClassDef) -> set[str]:
    own = {name for inner in node.body for name in targets(inner)}
    attributes = {
        inner.attr
        for inner in ast.walk(node)
        if isinstance(inner, ast.Attribute) and isinstance(inner.value, ast.Name) and inner.value.id == "self"
    }
    return own | attributes


@cache
def modules() -> dict[str, Module]:
    """Every module of the package by its dotted name, without `verovolto.`; the package itself is the empty name."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        tree = ast.parse(path.read_text(encoding="utf-8"))
        found[".".join(parts).removesuffix("__init__").rstrip(".")] = Module(
            names={name for node in tree.body for name in targets(node)},
            members={node.name: members(node) for node in tree.body if isinstance(node, ast.ClassDef)},
        )
    return found


def rooms() -> set[str]:
    return {name.split(".")[0] for name in modules() if name} | {"verovolto"}


def exists(dotted: str) -> bool:
    """Whether a dotted name of the package is a module, something defined in one, or a member of a class there."""
    parts = dotted.removeprefix("verovolto.").split(".") if dotted != "verovolto" else []
    for end in range(len(parts), -1, -1):
        module = modules().get(".".join(parts[:end]))
        if module is None:
            continue
        rest = parts[end:]
        if not rest:
            return True
        if rest[0] not in module.names | {"__version__"}:
            return False
        return len(rest) == 1 or rest[0] not in module.members or rest[1] in module.members[rest[0]]
    return False


@cache
def classes() -> dict[str, set[str]]:
    """The members of every class by its name; those of classes of one name together."""
    found: dict[str, set[str]] = {}
    for module in modules().values():
        for name, own in module.members.items():
            found.setdefault(name, set()).update(own)
    return found


@cache
def flags() -> dict[str, set[str]]:
    """The flags that the help of every command shows, by its words: `scan`, `data split`."""
    sys.path.insert(0, str(PACKAGE.parent))
    from verovolto.cli import app

    common = {name for argument in app.meta.assemble_argument_collection() for name in argument.names}

    def of(command: object, words: tuple[str, ...]) -> Iterator[tuple[str, set[str]]]:
        names = [name for name in command if not name.startswith("-")]  # type: ignore[attr-defined]
        for name in names:
            yield from of(command[name], (*words, name))  # type: ignore[index]
        if not names:
            arguments = command.assemble_argument_collection()  # type: ignore[attr-defined]
            shown = [argument for argument in arguments if argument.show]
            yield " ".join(words), common | {name for argument in shown for name in argument.names}

    return dict(of(app, ()))


# ---------------------------------------------------------------- documents
def pages() -> list[Path]:
    return sorted({path for pattern in PAGES for path in ROOT.glob(pattern)})


def slug(heading: str) -> str:
    """The anchor that a heading gets: lower case, without punctuation, hyphens for spaces."""
    text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).replace("`", "")
    return re.sub(r"[^\w\- ]", "", text.strip().lower()).replace(" ", "-")


def anchors(page: Path) -> set[str]:
    text = FENCE.sub("", page.read_text(encoding="utf-8"))
    return {slug(heading) for heading in re.findall(r"^#+ (.*)$", text, re.MULTILINE)}


def link_faults(page: Path, text: str) -> Iterator[str]:
    for target in LINK.findall(FENCE.sub("", text)):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        if not file.exists():
            yield f"link to {target}: there is no such file"
        elif anchor and file.suffix == ".md" and anchor not in anchors(file):
            yield f"link to {target}: no heading makes this anchor"


def blocks(text: str) -> Iterator[str]:
    """The lines of all blocks but Python's, continued ones joined."""
    for language, block in FENCE.findall(text):
        if language != "python":
            yield from block.replace("\\\n", " ").splitlines()


def shown(text: str) -> Iterator[str]:
    """What stands in blocks and in backticks."""
    yield from blocks(text)
    yield from SPAN.findall(FENCE.sub("", text))


def command_faults(text: str) -> Iterator[str]:
    known = flags()
    scripts = (path.read_text(encoding="utf-8") for path in (ROOT / "benchmarks").glob("*.py"))
    every = set().union(*known.values(), *map(FLAG.findall, scripts)) | FOREIGN_FLAGS
    for line in shown(text):
        if line.lstrip().startswith(("from ", "import ", ">>> ")):
            continue
        for call in COMMAND.findall(line):
            words = [word for word in call.split() if word[0].islower()]
            name = next((" ".join(words[:n]) for n in (2, 1) if " ".join(words[:n]) in known), None)
            if name is None and words and not call.startswith(("-", "COMMAND")):
                yield f"verovolto {call}: there is no such command"
            elif name is not None:
                wrong = set(FLAG.findall(call)) - known[name] - FOREIGN_FLAGS
                yield from (f"verovolto {name} has no flag {flag}" for flag in sorted(wrong))
        if line.startswith("--"):
            yield from (f"no command has the flag {flag}" for flag in sorted(set(FLAG.findall(line)) - every))


def shell_faults(text: str) -> Iterator[str]:
    """Faults of commands that are not verovolto's, and of addresses."""
    for language, block in FENCE.findall(text):
        if not language:
            yield from shell_lines.block_faults(block)
    for line in shown(text):
        yield from shell_lines.line_faults(line)
    yield from shell_lines.external_faults(text)


def call_faults(text: str) -> Iterator[str]:
    """What the command line says of the commands in blocks, and of words in backticks that it makes nothing of."""
    for line in blocks(text):
        if call := CALL.match(line):
            yield from parse_faults(call[1])
    for span in SPAN.findall(FENCE.sub("", text)):
        if (call := CALL.fullmatch(span)) and not re.search(r"[…|[]", span):
            yield from (fault for fault in parse_faults(call[1]) if "Unused" in fault)


def parse_faults(call: str) -> Iterator[str]:
    sys.path.insert(0, str(PACKAGE.parent))
    from cyclopts import CycloptsError

    from verovolto.cli import app

    words = shlex.split(call.partition(" | ")[0], comments=True)
    try:
        app.parse_args([word.removesuffix("...") for word in words], exit_on_error=False, print_error=False)
    except CycloptsError as error:
        yield f"verovolto {' '.join(words)}: {' '.join(str(error).split())}"


def path_faults(text: str) -> Iterator[str]:
    for path in sorted(set(PATH.findall(text))):
        if path not in MADE and not PLACEHOLDER.search(path) and not (ROOT / path).exists():
            yield f"{path}: there is no such file"
    for span in sorted(set(SPAN.findall(FENCE.sub("", text)))):
        first, slash, _ = span.partition("/")
        short = (
            slash
            and first in rooms()
            and not PLACEHOLDER.search(span)
            and re.fullmatch(r"[\w/]+(\.\w+)?/?", span)
        )
        if short and not (PACKAGE / span.removeprefix("verovolto/")).exists():
            yield f"{span}: there is no such file in src/verovolto"


def name_faults(spans: Iterable[str]) -> Iterator[str]:
    for span in sorted(set(spans)):
        name = span.partition("(")[0]
        ours = (
            DOTTED.fullmatch(name) and name.split(".")[0] in rooms() and name.split(".")[-1] not in SUFFIXES
        )
        if ours and name not in KEYS and not exists(name):
            yield f"`{name}` names nothing in the package"


def imports(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def example_faults(text: str) -> Iterator[str]:
    for language, block in FENCE.findall(text):
        if language == "python" and ">>> " not in block:
            names = {name for name in imports(ast.parse(block)) if name.split(".")[0] == "verovolto"}
            yield from (
                f"an example imports {name}, which is not there" for name in names if not exists(name)
            )


def page_faults(page: Path) -> list[str]:
    text = page.read_text(encoding="utf-8")
    commands = [*command_faults(text)]
    return [
        *link_faults(page, text), *(commands or call_faults(text)), *shell_faults(text), *path_faults(text),
        *name_faults(shown(text)), *example_faults(text),
    ]  # fmt: skip


# ---------------------------------------------------------------- docstrings and comments
def prose(source: str) -> Iterator[str]:
    """Docstrings, other strings that stand alone, and comments of a file."""
    for node in ast.walk(ast.parse(source)):
        if (
            isinstance(node, ast.Expr)
            and isinstance(node.value, ast.Constant)
            and isinstance(node.value.value, str)
        ):
            yield node.value.value
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            yield token.string


def identifiers(tree: ast.AST) -> set[str]:
    """Names that the code of a file uses."""
    found = set()
    for node in ast.walk(tree):
        for attribute in ("id", "attr", "arg", "name", "asname"):
            value = getattr(node, attribute, None)
            if isinstance(value, str):
                found |= set(value.split("."))
    return found


def local_faults(source: str, path: Path, spans: Iterable[str]) -> Iterator[str]:
    """Dotted names whose first part is neither a room nor anything that the file or its folder knows."""
    used = identifiers(ast.parse(source))
    for span in sorted(set(spans)):
        name = span.partition("(")[0]
        first, *rest = name.split(".")
        if not DOTTED.fullmatch(name) or first in rooms() or rest[-1] in SUFFIXES:
            continue
        if first in classes():
            if rest[0] not in classes()[first] | {"__init__"}:
                yield f"`{name}`: {first} has no {rest[0]}"
            continue
        folders = [folder.parts for folder in path.relative_to(PACKAGE).parents]
        beside = any(exists(".".join((*parts, name))) for parts in folders)
        if first not in used and not beside and find_spec(first) is None:
            yield f"`{name}`: nothing here is called {first}"


@cache
def every_word() -> set[str]:
    """Words of the code and of its strings; docstrings and comments play no part."""
    found = LIBRARIES | {part for name in modules() for part in name.split(".")}
    for path in (*PACKAGE.rglob("*.py"), *PACKAGE.rglob("*.j2")):
        source = path.read_text(encoding="utf-8")
        if path.suffix == ".j2":
            found |= set(re.findall(r"\w+", source))
            continue
        tree = ast.parse(source)
        alone = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
        found |= identifiers(tree)
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in alone:
                found |= set(re.findall(r"\w+", node.value))
    return found


def word_faults(spans: Iterable[str]) -> Iterator[str]:
    for span in sorted(set(spans)):
        if IDENTIFIER.fullmatch(span) and span.removesuffix("()") not in every_word():
            yield f"`{span}`: nothing in the package is called so"


def source_faults(path: Path) -> list[str]:
    source = path.read_text(encoding="utf-8")
    texts = list(prose(source))
    spans = [span for text in texts for span in SPAN.findall(text)]
    paths = path_faults(source)
    return [*name_faults(spans), *local_faults(source, path, spans), *word_faults(spans), *paths]


def faults() -> Iterator[str]:
    for page in pages():
        yield from (f"{page.relative_to(ROOT)}: {fault}" for fault in page_faults(page))
    for path in sorted(PACKAGE.rglob("*.py")):
        yield from (f"{path.relative_to(ROOT)}: {fault}" for fault in source_faults(path))


def commands() -> list[str]:
    """Every command that a block of a document shows, each of which is checked above: verovolto's own and others."""
    found = []
    for page in pages():
        for language, block in FENCE.findall(page.read_text(encoding="utf-8")):
            found += shell_lines.commands(block) if not language else []
    return found


def main() -> int:
    found = list(faults())
    shown = commands()
    own = sum(shell_lines.program(line) == "verovolto" for line in shown)
    counted = f"{len(pages())} pages, {own} commands of verovolto and {len(shown) - own} others"
    print("\n".join(found) if found else f"documents and code agree: {counted}")
    return bool(found)


if __name__ == "__main__":
    sys.exit(main())
