"""Tables of scores: written and read back, and read from other programs' files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from verovolto.core.errors import InputError
from verovolto.data.score_table import ScoreTable, read_scores


def csv(folder: Path, text: str) -> Path:
    path = folder / "scores.csv"
    path.write_text(text)
    return path


def small_table() -> ScoreTable:
    table = pa.table(
        {
            "face": ["a", "b", "c"],
            "label": ["real", "fake", "real"],
            "status": ["ok", "ok", "unreadable"],
            "rmse": pa.array([0.25, 0.5, None], pa.float32()),
            "bytes": pa.array([10.0, 20.0, None], pa.float32()),
        }
    )
    return ScoreTable(
        table=table, scores=("rmse",), baselines=("bytes",), metadata={"detector": "d", "seed": 3}
    )


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    small_table().write(tmp_path / "new" / "scores.parquet")
    back = ScoreTable.read(tmp_path / "new" / "scores.parquet")
    assert back.metadata == {"detector": "d", "seed": 3} and back.baselines == ("bytes",)
    np.testing.assert_array_equal(back.values("rmse"), [0.25, 0.5, np.nan])
    assert back.strings("method").tolist() == [None] * 3
    assert back.take(np.array([False, True, False])).strings("face").tolist() == ["b"]
    assert read_scores(tmp_path / "new" / "scores.parquet", score="bytes").scores == ("bytes", "rmse")


def test_a_foreign_parquet_and_a_newer_schema_are_refused(tmp_path: Path) -> None:
    pq.write_table(pa.table({"label": ["real"]}), tmp_path / "x.parquet")
    with pytest.raises(InputError, match="--scores"):
        ScoreTable.read(tmp_path / "x.parquet")
    newer = small_table().table.replace_schema_metadata({b"verovolto.scores": b'{"schema_version": 99}'})
    pq.write_table(newer, tmp_path / "newer.parquet")
    with pytest.raises(InputError, match="99"):
        ScoreTable.read(tmp_path / "newer.parquet")


def test_unknown_scores_are_named_with_what_there_is() -> None:
    with pytest.raises(InputError, match="rmse, bytes"):
        small_table().values("elbo")


def test_csv_of_another_program(tmp_path: Path) -> None:
    path = csv(
        tmp_path, "label,score,identity,source_video,pair,sharpness\nReal,1,007,v1,p,3\n fake ,2.5,,v2,p,4\n"
    )
    scores = read_scores(path)
    assert scores.strings("label").tolist() == ["real", "fake"]
    assert scores.strings("target_identity").tolist() == ["007", None], "identities are text, never numbers"
    assert scores.strings("face").tolist() == ["row 1", "row 2"]
    assert scores.scores == ("score",) and scores.baselines == ("sharpness",)
    np.testing.assert_array_equal(scores.values("score"), [1.0, 2.5])


def test_rmse_is_derived_from_mse_and_said_so(tmp_path: Path) -> None:
    scores = read_scores(csv(tmp_path, "mse,label\n0.25,real\n4,fake\n"), score="rmse")
    np.testing.assert_allclose(scores.values("rmse"), [0.5, 2.0])
    assert scores.metadata["derived"] == "rmse = sqrt(mse)"


def test_statuses_excuse_missing_scores(tmp_path: Path) -> None:
    text = "score,label,status\n1,real,ok\n2,fake,ok\n,fake,no_face\n"
    assert np.isnan(read_scores(csv(tmp_path, text)).values("score")).tolist() == [False, False, True]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("points,label\n1,real\n2,fake\n", "no column 'score'.*points"),
        ("score\n1\n2\n", "no column 'label'"),
        ("score,label\n1,0\n2,1\n", "'0', '1'.*not guessed"),
        ("score,label\n1,real\n2,\n", r"\(empty\)"),
        ("score,label\n1,real\nNaN,fake\n", "row 2"),
        ("score,label\n1,real\ninf,fake\n", "infinite"),
        ("score,label\nhigh,real\n2,fake\n", "no numbers.*'high'"),
        ("score,label\n1,real\n2,real\n", "only the class 'real'"),
        ("score,label\n", "only the class"),
        ("score,label\n1,real\n2,fake,3\n", "cannot be read"),
        ("score,label,status\n1,real,fine\n2,fake,ok\n", "unknown status 'fine'"),
        ("", "cannot be read"),
    ],
)
def test_bad_tables_are_refused_in_one_line(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        read_scores(csv(tmp_path, text))
    assert caught.value.exit_code == 2


def test_negative_mse_and_missing_files(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="negative"):
        read_scores(csv(tmp_path, "mse,label\n-1,real\n4,fake\n"), score="rmse")
    with pytest.raises(InputError, match="no file"):
        read_scores(tmp_path / "absent.csv")
