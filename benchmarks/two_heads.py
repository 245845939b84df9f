"""One encoder, two heads: does reconstruction help to find blends, and does finding blends help to reconstruct?

    python benchmarks/two_heads.py DATA OUT > table.md
    python benchmarks/two_heads.py DATA OUT --pairs 3000 --epochs 5 --size 128 --seed 1 --landmarks FOLDER

Three runs on the same pairs, alike but for the weights of the heads: `reconstruction` alone, `blend` alone, and `both`.
Then tables with 95 % intervals over people, the runs on the same resamples:
- real forgeries, on the `choose` half of the validation faces and on the test faces, which are scored once;
- forgeries of kinds that no run was trained on, made of the `choose` reals: what the epoch was chosen by;
- the reconstruction's error on the `choose` reals, after the last epoch and after the one that was kept.

Killed and started again it goes on where it was; `--train NAME` trains that run and leaves. `--landmarks` is a folder
of landmarks of the training faces (as `faces.landmarks` keeps them) from an earlier run. OUT/pairs holds faces:
delete it when the tables are made.
"""

from __future__ import annotations

import argparse
import csv
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import torch

from verovolto.core.files import write_json
from verovolto.data.faceset import FaceSet
from verovolto.data.score_table import ScoreTable
from verovolto.data.splits import cluster_ids, halve
from verovolto.detectors.base import Detector
from verovolto.detectors.registry import TrainConfig
from verovolto.detectors.score_faces import score_faces
from verovolto.evaluation.bootstrap import draw_resamples, interval
from verovolto.evaluation.evaluate import evaluate_scores
from verovolto.evaluation.paired import compare_scores
from verovolto.experimental.blend import fit as two_heads
from verovolto.experimental.blend.detector import BLEND, REDUCTION, RMSE, BlendDetector
from verovolto.experimental.blend.pair_store import Asked, DrawnPairs, draw_pairs
from verovolto.networks import BLEND_VAE
from verovolto.synthesis.pseudo_fakes import FacePool
from verovolto.synthesis.pseudo_fakes.pairs import drawn_face
from verovolto.training.config import configure
from verovolto.training.data import load_training_data
from verovolto.training.fit import run

RUNS: dict[str, dict[str, float]] = {
    "both": {},
    "blend": {"reconstruction_weight": 0.0},
    "reconstruction": {"blend_weight": 0.0},
}
_RESAMPLES = 1000


def main() -> None:
    """Train, score, print the tables."""
    args = arguments()
    torch.set_num_threads(args.threads)
    for name in args.train or RUNS:
        train(args, name)
    if args.train:
        return
    sets = load_training_data(config(args, "both"))
    pairs = left_out_pairs(args, sets.choose)
    for part in ("choose", "test"):
        print("\n".join(judged(args, part)), flush=True)
    print("\n".join(on_kinds_left_out(args, sets.choose, pairs)), flush=True)
    print("\n".join(on_reconstruction(args)))


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    for name, default in (
        ("pairs", 4200),
        ("epochs", 4),
        ("size", 96),
        ("seed", 0),
        ("threads", 1),
        ("workers", 0),
    ):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--crop-rule", default=None)
    parser.add_argument("--train", action="append", choices=list(RUNS))
    parser.add_argument("--landmarks", type=Path, default=None)
    return parser.parse_args()


def config(args: argparse.Namespace, name: str) -> TrainConfig:
    return configure(
        data=args.data, out=args.out / name, model=cast(Any, BLEND_VAE), size=args.size, forgeries=args.pairs,
        epochs=args.epochs, seed=args.seed, threads=args.threads, workers=args.workers, crop_rule=args.crop_rule,
        **cast(Any, RUNS[name]),
    )  # fmt: skip


def train(args: argparse.Namespace, name: str) -> None:
    landmarks = args.out / "pairs" / "train" / "landmarks"
    if args.landmarks is not None and not landmarks.exists():
        shutil.copytree(args.landmarks, landmarks)
    run(config(args, name), work=args.out / "pairs")


