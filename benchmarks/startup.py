"""How long `import verovolto` and `verovolto --help` take, in starts of a bare interpreter; and the first score.

    python benchmarks/startup.py [--rounds 20] [--photo FILE] [--score-rounds 5]

Each round starts all of them in turn. A ratio is the median over rounds of a start's time over that of the bare
interpreter of its own round: seconds from call to end, and seconds of CPU, which other work on the machine hardly
changes. The aims: an import below 0.1 s above the bare start, `--help` below 12 starts.

With --photo, a photograph with a face, a second table has `import torch, torchvision` and the scan of that photograph
by the default detector, from the call to the printed verdict, in turn; the ratio is of their CPU. The aim: below 1.5.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import time
from pathlib import Path
from statistics import median

SCRIPT = "from verovolto.cli import main; main()"
"""What the installed command `verovolto` is."""
BARE = "bare interpreter"
STARTS = {
    BARE: ["-c", "pass"],
    "import verovolto": ["-c", "import verovolto"],
    "verovolto --help": ["-c", SCRIPT, "--help"],
    "verovolto train --help": ["-c", SCRIPT, "train", "--help"],
}


LIBRARIES = "import torch, torchvision"


def seconds(words: list[str]) -> tuple[float, float]:
    """Of one start: from the call to the end of the process, and of CPU."""
    source = str(Path(__file__).parents[1] / "src")
    began, before = time.perf_counter(), _cpu()
    subprocess.run(
        [sys.executable, *words],
        check=True,
        stdout=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": source},
    )
    return time.perf_counter() - began, _cpu() - before


def _cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--photo", type=Path, help="a photograph with a face: times the first score, too")
    parser.add_argument("--score-rounds", type=int, default=5)
    given = parser.parse_args()
    rounds = given.rounds
    for words in STARTS.values():  # compiles what is not compiled, fills the system's caches
        seconds(words)
    taken = [{name: seconds(words) for name, words in STARTS.items()} for _ in range(rounds)]
    print(f"{'':24}{'seconds':>9}{'above bare':>12}{'starts':>8}{'in CPU':>8}   medians of {rounds} rounds")
    for name in STARTS:
        own = median(each[name][0] for each in taken)
        more = median(each[name][0] - each[BARE][0] for each in taken)
        wall, cpu = (median(each[name][kind] / each[BARE][kind] for each in taken) for kind in (0, 1))
        print(f"{name:24}{own:9.3f}{more:12.3f}{wall:8.1f}{cpu:8.1f}")
    if given.photo is not None:
        first_score(given.photo, given.score_rounds)


def first_score(photo: Path, rounds: int) -> None:
    """Print how long the first score takes against what its libraries take."""
    starts = {
        LIBRARIES: ["-c", LIBRARIES],
        "scan of a photograph": ["-c", SCRIPT, "scan", str(photo), "--workers", "0"],
    }
    for words in starts.values():
        seconds(words)
    taken = [{name: seconds(words) for name, words in starts.items()} for _ in range(rounds)]
    print(f"\n{'':32}{'seconds':>9}{'CPU s':>9}{'ratio':>8}   medians of {rounds} rounds")
    for name in starts:
        wall, cpu = (median(each[name][kind] for each in taken) for kind in (0, 1))
        ratio = median(each[name][1] / each[LIBRARIES][1] for each in taken)
        print(f"{name:32}{wall:9.2f}{cpu:9.2f}{ratio:8.2f}")


if __name__ == "__main__":
    main()
