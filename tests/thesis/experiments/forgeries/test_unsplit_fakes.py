from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from verovolto.data.splits import shared_between_splits
from verovolto.thesis.experiments.forgeries.fakes import unsplit_fakes

COLUMNS = ("split", "label", "method", "dataset", "source_video", "target_identity", "donor_identity")


def table(*rows: tuple[str | None, ...]) -> pa.Table:
    """Rows of split, label, method, dataset, source video, target and donor."""
    schema = pa.schema([(name, pa.string()) for name in COLUMNS])
    return pa.Table.from_pylist([dict(zip(COLUMNS, row, strict=True)) for row in rows], schema=schema)


SPLIT = (
    ("train", "real", None, "A", "v1", "1", None),
    ("val", "real", None, "A", "v2", "2", None),
    ("test", "real", None, "A", "v3", "3", None),
    ("test", "real", None, "A", "v4", "4", None),
)


def judged(*rows: tuple[str | None, ...], each: int = 100) -> list[bool]:
    """Which of the rows, of the split above, may be judged beside test."""
    return list(unsplit_fakes(table(*SPLIT, *rows), each=each, seed=0).rows[len(SPLIT) :])


@pytest.mark.parametrize(
    ("target", "donor", "video", "wanted"),
    [
        ("3", "4", "v3", True),
        ("3", None, None, True),
        (None, None, "v3", True),
        ("3", "1", "v3", False),  # somebody who was trained on lends the face
        ("2", "3", "v2", False),
        ("3", "9", "v3", False),  # where that person is, nobody knows
        ("3", "4", "v1", False),
        (None, None, "v9", False),
        (None, None, None, False),
    ],
)
def test_both_people_and_the_video_must_be_in_test(
    target: str | None, donor: str | None, video: str | None, wanted: bool
) -> None:
    assert judged((None, "fake", "M", "A", video, target, donor)) == [wanted]


def test_people_are_named_within_their_data_set() -> None:
    one, other = ((None, "fake", "M", name, None, "3", None) for name in ("A", "B"))
    found = unsplit_fakes(table(*SPLIT, one, other), each=9, seed=0)
    assert list(found.rows[-2:]) == [True, True] and list(found.apart) == ["B"]
    in_a_split = ("train", "real", None, "B", "w", "8", None)
    found = unsplit_fakes(table(*SPLIT, in_a_split, one, other), each=9, seed=0)
    assert list(found.rows[-2:]) == [True, False] and not found.apart and found.cross_split == 1


def test_a_collection_that_no_split_holds_comes_whole() -> None:
    rows = [(None, "real", None, "B", "w", "8", None), (None, "fake", "M", "B", "w", "8", "7")]
    unknown = (None, "fake", "M", None, None, "8", None)
    assert judged(*rows, unknown) == [True, True, False]


def test_what_a_split_holds_or_left_out_of_training_is_not_taken() -> None:
    real, held = (None, "real", None, "A", "v5", "5", None), ("test", "fake", "M", "A", "v3", "3", "4")
    assert judged(real, held) == [False, False]


def test_a_number_of_each_method_is_drawn() -> None:
    fakes = [(None, "fake", method, "A", "v3", "3", None) for method in "MMMMNN" for _ in range(2)]
    found = unsplit_fakes(table(*SPLIT, *fakes), each=3, seed=0)
    taken = [fake[2] for fake, row in zip(fakes, found.rows[len(SPLIT) :], strict=True) if row]
    assert sorted(taken) == list("MMMNNN") and found.too_many == 6
    again = unsplit_fakes(table(*SPLIT, *fakes), each=3, seed=0)
    assert list(again.rows) == list(found.rows)


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["train", "val", "test", None]), st.sampled_from(["1", "2", "3", None]),
            st.sampled_from(["1", "2", "3", None]), st.sampled_from(["v1", "v2", None]), st.sampled_from("AB"),
        ),
        max_size=14,
    )
)  # fmt: skip
def test_whatever_the_set_nobody_of_training_is_among_them(rows: list[tuple[Any, ...]]) -> None:
    made = [
        (split, "fake" if donor else "real", None, dataset, video, target, donor)
        for split, target, donor, video, dataset in rows
    ]
    whole = table(*made)
    if any(shared_between_splits(whole).values()):
        return
    found = unsplit_fakes(whole, each=5, seed=1).rows
    beside = ["test" if row else one for row, one in zip(found, whole["split"].to_pylist(), strict=True)]
    joint = whole.set_column(0, "split", pa.array(beside, pa.string()))
    assert not any(shared_between_splits(joint).values())
