"""Does a threshold hold? The false-alarm rate found on test reals, with the chance of both samples.

    python benchmarks/false_alarms.py RUN --data DATA [--false-alarm 0.1]

The interval that `verovolto evaluate` puts beside a realised rate covers the chance in the judged faces alone. Here
the people calibrated on are resampled too: each of 1,000 rounds draws clusters of the calibration reals, sets the
threshold anew, and counts false alarms on a resample of the test reals. Besides, thresholds of the other half of
the validation reals (`choose`) and of both halves show how much depends on who was calibrated on.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from verovolto.calibration.thresholds import Calibration
from verovolto.data.faceset import FaceSet
from verovolto.data.splits import cluster_ids, halve
from verovolto.detectors.base import Detector
from verovolto.detectors.score_faces import score_faces

ROUNDS = 1000


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=Path)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--false-alarm", type=float, default=0.1)
    options = parser.parse_args()
    detector = Detector.load(options.run)
    faces = FaceSet.open(options.data)
    val, test = faces.select(split="val"), faces.select(split="test", label="real")
    choose = halve(val.columns(), seed=detector.metadata["seed"])
    real = np.array(val.columns("label")["label"].to_pylist()) == "real"
    judged = values_and_clusters(detector, test)
    for name, rows in (("calibrate", ~choose), ("choose", choose), ("both", choose | True)):
        held_out = values_and_clusters(detector, val.take(np.flatnonzero(rows & real)))
        found = realised(held_out[0], judged[0], options.false_alarm)
        low, high = interval(held_out, judged, options.false_alarm)
        clusters = len(np.unique(held_out[1]))
        print(
            f"{detector.name} {detector.default_score}: set on {name} ({len(held_out[0])} reals, {clusters} clusters) "
            f"for {options.false_alarm:g}: {found:.3f} [{low:.3f}, {high:.3f}] on {len(judged[0])} test reals"
        )


def values_and_clusters(detector: Detector, faces: FaceSet) -> tuple[np.ndarray, np.ndarray]:
    """Default scores `[n]` and cluster names `[n]` of all faces that can be read."""
    table = score_faces(detector, faces, quiet=True)
    values = table.values(detector.default_score)
    return values[np.isfinite(values)], cluster_ids(table.table)[np.isfinite(values)]


def realised(held_out: np.ndarray, judged: np.ndarray, rate: float) -> float:
    cut = Calibration.of(held_out, score="", clusters=0, cluster="").threshold(rate)
    return float((judged > cut).mean())


def interval(
    held_out: tuple[np.ndarray, np.ndarray], judged: tuple[np.ndarray, np.ndarray], rate: float
) -> tuple[float, float]:
    """95 % percentile interval of the realised rate, both samples drawn anew by cluster."""
    random = np.random.default_rng(0)
    rates = [realised(resample(*held_out, random), resample(*judged, random), rate) for _ in range(ROUNDS)]
    low, high = np.quantile(rates, (0.025, 0.975))
    return float(low), float(high)


def resample(values: np.ndarray, clusters: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """The values of as many clusters, drawn with replacement."""
    names, number = np.unique(clusters, return_inverse=True)
    return values[np.repeat(np.arange(len(values)), np.bincount(random.integers(0, len(names), len(names)),
                                                                minlength=len(names))[number])]  # fmt: skip


if __name__ == "__main__":
    main()
