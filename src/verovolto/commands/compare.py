"""`verovolto compare`: put several results into one table, with paired differences."""

from __future__ import annotations

import shlex
from pathlib import Path

from verovolto.core.errors import InputError
from verovolto.core.files import check_out


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
    from verovolto.evaluation.paired import compare_scores, read_results
    from verovolto.report.evaluation_text import comparison_markdown, render_comparison

    if resamples < 0 or seed < 0:
        raise InputError(f"--resamples {resamples} and --seed {seed} cannot be negative")
    if out is not None:
        check_out(out)
    folders = list(results)
    if baseline is not None:
        folders = [baseline, *(each for each in folders if each.resolve() != baseline.resolve())]
    comparison = compare_scores(read_results(folders, score), resamples=resamples, seed=seed)
    text = comparison_markdown(comparison)
    print(text)
    if out is None:
        return
    command = ["verovolto", "compare", *map(str, folders), "--out", str(out), "--seed", str(seed)]
    command += ["--resamples", str(resamples), *(["--score", score] if score else [])]
    write_json(out / "comparison.json", comparison)
    write_text(out / "comparison.md", text + "\n")
    write_text(out / "comparison.html", render_comparison(comparison, shlex.join(command)))
    print(f"\ncomparison: {(out / 'comparison.html').resolve()}")
