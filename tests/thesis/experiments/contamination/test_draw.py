"""Fakes for the training set: of nobody who is tested on, from training people first, in the places of reals."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from verovolto.core.errors import DataError
from verovolto.data.faceset import FaceSet
from verovolto.data.splits import halve
from verovolto.thesis.experiments.contamination.draw import (
    SOURCES,
    Contamination,
    candidate_fakes,
    contaminations,
    counts_of,
    placebo_of,
)

COLUMNS = (
    "face",
    "label",
    "split",
    "dataset",
    "method",
    "source_video",
    "target_identity",
    "donor_identity",
    "pair",
)


def table_of(*rows: dict[str, Any]) -> pa.Table:
    filled = [{**dict.fromkeys(COLUMNS), "face": f"f{i}", **row} for i, row in enumerate(rows)]
    return pa.table({name: pa.array([row[name] for row in filled], pa.string()) for name in COLUMNS})


def a_set(*extra: dict[str, Any]) -> pa.Table:
    """Ten people to train on, eight to validate and two to test on: a real of each, and a fake of all but the first."""
    rows = [{"label": "real", "split": "train", "target_identity": f"t{i}"} for i in range(10)]
    for split, people in (("val", 8), ("test", 2)):
        for i in range(people):
            person = {"split": split, "target_identity": f"{split}{i}", "pair": f"{split}{i}"}
            rows += [{"label": "real", **person}, {"label": "fake", "method": "Deepfakes", **person}]
    return table_of(*rows, *extra)


def test_training_people_come_first_then_those_who_choose_then_those_who_calibrate() -> None:
    of_training = {"label": "fake", "target_identity": "t3", "donor_identity": "t4", "method": "FaceSwap"}
    table = a_set(of_training)
    found = candidate_fakes(table, seed=1)
    assert found.rows[0] == len(table) - 1 and found.sources[0] == SOURCES[0]
    assert found.sources == tuple(sorted(found.sources, key=SOURCES.index)) and set(found.sources) == set(
        SOURCES
    )
    val = np.flatnonzero(np.array(table["split"].to_pylist()) == "val")
    chooses = set(val[halve(table.take(val), seed=1)])
    for row, source in zip(found.rows[1:], found.sources[1:], strict=True):
        assert (row in chooses) is (source == SOURCES[1])
    assert len(found.rows) == 9
    again = candidate_fakes(table, seed=1)
    assert again.rows.tolist() == found.rows.tolist()
    assert candidate_fakes(table, seed=1, method="FaceSwap").rows.tolist() == [len(table) - 1]


@pytest.mark.parametrize(
    "shown",
    [
        {"target_identity": "test1"},
        {"target_identity": "t3", "donor_identity": "test0"},
        {"target_identity": "t3", "pair": "test0"},
        {"target_identity": "test0", "split": "val"},
        {},  # says nothing of whom it shows
    ],
)
def test_who_is_tested_on_is_never_trained_on(shown: dict[str, str]) -> None:
    table = a_set({"label": "fake", **shown})
    assert len(table) - 1 not in candidate_fakes(table, seed=0).rows
    label, split = (np.array(table[name].to_pylist()) for name in ("label", "split"))
    rows = candidate_fakes(table, seed=0).rows
    assert (label[rows] == "fake").all() and not (split[rows] == "test").any() and len(rows)


def test_a_person_of_validation_makes_no_fake_of_training() -> None:
    table = a_set({"label": "fake", "target_identity": "t3", "donor_identity": "val0"})
    assert len(table) - 1 not in candidate_fakes(table, seed=0).rows


def test_smaller_levels_are_parts_of_larger_ones() -> None:
    table = a_set()
    forgeries = candidate_fakes(table, seed=0)
    one, three = contaminations(table, forgeries, [1, 3], seed=0)
    assert (one.share, three.share) == (0.1, 0.3)
    assert one.swaps.items() <= three.swaps.items() and len(three.swaps) == 3
    faces = table["face"].to_pylist()
    place = {face: row for row, face in enumerate(faces)}
    for real, fake in three.swaps.items():
        assert (
            table["label"][place[real]].as_py() == "real" and table["split"][place[real]].as_py() == "train"
        )
        assert place[fake] in forgeries.rows
    assert one.digest != three.digest == contaminations(table, forgeries, [3], seed=0)[0].digest


def test_a_sham_has_other_reals_in_the_same_places() -> None:
    table = a_set()
    (three,) = contaminations(table, candidate_fakes(table, seed=0), [3], seed=0)
    sham = placebo_of(table, three, seed=0)
    assert sham.share == 0 and sham.swaps.keys() == three.swaps.keys()
    place = {face: row for row, face in enumerate(table["face"].to_pylist())}
    for face in sham.swaps.values():
        assert (
            table["label"][place[face]].as_py() == "real" and table["split"][place[face]].as_py() == "train"
        )
    assert len({*sham.swaps, *sham.swaps.values()}) == 6
    (most,) = contaminations(table, candidate_fakes(table, seed=0), [6], seed=0)
    with pytest.raises(DataError, match="4 training reals are too few"):
        placebo_of(table, most, seed=0)


def test_too_few_fakes_cap_a_level_and_none_leave_it_out() -> None:
    assert counts_of((0.01, 0.05, 0.1), train=1000, available=500) == ([10, 50, 100], [])
    counts, notes = counts_of((0.01, 0.05, 0.1), train=1000, available=70)
    assert counts == [10, 50, 70] and notes == ["10% would need 100 fakes, there are 70: capped to 7.0%"]
    counts, notes = counts_of((0.01, 0.05, 0.1), train=1000, available=30)
    assert counts == [10, 30] and len(notes) == 2 and notes[1].endswith("left out")
    counts, notes = counts_of((0.01, 0.1), train=40, available=9)
    assert counts == [4] and "less than one" in notes[0]
    assert counts_of((0.1,), train=40, available=0)[0] == []


def test_faces_are_replaced_where_they_stand(face_set: Path) -> None:
    faces = FaceSet.open(face_set)
    train = faces.select(split="train", label="real")
    fake = faces.select(split="val", label="fake").face(2)
    mixed = Contamination(share=0.1, swaps={train.face(5): fake}).applied(faces, train)
    expected = [train.face(i) for i in range(len(train))]
    expected[5] = fake
    assert [mixed.face(i) for i in range(len(mixed))] == expected


def test_swaps_that_make_no_sense_are_refused(face_set: Path) -> None:
    faces = FaceSet.open(face_set)
    train, val, test = (faces.select(split=name) for name in ("train", "val", "test"))
    tested, other_real = test.select(label="fake").face(0), val.select(label="real").face(0)
    for swaps, words in (
        ({train.face(0): tested}, "of the split test"),
        ({train.face(0): other_real}, "is a real face"),
        ({other_real: val.select(label="fake").face(0)}, "is not in"),
        ({train.face(0): "nowhere.jpg"}, "nowhere.jpg is not in"),
    ):
        with pytest.raises(DataError, match=words):
            Contamination(share=0.1, swaps=swaps).applied(faces, train)
    with pytest.raises(DataError, match="is a fake face"):  # a sham is of training reals alone
        Contamination(share=0.0, swaps={train.face(0): val.select(label="fake").face(0)}).applied(
            faces, train
        )
