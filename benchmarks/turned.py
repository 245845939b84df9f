"""What it costs to look at pictures turned by quarters as well, where a face is in doubt: the plain way and ours.

    python benchmarks/turned.py DATA [--photos 80] [--turned 30] [--fps 1] [--seconds 3] [--shard 0/1] [--detector NAME]

DATA holds photographs in `fairface` and clips in `real-clips`, `celebdf-clips` and `ffpp-clips`. *Plain*: a picture
is resized at every look, and each is for faces of all sizes. *Ours* (`faces.upright`): it is resized once, and where
a face is in doubt the turned ones are for faces of half its size and more. The two take turns, picture by
picture, in an order that changes; of a video each remembers by itself. Sets: *photos*; *turned*, the first of them by
90, 180 and 270 degrees; *collages*, the first upright and turned beside the next at half its size; *frames* of the
clips' first seconds.

The table: pictures, how many were looked at turned, looks, faces found, milliseconds of CPU a picture, all of them
and those looked at turned alone, the median of the ratios, and pictures whose faces (box, score, turn) are not the
same both ways.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from statistics import mean, median

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor

from verovolto.faces.crop import quarter_turned
from verovolto.faces.detection.base import Face, FaceDetector
from verovolto.faces.detection.registry import open_detector
from verovolto.faces.upright import UprightFaces
from verovolto.media import Sampling, open_media

CLIPS = ("real-clips", "celebdf-clips", "ffpp-clips")


@dataclass(kw_only=True)
class Counted:
    """A face detector that counts its looks; a plain one resizes at each, and looks for faces of all sizes."""

    detector: FaceDetector
    plain: bool
    looks: int = 0

    @property
    def name(self) -> str:
        return self.detector.name

    @property
    def confidence(self) -> float:
        return self.detector.confidence

    def at_working_size(self, image: Tensor) -> tuple[Tensor, float]:
        return (image, 1.0) if self.plain else self.detector.at_working_size(image)

    def detect(self, image: Tensor, *, smallest: float = 0.0) -> list[Face]:
        self.looks += 1
        return self.detector.detect(image, smallest=0.0 if self.plain else smallest)


@dataclass(kw_only=True)
class Found:
    """Of one set: milliseconds and looks of each picture, plain and ours, and how many faces and differences."""

    ms: list[tuple[float, float]] = field(default_factory=list)
    looks: list[tuple[int, int]] = field(default_factory=list)
    faces: int = 0
    other: int = 0

    def row(self) -> list[str]:
        """Cells of the table."""
        pairs = [ms for ms, looks in zip(self.ms, self.looks, strict=True) if looks[0] > 1]
        plain, ours = (f"{mean(ms):.1f}" for ms in zip(*self.ms, strict=True))
        cells = [
            len(self.ms),
            len(pairs),
            f"{sum(n for n, _ in self.looks)}, {sum(n for _, n in self.looks)}",
        ]
        cells += [self.faces, f"{plain}, {ours}"]
        if pairs:
            turned = (f"{mean(ms):.1f}" for ms in zip(*pairs, strict=True))
            cells += [", ".join(turned), f"{median(a / b for a, b in pairs):.2f}"]
        else:
            cells += ["", ""]
        return [str(cell) for cell in (*cells, self.other)]


class Ways:
    """Both ways of looking at the pictures of one file, in turn."""

    def __init__(self, detector: FaceDetector) -> None:
        self._ways = [Counted(detector=detector, plain=plain) for plain in (True, False)]
        self._upright = [UprightFaces(way) for way in self._ways]

    def look(self, image: Tensor, time_s: float | None, found: Found) -> None:
        """At one picture."""
        ms, looks, faces = [0.0, 0.0], [0, 0], [[], []]
        for at in (0, 1) if len(found.ms) % 2 else (1, 0):
            before, begin = self._ways[at].looks, time.process_time()
            seen = self._upright[at].detect(image, time_s)
            ms[at] = 1000 * (time.process_time() - begin)
            looks[at] = self._ways[at].looks - before
            faces[at] = [(face.box, face.score, face.turn) for face in seen]
        found.ms.append((ms[0], ms[1]))
        found.looks.append((looks[0], looks[1]))
        found.faces += len(faces[0])
        found.other += faces[0] != faces[1]


def collage(large: Tensor, small: Tensor, turn: int) -> Tensor:
    """A picture beside another at half its size, which is turned."""
    room = torch.zeros(3, large.shape[1], small.shape[2] // 2, dtype=torch.uint8)
    half = quarter_turned(small[:, ::2, ::2], turn)[:, : room.shape[1], : room.shape[2]]
    room[:, : half.shape[1], : half.shape[2]] = half
    return torch.cat((large, room), dim=2)


def sets(given: argparse.Namespace) -> Iterator[tuple[str, list[tuple[Tensor, float | None]]]]:
    """Each file's pictures, with the set that they belong to."""
    place, of = map(int, given.shard.split("/"))
    paths = sorted((given.data / "fairface" / "real").iterdir())[: given.photos][place::of]
    photos = [next(iter(open_media(path).frames(Sampling(fps=1)))).image for path in paths]
    for photo in photos:
        yield "photos", [(photo, None)]
    some = photos[: -(-given.turned // of)]
    for turn in (1, 2, 3):
        for photo, after in zip(some, some[1:] + some[:1], strict=True):
            yield "turned", [(quarter_turned(photo, turn), None)]
            yield "collages", [(collage(photo, after, turn), None)]
    clips = [path for name in CLIPS for path in sorted((given.data / name).rglob("*.mp[4g]"))]
    for path in clips[place::of]:
        frames = open_media(path).frames(Sampling(fps=given.fps))
        yield "frames", [(f.image, f.time_s) for f in frames if f.time_s <= given.seconds]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path)
    parser.add_argument("--detector", default="mtcnn")
    parser.add_argument("--photos", type=int, default=80)
    parser.add_argument("--turned", type=int, default=30)
    parser.add_argument("--fps", type=float, default=1.0)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--shard", default="0/1", help="every nth file, from which on")
    given = parser.parse_args()
    torch.set_num_threads(1)
    detector, found = open_detector(given.detector), {}
    detector.detect(torch.zeros(3, 200, 200, dtype=torch.uint8))  # loads the networks
    for name, pictures in sets(given):
        ways = Ways(detector)
        for image, time_s in pictures:
            ways.look(image, time_s, found.setdefault(name, Found()))
    head = (
        "set",
        "pictures",
        "turned",
        "looks",
        "faces",
        "ms",
        "ms, if turned",
        "plain / ours",
        "other faces",
    )
    table = Table(*head)
    for name, each in found.items():
        table.add_row(name, *each.row())
    Console(width=130).print(table)


if __name__ == "__main__":
    main()
