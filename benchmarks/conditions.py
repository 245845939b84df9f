"""What a detector says of real faces in bad condition, and of pictures that are no ordinary faces.

    python benchmarks/conditions.py DETECTOR --faces SET [--split val] [--count 100] [--false-alarm 0.05] [--seed 0]

SET is a face set that nothing was learned from. A row a condition, of as many real faces, drawn by the seed: the share
flagged, and the share out of the detector's domain (`cannot tell`) whatever their score. Turned faces are turned
within their crop; a corner is a quarter of the crop; a sketch is what edges leave of a face; noise has no face at all.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torchvision.transforms.v2 import functional as F

from verovolto.calibration.input_domain import conditions, outside_scores
from verovolto.calibration.thresholds import share_interval
from verovolto.data.corruptions import blur, downscale, jpeg, noise
from verovolto.data.face_batch import FaceBatch, luma
from verovolto.data.faceset import FaceSet
from verovolto.detectors.base import Detector, load_detector
from verovolto.detectors.io import detector_folder

BATCH = 16
Change = Callable[[Tensor, int], Tensor]
"""From a crop, uint8 `[3, H, W]`, and its number to another one."""


def turned(degrees: float) -> Change:
    return lambda image, _: F.rotate(image, degrees, interpolation=F.InterpolationMode.BILINEAR)


def corner(image: Tensor, number: int) -> Tensor:
    height, width = image.shape[1:]
    top, left = (number % 2) * (height // 2), (number // 2 % 2) * (width // 2)
    return image[:, top : top + height // 2, left : left + width // 2].contiguous()


def sketch(image: Tensor, _: int) -> Tensor:
    grey = luma(image.float()[None])[0]
    edges = torch.hypot(*(torch.gradient(grey, dim=dim)[0] for dim in (-2, -1)))
    return (255 - 8 * edges).clamp(0, 255).to(torch.uint8).expand(3, -1, -1).contiguous()


def nothing_but_noise(image: Tensor, number: int) -> Tensor:
    drawn = np.random.default_rng(number).integers(0, 256, image.shape, dtype=np.uint8)
    return torch.from_numpy(drawn)


CONDITIONS: Mapping[str, Change] = {
    "as they are": lambda image, _: image,
    "sides x 0.5": lambda image, _: downscale(image, 0.5).image,
    "blur, sigma 1 % of the side": lambda image, _: blur(image, 1.0).image,
    "noise, sd 5 grey levels": lambda image, number: noise(image, 5.0, number).image,
    "JPEG quality 50": lambda image, _: jpeg(image, 50).image,
    "mirrored": lambda image, _: F.horizontal_flip(image),
    "turned by 10 degrees": turned(10),
    "turned by 20 degrees": turned(20),
    "turned by a quarter": turned(90),
    "upside down": turned(180),
    "a corner of the face": corner,
    "sketches": sketch,
    "noise alone": nothing_but_noise,
}


def judged(detector: Detector, images: list[Tensor]) -> Iterator[tuple[float, bool]]:
    """Score of each crop, and whether it lies outside the detector's domain."""
    calibration = detector.calibration[detector.default_score]
    for start in range(0, len(images), BATCH):
        part = images[start : start + BATCH]
        batch = FaceBatch(images=part, encoded_bytes=[None] * len(part))
        columns = detector.score_batch(batch).columns
        measured = conditions(batch) | {
            name: columns[name] for name in columns if name in detector.domain.ranges
        }
        for row, score in enumerate(columns[detector.default_score].tolist()):
            values = {name: float(of[row]) for name, of in measured.items()}
            yield score, bool(detector.domain.outside(values) or outside_scores(score, calibration))


def share(flags: list[bool]) -> str:
    low, high = share_interval(sum(flags), len(flags))
    return f"{sum(flags) / len(flags):.0%} [{low:.0%}, {high:.0%}]"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("detector", help="a run, a detector's folder, or a name such as default")
    parser.add_argument("--faces", type=Path, required=True)
    parser.add_argument("--split", default="val")
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--false-alarm", type=float, default=0.05)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    detector = load_detector(detector_folder(given.detector))
    reals = FaceSet.open(given.faces).select(split=given.split, label="real")
    rows = np.random.default_rng(given.seed).permutation(len(reals))[: given.count]
    images = [reals.image(int(row)) for row in rows]
    threshold = detector.calibration[detector.default_score].threshold(given.false_alarm)
    print(f"{len(images)} real faces of {given.faces.name}, {given.split}, at {given.false_alarm:.0%}\n")
    print("| condition | flagged, and in the domain | out of the domain |\n|---|---|---|")
    for name, change in CONDITIONS.items():
        found = list(judged(detector, [change(image, number) for number, image in enumerate(images)]))
        flagged = [score > threshold and not outside for score, outside in found]
        print(f"| {name} | {share(flagged)} | {share([outside for _, outside in found])} |", flush=True)


if __name__ == "__main__":
    main()
