"""How fast a detector scores in torch, ONNX Runtime and OpenVINO, in turn, as ratios; and how far their scores differ.

    python benchmarks/export.py DETECTOR EXPORTED... --faces SET [--split test] [--count 64] [--batch 16] [--rounds 5]

EXPORTED are folders that `verovolto export DETECTOR` wrote. All score the same real faces, decoded before, on one
thread; they take turns, and a figure is the median over the rounds. Faces a second count seconds of CPU; the ratio is
to the detector in torch, above 1 where the exported one is faster; the difference is the largest of a default score.
"""

from __future__ import annotations

import argparse
import statistics
import time
from pathlib import Path

import torch

from verovolto.data.face_batch import FaceBatch
from verovolto.data.faceset import FaceSet
from verovolto.detectors.base import Detector, load_detector
from verovolto.detectors.exported.detector import ExportedDetector, processor
from verovolto.detectors.io import detector_folder


def scored(detector: Detector, batches: list[FaceBatch]) -> tuple[torch.Tensor, float]:
    """The default scores, and the seconds of CPU that they took."""
    begin = time.process_time()
    scores = torch.cat([detector.score_batch(batch).score for batch in batches])
    return scores, time.process_time() - begin


def title(detector: Detector) -> str:
    if isinstance(detector, ExportedDetector):
        return f"{detector.runtime} {detector.record.get('version', '')}"
    return f"torch {torch.__version__}"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("detector")
    parser.add_argument("exported", nargs="+", type=Path)
    parser.add_argument("--faces", type=Path, required=True)
    parser.add_argument("--split", default="test")
    parser.add_argument("--count", type=int, default=64)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    torch.set_num_threads(1)
    detectors = [load_detector(detector_folder(given.detector)), *map(load_detector, given.exported)]
    reals = FaceSet.open(given.faces).select(split=given.split, label="real")
    images = [reals.image(row) for row in range(min(given.count, len(reals)))]
    batches = [
        FaceBatch(images=images[i : i + given.batch], encoded_bytes=[None] * len(images[i : i + given.batch]))
        for i in range(0, len(images), given.batch)
    ]
    reference = [scored(detector, batches)[0] for detector in detectors]  # opens networks, too
    taken: list[list[float]] = [[] for _ in detectors]
    for _ in range(given.rounds):
        for times, detector in zip(taken, detectors, strict=True):
            times.append(scored(detector, batches)[1])
    print(f"{len(images)} faces in batches of {given.batch}, {given.rounds} rounds, {processor()}\n")
    print("| runtime | faces a CPU second | ratio | largest difference |\n|---|---|---|---|")
    for detector, times, scores in zip(detectors, taken, reference, strict=True):
        ratio = statistics.median(a / b for a, b in zip(taken[0], times, strict=True))
        speed = len(images) / statistics.median(times)
        difference = float((scores - reference[0]).abs().max())
        print(f"| {title(detector)} | {speed:.1f} | {ratio:.2f} | {difference:.1g} |")


if __name__ == "__main__":
    main()
