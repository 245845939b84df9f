"""Calibrate a detector to footage of one's own, and say what that changed.

    python examples/own_footage.py OURS --reals PRESS STREET

PRESS and STREET are folders of photographs and videos of real people, or face sets; each is a source of its own, and
what is promised holds in the worst of them. Use other files to check the promise than to make it:
`verovolto calibrate OURS --check --reals OTHERS`.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from verovolto import Detector
from verovolto.core.errors import CalibrationError
from verovolto.scanning.recalibrate import recalibrate

RATES = (0.01, 0.05, 0.1)


def thresholds(detector: Detector) -> dict[float, float | None]:
    """The threshold of the default score at each rate; None where too few faces were calibrated on."""
    found: dict[float, float | None] = {}
    for rate in RATES:
        try:
            found[rate] = detector.calibration[detector.default_score].threshold(rate)
        except CalibrationError:
            found[rate] = None
    return found


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("out", type=Path)
    parser.add_argument("--reals", type=Path, nargs="+", required=True)
    parser.add_argument("--detector", default="default")
    given = parser.parse_args()
    detector = Detector.from_pretrained(given.detector)
    before = thresholds(detector)
    ours = recalibrate(detector, given.reals, given.out)
    print("\n".join(ours.summary_lines()))
    print("false-alarm rate   threshold before   now")
    for rate, now in thresholds(ours).items():
        shown = ["too few faces" if each is None else f"{each:.3f}" for each in (before[rate], now)]
        print(f"{rate:16.0%}   {shown[0]:>16}   {shown[1]}")


if __name__ == "__main__":
    main()