def detector(args: argparse.Namespace, name: str) -> BlendDetector:
    return cast(BlendDetector, Detector.load(args.out / name))


def faces_of(args: argparse.Namespace, part: str) -> FaceSet:
    """Reals and fakes of the `choose` half of the validation faces, or of the test split."""
    faces = FaceSet.open(args.data)
    if part == "test":
        return faces.select(split="test")
    val = faces.select(split="val")
    return val.take(np.flatnonzero(halve(val.columns(), seed=args.seed)))


def scores(args: argparse.Namespace, name: str, part: str) -> ScoreTable:
    """Scores of a part, made once."""
    path = args.out / name / f"{part}.parquet"
    if not path.is_file():
        score_faces(detector(args, name), faces_of(args, part), quiet=True).write(path)
    return ScoreTable.read(path)


def judged(args: argparse.Namespace, part: str) -> list[str]:
    """Real forgeries: each head alone, and the same head beside the other."""
    tables = {name: scores(args, name, part) for name in RUNS}
    lines = [
        "",
        f"**{part}**",
        "",
        "| run | score | AUROC | pairs | AUROC, both minus alone | pairs |",
        "|---|---|---|---|---|---|",
    ]
    for alone, score in (("blend", BLEND), ("reconstruction", RMSE)):
        found = compare_scores(
            [(alone, tables[alone], score), ("both", tables["both"], score)],
            resamples=_RESAMPLES,
            seed=args.seed,
        )
        write_json(args.out / f"{part}-{score}.json", found)
        for one in found["results"]:
            figures, change = one["figures"], one["differences"]
            cells = [figure(figures["auroc"]), figure(figures["pairs_ordered"])]
            cells += [figure(change[key], "+") if change else "" for key in ("auroc", "pairs_ordered")]
            lines.append(f"| {one['name']} | {score} | {' | '.join(cells)} |")
    metrics = evaluate_scores(
        tables["both"], thresholds=[], calibration={}, score=BLEND, resamples=_RESAMPLES, seed=args.seed
    )
    for name, one in metrics["baselines"].items():
        lines.append(
            f"| *{name}* (trivial) | | {figure(one['auroc'])} | {figure(one['pairs_ordered'])} | | |"
        )
    return lines


def left_out_pairs(args: argparse.Namespace, choose: FaceSet) -> DrawnPairs:
    """Those that the epochs were chosen by; they lie in OUT/pairs."""
    asked = Asked(
        count=min(two_heads.MOST_LEFT_OUT, 2 * len(choose)), kinds=two_heads.LEFT_OUT, size=args.size,
        mask_size=args.size // REDUCTION, seed=args.seed,
    )  # fmt: skip
    folder = args.out / "pairs" / "left-out"
    return draw_pairs(
        choose, asked, folder, workers=0, max_unreadable=0.0, task=lambda _what, _total: lambda _done: None
    )


def on_kinds_left_out(args: argparse.Namespace, choose: FaceSet, pairs: DrawnPairs) -> list[str]:
    """AUROC and pairs of forgeries of kinds that were not trained on, of faces that were not trained on."""
    face_pool = cast(
        FacePool, SimpleNamespace(targets=np.arange(len(choose)))
    )  # all that the order of faces asks for
    index = [drawn_face(face_pool, n, seed=args.seed) for n in range(len(pairs))]
    people = np.tile(cluster_ids(choose.columns())[index], 2)
    fake = np.repeat([False, True], len(pairs))
    found = {name: pair_scores(detector(args, name), pairs) for name in RUNS}
    lines = [
        "",
        f"**kinds left out** ({', '.join(two_heads.LEFT_OUT)})",
        "",
        "| run | score | AUROC | pairs | both minus alone |",
        "|---|---|---|---|---|",
    ]
    for alone, score in (("blend", BLEND), ("reconstruction", RMSE)):
        one, two = found[alone][score], found["both"][score]
        for name, values in ((alone, one), ("both", two)):
            area = resampled(lambda w, values=values: auroc(values, fake, w), people, fake, args.seed)
            order = resampled(lambda w, values=values: ordered(values, w), people, fake, args.seed)
            gain = ""
            if name == "both":
                gain = resampled(
                    lambda w, one=one, two=two: auroc(two, fake, w) - auroc(one, fake, w),
                    people,
                    fake,
                    args.seed,
                    "+",
                )
            lines.append(f"| {name} | {score} | {area} | {order} | {gain} |")
    return lines


