"""JPEG streams: what their headers state, and whether the decoder had to guess."""

from __future__ import annotations

import os
import re
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor
from torchvision.io import ImageReadMode, decode_jpeg

from verovolto.core.errors import UnreadableImage

_SOF = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}
_PROGRESSIVE = {0xC2, 0xC6, 0xCA, 0xCE}
_STANDALONE = {0x01, *range(0xD0, 0xD9)}
_SOS, _EOI = 0xDA, 0xD9

# libjpeg prints the first warning of a picture (jerror.h); what is said of metadata alone is no damage.
_WARNING = re.compile(
    rb"(?:Corrupt JPEG data: [^\n]*|Premature end of JPEG file|Inconsistent progression sequence[^\n]*"
    rb"|Invalid SOS parameters[^\n]*|Warning: unknown JFIF[^\n]*|Unknown Adobe color transform[^\n]*)\n"
)
_HARMLESS = (b"Warning:", b"Unknown Adobe", b"Corrupt JPEG data: bad ICC")
_LISTENING = threading.Lock()


def decode(encoded: bytes, *, name: str) -> tuple[Tensor, str | None]:
    """Decode a JPEG of one or three components to uint8 `[3, H, W]` as it is stored; orientation is not applied.

    Returns:
        The pixels; and in words what libjpeg had to guess, since data is corrupt or lacking, or None.

    Raises:
        UnreadableImage: data that does not decode at all.
    """
    data = torch.frombuffer(bytearray(encoded), dtype=torch.uint8)
    warnings: list[str] = []
    try:
        with _libjpeg_warnings(warnings):
            image: Tensor = decode_jpeg(data, mode=ImageReadMode.RGB)
    except RuntimeError as error:
        # torchvision names the line of its source, which says nothing to anybody.
        reason = (re.sub(r"decode_jpeg, \S+:\d+, ", "", str(error)).strip().splitlines() or ["not an image"])[
            0
        ]
        raise UnreadableImage(f"{name}: damaged JPEG ({reason})") from error
    return image, _damage(warnings, encoded)


def damage(encoded: bytes) -> str | None:
    """What `decode` says of damage, for a JPEG that is decoded by another library, which says nothing."""
    warnings: list[str] = []
    try:
        with _libjpeg_warnings(warnings):
            decode_jpeg(torch.frombuffer(bytearray(encoded), dtype=torch.uint8), mode=ImageReadMode.UNCHANGED)
    except RuntimeError:  # what is no plain JPEG, or ends early: the other library says so
        return None
    return _damage(warnings, encoded)


def _damage(warnings: list[str], encoded: bytes) -> str | None:
    reason = warnings[0] if warnings else missing_scan(encoded)
    return f"damaged JPEG ({reason})" if reason else None


@contextmanager
def _libjpeg_warnings(heard: list[str]) -> Iterator[None]:
    """Collect what libjpeg writes to standard error meanwhile; all else that is written there is passed on.

    It has no other way to say that data is corrupt: it fills in what it can guess, and decodes on.
    """
    with _LISTENING, tempfile.TemporaryFile() as log:
        try:
            stderr = os.dup(2)
        except OSError:  # a process without standard error
            yield
            return
        os.dup2(log.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(stderr, 2)
            log.seek(0)
            written = log.read()
            others = _WARNING.sub(b"", written)
            if others:
                os.write(stderr, others)
            os.close(stderr)
            for line in _WARNING.findall(written):
                if not line.startswith(_HARMLESS):
                    heard.append(line.decode("ascii", "replace").strip().removeprefix("Corrupt JPEG data: "))


def header(encoded: bytes) -> tuple[int, int, int] | None:
    """(width, height, components) from a JPEG's frame header; None where there is none."""
    for marker, start, _ in segments(encoded):
        if marker in _SOF and start + 6 <= len(encoded):
            height = int.from_bytes(encoded[start + 1 : start + 3], "big")
            width = int.from_bytes(encoded[start + 3 : start + 5], "big")
            return width, height, encoded[start + 5]
    return None


def metadata_bytes(encoded: bytes) -> int:
    """Length of what lies before the first scan."""
    return next((start for marker, start, _ in segments(encoded) if marker == _SOS), len(encoded))


def segments(encoded: bytes) -> Iterator[tuple[int, int, int]]:
    """Yield (marker, start, end) of each segment's content, scans' headers included, up to the end of the picture.

    Stops where something is out of place. Of a scan the data after its header is passed over.
    """
    at = 2 if encoded[:2] == b"\xff\xd8" else len(encoded)
    while at + 4 <= len(encoded) and encoded[at] == 0xFF:
        marker = encoded[at + 1]
        if marker == 0xFF:  # a fill byte
            at += 1
            continue
        if marker in _STANDALONE:
            at += 2
            continue
        if marker == _EOI:
            return
        end = at + 2 + int.from_bytes(encoded[at + 2 : at + 4], "big")
        yield marker, at + 4, end
        at = _scan_end(encoded, end) if marker == _SOS else end


def end(encoded: bytes) -> int:
    """Where the picture ends that a stream begins with: after its end mark, or where something is out of place."""
    at = len(encoded)
    for marker, _, after in segments(encoded):
        at = (_scan_end(encoded, after) if marker == _SOS else after) + 2
    return min(at, len(encoded))


_AFTER_SCAN = re.compile(rb"\xff+[^\x00\xff\xd0-\xd7]", re.DOTALL)


def _scan_end(encoded: bytes, start: int) -> int:
    """Where the marker stands that ends the entropy-coded data from `start` on."""
    found = _AFTER_SCAN.search(encoded, start)
    return len(encoded) if found is None else found.end() - 2


def missing_scan(encoded: bytes) -> str | None:
    """What a stream lacks in whole scans, in words; None for a complete one.

    libjpeg takes coefficients that no scan holds for 0, and says nothing. In a progressive JPEG every coefficient has
    to come down to its last bit (ITU-T T.81, G.1.1), in a sequential one every component needs a scan.
    """
    components: list[int] = []
    progressive = False
    bits: dict[tuple[int, int], int] = {}
    for marker, start, end in segments(encoded):
        part = encoded[start:end]
        if marker in _SOF and len(part) >= 6 + 3 * part[5]:
            progressive = marker in _PROGRESSIVE
            components = [part[6 + 3 * i] for i in range(part[5])]
        elif marker == _SOS and part and len(part) >= 4 + 2 * part[0]:
            named = [part[1 + 2 * i] for i in range(part[0])]
            first, last, low = part[-3], part[-2], part[-1] & 15
            for component in named:
                for coefficient in range(first, last + 1) if progressive else (0,):
                    bits[component, coefficient] = low
    # Encoders may leave out bands of the colours that are 0 everywhere; the means of all, and what is begun, they end.
    if any((component, 0) not in bits for component in components) or any(bits.values()):
        return "parts of it are missing"
    return None
