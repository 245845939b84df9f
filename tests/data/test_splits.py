from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from verovolto.core.errors import DataError, InputError, SplitError
from verovolto.data.layouts.ffpp import official_splits, read_pairs
from verovolto.data.splits import (
    check_disjoint,
    cluster_ids,
    cluster_kinds,
    halve,
    make_splits,
    name_of_clusters,
    shared_between_splits,
    video_keys,
)

COLUMNS = ("face", "label", "split", "dataset", "source_video", "target_identity", "donor_identity", "pair")


def table(**columns: list[Any]) -> pa.Table:
    """A table of the columns given, the others unknown."""
    n = len(next(iter(columns.values())))
    defaults = {"face": [f"f{i}" for i in range(n)], "label": ["real"] * n}
    values = {name: columns.get(name, defaults.get(name, [None] * n)) for name in COLUMNS}
    return pa.table({name: pa.array(value, pa.string()) for name, value in values.items()})


def key(prefix: str, most: int) -> st.SearchStrategy[str | None]:
    return st.one_of(st.none(), st.integers(0, most).map(lambda i: f"{prefix}{i}"))


ROW = st.fixed_dictionaries(
    {
        "label": st.sampled_from(["real", "fake"]),
        "dataset": st.sampled_from([None, "d"]),
        "source_video": key("v", 25),
        "target_identity": key("p", 12),
        "donor_identity": key("p", 14),
        "pair": key("q", 30),
    }
)
TABLES = st.lists(ROW, min_size=1, max_size=60).map(
    lambda rows: table(**{k: [r[k] for r in rows] for k in rows[0]})
)


def with_split(faces: pa.Table, split: pa.Array) -> pa.Table:
    return faces.set_column(faces.schema.get_field_index("split"), "split", split)


class TestClusters:
    def test_the_coarsest_known_group(self) -> None:
        faces = table(
            target_identity=["a", None, None, None, None],
            donor_identity=["x", "b", None, None, None],
            source_video=["v", "w", "w2", "v", None],
        )
        ids = cluster_ids(faces)
        assert ids.tolist() == ["identity::a", "donor::b", "video::w2", "identity::a", "face::f4"]
        assert cluster_kinds(ids) == {
            "identity": (1, 2),
            "donor identity": (1, 1),
            "source video": (1, 1),
            "face": (1, 1),
        }

    def test_names_count_within_their_data_set(self) -> None:
        faces = table(target_identity=["000", "000", "000"], dataset=["x", "y", "x"])
        first, second, third = cluster_ids(faces)
        assert first == third != second

    def test_missing_columns_are_unknown(self) -> None:
        assert cluster_ids(pa.table({"label": ["real", "fake"]})).tolist() == ["face::0", "face::1"]
        assert cluster_ids(table(face=[])).shape == (0,)

    def test_the_key_of_a_video_is_never_a_bare_name(self) -> None:
        faces = pa.table(
            {
                "face": ["a", "b", "c", "d"],
                "label": ["real", "fake", "real", "real"],
                "source_video": ["v", "v", "v", None],
                "compression": ["c23", "c23", "c40", None],
            }
        )
        assert video_keys(faces).tolist() == [
            "video//real//c23/v",
            "video//fake//c23/v",
            "video//real//c40/v",
            "face/d",
        ]


