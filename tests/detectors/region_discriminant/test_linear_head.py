"""A source that takes no part: what its reals come to."""

from __future__ import annotations

import numpy as np
import pytest

from verovolto.calibration.thresholds import Calibration, share_interval
from verovolto.detectors.region_discriminant.features import FeatureSpec
from verovolto.detectors.region_discriminant.linear_head import RATE, Measured, fit_head, left_out, without

SPEC = FeatureSpec(backbone="lite0", layers=(0,), regions=("inner",))
WEIGHTS = {"shrinkage": 1.0, "wear": 1.0, "source_weight": 1.0}


def measured(rng: np.random.Generator, sources: list[str], shift: float = 0.0) -> tuple[Measured, np.ndarray]:
    """40 reals and 20 forgeries a source; the last source lies away from the others in the way that forgeries do."""
    width = len(SPEC)
    reals = rng.normal(size=(40 * len(sources), width)).astype(np.float32)
    of_real = np.repeat(np.asarray(sources, dtype=object), 40)
    reals[of_real == sources[-1], 0] += shift
    differences = rng.normal(scale=0.1, size=(20 * len(sources), width)).astype(np.float32)
    differences[:, 0] += 2
    of_pair = np.repeat(np.asarray(sources, dtype=object), 20)
    kinds = ["swap", "self"] * (10 * len(sources))
    corrupted = rng.normal(scale=0.1, size=(10, width)).astype(np.float32)
    return Measured(
        spec=SPEC, reals=reals, sources=of_real, differences=differences, kinds=kinds, corrupted=corrupted
    ), of_pair


def test_nothing_of_the_source_is_left() -> None:
    given, of_pair = measured(np.random.default_rng(0), ["a", "b"])
    part = without(given, "b", of_pair)
    assert set(part.sources) == {"a"} and len(part.differences) == len(part.kinds) == 20
    assert (part.reals == given.reals[:40]).all() and (part.differences == given.differences[:20]).all()


def test_the_share_is_that_of_a_head_and_a_threshold_without_it() -> None:
    rng = np.random.default_rng(1)
    given, of_pair = measured(rng, ["a", "b", "c"], shift=4.0)
    held = {name: rng.normal(size=(60, len(SPEC))).astype(np.float32) for name in "abc"}
    held["c"][:, 0] += 4
    found = left_out(given, of_pair, held, **WEIGHTS)
    assert set(found) == set("abc") and all(each["of"] == 60 for each in found.values())
    head = fit_head(without(given, "c", of_pair), **WEIGHTS)
    scores = {name: (x.astype(np.float64) - head.origin) @ head.slope for name, x in held.items()}
    sources = {name: scores[name] for name in "ab"}
    known = Calibration.of(
        np.concatenate([*sources.values()]), score="", clusters=1, cluster="face", sources=sources
    )
    flagged = int((scores["c"] > known.threshold(RATE)).sum())
    assert found["c"]["flagged"] == flagged > 30  # unlike all that was seen, towards the forgeries
    assert (found["c"]["low"], found["c"]["high"]) == share_interval(flagged, 60)
    assert found["a"]["share"] < 0.2


@pytest.mark.parametrize("few", [{"a": 60}, {"a": 60, "b": 10}])
def test_of_one_source_nothing_can_be_left_out(few: dict[str, int]) -> None:
    rng = np.random.default_rng(2)
    given, of_pair = measured(rng, ["a", "b"])
    held = {name: rng.normal(size=(count, len(SPEC))).astype(np.float32) for name, count in few.items()}
    assert left_out(given, of_pair, held, **WEIGHTS) == {}


def test_a_source_without_which_nothing_is_forged_has_no_figure() -> None:
    rng = np.random.default_rng(3)
    given, _ = measured(rng, ["a", "b"])
    held = {name: rng.normal(size=(60, len(SPEC))).astype(np.float32) for name in "ab"}
    assert set(left_out(given, np.repeat("a", 40).astype(object), held, **WEIGHTS)) == {"b"}
