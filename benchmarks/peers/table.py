"""A Markdown table of peers, out of the folders that `verovolto evaluate --scores` wrote.

python benchmarks/peers/table.py RESULT... > table.md
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

RATE = "far_0.05"
HEAD = ("result", "reals, fakes", "AUROC", "pairwise accuracy", "false alarms", "missed")


def row(name: str, metrics: dict[str, Any]) -> list[str]:
    """Cells of one result; the last two at the threshold of its own held-out reals for 5 %."""
    threshold = next((each for each in metrics["thresholds"] if each["name"] == RATE), {})
    figures = [metrics["auroc"], metrics.get("pairs_ordered"), threshold.get("false_alarm_rate"),
               threshold.get("missed_fakes")]  # fmt: skip
    return [name, "{real}, {fake}".format(**metrics["faces"]), *map(figure, figures)]


def figure(value: dict[str, Any] | None) -> str:
    """`0.430 [0.401, 0.462]`; empty where there is none."""
    if value is None or value["value"] is None:
        return ""
    return "{value:.3f} [{low:.3f}, {high:.3f}]".format(**value)


if __name__ == "__main__":
    results = [Path(word) for word in sys.argv[1:]]
    rows = [row(path.name, json.loads((path / "metrics.json").read_text())) for path in results]
    print("\n".join(f"| {' | '.join(cells)} |" for cells in [HEAD, ["---"] * len(HEAD), *rows]))