class TestHalve:
    @settings(max_examples=60, deadline=None)
    @given(TABLES, st.integers(0, 5))
    def test_what_belongs_together_stays_together(self, faces: pa.Table, seed: int) -> None:
        try:
            choose = halve(faces, seed=seed)
        except SplitError:
            return
        np.testing.assert_array_equal(choose, halve(faces, seed=seed))
        half = pa.array(np.where(choose, "choose", "calibrate"))
        assert shared_between_splits(with_split(faces, half)) == {"identities": [], "source videos": []}
        by_pair = pa.table(
            {
                "key": pc.binary_join_element_wise(pc.fill_null(faces["dataset"], ""), faces["pair"], "/"),
                "half": half,
            }
        )
        halves = (
            by_pair.filter(pc.is_valid(by_pair["key"]))
            .group_by("key")
            .aggregate([("half", "count_distinct")])
        )
        assert max(halves["half_count_distinct"].to_pylist(), default=1) == 1

    @given(st.lists(st.integers(1, 9), min_size=2, max_size=40), st.integers(0, 3))
    def test_halves_are_about_equal(self, sizes: list[int], seed: int) -> None:
        people = [f"p{i}" for i, size in enumerate(sizes) for _ in range(size)]
        choose = halve(table(target_identity=people), seed=seed)
        assert abs(int(choose.sum()) - int((~choose).sum())) <= max(sizes)

    def test_seeds_cut_differently(self) -> None:
        faces = table(target_identity=[f"p{i // 2}" for i in range(80)])
        assert len({tuple(halve(faces, seed=seed)) for seed in range(5)}) == 5

    def test_the_cut_is_the_same_on_every_machine(self) -> None:
        faces = table(target_identity=[f"p{i}" for i in range(10)])
        assert np.flatnonzero(halve(faces, seed=0)).tolist() == [0, 1, 6, 7, 9]

    def test_what_cannot_be_halved_is_refused(self) -> None:
        with pytest.raises(SplitError, match="3 validation faces make 1 group"):
            halve(table(target_identity=["a", "a", None], source_video=[None, "v", "v"]), seed=0)
        with pytest.raises(SplitError, match="one half would have none"):
            halve(table(target_identity=["a", "a", "b"], label=["real", "real", "fake"]), seed=0)
        with pytest.raises(SplitError, match="0 validation faces"):
            halve(table(face=[]), seed=0)
        with pytest.raises(InputError, match="negative"):
            halve(table(face=["a", "b"]), seed=-1)


class TestDisjoint:
    def test_the_shared_are_named_and_counted(self) -> None:
        faces = table(
            target_identity=["a", "a", "b", "c", "d", "e", "e"],
            donor_identity=[None, None, None, "b", None, None, None],
            source_video=["v1", "v2", "v3", "v3", "v4", "v5", "v6"],
            split=["train", "test", "train", "val", "val", "val", None],
        )
        with pytest.raises(SplitError) as error:
            check_disjoint(faces)
        assert (
            "2 identities: a (test, train), b (train, val); 1 source videos: v3 (train, val)"
            in error.value.message
        )

    def test_other_data_sets_use_the_same_names(self) -> None:
        faces = table(target_identity=["000", "000"], dataset=["x", "y"], split=["train", "test"])
        check_disjoint(faces)
        assert shared_between_splits(faces)["identities"] == []


class TestMakeSplits:
    @settings(max_examples=80, deadline=None)
    @given(TABLES, st.integers(0, 3))
    def test_nobody_is_shared_and_nothing_is_lost(self, faces: pa.Table, seed: int) -> None:
        try:
            made = make_splits(faces, parts={"train": 0.5, "val": 0.3, "test": 0.2}, seed=seed)
        except SplitError:
            return
        check_disjoint(with_split(faces, made.split))
        assert made.split.null_count == made.dropped_fakes + made.left_out
        assert made.split.equals(
            make_splits(faces, parts={"train": 0.5, "val": 0.3, "test": 0.2}, seed=seed).split
        )

    def test_sizes_are_met(self) -> None:
        faces = table(target_identity=[f"p{i // 3}" for i in range(300)])
        for parts in ({"train": 0.8, "val": 0.1, "test": 0.1}, {"train": 150, "val": 60, "test": 30}):
            counts = pc.value_counts(make_splits(faces, parts=parts, seed=1).split).to_pylist()
            scale = 300 if parts["train"] < 1 else 1
            for entry in counts:
                wanted = parts[entry["values"]] * scale if entry["values"] else 60
                assert abs(entry["counts"] - wanted) <= 3

    def test_pairs_that_swapped_among_themselves_stay_together(self) -> None:
        people = [f"p{i}" for i in range(20)]
        partner = [people[i ^ 1] for i in range(20)]
        faces = table(
            target_identity=people * 3,
            donor_identity=[None] * 20 + partner * 2,
            label=["real"] * 20 + ["fake"] * 40,
        )
        made = make_splits(faces, parts={"train": 0.7, "val": 0.15, "test": 0.15}, seed=0)
        assert made.dropped_fakes == 0 and made.split.null_count == 0
        of_person = made.split[:20].to_pylist()
        assert set(of_person) == {"train", "val", "test"}
        assert all(of_person[i] == of_person[i ^ 1] for i in range(20))

    def test_fakes_of_two_splits_are_dropped_and_counted(self) -> None:
        people = [f"p{i}" for i in range(20)]
        faces = table(
            target_identity=people + people,
            donor_identity=[None] * 20 + people[1:] + people[:1],
            label=["real"] * 20 + ["fake"] * 20,
        )
        made = make_splits(faces, parts={"train": 0.5, "test": 0.5}, seed=0)
        of_person = dict(zip(people, made.split[:20].to_pylist(), strict=True))
        for row in range(20):
            same = of_person[people[row]] == of_person[people[(row + 1) % 20]]
            assert made.split[20 + row].as_py() == (of_person[people[row]] if same else None)
        assert made.dropped_fakes == made.split.null_count > 0 and made.left_out == 0

    def test_donors_without_face_of_their_own_go_where_most_of_their_fakes_are(self) -> None:
        faces = table(
            target_identity=["a"] * 9 + ["b"] * 5,
            donor_identity=["z"] * 8 + [None] + ["z"] * 4 + [None],
            label=["fake"] * 8 + ["real"] + ["fake"] * 4 + ["real"],
        )
        made = make_splits(faces, parts={"train": 9, "test": 5}, seed=0)
        assert made.split.to_pylist() == ["train"] * 9 + [None] * 4 + ["test"]
        assert made.dropped_fakes == 4

    @pytest.mark.parametrize(
        ("parts", "error"),
        [
            ({"train": 0.8, "val": 0.3}, InputError),
            ({"train": 2.5, "val": 1}, InputError),
            ({"train": -1, "val": 1}, InputError),
            ({"train": 0, "val": 0}, InputError),
            ({"train": float("nan")}, InputError),
            ({}, InputError),
            ({"train": 10, "val": 5}, SplitError),
            ({"train": 0.5, "val": 0.3, "test": 0.2}, SplitError),
        ],
    )
    def test_sizes_that_cannot_be_are_refused(self, parts: dict[str, float], error: type[Exception]) -> None:
        faces = table(target_identity=["a"] * 6 + ["b"] * 4)
        with pytest.raises(error):
            make_splits(faces, parts=parts, seed=0)

    def test_what_is_unknown_is_said(self) -> None:
        faces = table(target_identity=["a", None, None, "b"], source_video=["v", "w", None, "x"])
        notes = make_splits(faces, parts={"train": 0.5, "test": 0.5}, seed=0).notes
        assert notes[0].startswith("2 rows of unknown identity are") and notes[1].startswith(
            "1 rows of unknown identity and"
        )


