"""How long `import verovolto` and `verovolto --help` take, in starts of a bare interpreter.

    python benchmarks/startup.py [--rounds 20]

Each round starts all of them in turn. A ratio is the median over rounds of a start's time over that of the bare
interpreter of its own round: seconds from call to end, and seconds of CPU, which other work on the machine hardly
changes. The aims: an import below 0.1 s above the bare start, `--help` below 12 starts.
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
    rounds = parser.parse_args().rounds
    for words in STARTS.values():  # compiles what is not compiled, fills the system's caches
        seconds(words)
    taken = [{name: seconds(words) for name, words in STARTS.items()} for _ in range(rounds)]
    print(f"{'':24}{'seconds':>9}{'above bare':>12}{'starts':>8}{'in CPU':>8}   medians of {rounds} rounds")
    for name in STARTS:
        own = median(each[name][0] for each in taken)
        more = median(each[name][0] - each[BARE][0] for each in taken)
        wall, cpu = (median(each[name][kind] / each[BARE][kind] for each in taken) for kind in (0, 1))
        print(f"{name:24}{own:9.3f}{more:12.3f}{wall:8.1f}{cpu:8.1f}")


if __name__ == "__main__":
    main()
