"""Other forgeries in training: networks that learned some fakes as if they were real; never a detector for use.

By the sound split, with 1, 5 and 10 % of the training faces replaced where they stand, everything else equal: as many
faces, in the same order. The network without any is the one that the protocol trained already. The fakes show nobody
who is in the test split; the epoch and the thresholds come from validation reals, as always. A placebo network, with
other training reals in the places of the largest level, shows how much any other training changes.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from verovolto.core.errors import DataError
from verovolto.core.workdir import Done
from verovolto.data.faceset import FaceSet
from verovolto.data.splits import halve
from verovolto.detectors.config import TrainConfig
from verovolto.detectors.fitting import TrainingData
from verovolto.thesis.experiments.contamination.statistics import Level, evaluate_levels
from verovolto.thesis.metrics import chosen_on_reals
from verovolto.thesis.networks import kept_losses, noise_of, run_folder, score_run, scores
from verovolto.thesis.plan import Context, network_of
from verovolto.thesis.protocols import calibration_split
from verovolto.thesis.splits import generator, method_mask
from verovolto.training import fit
from verovolto.training.fit import load_training_data
from verovolto.training.run_metadata import stored_config

SHARES = (0.01, 0.05, 0.1)
SOURCES = ("training people", "validation people whose reals choose the epoch",
           "validation people whose reals set the thresholds")  # fmt: skip
"""Where fakes are taken from, in this order. "Training people" are of no other split."""
_STREAM = 5  # keeps these draws apart from others of the same seed


@dataclass(frozen=True, kw_only=True)
class Contamination:
    """`swaps` maps ids of training reals to those of the faces that take their places.

    `share` in [0, 1) is that of fakes among all training faces: 0 for a placebo.
    """

    share: float
    swaps: Mapping[str, str]

    @property
    def digest(self) -> str:
        """SHA-256 of the swaps (64 hexadecimal digits)."""
        return hashlib.sha256(json.dumps(dict(self.swaps), sort_keys=True).encode()).hexdigest()

    def applied(self, faces: FaceSet, train: FaceSet) -> FaceSet:
        """The training reals `train` of the whole set `faces`, each that is named replaced where it stands.

        Raises:
            DataError: where a face to be replaced is no training face, or where what takes its place is no fake (of a
                placebo, no training real) or is in the test split.
        """
        ids = [str(face) for face in train.columns("face")["face"].to_pylist()]
        table = faces.columns("face", "label", "split")
        place = {str(face): row for row, face in enumerate(table["face"].to_pylist())}
        trained = set(ids)
        lost = sorted(self.swaps.keys() - trained) + sorted(set(self.swaps.values()) - place.keys())
        if lost:
            raise DataError(
                f"{lost[0]} is not in {faces.path} as the swaps have it", hint="draw the swaps from this set"
            )
        for face in self.swaps.values():
            label, split = (table[name][place[face]].as_py() for name in ("label", "split"))
            fits = face in trained if self.share == 0 else label == "fake" and split != "test"
            if not fits:
                raise DataError(
                    f"{face} is a {label} face of the split {split}, so it cannot be trained on in another's place",
                    hint="give fakes that are not tested on, or for a placebo training reals",
                )
        return faces.take([place[self.swaps.get(face, face)] for face in ids])


@dataclass(frozen=True, kw_only=True)
class CandidateFakes:
    """Rows of fakes that may be trained on, `[m]`, in the order in which they are taken, and where each is from."""

    rows: npt.NDArray[np.int64]
    sources: tuple[str, ...]


def run(context: Context) -> dict[str, Any]:
    """Train and evaluate each level of each network; with `why_not` in place of figures where that cannot be done."""
    if "honest" not in context.runs:
        return {"why_not": "it needs the sound networks to set against (--protocol honest or both)"}
    plan = context.plan
    drawn = context.steps.take(
        "contamination-draw",
        lambda _: _draw(context),
        inputs={"method": plan.method, "seed": plan.seed, "shares": list(SHARES)},
        after=(context.split("honest"),),
    )
    result = {name: value for name, value in drawn.result.items() if name != "levels"}
    levels = [Contamination(share=one["share"], swaps=one["swaps"]) for one in drawn.result["levels"]]
    if not levels:
        return {**result, "why_not": "there is no fake to train on: " + "; ".join(result["notes"])}
    scored = {
        network: [_train_and_score(context, network, level, drawn) for level in levels]
        for network in plan.networks
    }
    models = [_evaluate(context, model, levels, scored[network_of(model)]).result for model in plan.models]
    return {**result, "models": models}


def _draw(context: Context) -> dict[str, Any]:
    """Which faces take whose places, in a placebo and at each level; where they are from, and what cannot be done."""
    plan, train = context.plan, int(context.splits.result["train"])
    table = context.faces("honest").columns()
    fakes = candidate_fakes(table, seed=plan.seed, method=plan.method)
    available = len(fakes.rows)
    counts, notes = counts_of(SHARES, train=train, available=available)
    drawn = contaminations(table, fakes, counts, seed=plan.seed)
    placebo = [placebo_of(table, one, seed=plan.seed) for one in drawn[-1:]]
    return {
        "train": train, "there": available, "notes": notes,
        "sources": {f"{len(one.swaps)}": dict(Counter(fakes.sources[: len(one.swaps)])) for one in drawn},
        "levels": [{"share": one.share, "swaps": dict(one.swaps)} for one in (*placebo, *drawn)],
    }  # fmt: skip


def _train_and_score(context: Context, network: str, level: Contamination, drawn: Done) -> tuple[int, Done]:
    """The epoch that validation reals choose of a network that learned from a level's fakes, and what it scored."""
    plan, split = context.plan, context.split("honest")
    name = f"contaminated-{len(level.swaps) if level.share else 'sham'}-{network}"
    folder = plan.out / "runs" / name

    def train() -> dict[str, Any]:
        """Exactly as the sound network was, but for the faces that are replaced."""
        config = replace(stored_config(run_folder(plan, "honest", network)), out=folder)
        train_contaminated(config, level)
        return kept_losses(plan, folder)

    trained = context.steps.take(
        f"train-{name}",
        lambda _: train(),
        inputs={**plan.training_settings, "noise": noise_of(plan, "honest")},
        after=(split, drawn),
    )
    epoch = chosen_on_reals({int(epoch): float(loss) for epoch, loss in trained.result["losses"].items()})
    scored = context.steps.take(
        f"score-{name}",
        lambda place: score_run(folder, epoch, context.data("honest"), place, metadata={}),
        inputs={"epoch": epoch},
        after=(trained,),
    )
    return epoch, scored


