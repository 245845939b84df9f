"""What messages tell a user to do can be done: every flag and command that a string of the source names exists."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from verovolto.cli import app

SOURCE = Path(__file__).parents[1] / "src" / "verovolto"
FLAG = re.compile(r"(?<![\w-])--[a-z][a-z0-9-]*(?:\.[a-z0-9-]+)*")
COMMAND = re.compile(r"(?:^|: |`|with |run |see |from )verovolto ([a-z]+(?: [a-z]+)?)")
ARGUMENT = re.compile(r"\b[a-z][a-z_]+=")
OF_OTHERS = {"--help", "--upgrade", "--no-deps"}
"""The flag that every command has, and those of pip that messages name."""


def flags() -> dict[str, set[str]]:
    """The flags of every command, hidden ones too, by its words: `scan`, `data split`; of a group, none of its own."""
    common = {name for argument in app.meta.assemble_argument_collection() for name in argument.names}

    def of(command: Any, words: tuple[str, ...]) -> Iterator[tuple[str, set[str]]]:
        below = [name for name in command if not name.startswith("-")]
        for name in below:
            yield from of(command[name], (*words, name))
        arguments = [] if below else command.assemble_argument_collection()
        yield " ".join(words), common | {name for argument in arguments for name in argument.names}

    return dict(of(app, ()))


COMMANDS = flags()
GROUPS = {words.split()[0] for words in COMMANDS if " " in words}
EVERY_FLAG = set().union(*COMMANDS.values()) | OF_OTHERS


def text_of(node: ast.expr) -> str:
    """The string that an expression is, `{}` for what is put into it; empty for any other."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(
            "{}" if isinstance(part, ast.FormattedValue) else text_of(part) for part in node.values
        )
    if isinstance(node, ast.IfExp):
        return f"{text_of(node.body)} {text_of(node.orelse)}"
    if isinstance(node, ast.BinOp | ast.BoolOp | ast.Call | ast.List | ast.Tuple | ast.Starred):
        return " ".join(text_of(inner) for inner in ast.iter_child_nodes(node) if isinstance(inner, ast.expr))
    return ""


def docstrings(tree: ast.Module) -> set[int]:
    owners = (ast.Module, ast.ClassDef, ast.FunctionDef)
    bodies = [node.body for node in ast.walk(tree) if isinstance(node, owners)]
    lone = [each.value for body in bodies for each in body if isinstance(each, ast.Expr)]
    return {id(node) for node in lone}


def strings(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Every string of a file that is no docstring, whole, with its line."""
    left_out = docstrings(tree)
    inner = {
        id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in ast.walk(node)
    }
    for node in ast.walk(tree):
        whole = isinstance(node, ast.JoinedStr) or (isinstance(node, ast.Constant) and id(node) not in inner)
        if isinstance(node, ast.expr) and whole and id(node) not in left_out and (text := text_of(node)):
            yield node.lineno, text


def hints(tree: ast.Module) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.keyword) and node.arg == "hint":
            yield node.value.lineno, text_of(node.value)


def faults(text: str) -> Iterator[str]:
    """What a text names and is not there: in a command's line its own flags, elsewhere those of any command."""
    for words in COMMAND.findall(text):
        name = words if words in COMMANDS else words.split()[0]
        if name not in COMMANDS.keys() | GROUPS:
            yield f"verovolto {words}: there is no such command"
        elif name not in GROUPS and (
            text.lstrip().startswith("verovolto ") or f": verovolto {words}" in text
        ):
            line = text[text.index(f"verovolto {words}") :]
            for flag in set(FLAG.findall(re.split(r"[;,]", line)[0])) - COMMANDS[name] - OF_OTHERS:
                yield f"verovolto {name} has no flag {flag}"
    for flag in set(FLAG.findall(text)) - EVERY_FLAG:
        yield f"no command has the flag {flag}"


@pytest.mark.parametrize(
    "path", sorted(SOURCE.rglob("*.py")), ids=lambda path: path.relative_to(SOURCE).as_posix()
)
def test_every_flag_and_command_that_a_message_names_exists(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    wrong = [f"line {line}: {fault}" for line, text in strings(tree) for fault in faults(text)]
    wrong += [
        f"line {line}: {text!r} names an argument of Python, not a flag"
        for line, text in hints(tree)
        if ARGUMENT.search(text)
    ]
    assert not wrong


def test_the_check_finds_what_is_not_there() -> None:
    assert list(faults("allow more with --max-nonsense")) == ["no command has the flag --max-nonsense"]
    assert (
        list(faults("make some: verovolto data cut SET")) == []
    )  # `data` exists: what follows may be anything
    assert list(faults("make some: verovolto slice SET")) == ["verovolto slice: there is no such command"]
    assert list(faults("make some: verovolto data split SET --fps 2")) == [
        "verovolto data split has no flag --fps"
    ]
    hint = ast.parse("raise DataError('x', hint=f'say {a} with --nowhere' or 'raise it')")
    assert [text for _, text in hints(hint)] == ["say {} with --nowhere raise it"]
