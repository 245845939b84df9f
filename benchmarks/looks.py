"""A tight and a wide look at the same faces: each alone, and their sums.

    for LOOK in dfdc ffpp: python benchmarks/sources.py features WORK-LOOK --faces FACES --data FACES/fairface-LOOK \
        --look LOOK --limit 500 --forgeries 600 --forged-of --thin 3 \
        --held-out ffpp-crops-LOOK celebdf-clips-LOOK fairface-LOOK/val
    python benchmarks/looks.py WORK-dfdc WORK-ffpp --faces FACES

FACES holds what `verovolto prepare` made of FairFace, CelebA, the clips, Celeb-DF and the crops of FaceForensics++ by
both rules. A row a shrinkage, source of forgeries and set: AUROC of frames and of videos (means of their frames) on
the faces that both looks found, the scores of each look in units of the spread of FairFace's validation reals.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from sources import Study, auroc_by_video, is_fake
from verovolto.data.splits import video_keys
from verovolto.detectors.region_discriminant.features import FeatureSpec
from verovolto.detectors.region_discriminant.linear_head import fit_head

SPEC = FeatureSpec(backbone="clip-vit-b16", layers=(6,), regions=("inner",), tokens=tuple(range(4, 12)))
LOOKS, TESTS, REALS = ("dfdc", "ffpp"), ("ffpp-crops", "celebdf-clips"), "fairface"
WEIGHTS = ((1, 0), (0, 1), (1, 1), (2, 1), (1, 2))
Array = NDArray[Any]


def scores(
    study: Study, look: str, *, shrinkage: float, forged_of: str | None
) -> dict[str, tuple[pa.Table, Array]]:
    """Rows and scores of the sets tested on, by name."""
    measured, of_pairs = study.measured(), study.steps.pair_sources
    used = np.ones(len(of_pairs), dtype=bool) if forged_of is None else of_pairs == forged_of
    kinds = [kind for kind, kept in zip(measured.kinds, used, strict=True) if kept]
    part = replace(measured.part(SPEC), differences=measured.part(SPEC).differences[used], kinds=kinds)
    head = fit_head(part, shrinkage=shrinkage, wear=3.0, source_weight=1.0)
    at = SPEC.positions(measured.spec)

    def scored(name: str) -> tuple[pa.Table, Array]:
        table, features = study.held_out(name)
        return table, (features[:, at].astype(np.float64) - head.origin) @ head.slope

    reals = scored(f"{REALS}-{look}/val")[1]
    found = {name: scored(f"{name}-{look}") for name in TESTS}
    return {name: (table, (values - reals.mean()) / reals.std()) for name, (table, values) in found.items()}


def aurocs(table: pa.Table, values: Array) -> str:
    """AUROC of frames and of videos."""
    return f"{roc_auc_score(is_fake(table), values):.3f}, {auroc_by_video(table, values):.3f}"


def rows_of(table: pa.Table) -> dict[str, int]:
    """Row numbers by video and frame."""
    frames = table["frame"].to_pylist()
    return {
        f"{video}/{frame}": row
        for row, (video, frame) in enumerate(zip(video_keys(table), frames, strict=True))
    }


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("works", type=Path, nargs=2)
    parser.add_argument("--faces", type=Path, required=True)
    given = parser.parse_args()
    studies = [
        Study(
            work,
            given.faces,
            given.faces / f"{REALS}-{look}",
            0,
            limit=500,
            forgeries=600,
            look=look,
            thin=3,
            forged_of=(),
        )
        for work, look in zip(given.works, LOOKS, strict=True)
    ]
    names = [":".join(map(str, pair)) for pair in WEIGHTS]
    print(
        f"| shrinkage, forged of, set | faces | {' | '.join(names)} | correlation |\n|{'---|' * (len(names) + 3)}"
    )
    for shrinkage in (3.0, 30.0):
        for forged_of in (None, REALS):
            both = [
                scores(study, look, shrinkage=shrinkage, forged_of=forged_of)
                for study, look in zip(studies, LOOKS, strict=True)
            ]
            for name in TESTS:
                (table, tight), (other, wide) = (found[name] for found in both)
                at, there = rows_of(other), rows_of(table)
                shared = [key for key in there if key in at]
                rows = [there[key] for key in shared]
                a, b = tight[rows], wide[[at[key] for key in shared]]
                cells = [aurocs(table.take(rows), x * a + y * b) for x, y in WEIGHTS]
                print(
                    f"| {shrinkage:g}, {forged_of or 'all'}, {name} | {len(rows)} | {' | '.join(cells)} | "
                    f"{np.corrcoef(a, b)[0, 1]:.2f} |",
                    flush=True,
                )


if __name__ == "__main__":
    main()