def contaminated(config: TrainConfig, level: Contamination) -> TrainingData:
    """The data of a run with the named training reals replaced; the order of the epochs is as without."""
    data = load_training_data(config)
    mixed = level.applied(FaceSet.open(config.data), data.train)
    return replace(data, train=mixed, order=data.train, made_with={"contaminated_with": level.digest})


def train_contaminated(config: TrainConfig, level: Contamination) -> Path:
    """Train on fakes among the reals, or go on; the run and its detector say so. No command trains so."""
    return fit.run(config, data=contaminated(config, level), tags={"contaminated": level.share})


def _evaluate(
    context: Context, model: str, levels: list[Contamination], scored: list[tuple[int, Done]]
) -> Done:
    """Each level of a model against none and the placebo, which is the first of `levels`.

    Beside them what the trivial statistics give on the same faces.
    """
    plan, sound, clean = context.plan, context.evaluated["honest", model], context.chosen("honest", model)

    def evaluate() -> dict[str, Any]:
        placebo, *mixed = (
            _level(context, one.share, len(one.swaps), epoch, done)
            for one, (epoch, done) in zip(levels, scored, strict=True)
        )
        none = _level(context, 0.0, 0, sound.epoch, clean)
        result = evaluate_levels(
            none, placebo, mixed, sound.score, false_alarm=plan.false_alarm, **plan.bootstrap
        )
        return {"model": model, **result, "trivial": _trivial(sound.table.result)}

    return context.steps.take(
        f"contaminated-{model}",
        lambda _: evaluate(),
        inputs=plan.evaluation_settings,
        after=(clean, sound.table, *(done for _, done in scored)),
    )


def _level(context: Context, share: float, faces: int, epoch: int, done: Done) -> Level:
    reals = calibration_split(scores(done.folder, "val"), seed=context.plan.seed)
    return Level(share=share, faces=faces, epoch=epoch, test=scores(done.folder, "test"), reals=reals)


def _trivial(table: Mapping[str, Any]) -> dict[str, Any]:
    """AUROC and rates at the threshold of the trivial statistics, from the sound table of the model."""
    first = {
        row["score"]: row for row in reversed(table["rows"])
    }  # the first row of a score is the conformal one
    return {
        name: {
            "auroc": ranked["auroc"],
            **{rate: first[name][rate] for rate in ("missed_fakes", "false_alarm_rate")},
        }
        for name, ranked in table["ranking"].items()
        if name != table["score"]
    }


