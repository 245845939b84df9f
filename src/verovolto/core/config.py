"""Configurations: frozen keyword-only dataclasses, TOML in and out, unknown keys refused with a suggestion."""

from __future__ import annotations

from collections.abc import Mapping
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


def write_toml(path: Path, values: Mapping[str, Any]) -> None:
    """Write values by name as TOML; those that are None are left out, paths become strings."""
    import tomli_w

    plain = {k: str(v) if isinstance(v, Path) else v for k, v in values.items() if v is not None}
    write_text(path, tomli_w.dumps(plain))
