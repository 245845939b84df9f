from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pytest

from verovolto.core.errors import DataError
from verovolto.data.score_table import ScoreTable
from verovolto.evaluation.groups import by_video, coverage, find_pairs, scored_rows


def table(**columns: list[object]) -> ScoreTable:
    n = len(columns["label"])
    given = {"status": ["ok"] * n, "rmse": [float(i) for i in range(n)], **columns}
    return ScoreTable(table=pa.table(given), scores=("rmse",))


def test_only_scored_and_labelled_faces_count() -> None:
    scores = table(
        label=["real", "fake", "unknown", None, "fake"],
        status=["ok", "ok", "ok", "ok", "no_face"],
        rmse=[1.0, 2.0, 3.0, 4.0, None],
    )
    assert scored_rows(scores, "rmse").tolist() == [0, 1]
    assert coverage(scores) == {"faces": 5, "ok": 4, "no_face": 1, "unreadable": 0, "unlabelled": 2}


def test_a_missing_class_is_named() -> None:
    with pytest.raises(DataError, match="no scored fake face"):
        scored_rows(table(label=["real", "real"]), "rmse")


def test_videos_of_one_name_in_two_compressions_stay_apart() -> None:
    scores = table(
        label=["real", "real", "real", "fake", "fake", "fake"],
        compression=["c23", "c23", "c40", "c23", "c23", None],
        source_video=["001", "001", "001", "001", None, None],
        rmse=[1.0, 3.0, 9.0, 4.0, 5.0, 6.0],
    )
    videos, means = by_video(scores, "rmse")
    assert sorted(means.tolist()) == [2.0, 4.0, 5.0, 6.0, 9.0]
    assert len(videos) == 5


def test_pairs_are_ordered_within_their_frame_and_ties_count_half() -> None:
    scores = table(
        label=["real", "real", "fake", "fake", "fake", "fake", "fake"],
        pair=["a", "b", "a", "a", "b", None, "c"],
        rmse=[1.0, 2.0, 3.0, 0.0, 2.0, 9.0, 9.0],
    )
    pairs = find_pairs(scores, scores.values("rmse"), scores.strings("label") == "fake")
    assert pairs.rows.tolist() == [2, 3, 4]
    assert pairs.ordered.tolist() == [1.0, 0.0, 0.5]
    assert pairs.pairwise_accuracy(np.ones((1, 7)))["pairs_ordered"].tolist() == [0.5]
    assert pairs.pairwise_accuracy(np.array([[1.0, 1, 3, 1, 0, 1, 1]]))["pairs_ordered"].tolist() == [0.75]


def test_several_reals_of_a_pair_share_its_vote() -> None:
    scores = table(
        label=["real", "real", "fake", "fake"], pair=["a", "a", "a", "z"], rmse=[1.0, 5.0, 3.0, 3.0]
    )
    pairs = find_pairs(scores, scores.values("rmse"), scores.strings("label") == "fake")
    assert pairs.ordered.tolist() == [0.5]


def test_frames_of_a_pair_meet_their_own_frame() -> None:
    scores = table(
        label=["real", "real", "fake", "fake"],
        pair=["a", "a", "a", "a"],
        frame=[0, 1, 0, 1],
        rmse=[1.0, 5.0, 2.0, 4.0],
    )
    pairs = find_pairs(scores, scores.values("rmse"), scores.strings("label") == "fake")
    assert pairs.ordered.tolist() == [1.0, 0.0]


def test_no_pairs_at_all(make_table: Callable[..., ScoreTable]) -> None:
    scores = make_table(8, pair=[None] * 16)
    pairs = find_pairs(scores, scores.values("rmse"), scores.strings("label") == "fake")
    assert pairs.rows.size == 0 and np.isnan(pairs.pairwise_accuracy(np.ones((2, 16)))["pairs_ordered"]).all()
