"""Many sources of real faces: the features of all faces, kept and continued, and what a detector makes of them.

    python benchmarks/sources.py features WORK --faces FACES [--data DFDC] [--seed 0]     # and WORK/run-SEED, trained
    python benchmarks/sources.py study WORK --faces FACES --detector RUN [--fairface MANIFEST]
    python benchmarks/sources.py designs WORK --faces FACES --limit 400 --forgeries 600 --forged-of --thin 3

`FACES` holds the sets that `verovolto prepare` made of the collections, all by the rule `dfdc`: `fairface-dfdc`,
`celeba-dfdc`, `real-clips-dfdc` (learned from and calibrated on), `celebdf-clips-dfdc`, `ffpp-clips-dfdc` and
`ffpp-crops-dfdc` (only ever tested on). A pass of the backbone costs a quarter of a second a face on one core, all else
little. `study` prints tables: what the detector flags of each source, by group of people, with and without each source
in training and calibration. `designs` compares parts of the features, and what forgeries are made of: by DFDC's
validation faces, and by pseudo-fakes of kinds and of a source that a head has not seen; give it a WORK of its own.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from verovolto.calibration.input_domain import DISTANCE
from verovolto.calibration.thresholds import share_interval
from verovolto.core.workdir import Rows, compute_chunks
from verovolto.data.faceset import FaceSet
from verovolto.data.score_table import ScoreTable
from verovolto.data.splits import video_keys
from verovolto.detectors.base import load_detector
from verovolto.detectors.region_discriminant.detector import FeatureDetector
from verovolto.detectors.region_discriminant.extraction import OfFaces
from verovolto.detectors.region_discriminant.features import FeatureSpec
from verovolto.detectors.region_discriminant.fit import FitSteps
from verovolto.detectors.region_discriminant.linear_head import Measured, fit_head, left_out, without
from verovolto.detectors.registry import TrainConfig
from verovolto.evaluation.false_alarms import false_alarm_rates, text
from verovolto.evaluation.groups import read_groups
from verovolto.training.config import configure
from verovolto.training.data import load_training_data
from verovolto.training.fit import TrainingRun, resolved, run

RATE = 0.05
Array = NDArray[Any]
Held = tuple[pa.Table, NDArray[np.float32]]
FORGED_OF = ("dfdc-faces", "fairface")
SOURCES = ("fairface", "celeba", "real-clips")
HELD_OUT = (
    "dfdc/val", "celebdf-clips-dfdc", "ffpp-clips-dfdc", "real-clips-dfdc", "celeba-dfdc/val", "fairface-dfdc/val",
    "dfdc/test", "ffpp-crops-dfdc",
)  # fmt: skip
"""Some of the clips are learned from; `ffpp-clips`, `celebdf-clips`, `ffpp-crops`, `dfdc/test` only tested on."""
WEIGHTS = {"shrinkage": 3.0, "wear": 3.0, "source_weight": 1.0}
DESIGNS = (
    ((6, 8), ("inner", "eyes"), (9, 11)), ((6,), ("inner", "eyes"), (9, 11)), ((), (), (9, 11)),
    ((), (), (4, 5, 6, 7)), ((), (), (8, 9, 10, 11)), ((), (), (5, 7, 9, 11)), ((), (), tuple(range(4, 12))),
    ((6,), ("inner",), tuple(range(4, 12))), ((6,), ("inner", "eyes"), tuple(range(4, 12))),
    ((6, 8), ("inner", "eyes"), tuple(range(4, 12))),
)  # fmt: skip
"""Blocks whose maps are used, over which regions, and whose tokens."""


@dataclass(frozen=True)
class Study:
    """The features of one seed, in its folder of `WORK`."""

    work: Path
    faces: Path
    data: Path
    seed: int
    limit: int = 1500
    forgeries: int = 1000
    untouched: int = 3000
    size: int | None = None
    look: str = "dfdc"
    thin: int = 1
    forged_of: tuple[str, ...] = FORGED_OF
    others: tuple[str, ...] = SOURCES

    @property
    def config(self) -> TrainConfig:
        """What is trained: some faces a source at most, and some forgeries of them."""
        return resolved(
            configure(
                model="region-discriminant", data=self.data, out=self.work / f"run-{self.seed}", crop_rule=self.look,
                reals=[self.faces / name for name in self.sources], trunk="clip-vit-b16", limit=self.limit,
                forgeries=self.forgeries, untouched=self.untouched, size=self.size, wear=3.0, seed=self.seed, workers=2,
                forged_of=self.forged_of if self.look == "dfdc" else (),
            )
        )  # fmt: skip

    @property
    def sources(self) -> Sequence[str]:
        """The sets beside `data`; DFDC's crops show nothing of a wider look."""
        return [f"{name}-{self.look}" for name in self.others if f"{name}-{self.look}" != self.data.name]

    @cached_property
    def steps(self) -> FitSteps:
        """The steps of the training that give the features."""
        config = self.config
        this = TrainingRun(config, load_training_data(config), {}, trains=False)  # a finished detector stays
        this.work = self.work / f"train-{self.seed}"
        return FitSteps(config=config, options=config.method, data=this.data(), run=this)  # type: ignore[arg-type]

    def measured(self) -> Measured:
        """Features of what is trained on."""
        with self.steps.run:  # type: ignore[attr-defined]
            return self.steps.measured()

    def faces_of(self, name: str) -> FaceSet:
        """Faces that nothing is fitted to: of `SET/SPLIT`, or of a whole set; `dfdc` is `data`."""
        name, _, split = name.partition("/")
        whole = FaceSet.open(self.data if name == "dfdc" else self.faces / name)
        faces = whole.select(split=split) if split else whole
        return faces.take(one_in(self.thin, faces.columns()))

    def held_out(self, name: str) -> tuple[pa.Table, NDArray[np.float32]]:
        """Rows and features of `faces_of(name)`."""
        faces = self.faces_of(name)
        rows = OfFaces(faces=faces, recipe=self.steps.recipe)
        found = self.kept(name, len(faces), rows, self.work / folder_of(name))
        return faces.columns(), found.astype(np.float32)

    def kept(self, name: str, count: int, rows: Rows[np.float16], folder: Path) -> NDArray[np.float16]:
        """An array that two processes compute and `folder` keeps."""
        with self.steps.run as this:  # type: ignore[attr-defined]
            return compute_chunks(count, rows, folder, workers=2, on_progress=this.task(name, count))


