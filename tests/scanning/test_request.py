"""Lists of files, and what part of them a shard is."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from verovolto.core.errors import InputError
from verovolto.scanning.request import Shard, read_list


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_text_of_a_path_a_line(tmp_path: Path, end: str) -> None:
    lines = ["# all of March", "", "a b.mp4", "  # not this", "Größe/c.png", "   ", "./#d.mp4", "e.mp4 "]
    file = tmp_path / "files.txt"
    file.write_bytes(b"\xef\xbb\xbf" + end.join(lines).encode())
    assert [str(path) for path in read_list(file)] == ["a b.mp4", "Größe/c.png", "#d.mp4", "e.mp4 "]


def test_names_that_are_no_text_stay_names(tmp_path: Path) -> None:
    (tmp_path / "files").write_bytes(b"a\xff.mp4\nb.mp4\n")
    assert [os.fsencode(path) for path in read_list(tmp_path / "files")] == [b"a\xff.mp4", b"b.mp4"]


@pytest.mark.parametrize("column", ["path", "file_name"])
def test_tables_with_a_column_of_paths(tmp_path: Path, column: str) -> None:
    table = pa.table({"year": [1, 2], column: ["b.mp4", "#a,1.mp4"]})
    pq.write_table(table, tmp_path / "files.parquet")
    (tmp_path / "files.csv").write_text(f'year,{column}\n1,b.mp4\n2,"#a,1.mp4"\n')
    for name in ("files.parquet", "files.csv"):
        assert read_list(tmp_path / name) == [Path("b.mp4"), Path("#a,1.mp4")]


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("none.txt", None, "there is no list"),
        ("empty.txt", b"\n# nothing\n", "names no file"),
        ("wide.txt", "a.mp4\n".encode("utf-16"), "no text in UTF-8"),
        ("zero.txt", b"a.mp4\0b.mp4\0", "no text in UTF-8"),
        ("parquet.txt", b"PAR1...", "no text in UTF-8"),
        ("text.parquet", b"a.mp4\n", "is no Parquet"),
        ("other.parquet", pa.table({"file": ["a.mp4"]}), r"no column path \(it has file\)"),
        ("numbers.parquet", pa.table({"path": [1, 2]}), "holds int64, not text"),
        ("holes.parquet", pa.table({"path": ["a.mp4", None, None]}), "2 rows of .* have no path"),
        ("none.parquet", pa.table({"path": pa.array([], pa.string())}), "names no file"),
        ("other.csv", b"file\na.mp4\n", "no column path"),
        ("holes.csv", b"year,path\n1,\n", "1 rows of .* have no path"),
    ],
)
def test_what_is_no_list_is_refused(tmp_path: Path, name: str, content: Any, said: str) -> None:
    if isinstance(content, bytes):
        (tmp_path / name).write_bytes(content)
    elif content is not None:
        pq.write_table(content, tmp_path / name)
    with pytest.raises(InputError, match=said) as refused:
        read_list(tmp_path / name)
    assert refused.value.hint


def test_a_folder_is_no_list(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no list"):
        read_list(tmp_path)


@given(st.integers(0, 40), st.integers(1, 9))
def test_shards_are_the_whole_each_file_once(files: int, of: int) -> None:
    shards = [Shard(number=number, of=of).take(range(files)) for number in range(1, of + 1)]
    assert sorted(file for shard in shards for file in shard) == list(range(files))
    assert max(map(len, shards)) - min(map(len, shards)) <= 1


def test_shards_count_from_one() -> None:
    assert Shard.read("3/16") == Shard(number=3, of=16)
    for wrong in ("0/4", "5/4", "4", "/4", "1/", "1/0", "-1/4", "a/b", "1/4/2", "½/2"):
        with pytest.raises(InputError, match="no part of a whole"):
            Shard.read(wrong)
