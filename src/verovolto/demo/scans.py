"""What the demonstration scans: a photograph and a short video of one person, and the same with another's face.

The person is one that the trained network has not seen. Nothing is said of other forgeries: this one is simple.
"""

from __future__ import annotations

import shlex
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import torch
from torch import Tensor
from torchvision.transforms.v2 import functional as F

from verovolto.core.errors import CalibrationError, WeightsError
from verovolto.core.files import write_text
from verovolto.demo.faces import CREDIT, Photo, divide, load_photo, lossless_png
from verovolto.faces.detection.base import Face
from verovolto.report.scan_output import ScanOutput
from verovolto.report.scan_text import text_table
from verovolto.scanning.request import ScanRequest
from verovolto.synthesis.face_swap import swap_faces

SCANS = "scan"
FPS, FRAMES_EACH, ENLARGED = 25, 12, 2
"""Frames a second of the video, frames that each photograph is shown for, and how much larger than the photograph."""


@dataclass(frozen=True, kw_only=True)
class Examples:
    """The folder of the files, and those in which a face was swapped."""

    folder: Path
    forged: tuple[str, ...] = ("photo-swapped.png", "video-swapped.mp4")


def write_examples(photos: Sequence[Photo], faces: Mapping[str, Face], out: Path, *, seed: int) -> Examples:
    """Write the files into the folder `out`, which appears whole; nothing is done where it is there.

    Args:
        photos: All photographs.
        faces: The face in each by its name.
        out: The folder.
        seed: Of the demonstration: it says who is tested on.
    """
    if out.is_dir():
        return Examples(folder=out)
    part = out.with_name(f".{out.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    usable = [photo for photo in photos if photo.name in faces]
    splits = divide(list(dict.fromkeys(photo.person for photo in usable)), seed=seed)
    person = splits.people["test"][0]
    own, others = (
        [photo for photo in usable if photo.person == name]
        for name in (person, splits.donors["test"][person][0])
    )
    shown = [load_photo(photo.file) for photo in own]
    swapped = [_swapped(photo, others[place % len(others)], faces) for place, photo in enumerate(own)]
    for name, images in (("", shown), ("-swapped", swapped)):
        (part / f"photo{name}.png").write_bytes(lossless_png(images[0]))
        write_video(part / f"video{name}.mp4", images)
    write_text(part / "CREDIT.txt", CREDIT)
    part.replace(out)
    return Examples(folder=out)


def scan_examples(examples: Examples, detectors: Mapping[str, Path | None], out: Path) -> list[Path]:
    """Scan the files with each detector and print the verdicts; returns the pages.

    A detector whose backbone's weights are not installed, or that was calibrated on too few faces, is passed over with
    a note.

    Args:
        examples: see `write_examples`.
        detectors: folders by what they are called; None for the one of the package.
        out: folder for a page a detector.
    """
    pages = []
    for name, folder in detectors.items():
        request = ScanRequest(paths=(examples.folder,), detector=folder)
        output = ScanOutput(report=out / name)
        command = shlex.join([*request.words(), *output.words()])
        try:
            scan = request.run(pictures=True, command=command)
        except (CalibrationError, WeightsError) as error:
            print(f"not scanned with the {name} detector: {error}", file=sys.stderr)
            continue
        print(f"\nscanned with the {name} detector (swapped: {', '.join(examples.forged)}):")
        print("\n".join(text_table(scan)))
        page = output.write(scan, command)
        assert page is not None, "a report was asked for"
        pages.append(page)
    return pages


def write_video(path: Path, photos: Sequence[Tensor]) -> None:
    """A video that shows one photograph after the other, H.264.

    Args:
        path: of an MP4 file.
        photos: uint8 `[3, H, W]`, of one size.
    """
    height, width = (2 * (int(edge) * ENLARGED // 2) for edge in photos[0].shape[1:])
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=FPS)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.options = {"crf": "18"}
        stream.time_base = Fraction(1, FPS)
        for photo in photos:
            image = F.resize(photo, [height, width], antialias=True)
            for _ in range(FRAMES_EACH):
                frame = av.VideoFrame.from_ndarray(
                    image.permute(1, 2, 0).contiguous().numpy(), format="rgb24"
                )
                container.mux(stream.encode(frame))
        container.mux(stream.encode())


def _swapped(photo: Photo, donor: Photo, faces: Mapping[str, Face]) -> Tensor:
    target, source = faces[photo.name].landmarks, faces[donor.name].landmarks
    swapped = swap_faces(load_photo(photo.file), target, load_photo(donor.file), source)
    return swapped.to(torch.uint8)