class TestOfficialPairs:
    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        for name, pairs in (
            ("train", [["000", "003"]]),
            ("val", [["720", "672"]]),
            ("test", [["953", "974"]]),
        ):
            (tmp_path / f"{name}.json").write_text(json.dumps(pairs))
        return tmp_path

    def test_pairs_cover_two_reals_and_two_fakes(self, folder: Path) -> None:
        assert {video for video, split in read_pairs(folder).items() if split == "train"} == {
            "000",
            "003",
            "000_003",
            "003_000",
        }
        videos = ["000", "c23/videos/672.mp4", "974_953", "000_953", "01__walking", None]
        labels = ["real", "real", "fake", "fake", "real", "fake"]
        made = official_splits(table(source_video=videos, label=labels), folder)
        assert made.split.to_pylist() == ["train", "val", "test", None, None, None]
        assert (made.dropped_fakes, made.left_out) == (2, 1)

    def test_a_fake_named_by_its_target_needs_its_donor_in_the_same_pair(self, folder: Path) -> None:
        rows = table(
            source_video=["000", "000", "000", "000"],
            label=["real", "fake", "fake", "fake"],
            donor_identity=[None, "003", "953", None],
        )
        made = official_splits(rows, folder)
        assert made.split.to_pylist() == ["train", "train", None, "train"]
        assert made.dropped_fakes == 1

    def test_lists_that_cannot_be_followed_are_refused(self, folder: Path) -> None:
        with pytest.raises(SplitError, match="no source_video of the set"):
            official_splits(table(source_video=["x", None]), folder)
        (folder / "val.json").write_text('[["000", "001"]]')
        with pytest.raises(SplitError, match=r"val\.json: video 000 is in train too"):
            read_pairs(folder)
        (folder / "val.json").write_text('{"a": 1}')
        with pytest.raises(DataError, match="not a list of pairs"):
            read_pairs(folder)
        (folder / "val.json").unlink()
        with pytest.raises(DataError, match=r"val\.json does not exist"):
            read_pairs(folder)


def test_clusters_are_named_by_the_coarsest_kind_first() -> None:
    ids = np.array(["face:d:a", "video:d:v", "identity:d:p", "identity:d:p"])
    assert name_of_clusters(ids) == "identity (source video, face where unknown)"
    assert name_of_clusters(ids[:1]) == "face"