def folder_of(name: str) -> str:
    """The folder of a set's features, by `SET/SPLIT` or `SET`."""
    whole, _, split = name.partition("/")
    return f"{whole}-{split}"


def one_in(many: int, table: pa.Table) -> NDArray[np.int64]:
    """Rows that are kept of a set: the same frames whatever the look."""
    frames = table["frame"].to_pylist() if "frame" in table.column_names else [None] * len(table)
    names = [f"{video}/{frame}".encode() for video, frame in zip(video_keys(table), frames, strict=True)]
    return np.flatnonzero([crc32(name) % many == 0 for name in names])


def study(given: argparse.Namespace) -> None:
    """Print the tables."""
    work = _study(given)
    detector = load_detector(given.detector)
    assert isinstance(detector, FeatureDetector), "a region discriminant"
    found = {name: work.held_out(name) for name in HELD_OUT}
    _table_of_sets(detector, found)
    if given.fairface:
        _table_of_groups(work, detector, found["fairface-dfdc/val"], given.fairface)
    _table_without(work, detector)


def _scored(detector: FeatureDetector, features: Array) -> tuple[Array, Array]:
    """Score and distance of faces by their features (all that were kept)."""
    spec = detector.head.spec
    columns = detector.of_columns(torch.from_numpy(features[:, spec.positions(spec.kept)]))
    score = columns[detector.default_score]
    return score.numpy(), columns.get(DISTANCE, torch.zeros_like(score)).numpy()


