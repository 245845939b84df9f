"""What each part of the region discriminant gives: the table of variants in docs/lab-notebook.md.

    python benchmarks/discriminant.py --data DATA --work DIR [--only NAME...]

Features are taken once for each set of pictures (kept block by block in --work, so a stopped run goes on; it holds
features of single faces and is not to be passed on), heads are fitted in closed form. Every variant is judged on the
`choose` half of the validation faces, against the design without wear on the same resamples of the same people:

- AUROC and the share of pairs ordered rightly, with 95 % intervals, and the paired difference of the AUROC;
- at the threshold of a 5 % false-alarm rate on the `calibrate` reals: fakes flagged, reals flagged, and corrupted reals
  flagged (`synthesis.pseudo_fakes.benign_corruptions`, drawn anew), which no forgery touched.

The table goes to DIR/table-GROUPS.md. On one thread about an hour.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from sklearn.neighbors import NearestNeighbors

from verovolto.calibration.input_domain import conditions
from verovolto.calibration.thresholds import Calibration
from verovolto.core.files import write_text
from verovolto.core.workdir import compute_chunks
from verovolto.data.face_batch import FaceBatch, Preprocessing
from verovolto.data.faceset import FaceSet
from verovolto.data.score_table import METADATA_COLUMNS, ScoreTable
from verovolto.data.splits import halve
from verovolto.detectors.region_discriminant.extraction import (
    SIDE,
    OfFaces,
    OfPairs,
    Recipe,
    read_face,
)
from verovolto.detectors.region_discriminant.features import FeatureSpec
from verovolto.detectors.region_discriminant.fisher import fisher
from verovolto.evaluation.paired import compare_scores
from verovolto.faces.detection.registry import open_detector
from verovolto.faces.landmarks import crop_landmarks
from verovolto.features.regions import REGIONS as EVERY_REGION
from verovolto.features.regions import columns
from verovolto.networks.backbones.efficientnet_lite import MEAN, STD, variant
from verovolto.synthesis.pseudo_fakes import PSEUDO_FAKE_METHODS, FacePool, native_sides

BASE = "no wear, shrinkage 1"
FALSE_ALARM = 0.05
SEED = 0
REALS, PAIRS, MANY, CORRUPTED, FEW = 3000, 3000, 9000, 1500, 1000
NEIGHBOURS = 100

Array = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True, kw_only=True)
class Source:
    """Where features come from: a trunk at a size, forgeries of `people` of the training faces (None: of all)."""

    backbone: str = "lite0"
    size: int = 224
    pairs: int = FEW
    reals: int = FEW
    people: int | None = None
    every: bool = False
    """Every stage and region rather than those of the design."""
    corrupted: bool = False
    """Corrupted faces, too."""

    @property
    def name(self) -> str:
        whole = "all" if self.people is None else f"{self.people}"
        return f"{self.backbone}-{self.size}-{whole}" + (
            "-every" if self.every else "-many" if self.corrupted else ""
        )


WHOLE = Source(pairs=PAIRS, reals=REALS, every=True, corrupted=True)
LARGE = Source(pairs=MANY, reals=REALS, corrupted=True)


@dataclass(frozen=True, kw_only=True)
class Features:
    """Columns of pictures `[n, D]`, all of one source: `names` `[D]` of (tap, region, statistic)."""

    names: Array
    reals: Array
    moves: Array
    kinds: Array
    corrupted: Array
    val: Array
    val_corrupted: Array

    def part(self, layers: tuple[int, ...], regions: tuple[str, ...] = ("inner", "eyes")) -> Features:
        """Those columns alone."""
        kept = np.isin(self.names[:, 0], [str(layer) for layer in layers]) & np.isin(
            self.names[:, 1], regions
        )
        cut = {
            name: getattr(self, name)[:, kept]
            for name in ("reals", "moves", "corrupted", "val", "val_corrupted")
        }
        return replace(self, names=self.names[kept], **cut)

    def some(self, *, reals: int | None = None, pairs: int | None = None) -> Features:
        """The first of them."""
        return replace(self, reals=self.reals[:reals], moves=self.moves[:pairs], kinds=self.kinds[:pairs])

    def of(self, kinds: tuple[str, ...]) -> Features:
        """The forgeries of those kinds alone."""
        kept = np.isin(self.kinds, kinds)
        return replace(self, moves=self.moves[kept], kinds=self.kinds[kept])


@dataclass(frozen=True, kw_only=True)
class Scored:
    """Scores of the validation faces `[n]` and of their corrupted versions `[n]`."""

    val: Array
    corrupted: Array


class Bench:
    """The data, its landmarks and what was measured of it."""

    def __init__(self, data: Path, work: Path, workers: int) -> None:
        self.work, self.workers = work, workers
        self.faces = FaceSet.open(data)
        self.train = self.faces.select(split="train", label="real")
        self.val = self.faces.select(split="val")
        self.choose = halve(self.val.columns(), seed=SEED)
        self.real = np.array(self.val.columns("label")["label"].to_pylist()) == "real"

    @cached_property
    def landmarks(self) -> Array:
        folder = self.work / "landmarks"
        return crop_landmarks(self.train, open_detector("mtcnn"), folder, workers=self.workers)

    @cache  # noqa: B019  (one bench a process)
    def face_pool(self, people: int | None) -> FacePool:
        rows = np.arange(len(self.train)) if people is None else self.order[:people]
        faces = self.train.take(np.sort(rows))
        return FacePool.gather(
            faces, self.landmarks[np.sort(rows)], native=native_sides(faces), side=SIDE, seed=SEED
        )

    @cached_property
    def order(self) -> Array:
        return np.random.default_rng(SEED).permutation(len(self.train))

    @cached_property
    def whole(self) -> Features:
        return self.features(WHOLE)

    @cached_property
    def base(self) -> Features:
        return self.whole.part(FeatureSpec.default("lite0").layers)

    @cache  # noqa: B019
    def features(self, source: Source) -> Features:
        known = variant(source.backbone)
        layers = tuple(known.channels) if source.every else FeatureSpec.default(source.backbone).layers
        regions = EVERY_REGION if source.every else FeatureSpec.default("lite0").regions
        average = torch.from_numpy(np.nanmedian(self.landmarks, axis=0).astype(np.float32))
        recipe = Recipe(
            spec=FeatureSpec(backbone=source.backbone, layers=layers, regions=regions), landmarks=average,
            preprocessing=Preprocessing(size=source.size, mean=MEAN, std=STD),
        )  # fmt: skip
        drawn = self.train.take(self.order[: min(source.reals, source.people or source.reals)])

        def take(name: str, count: int, rows: Callable[[range], Array]) -> Array:
            print(f"{source.name}: {name} ({count})", flush=True)
            return compute_chunks(count, rows, self.work / source.name / name, workers=self.workers).astype(
                np.float32
            )

        reals = take("reals", len(drawn), OfFaces(faces=drawn, recipe=recipe))
        corrupted = min(CORRUPTED, len(drawn)) if source.corrupted else 0
        val_corrupted = len(self.val) if source.corrupted else 0
        pairs = OfPairs(face_pool=self.face_pool(source.people), recipe=recipe, seed=SEED)
        return Features(
            names=np.array(columns_of(source.backbone, layers, regions)),
            reals=reals,
            moves=take("pairs", source.pairs, pairs),
            kinds=np.array(
                [PSEUDO_FAKE_METHODS[number % len(PSEUDO_FAKE_METHODS)] for number in range(source.pairs)]
            ),
            corrupted=take("corrupted", corrupted, OfFaces(faces=drawn, recipe=recipe, corrupted_by=SEED))
            - reals[:corrupted]
            if corrupted
            else reals[:1] * 0,
            val=take("val", len(self.val), OfFaces(faces=self.val, recipe=recipe)),
            val_corrupted=take(
                "val-corrupted", val_corrupted, OfFaces(faces=self.val, recipe=recipe, corrupted_by=SEED + 1)
            )
            if val_corrupted
            else np.full((len(self.val), reals.shape[1]), np.nan, np.float32),
        )

    def fit(self, f: Features, *, shrinkage: float = 1.0, wear: float = 0.0) -> Scored:
        found = fisher(f.reals, f.moves, list(f.kinds), f.corrupted, shrinkage=shrinkage, wear=wear)
        return Scored(
            val=(f.val - found.origin) @ found.slope, corrupted=(f.val_corrupted - found.origin) @ found.slope
        )

    def table(self, scored: Scored) -> ScoreTable:
        """The scores of the `choose` faces."""
        rows = np.flatnonzero(self.choose)
        table = self.val.take(rows).columns(*METADATA_COLUMNS)
        table = table.append_column("status", pa.array(["ok"] * len(rows)))
        return ScoreTable(
            table=table.append_column("score", pa.array(scored.val[rows].astype(np.float64))),
            scores=("score",),
        )

    def flagged(self, scored: Scored) -> dict[str, float]:
        """Shares flagged at the threshold that the `calibrate` reals set."""
        held_out = scored.val[~self.choose & self.real]
        threshold = Calibration.of(held_out, score="score", clusters=1, cluster="face").threshold(FALSE_ALARM)
        shares = {
            "fakes": scored.val[self.choose & ~self.real],
            "reals": scored.val[self.choose & self.real],
            "corrupted": scored.corrupted[self.choose & self.real],
        }
        return {
            name: float((values > threshold).mean()) if np.isfinite(values).all() else float("nan")
            for name, values in shares.items()
        }

    @cached_property
    def conditions(self) -> tuple[Array, Array, Array]:
        """Sharpness, brightness and contrast of corrupted training faces, and of validation faces before and after."""
        folder = self.work / "conditions.npz"
        if not folder.is_file():
            drawn = self.train.take(self.order[:CORRUPTED])
            found = [conditions_of(self.val, None), conditions_of(self.val, SEED + 1)]
            folder.parent.mkdir(parents=True, exist_ok=True)
            np.savez(folder, train=conditions_of(drawn, SEED), val=found[0], corrupted=found[1])
        kept = np.load(folder)
        return kept["train"], kept["val"], kept["corrupted"]


def columns_of(
    backbone: str, layers: tuple[int, ...], regions: tuple[str, ...]
) -> list[tuple[str, str, str]]:
    """(tap, region, statistic) of each column."""
    channels = variant(backbone).channels
    return [
        (str(layers[number]), region, statistic)
        for number, region, statistic in columns([channels[layer] for layer in layers], regions)
    ]


def conditions_of(faces: FaceSet, seed: int | None) -> Array:
    """`[n, 3]`, corrupted where a seed is given (the draws of `OfFaces`). All faces have to be readable."""
    found = []
    for row in range(len(faces)):
        image = read_face(faces, row, corrupted_by=seed)
        assert image is not None, "features of all faces were taken before"
        found.append(
            [float(value) for value in conditions(FaceBatch(images=[image], encoded_bytes=[None])).values()]
        )
    return np.array(found)


def localised(bench: Bench, weight: float) -> Scored:
    """How far a score lies above those of corrupted training faces of like condition, in their standard deviations:
    in place of one threshold for all (in the spirit of localised conformal prediction; Guan, Biometrika 110, 2023)."""
    f, (near, val, corrupted) = bench.base, bench.conditions
    found = fisher(f.reals, f.moves, list(f.kinds), f.corrupted, shrinkage=3, wear=weight)
    middle, spread = near.mean(0), near.std(0)
    pool = (f.corrupted + f.reals[: len(f.corrupted)] - found.origin) @ found.slope
    search = NearestNeighbors(n_neighbors=NEIGHBOURS).fit((near - middle) / spread)

    def above(columns: Array, at: Array) -> Array:
        among = pool[search.kneighbors((at - middle) / spread, return_distance=False)]
        return np.asarray(((columns - found.origin) @ found.slope - among.mean(1)) / among.std(1))

    return Scored(val=above(f.val, val), corrupted=above(f.val_corrupted, corrupted))


Variant = tuple[str, str, Callable[[], Scored]]
"""Group, name, and what makes its scores."""


def variants(bench: Bench) -> Iterator[Variant]:
    """All of them; the first is the one that the others are set against."""
    yield "design", BASE, lambda: bench.fit(bench.base)
    yield "design", "wear 1, shrinkage 3 (the starter)", lambda: bench.fit(bench.base, shrinkage=3, wear=1)
    yield from of_wear(bench)
    yield from of_head(bench)
    yield from of_features(bench)
    yield from of_training_size(bench)
    yield from of_trunks(bench)


def of_wear(bench: Bench) -> Iterator[Variant]:
    for weight in (0.1, 0.3, 1.0, 3.0, 10.0):
        yield "wear", f"wear {weight:g}", lambda w=weight: bench.fit(bench.base, shrinkage=3, wear=w)
    for weight in (0.0, 0.3, 1.0):
        name = f"wear {weight:g}, p-value among corrupted faces of like condition"
        yield "wear", name, lambda w=weight: localised(bench, w)


def of_head(bench: Bench) -> Iterator[Variant]:
    for amount in (0.1, 0.3, 3.0, 10.0, 30.0):
        yield "shrinkage", f"shrinkage {amount:g}", lambda a=amount: bench.fit(bench.base, shrinkage=a)
    for kind in PSEUDO_FAKE_METHODS:
        yield "forgeries", f"{kind} alone", lambda k=kind: bench.fit(bench.base.of((k,)))
    for kind in PSEUDO_FAKE_METHODS:
        others = tuple(name for name in PSEUDO_FAKE_METHODS if name != kind)
        yield "forgeries", f"all but {kind}", lambda o=others: bench.fit(bench.base.of(o))
    for count in (100, 300, 1000, 2000):
        yield "forgeries", f"{count:,} forgeries", lambda c=count: bench.fit(bench.base.some(pairs=c))
    for count in (6000, MANY):
        for wear_weight, amount in ((0.0, 1.0), (1.0, 3.0)):
            name = f"{count:,} forgeries, wear {wear_weight:g}, shrinkage {amount:g}"
            yield (
                "many",
                name,
                lambda c=count, w=wear_weight, a=amount: bench.fit(
                    bench.features(LARGE).some(pairs=c), shrinkage=a, wear=w
                ),
            )


def of_features(bench: Bench) -> Iterator[Variant]:
    layers, whole = FeatureSpec.default("lite0").layers, (-1, *variant("lite0").ends)
    for layer in whole:
        name = "stem" if layer < 0 else f"block {layer}"
        yield "features", f"{name} alone", lambda t=layer: bench.fit(bench.whole.part((t,)))
    for region in EVERY_REGION:
        yield "features", f"region {region} alone", lambda r=region: bench.fit(bench.whole.part(layers, (r,)))
    yield "features", "six regions", lambda: bench.fit(bench.whole.part(layers, EVERY_REGION))
    yield (
        "features",
        "six regions, stem and seven stages",
        lambda: bench.fit(bench.whole.part(whole, EVERY_REGION)),
    )


def of_training_size(bench: Bench) -> Iterator[Variant]:
    group = "training size"
    for count in (300, 1000, 2000):
        name = f"spread of {count:,} reals"
        yield group, name, lambda c=count: bench.fit(bench.base.some(reals=c))
    for people in (300, 1000, 3000):
        name = f"{people:,} training faces, {FEW:,} forgeries"
        yield group, name, lambda p=people: bench.fit(bench.features(Source(people=p)))
    name = f"{len(bench.train):,} training faces, {FEW:,} forgeries"
    yield group, name, lambda: bench.fit(bench.base.some(pairs=FEW, reals=FEW))


def of_trunks(bench: Bench) -> Iterator[Variant]:
    for size in (128, 160, 192, 256):
        name = f"{size} px, {FEW:,} forgeries"
        yield "resolution", name, lambda s=size: bench.fit(bench.features(Source(size=s)))
    for backbone in ("lite1", "lite2"):
        source = Source(backbone=backbone, size=256)
        yield (
            "trunk",
            f"{backbone} at 256 px, {FEW:,} forgeries",
            lambda s=source: bench.fit(bench.features(s)),
        )
        yield (
            "trunk",
            f"{backbone} summed with the first row",
            lambda s=source: total(bench.fit(bench.base), bench.fit(bench.features(s))),
        )


def total(one: Scored, other: Scored) -> Scored:
    """The sum of two scores, each of standard deviation 1 on the reals it was fitted on."""
    return Scored(val=one.val + other.val, corrupted=one.corrupted + other.corrupted)


def judge(bench: Bench, base: Scored, name: str, scored: Scored) -> dict[str, Any]:
    """Figures of a variant on the `choose` faces, and its difference to the base."""
    first = bench.table(base)
    compared = compare_scores([(BASE, first, "score"), (f"{name} ", bench.table(scored), "score")])
    result = compared["results"][1]
    return {
        **{key: result["figures"][key] for key in ("auroc", "pairs_ordered")},
        "difference": result["differences"]["auroc"],
        "flagged": bench.flagged(scored),
    }


def row(name: str, found: dict[str, Any]) -> str:
    """A row of the table."""

    def interval(figure: dict[str, Any], form: str) -> str:
        return f"[{figure['low']:{form}}, {figure['high']:{form}}]"

    area, pairs, change, share = (found[key] for key in ("auroc", "pairs_ordered", "difference", "flagged"))
    return (
        f"| {name} | {area['value']:.3f} {interval(area, '.3f')} | {pairs['value']:.1%} | {change['value']:+.3f} "
        f"{interval(change, '+.3f')} | {share['fakes']:.0%} | {share['reals']:.0%} | "
        + (f"{share['corrupted']:.0%} |" if np.isfinite(share["corrupted"]) else "|")
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--only", nargs="*", help="groups of variants: design, wear, …")
    parser.add_argument("--workers", type=int, default=0)
    options = parser.parse_args()
    torch.set_num_threads(1)
    bench = Bench(options.data, options.work, options.workers)
    base = bench.fit(bench.base)
    lines = [
        "| variant | AUROC | pairs | difference | fakes | reals | corrupted reals |",
        "|---|---|---|---|---|---|---|",
    ]
    for group, name, make in variants(bench):
        if options.only and group not in options.only:
            continue
        found = judge(bench, base, name, make())
        lines.append(row(name, found))
        print(lines[-1], flush=True)
        write_text(options.work / f"table-{'-'.join(options.only or ['all'])}.md", "\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
