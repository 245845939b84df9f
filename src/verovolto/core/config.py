"""Configurations: frozen keyword-only dataclasses, TOML in and out, unknown keys refused with a suggestion."""

from __future__ import annotations

import os
from dataclasses import fields
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from verovolto.core.errors import InputError
from verovolto.core.files import write_text


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


def write_toml(path: Path, config: Any) -> None:
    """Write a dataclass as TOML; fields that are None are left out, paths become strings."""
    import tomli_w

    values = {f.name: getattr(config, f.name) for f in fields(config)}
    plain = {k: str(v) if isinstance(v, Path) else v for k, v in values.items() if v is not None}
    write_text(path, tomli_w.dumps(plain))


def check_keys(given: dict[str, Any], kind: type, where: Path) -> None:
    """Raise `InputError` for keys that the dataclass `kind` does not have, with the nearest name."""
    known = [f.name for f in fields(kind)]
    unknown = [key for key in given if key.replace("-", "_") not in known]
    if unknown:
        near = get_close_matches(unknown[0].replace("-", "_"), known, n=1)
        meant = f"did you mean {near[0]}?" if near else f"known are {', '.join(known)}"
        raise InputError(f"{where} has an unknown key {unknown[0]!r}", hint=meant)


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