def is_fake(table: pa.Table) -> NDArray[np.bool_]:
    """Which faces are forged, `[n]`."""
    return np.asarray(table["label"].to_pylist()) == "fake"


def auroc_by_video(table: pa.Table, scores: Array) -> float:
    """AUROC of videos, each by the mean score of its frames, from scores `[n]` of the rows."""
    _, of_video = np.unique(video_keys(table), return_inverse=True)
    fake = np.bincount(of_video, is_fake(table)) > 0
    return float(roc_auc_score(fake, np.bincount(of_video, scores) / np.bincount(of_video)))


def _table_of_sets(detector: FeatureDetector, found: Mapping[str, Held]) -> None:
    threshold = detector.calibration[detector.default_score].threshold(RATE)
    limit = detector.domain.ranges["distance"][1]
    print("| faces | AUROC | by video | reals flagged | fakes missed | reals, fakes out of the domain |")
    print("|---|---|---|---|---|---|")
    for name, (table, features) in found.items():
        score, distance = _scored(detector, features)
        fake = is_fake(table)
        shares = [share(score[~fake] > threshold), "", share(distance[~fake] > limit), ""]
        rank = ["", ""]
        if fake.any():
            shares[1], shares[3] = share(score[fake] <= threshold), share(distance[fake] > limit)
            several = len(np.unique(video_keys(table))) < len(score)
            rank = [
                f"{roc_auc_score(fake, score):.3f}",
                f"{auroc_by_video(table, score):.3f}" if several else "",
            ]
        print(f"| {name} | {rank[0]} | {rank[1]} | {shares[0]} | {shares[1]} | {shares[2]}, {shares[3]} |")


def _table_of_groups(work: Study, detector: FeatureDetector, held: Held, manifest: Path) -> None:
    rows, features = held
    score = detector.default_score
    scores = rows.append_column("status", [["ok"] * len(rows)]).append_column(
        score, [_scored(detector, features)[0]]
    )
    faces = FaceSet.open(work.faces / "fairface-dfdc").select(split="val")
    rates = false_alarm_rates(
        ScoreTable(table=scores, scores=(score,)), score, detector.calibration[score], RATE,
        groups=read_groups(manifest, faces),
    )  # fmt: skip
    print("\n".join(text(rates, RATE)))


def _table_without(work: Study, detector: FeatureDetector) -> None:
    """What is flagged of a source that takes no part: neither its reals, nor forgeries of them, nor in calibrating."""
    spec, steps = detector.head.spec, work.steps
    at = spec.positions(spec.kept)
    with steps.run:  # type: ignore[attr-defined]
        chosen = steps.chosen(spec)
        reals = {source: features[:, at] for source, features in steps.held_out().items()}
    part = work.measured().part(spec)
    without = left_out(part, steps.pair_sources, reals, chosen, own_place=steps.own_place, **WEIGHTS)
    print("\n| source left out | flagged of its reals |\n|---|---|")
    for source, each in without.items():
        print(f"| {source} | {each['share']:.1%} [{each['low']:.1%}, {each['high']:.1%}] |")


def designs(given: argparse.Namespace) -> None:
    """Print a line a design: AUROC by video on validation, over unseen kinds of an unseen source, and elsewhere."""
    work = _study(given)
    measured, of_pairs = work.measured(), work.steps.pair_sources
    tests = ("dfdc/val", "celebdf-clips-dfdc", "ffpp-crops-dfdc")
    found = {name: work.held_out(name) for name in tests}
    columns = ("block, regions; tokens", "forged of", tests[0], "unseen kinds and source", *tests[1:])
    print(f"| {' | '.join(columns)} |\n|{'---|' * len(columns)}")
    for layers, regions, tokens in DESIGNS:
        spec = FeatureSpec(backbone="clip-vit-b16", layers=layers, regions=regions, tokens=tokens)
        part, at = measured.part(spec), spec.positions(measured.spec)
        for forged_of in (FORGED_OF, tuple(np.unique(of_pairs))):
            used = np.isin(of_pairs, forged_of)
            head = fit_head(_pairs(part, used), **WEIGHTS)
            ranked = []
            for table, features in found.values():
                scores = (features[:, at].astype(np.float64) - head.origin) @ head.slope
                ranked.append(f"{auroc_by_video(table, scores):.3f}")
            print(
                f"| {layers}, {regions}; {tokens} | {', '.join(forged_of)} | {ranked[0]} | "
                f"{_unseen(part, of_pairs, used):.3f} | {' | '.join(ranked[1:])} |",
                flush=True,
            )


