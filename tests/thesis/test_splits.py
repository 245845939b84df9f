"""The thesis's random split of frames: drawn by the seed, sized to the set, nothing counted twice."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from verovolto.core.errors import SplitError
from verovolto.thesis.splits import (
    EACH,
    PROBE,
    draw_probe,
    frames_apart,
    frames_at_random,
    keep_train,
    seen_in_training,
)


def table(reals: int, fakes: int, method: str = "Deepfakes", others: int = 0) -> pa.Table:
    labels = ["real"] * reals + ["fake"] * (fakes + others)
    methods = [None] * reals + [method] * fakes + ["FaceSwap"] * others
    return pa.table({"label": pa.array(labels), "method": pa.array(methods, pa.string())})


def counted(cut: pa.Array, data: pa.Table) -> Counter[tuple[str, str]]:
    return Counter(
        (split, label)
        for split, label in zip(cut.to_pylist(), data["label"].to_pylist(), strict=True)
        if split is not None
    )


def test_a_large_set_is_cut_as_the_thesis_did() -> None:
    data = table(6000, 700)
    cut = frames_at_random(data)
    assert counted(cut.split, data) == {
        ("train", "real"): 5500, ("val", "real"): EACH, ("val", "fake"): EACH, ("test", "real"): EACH,
        ("test", "fake"): EACH,
    }  # fmt: skip
    assert cut.each == EACH and not cut.notes


@given(reals=st.integers(10, 400), fakes=st.integers(2, 60), seed=st.integers(0, 9))
def test_a_small_set_gives_proportionally_fewer_and_says_so(reals: int, fakes: int, seed: int) -> None:
    data = table(reals, fakes)
    cut = frames_at_random(data, seed=seed)
    found = counted(cut.split, data)
    assert cut.each == min(fakes // 2, reals // 10) >= 1
    assert all(found[split, label] == cut.each for split in ("test", "val") for label in ("real", "fake"))
    assert found["train", "real"] == reals - 2 * cut.each and not found["train", "fake"]
    assert len(cut.notes) == 1 and f"{cut.each} + {cut.each}" in cut.notes[0]


def test_the_seed_alone_decides() -> None:
    data = table(300, 60)
    assert frames_at_random(data, seed=1).split.equals(frames_at_random(data, seed=1).split)
    assert not frames_at_random(data, seed=1).split.equals(frames_at_random(data, seed=2).split)


def test_fakes_of_other_methods_are_in_no_split() -> None:
    data = table(100, 20, others=30)
    cut = frames_at_random(data, method="Deepfakes")
    assert cut.split[-30:].null_count == 30
    with pytest.raises(SplitError, match=r"no fake of the method Face2Face.*Deepfakes, FaceSwap"):
        frames_at_random(data, method="Face2Face")


def test_a_set_that_records_no_method_says_so() -> None:
    data = table(100, 20).drop_columns("method").append_column("method", pa.nulls(120, pa.string()))
    with pytest.raises(SplitError, match="records no methods"):
        frames_at_random(data, method="Deepfakes")


def test_a_set_that_is_too_small_is_refused() -> None:
    with pytest.raises(SplitError, match="too few"):
        frames_at_random(table(9, 20))
    with pytest.raises(SplitError, match="too few"):
        frames_at_random(table(100, 1))


def test_the_probe_is_apart_and_leaves_others_of_its_split_to_the_random_draw() -> None:
    data = table(200, 80)
    held_out = np.zeros(280, dtype=bool)
    held_out[150:240] = True  # 50 reals, 40 fakes
    probe = draw_probe(data, held_out, seed=3)
    assert not (probe & ~held_out).any()
    assert probe[:200].sum() == 25 and probe[200:].sum() == 20
    split = np.array(frames_at_random(data, probe=probe).split.to_pylist(), dtype=object)
    assert (split[probe] == PROBE).all() and not (split[~probe] == PROBE).any()
    assert (split[150:200] == "train").any()


def test_frames_apart_are_some_of_those_of_their_split() -> None:
    data = table(200, 80)
    names = np.array(["train"] * 120 + ["val"] * 50 + ["test"] * 30 + ["val"] * 40 + ["test"] * 39 + [None])
    cut = pa.array(names, pa.string())
    found = frames_apart(data, cut, each=20, seed=3)
    assert found.each == 20 and not found.notes
    kept = np.array(found.split.to_pylist(), dtype=object)
    assert all(name is None or name == before for name, before in zip(kept, names, strict=True))
    assert counted(found.split, data) == {
        ("train", "real"): 120, **{(split, label): 20 for split in ("val", "test") for label in ("real", "fake")}
    }  # fmt: skip
    assert found.split.equals(frames_apart(data, cut, each=20, seed=3).split)
    assert not found.split.equals(frames_apart(data, cut, each=20, seed=4).split)
    fewer = frames_apart(data, cut, each=EACH, seed=3)
    assert fewer.each == 30 and "30 + 30 faces to test" in fewer.notes[0]
    with pytest.raises(SplitError, match="the test split holds no fake"):
        frames_apart(data.slice(0, 200), cut.slice(0, 200), each=5, seed=3)


def test_training_is_thinned_by_the_seed_and_nothing_else_is() -> None:
    data = table(300, 60)
    cut = frames_at_random(data).split
    thin = keep_train(cut, 50, seed=1)
    found, before = counted(thin, data), counted(cut, data)
    assert found["train", "real"] == 50
    assert {k: n for k, n in found.items() if k[0] != "train"} == {
        k: n for k, n in before.items() if k[0] != "train"
    }
    assert keep_train(cut, 10**6, seed=1).equals(cut)
    assert not thin.equals(keep_train(cut, 50, seed=2))


def test_who_is_seen_in_training_is_counted_by_row() -> None:
    ids = np.array(["a", "b", "a", "c", "c", "d"])
    cut = pa.array(["train", "train", "test", "test", "val", None])
    assert seen_in_training(ids, cut, "test") == 0.5
    assert seen_in_training(ids, cut, "val") == 0.0 == seen_in_training(ids, cut, "probe")
