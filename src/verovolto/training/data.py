"""Open the faces of a run: what is trained on, selected on and calibrated on never meet."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from verovolto.core.errors import DataError, InputError
from verovolto.data.crop_rule import CropRule, read_rule, shows
from verovolto.data.faceset import FaceSet
from verovolto.data.splits import SPLIT_COLUMNS, check_disjoint, halve, make_splits
from verovolto.detectors.fitting import TrainingData
from verovolto.detectors.registry import TrainConfig

_FEWEST_CHOOSE = 2
_OF_SPLITS = ("split", "dataset", "target_identity", "donor_identity", "source_video")


def load_training_data(config: TrainConfig, *, leaky: bool = False) -> TrainingData:
    """Open the data and cut the validation people in two. Only reals are trained on and selected on.

    Args:
        config: names the sets, their splits and the seed.
        leaky: let splits share people and videos.

    Raises:
        SplitError: they do, and may not.
        DataError: there are too few faces, or crops of different rules.
    """
    sets = [FaceSet.open(config.data), *(_with_splits(FaceSet.open(path), config) for path in config.reals)]
    for faces in sets:
        check_disjoint(faces.columns(*_OF_SPLITS), leaky=leaky)
    rule = _crop_rule(sets, config.crop_rule)
    parts = [tuple(part.seen_by(rule) for part in _parts(faces, config)) for faces in sets]
    train, choose, calibrate = (
        of[0] if len(of) == 1 else FaceSet.join([each for each in of if len(each)])
        for of in zip(*parts, strict=True)
    )
    if len(train) < _FEWEST_CHOOSE or len(choose) < _FEWEST_CHOOSE:
        raise DataError(
            f"{config.data} has too few real faces: {len(train)} to train on, {len(choose)} to choose on",
            hint=f"each needs {_FEWEST_CHOOSE} at least: cut larger splits with verovolto data split, or add faces",
        )
    return TrainingData(
        train=train, choose=choose, calibrate=calibrate, fingerprint=_fingerprint(sets), crop_rule=rule
    )  # fmt: skip


def _parts(faces: FaceSet, config: TrainConfig) -> tuple[FaceSet, FaceSet, FaceSet]:
    """The faces of a set to train on, to choose on and to calibrate on."""
    train = faces.select(split=config.train_split, label="real")
    if config.limit is not None and config.limit < len(train):
        drawn = np.random.default_rng(config.seed).choice(len(train), config.limit, replace=False)
        train = train.take(np.sort(drawn))
    val = faces.select(split=config.val_split)
    choose = halve(val.columns(), seed=config.seed)
    return train, val.take(np.flatnonzero(choose)).select(label="real"), val.take(np.flatnonzero(~choose))


def _with_splits(faces: FaceSet, config: TrainConfig) -> FaceSet:
    """The set, cut in two by its people where it has no splits."""
    known = faces.columns(*SPLIT_COLUMNS)
    if known["split"].null_count < len(known):
        return faces
    made = make_splits(known, parts={config.train_split: 0.5, config.val_split: 0.5}, seed=config.seed)
    return faces.with_splits(made.split)


def _fingerprint(sets: Sequence[FaceSet]) -> str:
    """Of one set its own, of several one of theirs together."""
    prints = [faces.fingerprint() for faces in sets]
    return prints[0] if len(prints) == 1 else hashlib.sha256("\n".join(prints).encode()).hexdigest()


def _crop_rule(sets: Sequence[FaceSet], given: str | None) -> dict[str, Any] | None:
    """The rule given, which each set's crops must show; else the one that the sets name."""
    if given is None:
        return next((faces.crop_rule for faces in sets if faces.crop_rule is not None), None)
    rule = read_rule(given, flag="--crop-rule")
    for faces in sets:
        if faces.crop_rule is not None and not shows(CropRule.from_dict(faces.crop_rule), rule):
            raise InputError(
                f"--crop-rule {given} is not the rule that {faces.path} was cropped by, nor do its crops show what it "
                f"asks for: {faces.crop_rule}",
                hint="leave the flag out, or crop them by that rule or wider: verovolto prepare --crop wide",
            )
    return rule.to_dict()
