"""Why the reconstruction error falls below chance: how much of it is sharpness?

    python benchmarks/explain.py RESULT [--score rmse]

RESULT is a folder that `verovolto evaluate` wrote, of faces in pairs (a fake and the real crop it was made from).
Prints, with 95 % intervals over the same clusters as the evaluation:

- Spearman's correlation of the score with each trivial statistic, over all faces;
- the pairs by what became smaller in the fake, the sharpness or the score or both;
- the AUROC of the score, and of what is left of it when the part that sharpness, bytes and brightness explain
  among the reals (least squares of the logarithms, second order) is taken away. That fit sees the judged reals: it
  explains a result, it is no detector.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from scipy.stats import spearmanr

from verovolto.data.score_table import ScoreTable
from verovolto.evaluation.bootstrap import with_intervals
from verovolto.evaluation.groups import Sample, find_pairs
from verovolto.evaluation.metrics import ranking_statistics


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("result", type=Path)
    parser.add_argument("--score", default="rmse")
    options = parser.parse_args()
    sample = Sample.of(
        ScoreTable.read(options.result / "scores.parquet"), options.score, resamples=1000, seed=0
    )
    score = sample.scores.values(options.score)
    trivial = {name: sample.scores.values(name) for name in sample.scores.baselines}
    for name, values in trivial.items():
        print(f"Spearman of {options.score} and {name}: {spearmanr(score, values).statistic:+.2f}")
    print_pairs(sample, score, trivial["sharpness"], options.score)
    rest = score_given(score, np.stack(list(trivial.values()), axis=1), ~sample.fake)
    for name, values in ((options.score, score), (f"{options.score} given the trivial statistics", rest)):
        auroc = with_intervals(ranking_statistics(values, sample.fake), sample.resamples)["auroc"]
        print(f"AUROC of {name}: {auroc.value:.3f} [{auroc.low:.3f}, {auroc.high:.3f}]")


def print_pairs(sample: Sample, score: np.ndarray, sharpness: np.ndarray, name: str) -> None:
    softer, lower = (
        find_pairs(sample.scores, values, sample.fake).ordered < 0.5 for values in (sharpness, score)
    )
    print(
        f"{len(softer)} pairs: the fake is softer in {softer.mean():.1%}, its {name} lower in {lower.mean():.1%}"
    )
    print(
        f"  its {name} is lower in {lower[softer].mean():.1%} of the softer, {lower[~softer].mean():.1%} of the others"
    )


def score_given(score: np.ndarray, trivial: np.ndarray, real: np.ndarray) -> np.ndarray:
    """Residual of log score on second-order polynomials of the logs of `trivial` `[n, k]`, fitted on `real` rows."""
    logs = np.log(np.maximum(trivial, 1e-9))
    logs = (logs - logs[real].mean(0)) / logs[real].std(0)
    design = np.concatenate([np.ones((len(logs), 1)), logs, logs**2], axis=1)
    fit, *_ = np.linalg.lstsq(design[real], np.log(score[real]), rcond=None)
    return np.asarray(np.log(score) - design @ fit)


if __name__ == "__main__":
    main()
