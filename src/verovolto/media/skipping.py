"""Which frames of a video need no decoding: those that nobody looks at and from which no other frame is predicted.

Read from the packets before anything is decoded, of H.264 (ITU-T H.264, 7.3.1) and HEVC (ITU-T H.265, 7.3.1.2 and
table 7-1) in MP4 and Matroska, where a packet is a picture and has a time of its own. A packet's units say whether
other pictures may refer to it (nal_ref_idc; the sub-layer non-reference pictures of the highest sub-layer), and whether
it begins anew (IDR). Passed over are pictures that are no reference, and what follows the last frame looked at up to
where it begins anew. Half of the pictures of common encoders are no reference.

Whatever is not plain leaves no plan, and every frame is decoded.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Protocol

from verovolto.core.errors import VerovoltoError
from verovolto.media.sampling import FrameSelector

FORMATS = ("mp4", "matroska")
"""Containers of which a packet is a whole picture, both fields of it if it has any."""


class NotAsPlanned(VerovoltoError):
    """What came out of the decoder is not what the packets promised: every frame has to be decoded."""


class Codec(Protocol):
    """What is read of a stream's codec context."""

    @property
    def name(self) -> str:
        """FFmpeg's name of the decoder."""
        ...

    @property
    def extradata(self) -> bytes | None:
        """The codec's configuration record."""
        ...


@dataclass(frozen=True, kw_only=True)
class Picture:
    """What the units of a packet say.

    Attributes:
        begins: nothing before it is referred to from here on.
        layer: temporal sub-layer, 0 where there are none.
        refers: whether other pictures of its sub-layer may refer to it.
        parameters: whether it holds parameter sets, which may hold for others.
    """

    begins: bool
    layer: int
    refers: bool
    parameters: bool


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Which packets are decoded, and which frames are handed on.

    Attributes:
        decode: a byte a packet, in the file's order: whether it is decoded.
        wanted: time stamps of the frames that are handed on, rising.
        numbers: of these among all frames.
        last: time stamp of the last frame of all.
    """

    decode: bytes
    wanted: array[int]
    numbers: array[int]
    last: int

    @property
    def frames(self) -> int:
        """Frames of the video, decoded or not."""
        return len(self.decode)

    @property
    def decoded(self) -> int:
        """How many of them are decoded."""
        return sum(self.decode)


def reader_of(codec: Codec) -> Callable[[memoryview], Picture | None] | None:
    """What reads the packets of a codec; None where they cannot be read."""
    record = bytes(codec.extradata or b"")
    if codec.name == "h264" and len(record) > 6 and record[0] == 1:
        return lambda packet: _h264(_units(packet, (record[4] & 3) + 1))
    if codec.name == "hevc" and len(record) > 22 and record[0] == 1:
        return lambda packet: _hevc(_units(packet, (record[21] & 3) + 1))
    return None


def plan(
    packets: Iterable[tuple[int | None, bool, Picture | None]],
    selector: Callable[[Sequence[int]], FrameSelector],
) -> Plan | None:
    """Decide which packets are decoded; None where that cannot be told, or where it is all of them.

    Args:
        packets: time stamp, whether an edit list cuts it away, and what it is, of each in the order of the file.
        selector: what selects among the frames, given the time stamps of all.
    """
    stamps, pictures, layers = array("q"), bytearray(), bytearray()
    for stamp, discarded, picture in packets:
        if stamp is None or discarded or picture is None:
            return None
        stamps.append(stamp)
        pictures.append(picture.begins | (picture.refers << 1) | (picture.parameters << 2))
        layers.append(picture.layer)
    ticks = array("q", sorted(stamps))
    if not ticks or any(a == b for a, b in pairwise(ticks)):
        return None
    chooser = selector(ticks)
    numbers = array("q", (number for number, tick in enumerate(ticks) if chooser.take(tick)))
    wanted = array("q", (ticks[number] for number in numbers))
    decode = _decoded(stamps, pictures, layers, set(wanted))
    if decode is None or all(decode):
        return None
    return Plan(decode=bytes(decode), wanted=wanted, numbers=numbers, last=ticks[-1])


def _decoded(
    stamps: Sequence[int], pictures: Sequence[int], layers: Sequence[int], wanted: set[int]
) -> bytearray | None:
    """A byte a packet: whether it is decoded. None where time goes back from one beginning to the next."""
    highest = max(layers)
    begins = [at for at, picture in enumerate(pictures) if picture & 1]
    if not begins or begins[0] != 0:
        return None
    decode = bytearray(len(stamps))
    before = None
    for start, stop in zip(begins, [*begins[1:], len(stamps)], strict=True):
        part = range(start, stop)
        if before is not None and min(stamps[at] for at in part) < before:
            return None
        before = max(stamps[at] for at in part)
        last = max((at for at in part if stamps[at] in wanted), default=start - 1)
        for at in part:
            free = at > last or (layers[at] == highest and not pictures[at] & 2)
            # Parameter sets may be those of pictures to come.
            decode[at] = stamps[at] in wanted or not free or bool(pictures[at] & 4)
    return decode


def _units(packet: memoryview, length_bytes: int) -> Iterator[tuple[int, int]]:
    """The first two bytes of each unit of a packet; nothing after a length that leads beyond its end."""
    at, end = 0, len(packet)
    while at + length_bytes + 2 <= end:
        length = int.from_bytes(packet[at : at + length_bytes], "big")
        at += length_bytes
        if length < 2 or at + length > end:
            return
        yield packet[at], packet[at + 1]
        at += length


def _h264(units: Iterable[tuple[int, int]]) -> Picture | None:
    """Of H.264: every slice of a picture says the same of it."""
    slices, parameters = [], False
    for head, _ in units:
        kind = head & 31
        if kind in (1, 2, 5):
            slices.append((kind == 5, head >> 5 & 3))
        parameters |= kind in (7, 8, 13, 15)
    if not slices:
        return None
    refers = any(reference for _, reference in slices)
    return Picture(begins=slices[0][0], layer=0, refers=refers, parameters=parameters)


def _hevc(units: Iterable[tuple[int, int]]) -> Picture | None:
    """Of HEVC: kinds below 16 do not begin anew, and the even ones of them are no reference in their layer."""
    slices, parameters = [], False
    for head, second in units:
        kind = head >> 1 & 63
        if (head & 1) << 5 | second >> 3:  # another view, or a depth map
            continue
        if kind < 32:
            slices.append((kind, (second & 7) - 1))
        parameters |= kind in (32, 33, 34)
    if not slices or slices[0][1] < 0:
        return None
    kind, layer = slices[0]
    refers = not (kind < 16 and kind % 2 == 0)
    return Picture(begins=kind in (19, 20), layer=layer, refers=refers, parameters=parameters)
