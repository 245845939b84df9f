"""A Markdown table of evaluated models, out of the folders that `verovolto evaluate` wrote.

    python benchmarks/results.py RESULT... > table.md

A row a model: AUROC of each of its scores, the share of pairs its default score orders rightly, and what the
threshold set for a 10 % false-alarm rate does on the judged faces. The trivial statistics, the same whatever the
model, follow once. All figures with 95 % intervals.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

SCORES = ("rmse", "latent", "kl", "elbo")
RATE = "far_0.1"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("results", type=Path, nargs="+")
    folders = parser.parse_args().results
    results = {folder.name: json.loads((folder / "metrics.json").read_text()) for folder in folders}
    print("\n".join(table(results)))


def table(results: dict[str, dict[str, Any]]) -> list[str]:
    """The lines of the table, from `metrics.json` objects by name."""
    aurocs = (f"AUROC {name}" for name in SCORES)
    head = ["model", "score", *aurocs, "pairs ordered rightly", "false alarms", "missed"]
    rows = [model_row(name, metrics) for name, metrics in results.items()]
    first = next(iter(results.values()))
    for name, found in first["baselines"].items():
        figures = [figure(found["auroc"]), "", "", ""]
        rows.append([f"*{name}* (trivial)", "", *figures, figure(found.get("pairs_ordered")), "", ""])
    return ["| " + " | ".join(row) + " |" for row in [head, ["---"] * len(head), *rows]]


def model_row(name: str, metrics: dict[str, Any]) -> list[str]:
    default = metrics["score"]
    by_name = {default: metrics, **metrics["other_scores"]}
    # A plain auto-encoder has no KL term: its constant score says nothing.
    aurocs = [figure(by_name[score]["auroc"]) if informative(by_name[score]) else "–" for score in SCORES]
    threshold = next((one for one in metrics["thresholds"] if one["name"] == RATE), None)
    rates = (
        ["", ""]
        if threshold is None
        else [figure(threshold["false_alarm_rate"]), figure(threshold["missed_fakes"])]
    )
    return [name, default, *aurocs, figure(metrics.get("pairs_ordered")), *rates]


def informative(metrics: dict[str, Any]) -> bool:
    return bool(metrics["ks"]["value"] != 0)


def figure(value: dict[str, Any] | None) -> str:
    """`0.430 [0.401, 0.462]`; the value alone where it has no interval."""
    if value is None or value["value"] is None:
        return ""
    if value["low"] is None or value["high"] is None:
        return f"{value['value']:.3f}"
    return f"{value['value']:.3f} [{value['low']:.3f}, {value['high']:.3f}]"


if __name__ == "__main__":
    main()
