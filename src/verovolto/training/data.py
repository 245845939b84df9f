"""Open the faces of a run: what is trained on, selected on and calibrated on never meet."""

from __future__ import annotations

from typing import Any

import numpy as np

from verovolto.core.errors import DataError, InputError
from verovolto.data.crop_rule import read_rule
from verovolto.data.faceset import FaceSet
from verovolto.data.splits import check_disjoint, halve
from verovolto.detectors.config import TrainConfig
from verovolto.detectors.fitting import TrainingData

_FEWEST_CHOOSE = 2


def load_training_data(config: TrainConfig, *, leaky: bool = False) -> TrainingData:
    """Open the data and cut the validation people in two. Only reals are trained on and selected on.

    Args:
        config: names the set, its splits and the seed.
        leaky: let splits share people and videos.

    Raises:
        SplitError: they do, and may not.
        DataError: there are too few faces.
    """
    faces = FaceSet.open(config.data)
    known = faces.columns("split", "dataset", "target_identity", "donor_identity", "source_video")
    check_disjoint(known, leaky=leaky)
    train = faces.select(split=config.train_split, label="real")
    if config.limit is not None and config.limit < len(train):
        drawn = np.random.default_rng(config.seed).choice(len(train), config.limit, replace=False)
        train = train.take(np.sort(drawn))
    val = faces.select(split=config.val_split)
    choose = halve(val.columns(), seed=config.seed)
    chosen = val.take(np.flatnonzero(choose)).select(label="real")
    if len(train) < _FEWEST_CHOOSE or len(chosen) < _FEWEST_CHOOSE:
        raise DataError(
            f"{config.data} has too few real faces: {len(train)} to train on, {len(chosen)} to choose on",
            hint=f"each needs {_FEWEST_CHOOSE} at least: cut larger splits with verovolto data split, or add faces",
        )
    held_out = val.take(np.flatnonzero(~choose))
    return TrainingData(
        train=train, choose=chosen, calibrate=held_out, fingerprint=faces.fingerprint(),
        crop_rule=_crop_rule(faces, config.crop_rule),
    )  # fmt: skip


def _crop_rule(faces: FaceSet, given: str | None) -> dict[str, Any] | None:
    """The rule that the set names, else the one given; refused where the two differ."""
    if given is None:
        return faces.crop_rule
    rule = read_rule(given, flag="--crop-rule").to_dict()
    if faces.crop_rule not in (None, rule):
        raise InputError(
            f"--crop-rule {given} is not the rule that {faces.path} was cropped by: {faces.crop_rule}",
            hint="leave the flag out",
        )
    return rule