def candidate_fakes(table: pa.Table, *, seed: int, method: str | None = None) -> CandidateFakes:
    """The fakes of a set (`table`: all its columns, `split` train, val and test) that show nobody of the test split.

    First fakes of people in no other split than training, then of validation people: those whose reals choose the
    epoch, then those whose reals set the thresholds (`halve` with the same seed). Within each, drawn by the seed. A
    fake that says neither person nor video nor pair is left out: it could show anyone.
    """
    split, label = (np.asarray(table[name].to_pylist(), dtype=object) for name in ("split", "label"))
    keys = _keys(table)
    in_val, in_test = (
        set().union(*(keys[row] for row in np.flatnonzero(split == name))) for name in ("val", "test")
    )
    free = np.array([bool(own) and not own & in_test for own in keys])
    fakes = (label == "fake") & (split != "test") & method_mask(table, method) & free
    val = np.flatnonzero(split == "val")
    chooses = np.zeros(len(table), dtype=bool)
    chooses[val[halve(table.take(val), seed=seed)]] = True
    apart = fakes & (split != "val") & np.array([not own & in_val for own in keys])
    groups = (apart, fakes & chooses, fakes & (split == "val") & ~chooses)
    rng = generator(seed, _STREAM)
    parts = [rng.permutation(np.flatnonzero(group)) for group in groups]
    sources = [source for source, part in zip(SOURCES, parts, strict=True) for _ in part]
    return CandidateFakes(rows=np.concatenate(parts), sources=tuple(sources))


def counts_of(shares: Sequence[float], *, train: int, available: int) -> tuple[list[int], list[str]]:
    """Faces to replace at each share in (0, 1), rising, of `train`, where so many fakes are available.

    Returns the counts, and in words which shares are capped or left out.
    """
    if not available:
        nothing = (
            "the set holds no fake outside the test split that is known to show nobody of the test split"
        )
        return [], [nothing]
    counts: list[int] = []
    notes: list[str] = []
    for share in shares:
        wanted = round(share * train)
        count = min(wanted, available)
        if not count:
            notes.append(f"{share:.0%} of {train} faces is less than one: left out")
            continue
        if count < wanted:
            done = "left out" if count in counts else f"capped to {count / train:.1%}"
            notes.append(f"{share:.0%} would need {wanted} fakes, there are {available}: {done}")
        if count not in counts:
            counts.append(count)
    return counts, notes


def contaminations(
    table: pa.Table, fakes: CandidateFakes, counts: list[int], *, seed: int
) -> list[Contamination]:
    """A contamination of each count of faces: smaller ones are parts of larger ones.

    Args:
        table: the set.
        fakes: those that may be trained on.
        counts: faces to replace, each from 1 to the number of fakes.
        seed: of the draw of the reals that are replaced.
    """
    faces = table["face"].to_pylist()
    train = _training_reals(table)
    replaced = generator(seed, _STREAM, 1).permutation(train)
    swaps = [(str(faces[real]), str(faces[fake])) for real, fake in zip(replaced, fakes.rows, strict=False)]
    return [Contamination(share=count / len(train), swaps=dict(swaps[:count])) for count in counts]


def placebo_of(table: pa.Table, largest: Contamination, *, seed: int) -> Contamination:
    """The places of a contamination taken by other training reals, drawn by the seed, each of which is then seen twice.

    Raises:
        DataError: where more than half of the training faces are replaced.
    """
    faces = table["face"].to_pylist()
    others = np.array(
        [row for row in _training_reals(table) if faces[row] not in largest.swaps], dtype=np.int64
    )
    if len(others) < len(largest.swaps):
        raise DataError(
            f"{len(others)} training reals are too few to take the places of {len(largest.swaps)}"
        )
    drawn = generator(seed, _STREAM, 2).permutation(others)
    swaps = {real: str(faces[row]) for real, row in zip(largest.swaps, drawn, strict=False)}
    return Contamination(share=0.0, swaps=swaps)


def _training_reals(table: pa.Table) -> npt.NDArray[np.int64]:
    split, label = (np.asarray(table[name].to_pylist(), dtype=object) for name in ("split", "label"))
    return np.flatnonzero((split == "train") & (label == "real"))


def _keys(table: pa.Table) -> list[set[tuple[str, str, str]]]:
    """Who and what each row shows: people (as target or donor), source video, pair, each within its data set."""
    dataset = table["dataset"].to_pylist()
    keys: list[set[tuple[str, str, str]]] = [set() for _ in dataset]
    for name, kind in (
        ("target_identity", "person"), ("donor_identity", "person"), ("source_video", "video"), ("pair", "pair"),
    ):  # fmt: skip
        for row, value in enumerate(table[name].to_pylist()):
            if value is not None:
                keys[row].add((str(dataset[row]), kind, str(value)))
    return keys