def pair_scores(one: BlendDetector, pairs: DrawnPairs) -> dict[str, np.ndarray]:
    """Scores of all reals, then of all forgeries, by name."""
    batch = pairs.batch(np.arange(len(pairs)))
    images = [*batch.real, *batch.fake]
    found = one.score(images)
    return {name: values.double().numpy() for name, values in found.columns.items()}


def on_reconstruction(args: argparse.Namespace) -> list[str]:
    """How well the `choose` reals are reconstructed, with and without the other head."""
    lines = [
        "",
        "**reconstruction of the choose reals** (in normalised units)",
        "",
        "| run | epoch kept | after it: RMSE | after the last epoch: loss, RMSE |",
        "|---|---|---|---|",
    ]
    kept = {}
    for name in ("reconstruction", "both"):
        table = scores(args, name, "choose")
        real = table.strings("label") == "real"
        kept[name] = table.values(RMSE)[real]
        people = cluster_ids(table.table)[real]
        with (args.out / name / "metrics.csv").open(encoding="utf-8") as handle:
            last = list(csv.DictReader(handle))[-1]
        error = resampled(lambda w, name=name: w @ kept[name] / w.sum(1), people, None, args.seed)
        epoch = detector(args, name).metadata["epoch"]
        lines.append(
            f"| {name} | {epoch} | {error} | {float(last['val_loss']):.4f}, {float(last['val_rmse']):.3f} |"
        )
    change = resampled(
        lambda w: w @ (kept["both"] - kept["reconstruction"]) / w.sum(1), people, None, args.seed, "+"
    )
    return [*lines, "", f"Both minus alone, RMSE after the epochs kept: {change}."]


def resampled(
    statistic: Callable[[np.ndarray], np.ndarray],
    people: np.ndarray,
    fake: np.ndarray | None,
    seed: int,
    sign: str = "",
) -> str:
    """A figure with its interval: `statistic` maps weights `[R, n]` of faces to `[R]`; people are resampled."""
    # Resamples are drawn with both classes in them; of reals alone any cut in two will do.
    labels = np.arange(len(people)) % 2 == 1 if fake is None else fake
    sample = draw_resamples(people, labels, kind="identity", resamples=_RESAMPLES, seed=seed)
    value = float(statistic(np.ones((1, len(people))))[0])
    return figure(interval(value, np.concatenate([statistic(w) for w in sample.weights()])).to_dict(), sign)


def auroc(values: np.ndarray, fake: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Weighted share of (real, fake) that are ordered rightly, `[R]`."""
    above = (values[fake][None] > values[~fake][:, None]) + 0.5 * (
        values[fake][None] == values[~fake][:, None]
    )
    low, high = weights[:, ~fake], weights[:, fake]
    return np.asarray(((low @ above) * high).sum(1) / (low.sum(1) * high.sum(1)))


def ordered(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Weighted share of pairs, the halves of `values`, that are ordered rightly, `[R]`."""
    low, high = np.split(values, 2)
    weight = weights[:, : len(low)]
    return np.asarray(weight @ (high > low) / weight.sum(1))


def figure(one: dict[str, Any], sign: str = "") -> str:
    """`0.682 [0.627, 0.733]`."""
    if one["value"] is None or one["low"] is None:
        return "" if one["value"] is None else f"{one['value']:{sign}.3f}"
    return f"{one['value']:{sign}.3f} [{one['low']:{sign}.3f}, {one['high']:{sign}.3f}]"


if __name__ == "__main__":
    main()
