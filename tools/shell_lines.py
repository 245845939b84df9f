"""Check the commands in documents that are not verovolto's own: make, pip, scripts of the repository, its API.

`tools/check_docs.py` calls it. A line of a block of commands must begin with a program that is checked here or there,
or with one of `FOREIGN`, whose flags are not ours to know.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from urllib.parse import urlsplit

ROOT = Path(__file__).parents[1]

FLAG = re.compile(r"(?<![\w-])--[a-z][\w-]*")
ASSIGNED = re.compile(r"^(?:[A-Z_]+=\S* )+")
SCRIPT = re.compile(r"[\w./-]+\.(?:py|sh|mjs|sbatch)")
EXTRAS = re.compile(r"verovolto\[([\w,-]+)\]")
PIN = re.compile(r"([\w-]+)==([\w.]+)")
LINK = re.compile(r"\b[a-z]+://[^\s)\"'<>`]+")
FOREIGN = {"git", "source", "find", "pytest"}
"""Programs whose words are not checked, by the first word of a line."""
CHECKED = {"verovolto", "make", "pip", "python", "python3", "curl"}


@cache
def targets() -> set[str]:
    text = (ROOT / "Makefile").read_text(encoding="utf-8")
    return set(re.findall(r"^([a-z]+):", text, re.MULTILINE))


@cache
def requirements() -> tuple[set[str], dict[str, str]]:
    """The names of the extras, and the exact versions that the project asks for by name."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    lines = [*project["dependencies"], *(line for each in extras.values() for line in each)]
    return set(extras), dict(found for line in lines for found in PIN.findall(line))


@cache
def routes() -> list[re.Pattern[str]]:
    """The paths of the service's API, as patterns."""
    text = (ROOT / "src" / "verovolto" / "service" / "api.py").read_text(encoding="utf-8")
    paths = re.findall(r"@router\.\w+\(\s*\"(/[^\"]*)\"", text)
    return [re.compile("/v1" + re.sub(r"\{\w+\}", r"[\\w.-]+", path)) for path in paths]


def commands(block: str) -> list[str]:
    """The commands of a block: what stands after `$`, where it shows output too, else all if the first line is one."""
    lines = [line.strip() for line in block.replace("\\\n", " ").splitlines()]
    lines = [line for line in lines if line and not line.startswith("#")]
    prompted = [line.removeprefix("$ ") for line in lines if line.startswith("$ ")]
    if prompted:
        return prompted
    return lines if lines and known(program(lines[0])) else []


def program(line: str) -> str:
    """The first word of a command, without variables set before it and without the folder of an environment."""
    words = ASSIGNED.sub("", line).split()
    return re.sub(r"^\S*/bin/", "", words[0]) if words else ""


def known(name: str) -> bool:
    return name in CHECKED | FOREIGN or (ROOT / name).is_file()


def block_faults(block: str) -> Iterator[str]:
    """What is wrong in a block of commands."""
    for line in commands(block):
        if not known(program(line)):
            yield f"{line}: nothing checks the command {program(line)}"


def line_faults(line: str) -> Iterator[str]:
    """What is wrong in a command, of a block or in backticks; nothing where it is none of those checked here."""
    name, words = program(line), ASSIGNED.sub("", line).partition("#")[0].split()[1:]
    if name == "make":
        yield from (
            f"make has no target {word}" for word in words if word.islower() and word not in targets()
        )
    elif name == "pip":
        yield from pip_faults(line)
    elif name.startswith("python") and words and SCRIPT.fullmatch(words[0]):
        yield from script_faults(words[0], line)
    elif SCRIPT.fullmatch(name) and "/" in name and (ROOT / name).is_file():
        yield from script_faults(name, line)
    elif name == "curl":
        paths = [urlsplit(link).path for link in LINK.findall(line)]
        yield from (
            f"the API has no path {path}"
            for path in paths
            if not any(each.fullmatch(path) for each in routes())
        )


def pip_faults(line: str) -> Iterator[str]:
    extras, pins = requirements()
    asked = {name for names in EXTRAS.findall(line) for name in names.split(",")}
    yield from (f"there is no extra {name}" for name in sorted(asked - extras))
    for name, version in PIN.findall(line):
        if pins.get(name) != version:
            yield f"{name}=={version}: pyproject.toml asks for {pins.get(name, 'no exact version of it')}"


def script_faults(name: str, line: str) -> Iterator[str]:
    """The script is there, and every flag stands in it."""
    path = ROOT / name
    if not path.is_file():
        yield f"{name}: there is no such file"
        return
    wrong = set(FLAG.findall(line)) - set(FLAG.findall(path.read_text(encoding="utf-8")))
    yield from (f"{name} has no flag {flag}" for flag in sorted(wrong))


def external_faults(text: str) -> Iterator[str]:
    """Addresses that cannot be right: another scheme, no host, or a space's escape; nobody fetches them."""
    for link in sorted(set(LINK.findall(text))):
        parts = urlsplit(link)
        local = parts.hostname in {"localhost", "127.0.0.1"}
        if parts.scheme not in ({"http", "https"} if local else {"https"}) or not parts.hostname:
            yield f"{link}: no address of the web"
        elif not local and not re.fullmatch(r"(?:[a-z0-9-]+\.)+[a-z]{2,}", parts.hostname):
            yield f"{link}: no name of a host"
