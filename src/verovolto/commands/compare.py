"""`verovolto compare`: put several results into one table, with paired differences."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

from verovolto.core.errors import InputError
from verovolto.core.files import check_out

if TYPE_CHECKING:
    from verovolto.data.score_table import ScoreTable


def compare(
    *results: Path,
    baseline: Path | None = None,
    out: Path | None = None,
    score: str | None = None,
    resamples: int = 1000,
    seed: int = 0,
) -> None:
    """Compare the results of several evaluations on the faces they share.

    Prints a table, and the differences to the first result (or to `--baseline`) with intervals on the same
    resamples; "better" stands only where the interval of the difference excludes 0.

    Parameters
    ----------
    results
        Folders that `verovolto evaluate` wrote.
    baseline
        The result that the others are set against; the first one if not given.
    out
        Folder for `comparison.json`, `comparison.md` and `comparison.html`.
    score
        The score to compare in every result; each result's own default if not given.
    resamples
        Bootstrap resamples behind each interval.
    seed
        Seed of the resamples.
    """
    from verovolto.core.files import write_json, write_text
    from verovolto.evaluation.paired import compare_scores
    from verovolto.report.html import render_comparison

    if resamples < 0 or seed < 0:
        raise InputError(f"--resamples {resamples} and --seed {seed} cannot be negative")
    if out is not None:
        check_out(out)
    folders = list(results)
    if baseline is not None:
        folders = [baseline, *(one for one in folders if one.resolve() != baseline.resolve())]
    names = _names(folders)
    tables = [(name, *_read(folder, score)) for name, folder in zip(names, folders, strict=True)]
    comparison = compare_scores(tables, resamples=resamples, seed=seed)
    text = as_markdown(comparison)
    print(text)
    if out is None:
        return
    words = ["verovolto", "compare", *map(str, folders), "--out", str(out), "--seed", str(seed)]
    words += ["--resamples", str(resamples), *(["--score", score] if score else [])]
    write_json(out / "comparison.json", comparison)
    write_text(out / "comparison.md", text + "\n")
    write_text(out / "comparison.html", render_comparison(comparison, shlex.join(words)))
    print(f"\ncomparison: {(out / 'comparison.html').resolve()}")


def as_markdown(comparison: dict[str, Any]) -> str:
    """The comparison as two Markdown tables that read well as plain text."""
    from verovolto.report.evaluation_text import estimate

    results = comparison["results"]
    keys = list(results[0]["figures"])
    rows = [[one["name"], one["score"], *(estimate(one["figures"][key]) for key in keys)] for one in results]
    changes = [[one["name"], *(_change(one["differences"][key]) for key in keys)] for one in results[1:]]
    metadata, faces = comparison["interval"], comparison["faces"]
    return "\n".join(
        [
            *_table(["result", "score", *keys], rows),
            "",
            f"Differences to {comparison['reference']} (lower is better for eer and fpr_at_95_tpr):",
            "",
            *_table(["result", *keys], changes),
            "",
            f"{faces['real']} real and {faces['fake']} fake faces that all of them scored; 95 % intervals "
            f"over {metadata['clusters']} clusters ({metadata['cluster']}), {metadata['resamples']} resamples, seed "
            f"{metadata['seed']}.",
        ]
    )


def _change(difference: dict[str, Any]) -> str:
    value = difference["value"]
    if value is None:
        return "–"
    if difference["low"] is None:
        return f"{value:+.3f}"
    verdict = difference["verdict"]
    said = "" if verdict == "no difference shown" else f" {verdict}"
    return f"{value:+.3f} [{difference['low']:+.3f}, {difference['high']:+.3f}]{said}"


def _table(head: list[str], rows: list[list[str]]) -> list[str]:
    widths = [max(len(row[i]) for row in [head, *rows]) for i in range(len(head))]
    lines = [[cell.ljust(width) for cell, width in zip(row, widths, strict=True)] for row in [head, *rows]]
    rule = ["-" * width for width in widths]
    return ["| " + " | ".join(line) + " |" for line in [lines[0], rule, *lines[1:]]]


def _names(folders: list[Path]) -> list[str]:
    """The folders' own names; with their parents' where those are the same."""
    own = [folder.resolve().name for folder in folders]
    if len(set(own)) == len(own):
        return own
    return ["/".join(folder.resolve().parts[-2:]) for folder in folders]


def _read(folder: Path, score: str | None) -> tuple[ScoreTable, str]:
    from verovolto.data.score_table import ScoreTable

    path = folder / "scores.parquet"
    if not path.is_file():
        there = (
            ", ".join(sorted(one.name for one in folder.iterdir())[:6])
            if folder.is_dir()
            else "no such folder"
        )
        raise InputError(
            f"no scores.parquet in {folder} (there is: {there or 'nothing'})",
            hint="make it with verovolto evaluate",
        )
    table = ScoreTable.read(path)
    chosen = score or _judged(folder / "metrics.json") or table.scores[0]
    table.values(chosen)  # raises the error that lists what is there
    return table, chosen


def _judged(metrics: Path) -> str | None:
    """The score that a `metrics.json` judges, None where there is no such file."""
    if not metrics.is_file():
        return None
    try:
        return str(json.loads(metrics.read_text(encoding="utf-8"))["score"])
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{metrics} is damaged: {error}", hint="make it again with verovolto evaluate"
        ) from error
