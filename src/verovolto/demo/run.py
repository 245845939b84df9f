"""The demonstration: face set, training, evaluation, and scans of a photograph and a video, true and forged."""

from __future__ import annotations

import shlex
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import IO

import av
import torch
from torch import Tensor
from torchvision.transforms.v2 import functional as F

from verovolto import __version__
from verovolto.core.errors import CalibrationError, WeightsError
from verovolto.core.files import write_text
from verovolto.core.workdir import claim, lock
from verovolto.data.crop_rule import TIGHT
from verovolto.data.faceset import FaceSet
from verovolto.demo.faces import (
    CREDIT,
    Photo,
    build_set,
    divide,
    find_faces,
    load_photo,
    lossless_png,
    orl_photos,
)
from verovolto.evaluation.run import evaluate
from verovolto.faces.detection.base import Face
from verovolto.faces.detection.mtcnn import MTCNNDetector
from verovolto.report.evaluation_page import summary, write_report
from verovolto.report.scan_output import ScanOutput
from verovolto.report.scan_text import text_table
from verovolto.scanning.request import ScanRequest
from verovolto.synthesis.face_swap import swap_faces
from verovolto.training.config import configure
from verovolto.training.fit import run as train

SETTINGS, LANDMARKS = "demo.json", "landmarks.json"
SIZE, BATCH_SIZE = 64, 32
FACES, RUN, RESULT, EXAMPLES = "orl-faces", "run", "test", "examples"
NOTICE = (
    "This is a demonstration: {train} photographs of a few people, a network of {size} x {size} pixels trained "
    "for {epochs} epochs, and simple face swaps as the forgeries to find. It shows the whole job from "
    "photographs to report; its figures say nothing about deepfakes at large. "
    "Photographs: AT&T Laboratories Cambridge."
)
SWAPS = (
    "These swaps are simple ones, made by verovolto: to find them says nothing of others. What the detectors miss of "
    "known deepfakes, each scan says."
)


def run_demo(out: Path, *, epochs: int, seed: int, force: bool = False) -> Path:
    """Build the face set, train, evaluate and scan, or go on where an earlier demonstration was.

    Args:
        out: Folder for everything that is written.
        epochs: Passes over the training photographs.
        seed: Of who is in which split, of the swaps and of the training.
        force: Begin anew: delete what an earlier demonstration wrote into the folder.

    Returns:
        The page of the scan by the detector that comes along, else by the one that was trained.

    Raises:
        InputError: When the photographs are not installed, `out` holds something else, or another demonstration is at
            work there.
    """
    photos = orl_photos()
    _begin(out, seed, force)
    with _alone(out):
        return _run(out, photos, epochs, seed)


def _run(out: Path, photos: Sequence[Photo], epochs: int, seed: int) -> Path:
    found = find_faces(photos, MTCNNDetector(), out / LANDMARKS)
    faces = build_set(photos, found, out / FACES, rule=TIGHT, seed=seed)
    print(f"faces: {len(found)} of {len(photos)} photographs show one, the set lies in {faces}")
    config = configure(
        data=faces,
        model="resnet-ocvae2",
        out=out / RUN,
        size=SIZE,
        epochs=epochs,
        batch_size=BATCH_SIZE,
        seed=seed,
        # One thread in full precision: every machine gets the same figures, and a busy one is hardly slower.
        threads=1,
        precision="32",
    )
    evaluation = evaluate(train(config), faces)
    trained = len(FaceSet.open(faces).select(split="train", label="real"))
    notice = NOTICE.format(train=trained, size=SIZE, epochs=epochs)
    report = write_report(evaluation, out / RESULT, notice=notice)
    print(summary(evaluation.metrics, evaluation.settings.false_alarm))
    examples = write_examples(photos, found, out / EXAMPLES, seed=seed)
    pages = scan_examples(examples, {"default": None, "trained": out / RUN}, out / SCANS)
    print(f"\n{SWAPS}\nevaluation of what was trained: {report.resolve()}")
    return pages[0]


def _begin(out: Path, seed: int, force: bool) -> None:
    """Make the folder, or check that it holds a demonstration of the same settings to go on with.

    With `force` what a demonstration writes is deleted, and nothing else; faces found in the photographs stay true.
    """

    def clear() -> None:
        with _alone(out):
            for name in (FACES, f".{FACES}.part", RUN, RESULT, EXAMPLES, f".{EXAMPLES}.part", SCANS):
                shutil.rmtree(out / name, ignore_errors=True)

    settings = {"version": __version__, "seed": seed}
    claim(out, SETTINGS, settings, what="a demonstration", clear=clear if force else None)


def _alone(out: Path) -> IO[bytes]:
    """The folder's lock: of two demonstrations at once each would write over what the other is at."""
    return lock(
        out,
        refused=f"another demonstration is at work in {out}",
        hint="wait until it has ended, or give another --out",
    )


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
