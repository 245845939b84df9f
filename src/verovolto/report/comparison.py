"""A comparison of results as Markdown and as a page, both from the dictionary of `comparison.json`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from verovolto.evaluation.paired import NO_DIFFERENCE
from verovolto.report.html import environment, estimate


def render_comparison(comparison: Mapping[str, Any], command: str) -> str:
    """The page of a comparison; `command` makes it again."""
    return environment().get_template("compare.html.j2").render(c=comparison, command=command)


def comparison_markdown(comparison: Mapping[str, Any]) -> str:
    """A comparison as two Markdown tables that read well as plain text."""
    results, interval, faces = comparison["results"], comparison["interval"], comparison["faces"]
    keys = list(results[0]["figures"])
    figures = [
        [row["name"], row["score"], *(estimate(row["figures"][key]) for key in keys)] for row in results
    ]
    changes = [[row["name"], *(_difference(row["differences"][key]) for key in keys)] for row in results[1:]]
    return "\n".join(
        [
            *_table(["result", "score", *keys], figures),
            "",
            f"Differences to {comparison['reference']} (lower is better for eer and fpr_at_95_tpr):",
            "",
            *_table(["result", *keys], changes),
            "",
            f"{faces['real']} real and {faces['fake']} fake faces that all of them scored; 95 % intervals "
            f"over {interval['clusters']} clusters ({interval['cluster']}), {interval['resamples']} resamples, seed "
            f"{interval['seed']}.",
        ]
    )


def _difference(difference: Mapping[str, Any]) -> str:
    value, low, high = (difference[name] for name in ("value", "low", "high"))
    if value is None or low is None:
        return "–" if value is None else f"{value:+.3f}"
    verdict = "" if difference["verdict"] == NO_DIFFERENCE else f" {difference['verdict']}"
    return f"{value:+.3f} [{low:+.3f}, {high:+.3f}]{verdict}"


def _table(head: list[str], rows: list[list[str]]) -> list[str]:
    widths = [max(len(row[i]) for row in [head, *rows]) for i in range(len(head))]
    lines = [[cell.ljust(width) for cell, width in zip(row, widths, strict=True)] for row in [head, *rows]]
    rule = ["-" * width for width in widths]
    return ["| " + " | ".join(line) + " |" for line in [lines[0], rule, *lines[1:]]]