def _unseen(measured: Measured, of_pairs: Array, used: Array) -> float:
    """Mean AUROC of pseudo-fakes of a third of the kinds, of a source that the head has not seen, against its reals."""
    kinds = np.unique(measured.kinds, return_inverse=True)[1] % 3
    rng = np.random.default_rng(0)
    found = []
    for source in np.unique(measured.sources):
        for third in range(3):
            part = without(
                _pairs(measured, used & (kinds != third)), source, of_pairs[used & (kinds != third)]
            )
            slope = fit_head(part, **WEIGHTS).slope
            reals = measured.reals[measured.sources == source] @ slope
            moved = measured.differences[(of_pairs == source) & (kinds == third)] @ slope
            fakes = (rng.choice(reals, (len(moved), 30)) + moved[:, None]).ravel()
            found.append(roc_auc_score([0] * len(reals) + [1] * len(fakes), [*reals, *fakes]))
    return float(np.mean(found))


def _pairs(measured: Measured, used: Array) -> Measured:
    """With some of the forgeries alone."""
    kinds = [kind for kind, kept in zip(measured.kinds, used, strict=True) if kept]
    return replace(measured, differences=measured.differences[used], kinds=kinds)


def share(flags: NDArray[np.bool_]) -> str:
    """A share with its 95 % interval, faces taken as independent."""
    low, high = share_interval(int(flags.sum()), len(flags))
    return f"{flags.mean():.1%} [{low:.1%}, {high:.1%}]"


def study_parser(
    description: str | None, *, limit: int, forgeries: int, thin: int
) -> argparse.ArgumentParser:
    """The flags of a `Study`, for all scripts that make one, with defaults of their own."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("work", type=Path)
    parser.add_argument("--faces", type=Path, required=True)
    parser.add_argument("--data", type=Path, default=Path("../shared/data/dfdc-faces"))
    parser.add_argument("--limit", type=int, default=limit, help="faces of a source that are learned from")
    parser.add_argument("--forgeries", type=int, default=forgeries, help="pseudo-fakes made of them")
    parser.add_argument("--thin", type=int, default=thin, help="one in so many faces of the sets tested on")
    return parser


def main() -> None:
    """Run what the command line asks for."""
    parser = study_parser(__doc__, limit=1500, forgeries=1000, thin=1)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--untouched", type=int, default=3000, help="untouched faces at most, all sources together"
    )
    parser.add_argument("--size", type=int, help="side in pixels; default: the backbone's")
    parser.add_argument("--look", default="dfdc", help="the rule by which the sets in FACES are cut")
    parser.add_argument("--held-out", nargs="*", default=HELD_OUT, help="sets whose features are wanted, too")
    parser.add_argument(
        "--forged-of", nargs="*", default=FORGED_OF, help="sources that forgeries are made of"
    )
    parser.add_argument("--detector", type=Path)
    parser.add_argument("--fairface", type=Path)
    given = parser.parse_args()
    if given.what != "features":
        {"study": study, "designs": designs}[given.what](given)
        return
    work = _study(given)
    run(work.config, work=work.work / f"train-{given.seed}")
    for name in given.held_out:
        work.held_out(name)


def _study(given: argparse.Namespace) -> Study:
    return Study(
        given.work, given.faces, given.data, given.seed, limit=given.limit, forgeries=given.forgeries,
        untouched=given.untouched, size=given.size, look=given.look, thin=given.thin, forged_of=tuple(given.forged_of),
    )  # fmt: skip


if __name__ == "__main__":
    main()
