"""Watch a folder: scan whatever is dropped into it, and add the verdict to a table.

    python examples/watch_folder.py INBOX verdicts.csv
    python examples/watch_folder.py INBOX verdicts.csv --once    # what is there now, then stop

A file is scanned once it has stopped growing. The table is the memory: what stands in it is not scanned again.
"""

from __future__ import annotations

import argparse
import csv
import time
from collections.abc import Iterator
from pathlib import Path

from verovolto import Detector

COLUMNS = ("file", "bytes", "modified", "verdict", "p_value", "why")


def known(table: Path) -> set[tuple[str, str, str]]:
    """Files in the table, by name, size and time: one that was replaced is another."""
    if not table.exists():
        return set()
    with table.open(newline="", encoding="utf-8") as handle:
        return {(row["file"], row["bytes"], row["modified"]) for row in csv.DictReader(handle)}


def arrived(inbox: Path, done: set[tuple[str, str, str]], quiet: float) -> Iterator[tuple[str, str, str]]:
    """Files that are new, and have not changed for `quiet` seconds."""
    for file in sorted(path for path in inbox.rglob("*") if path.is_file()):
        facts = file.stat()
        key = (str(file.relative_to(inbox)), str(facts.st_size), str(facts.st_mtime_ns))
        if key not in done and time.time() - facts.st_mtime >= quiet:
            yield key


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("inbox", type=Path)
    parser.add_argument("table", type=Path)
    parser.add_argument(
        "--detector", default="default", help="its folder, or the name of one that comes along"
    )
    parser.add_argument("--once", action="store_true")
    parser.add_argument("--quiet", type=float, default=5.0, help="seconds without a change")
    given = parser.parse_args()
    detector = Detector.from_pretrained(given.detector)
    while True:
        done = known(given.table)
        for key in arrived(given.inbox, done, 0.0 if given.once else given.quiet):
            [file] = detector.scan(given.inbox / key[0]).files
            why = "; ".join((*file.reasons, *file.problems))
            p = "" if file.p_value is None else f"{file.p_value:.4f}"
            with given.table.open("a", newline="", encoding="utf-8") as handle:
                writer = csv.writer(handle)
                if handle.tell() == 0:
                    writer.writerow(COLUMNS)
                writer.writerow([*key, file.verdict or file.status, p, why])
        if given.once:
            return
        time.sleep(given.quiet)


if __name__ == "__main__":
    main()
