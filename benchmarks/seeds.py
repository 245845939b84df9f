"""How much a detector's figures hang on the seed: which faces are learned from, and what is forged of them, and how.

    python benchmarks/seeds.py WORK --faces FACES [--data DFDC] [--seeds 0 1 2] [--limit 400] [--forgeries 600]

The sets in FACES, and how features are kept in WORK, are those of `sources.py`. Every seed draws its own faces,
pseudo-fakes and corruptions; the faces tested on are the same, their features taken once (over the regions of the first
seed's average face, which hardly differs from the others'). Prints a row a seed, the mean and the standard deviation.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa
from sklearn.metrics import roc_auc_score

from sources import CALIBRATED, RATE, WEIGHTS, Array, Held, Study
from verovolto.data.splits import video_keys
from verovolto.detectors.region_discriminant.features import FeatureSpec
from verovolto.detectors.region_discriminant.fisher import Discriminant
from verovolto.detectors.region_discriminant.linear_head import fit_head, left_out

BACKBONE = "clip-vit-b16"
VIDEOS = ("celebdf-clips-dfdc", "ffpp-crops-dfdc")


def figures(study: Study, found: Mapping[str, Held]) -> dict[str, float]:
    """The figures of one seed by name."""
    measured = study.measured()
    spec = FeatureSpec.default(BACKBONE)
    at = spec.positions(measured.spec)
    part = measured.part(spec)
    head = fit_head(part, **WEIGHTS)
    reals = _calibrated(study, found, at)
    threshold = max(np.quantile(_scores(head, each), 1 - RATE, method="higher") for each in reals.values())
    table, features = found["dfdc/test"]
    scores, fake = _scores(head, features[:, at]), _fake(table)
    result = {
        "DFDC test, AUROC": float(roc_auc_score(fake, scores)),
        "pairs in order, %": 100 * _pairs_in_order(table, scores),
        "reals flagged, %": 100 * float((scores[~fake] > threshold).mean()),
        "fakes missed, %": 100 * float((scores[fake] <= threshold).mean()),
    }
    for name in VIDEOS:
        result[f"{name.removesuffix('-dfdc')} by video"] = _by_video(found[name], head, at)
    without = left_out(part, study.steps.pair_sources, reals, **WEIGHTS)
    return result | {f"{source} left out, %": 100 * each["share"] for source, each in without.items()}


def _calibrated(study: Study, found: Mapping[str, Held], at: Array) -> dict[str, Array]:
    """Features of reals that nothing is fitted to, by source."""
    learned = study.steps.data.train.columns("source_video")["source_video"].to_pylist()
    reals = {}
    for source, name in CALIBRATED.items():
        table, features = found[name]
        rows = ~_fake(table)
        if source == "real-clips":
            clips = np.asarray(table["source_video"].to_pylist(), dtype=object)
            rows &= ~np.isin(clips, list({*learned}))
        reals[source] = features[rows][:, at]
    return reals


def _scores(head: Discriminant, features: Array) -> Array:
    return np.asarray((features.astype(np.float64) - head.origin) @ head.slope)


def _fake(table: pa.Table) -> Array:
    return np.asarray(table["label"].to_pylist()) == "fake"


def _by_video(held: Held, head: Discriminant, at: Array) -> float:
    """AUROC of videos, each by the mean score of its frames."""
    table, features = held
    _, of_video = np.unique(video_keys(table), return_inverse=True)
    fake = np.bincount(of_video, _fake(table)) > 0
    sums = np.bincount(of_video, _scores(head, features[:, at]))
    return float(roc_auc_score(fake, sums / np.bincount(of_video)))


def _pairs_in_order(table: pa.Table, scores: Array) -> float:
    """Share of fakes that score higher than the real crop of the same frame, where both are there."""
    fake, of = _fake(table), table["pair"].to_pylist()
    real = {name: score for name, score, one in zip(of, scores, fake, strict=True) if not one}
    ordered = [
        score > real[name] for name, score, one in zip(of, scores, fake, strict=True) if one and name in real
    ]
    return float(np.mean(ordered))


def main() -> None:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("work", type=Path)
    parser.add_argument("--faces", type=Path, required=True)
    parser.add_argument("--data", type=Path, default=Path("../shared/data/dfdc-faces"))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--limit", type=int, default=400, help="faces of a source that are learned from")
    parser.add_argument("--forgeries", type=int, default=600)
    parser.add_argument("--thin", type=int, default=3, help="one in so many faces of the sets tested on")
    parser.add_argument("--size", type=int, help="side in pixels; default: the backbone's")
    given = parser.parse_args()
    studies = [
        Study(
            given.work, given.faces, given.data, seed, limit=given.limit, forgeries=given.forgeries,
            untouched=4 * given.limit, thin=given.thin, size=given.size,
        )
        for seed in given.seeds
    ]  # fmt: skip
    found = {name: studies[0].held_out(name) for name in ("dfdc/test", *CALIBRATED.values(), *VIDEOS)}
    rows = [figures(study, found) for study in studies]
    print(f"| seed | {' | '.join(rows[0])} |\n|{'---|' * (1 + len(rows[0]))}")
    values = np.asarray([list(row.values()) for row in rows])
    lines = [*zip(given.seeds, values, strict=True), ("mean", values.mean(0)), ("sd", values.std(0, ddof=1))]
    for name, line in lines:
        cells = (
            f"{value:.1f}" if column.endswith("%") else f"{value:.3f}"
            for column, value in zip(rows[0], line, strict=True)
        )
        print(f"| {name} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
