"""Several face sets as one."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from tests.conftest import write_set
from verovolto.core.errors import DataError
from verovolto.data.faceset import FaceSet


@pytest.fixture(scope="module")
def sets(tmp_path_factory: pytest.TempPathFactory) -> list[FaceSet]:
    folder = tmp_path_factory.mktemp("sets")
    return [FaceSet.open(write_set(folder / name, train=4, people=2)) for name in ("one", "two")]


def test_rows_follow_each_other_and_say_where_they_are_of(sets: list[FaceSet]) -> None:
    both = FaceSet.join(sets)
    first = len(sets[0])
    assert len(both) == first + len(sets[1]) and both.name == "one + two"
    assert both.columns("dataset")["dataset"].to_pylist() == ["one"] * first + ["two"] * len(sets[1])
    for row in (0, first - 1, first, len(both) - 1):
        of, at = (sets[0], row) if row < first else (sets[1], row - first)
        assert both.encoded(row) == of.encoded(at) and both.face(row) == of.face(at)
    assert both.sizes().tolist() == [*sets[0].sizes(), *sets[1].sizes()]
    assert (np.diff(both.blocks) >= 0).all() and len(set(both.blocks)) == 2
    assert pickle.loads(pickle.dumps(both)).fingerprint() == both.fingerprint()


def test_a_part_of_the_whole_is_a_set_like_any_other(sets: list[FaceSet]) -> None:
    both = FaceSet.join([sets[0].select(label="real"), sets[1].select(label="fake")])
    assert set(both.columns("label")["label"].to_pylist()) == {"real", "fake"}
    assert set(both.select(label="fake").columns("dataset")["dataset"].to_pylist()) == {"two"}
    assert len(both.take([]).columns("face")) == 0


def test_splits_can_be_given(sets: list[FaceSet]) -> None:
    split = pa.array(["a", None] * (len(sets[0]) // 2))
    given = sets[0].with_splits(split)
    assert len(given.select(split="a")) == len(sets[0]) // 2


def test_crops_of_different_rules_are_not_joined(sets: list[FaceSet]) -> None:
    class Other:
        path, name, left_out, crop_rule = Path("other"), "other", (), {"scale": 9}

        def __len__(self) -> int:
            return 1

    class Ours(Other):
        path, crop_rule = Path("ours"), {"scale": 1}

    with pytest.raises(DataError, match="ours and other were cut by different rules"):
        FaceSet.join([FaceSet(Ours()), sets[0], FaceSet(Other())])  # type: ignore[arg-type]
    with pytest.raises(DataError, match="no face set"):
        FaceSet.join([])
