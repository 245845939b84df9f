"""Weights that come inside packages, as ONNX files: read as data, checked by their digest, no code of theirs is run."""

from __future__ import annotations

import hashlib
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from onnx import numpy_helper
from torch import Tensor

from verovolto.core.errors import VerovoltoError


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
    spec = find_spec(package)  # of a top-level package: finds it without importing it
    path = Path(spec.origin).parent / file if spec and spec.origin else None
    if path is None or not path.is_file():
        raise error(missing, hint=hint)
    content = path.read_bytes()
    if hashlib.sha256(content).hexdigest() != sha256:
        raise error(f"{path} is not the {what} expected", hint=hint)
    return content


def initial_values(graph: Any) -> dict[str, Tensor]:
    """The initial values of an ONNX graph by their names."""
    return {each.name: torch.from_numpy(numpy_helper.to_array(each).copy()) for each in graph.initializer}
