"""Files appear whole: written beside their place, flushed to disk, then renamed into it. JSON, TOML, names of files.

Weights that come inside packages are read as data, checked by their digest: no code of theirs is run.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TextIO

from verovolto.core.errors import InputError, VerovoltoError


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success flush it and rename it to `path`.

    A reader sees the old file or the new one, never half of one, and a full disk or a killed process leaves
    the old file as it was. The parent folder is created.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # Machines that share a folder may have processes of one number: in containers they commonly do.
    part = path.with_name(f".{path.name}.{os.getpid()}-{os.urandom(4).hex()}.part")
    try:
        yield part
        with part.open("rb+") as handle:
            os.fsync(handle.fileno())
        part.replace(path)
    except OSError as error:
        # The half-written name says nothing to anybody, and some libraries name no file at all.
        error.filename, error.filename2 = str(path), None
        raise
    finally:
        part.unlink(missing_ok=True)


def check_out(out: Path) -> None:
    """Raise `InputError` where no folder `out` can be, before hours are spent on what was to go there."""
    there = next((place for place in (out, *out.absolute().parents) if place.exists()), Path("/"))
    if not there.is_dir():
        raise InputError(f"{there} is a file", hint="--out names a folder")
    if not os.access(there, os.W_OK | os.X_OK):
        raise InputError(f"nothing may be written into {there}", hint="give another --out")


def check_new(out: Path) -> None:
    """Raise `InputError` where no new folder `out` can be: as `check_out`, and where it holds something."""
    check_out(out)
    if out.exists() and any(out.iterdir()):
        raise InputError(f"{out} is not empty", hint="give a new --out")


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text so that it appears whole."""
    with atomic_path(path) as part:
        part.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any) -> None:
    """Write JSON (indented, UTF-8, no NaN: a figure that does not exist is `null`) so that it appears whole."""
    with atomic_path(path) as part, part.open("w", encoding="utf-8") as handle:
        print_json(value, handle)


def print_json(value: Any, to: TextIO) -> None:
    """Write JSON as `write_json` does, piece by piece: the text of much is several times as large as its values."""
    json.dump(value, to, indent=2, ensure_ascii=False, allow_nan=False)
    to.write("\n")


def read_json_object(path: Path) -> dict[str, Any]:
    """A file that holds one JSON object; `InputError` for anything else, or a file that cannot be read."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path} is not a readable JSON file: {error}") from error
    if not isinstance(value, dict):
        raise InputError(f"{path} is not a JSON object", hint="an object of named values is needed")
    return value


def natural(name: str) -> tuple[tuple[str | int, ...], str]:
    """Sort key that takes digits for numbers: `2.png` before `10.png`. A total order, so repeatable."""
    parts = re.split(r"([0-9]+)", name)
    return tuple(int(part) if index % 2 else part for index, part in enumerate(parts)), name


def as_text(name: str) -> str:
    r"""A file's name as text that can be stored: bytes of it that are no UTF-8 are written out (`\xff`)."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def sha256_file(path: Path) -> str:
    """SHA-256 of a file's bytes, as 64 hexadecimal digits."""
    import hashlib  # slow to load, and no help text needs it

    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def read_from_package(
    package: str, file: str, *, sha256: str, missing: str, what: str, hint: str, error: type[VerovoltoError]
) -> bytes:
    """A file in the folder of an installed package.

    Args:
        package: its name, top-level.
        file: path below its folder.
        sha256: of the file.
        missing: the message where it is not installed.
        what: what the file should be, for the message where it is another.
        hint: what to do in either case.
        error: what to raise.

    Raises:
        error: the package is not installed, or holds another file.
    """
    import hashlib  # slow to load, and no help text needs it

    spec = find_spec(package)  # of a top-level package: finds it without importing it
    path = Path(spec.origin).parent / file if spec and spec.origin else None
    if path is None or not path.is_file():
        raise error(missing, hint=hint)
    content = path.read_bytes()
    if hashlib.sha256(content).hexdigest() != sha256:
        raise error(f"{path} is not the {what} expected", hint=hint)
    return content


def read_toml(path: Path) -> dict[str, Any]:
    """A TOML file as a dictionary; `InputError` names a file that is missing or broken, and the line."""
    import tomllib  # as slow to load as argparse, and wanted with --config alone

    try:
        with path.open("rb") as handle:
            return tomllib.load(handle)
    except FileNotFoundError as error:
        raise InputError(f"no configuration file {path}", hint="check --config") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        raise InputError(f"{path} is no valid TOML: {error}", hint="check --config") from error


def write_toml(path: Path, values: Mapping[str, Any]) -> None:
    """Write values by name as TOML; those that are None are left out, paths become strings."""
    import tomli_w

    plain = {name: _plain(value) for name, value in values.items() if value is not None}
    write_text(path, tomli_w.dumps(plain))


def _plain(value: Any) -> Any:
    if isinstance(value, tuple | list):
        return [_plain(each) for each in value]
    return str(value) if isinstance(value, Path) else value
