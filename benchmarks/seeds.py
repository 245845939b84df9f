"""How much a detector's figures hang on the seed: which faces are learned from, and what is forged of them, and how.

    python benchmarks/seeds.py WORK --faces FACES [--data DFDC] [--seeds 0 1 2] [--limit 400] [--forgeries 600]

The sets in FACES, and how features are kept in WORK, are those of `sources.py`. Every seed draws its own faces,
pseudo-fakes and corruptions; the faces tested on are the same, their features taken once (over the regions of the first
seed's average face, which hardly differs from the others'). Prints a row a seed, the mean, the standard deviation, and
what one head makes of all that the seeds have drawn.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
from sklearn.metrics import roc_auc_score

from sources import WEIGHTS, Array, Held, Study, auroc_by_video, is_fake, study_parser
from verovolto.detectors.region_discriminant.features import FeatureSpec
from verovolto.detectors.region_discriminant.linear_head import (
    Fitted,
    HeldOut,
    Measured,
    left_out,
    threshold,
)

BACKBONE = "clip-vit-b16"
VIDEOS = ("celebdf-clips-dfdc", "ffpp-crops-dfdc")


@dataclass(frozen=True, kw_only=True)
class Reals:
    """Real faces that no head is fitted to, by source: to choose the spread on, and to calibrate on."""

    chosen: HeldOut
    held_out: HeldOut
    own_place: Collection[str]


def figures(
    part: Measured, of_pairs: Array, reals: Reals, found: Mapping[str, Held], at: Array
) -> dict[str, float]:
    """The figures of what one head is fitted to, by name; `at`: its columns among those of `found`."""
    score = Fitted.fit(part, reals.chosen, **WEIGHTS)
    limit = threshold({source: score(each) for source, each in reals.held_out.items()}, reals.own_place)
    table, features = found["dfdc/test"]
    scores, fake = score(features[:, at]), is_fake(table)
    result = {
        "DFDC test, AUROC": float(roc_auc_score(fake, scores)),
        "pairs in order, %": 100 * pairs_in_order(table, scores),
        "reals flagged, %": 100 * float((scores[~fake] > limit).mean()),
        "fakes missed, %": 100 * float((scores[fake] <= limit).mean()),
    }
    for name in VIDEOS:
        table, features = found[name]
        scores = score(features[:, at])
        result[f"{name.removesuffix('-dfdc')} by video, AUROC"] = auroc_by_video(table, scores)
        result[f"{name.removesuffix('-dfdc')} reals flagged, %"] = 100 * float(
            (scores[~is_fake(table)] > limit).mean()
        )
    without = left_out(part, of_pairs, reals.held_out, reals.chosen, own_place=reals.own_place, **WEIGHTS)
    return result | {f"{source} left out, %": 100 * each["share"] for source, each in without.items()}


def together(parts: Sequence[Measured]) -> Measured:
    """What all seeds have measured, for one head."""
    return replace(
        parts[0],
        reals=np.concatenate([part.reals for part in parts]),
        sources=np.concatenate([part.sources for part in parts]),
        differences=np.concatenate([part.differences for part in parts]),
        corrupted=np.concatenate([part.corrupted for part in parts]),
        kinds=[kind for part in parts for kind in part.kinds],
    )


def pairs_in_order(table: pa.Table, scores: Array) -> float:
    """Share of fakes that score higher than the real crop of the same frame, where both are there."""
    fake, of = is_fake(table), table["pair"].to_pylist()
    real = {name: score for name, score, one in zip(of, scores, fake, strict=True) if not one}
    ordered = [
        score > real[name] for name, score, one in zip(of, scores, fake, strict=True) if one and name in real
    ]
    return float(np.mean(ordered))


def main() -> None:
    """Run what the command line asks for."""
    parser = study_parser(__doc__, limit=400, forgeries=600, thin=3)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--size", type=int, help="side in pixels; default: the backbone's")
    given = parser.parse_args()
    studies = [
        Study(
            given.work, given.faces, given.data, seed, limit=given.limit, forgeries=given.forgeries,
            untouched=4 * given.limit, thin=given.thin, size=given.size,
        )
        for seed in given.seeds
    ]  # fmt: skip
    found = {name: studies[0].held_out(name) for name in ("dfdc/test", *VIDEOS)}
    spec, parts, of_pairs = FeatureSpec.default(BACKBONE), [], []
    for study in studies:
        measured = study.measured()
        parts.append(measured.part(spec))
        of_pairs.append(study.steps.pair_sources)
    at = spec.positions(measured.spec)
    with studies[0].steps.run:  # type: ignore[attr-defined]
        first = studies[0].steps
        held_out = {name: reals[:, at] for name, reals in first.held_out().items()}
        reals = Reals(chosen=first.chosen(spec), held_out=held_out, own_place=first.own_place)
    rows = [figures(part, of, reals, found, at) for part, of in zip(parts, of_pairs, strict=True)]
    all_of_them = figures(together(parts), np.concatenate(of_pairs), reals, found, at)
    print(f"| seed | {' | '.join(rows[0])} |\n|{'---|' * (1 + len(rows[0]))}")
    values = np.asarray([list(row.values()) for row in rows])
    lines = [
        *zip(given.seeds, values, strict=True), ("mean", values.mean(0)), ("sd", values.std(0, ddof=1)),
        ("together", [*all_of_them.values()]),
    ]  # fmt: skip
    for name, line in lines:
        cells = (
            f"{value:.1f}" if column.endswith("%") else f"{value:.3f}"
            for column, value in zip(rows[0], line, strict=True)
        )
        print(f"| {name} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
