"""Folds: what is trained on, what is tested on, and that nothing is both."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from verovolto.data.schema import COLUMNS
from verovolto.thesis.experiments.memorisation.draw import SEEDS, SEEN, UNSEEN, draw_folds


def table(people: int = 10, frames: int = 10, *, fakes: bool = True) -> pa.Table:
    rows = [
        {
            "face": f"{label}/{person}_{frame}", "label": label, "source_video": f"v{person}", "frame": frame,
            "target_identity": f"p{person}", "method": None if label == "real" else "Deepfakes",
        }
        for label in ("real", "fake")[: 1 + fakes]
        for person in range(people)
        for frame in range(frames)
    ]  # fmt: skip
    return pa.table(
        {name: [row.get(name) for row in rows] for name in COLUMNS}, pa.schema(list(COLUMNS.items()))
    )


@pytest.mark.parametrize("people", [10, 13])
def test_every_person_is_known_in_one_fold_of_a_seed_and_unknown_in_the_other(people: int) -> None:
    faces = table(people)
    folds = draw_folds(faces, seed=3, method=None)
    assert len(folds) == 2 * SEEDS and len({fold.name for fold in folds}) == len(folds)
    label, person, frame = (
        np.asarray(faces[name].to_pylist()) for name in ("label", "target_identity", "frame")
    )
    for one, other in zip(folds[::2], folds[1::2], strict=True):
        known = []
        for fold in (one, other):
            split = np.asarray(fold.split.to_pylist(), dtype=object)
            assert set(label[split == "train"]) == {"real"} == set(label[split == "val"])
            known.append(set(person[split == "train"]))
            assert set(person[split == SEEN]) == known[-1] and not known[-1] & set(person[split == UNSEEN])
            for side in (SEEN, UNSEEN):
                reals, fakes = ((split == side) & (label == name) for name in ("real", "fake"))
                assert reals.sum() == fakes.sum() == 3 * len(set(person[split == side]))
                # The same frames of either, so that neither class is later or earlier in its video.
                assert {*zip(person[reals], frame[reals], strict=True)} == {
                    *zip(person[fakes], frame[fakes], strict=True)
                }
        assert known[0] | known[1] == {f"p{number}" for number in range(people)} and not known[0] & known[1]


def test_the_draw_depends_on_the_seed_alone() -> None:
    faces = table()
    one, other = (draw_folds(faces, seed=1, method="Deepfakes") for _ in range(2))
    assert [fold.split for fold in one] == [fold.split for fold in other]
    assert one[0].split != draw_folds(faces, seed=2, method=None)[0].split
    assert one[0].split != one[2].split


@pytest.mark.parametrize(("people", "frames"), [(10, 2), (7, 10), (0, 0)])
def test_too_few_frames_or_people_give_no_fold(people: int, frames: int) -> None:
    assert draw_folds(table(people, frames), seed=0, method=None) == []
