from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pyarrow.dataset as ds
import pytest

from verovolto.core.errors import DataError, InputError
from verovolto.data.faceset import FaceSet
from verovolto.data.storage import convert as module
from verovolto.data.storage.convert import convert_set

Draw = Callable[..., bytes]


def test_it_writes_what_standard_readers_read(faces_folder: Path, tmp_path: Path) -> None:
    heard: list[int] = []
    done = convert_set(FaceSet.open(faces_folder), tmp_path / "out", shard_rows=100, on_progress=heard.append)
    assert (done.shards, done.resumed, done.faces, done.unreadable) == (3, 0, 288, ())
    assert sum(heard) == 288
    table = ds.dataset(tmp_path / "out").to_table()
    assert len(table) == 288 and table["image"][5].as_py() == FaceSet.open(faces_folder).encoded(5)
    assert FaceSet.open(tmp_path / "out").fingerprint() == FaceSet.open(faces_folder).fingerprint()


def test_a_killed_conversion_goes_on(
    faces_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    faces, out = FaceSet.open(faces_folder), tmp_path / "out"
    convert_set(faces, tmp_path / "whole", shard_rows=100)

    def killed(rows: int, seen: list[int] = []) -> None:  # noqa: B006
        seen.append(rows)
        if len(seen) == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        convert_set(faces, out, shard_rows=100, on_progress=killed)
    assert [file.name for file in out.iterdir()] == ["faces-00000-of-00003.parquet"]
    (out / ".faces-00001-of-00003.parquet.77.part").write_bytes(b"half")
    with pytest.raises(DataError, match="shards missing"):
        FaceSet.open(out)
    assert convert_set(faces, out, shard_rows=100).resumed == 1
    assert sorted(f.name for f in out.iterdir()) == sorted(f.name for f in (tmp_path / "whole").iterdir())
    for file in out.iterdir():
        assert file.read_bytes() == (tmp_path / "whole" / file.name).read_bytes()


def test_it_never_mixes(faces_folder: Path, tmp_path: Path) -> None:
    faces, out = FaceSet.open(faces_folder), tmp_path / "out"
    convert_set(faces, out, shard_rows=100)
    with pytest.raises(DataError, match="not of this conversion"):
        convert_set(faces, out, shard_rows=200)
    with pytest.raises(DataError, match=r"other content \(source_fingerprint differs\)"):
        convert_set(faces.take(range(287, -1, -1)), out, shard_rows=100)
    with pytest.raises(DataError, match="not of this conversion"):
        convert_set(faces, faces_folder, shard_rows=100)
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(DataError, match="is a file"):
        convert_set(faces, tmp_path / "file")


def test_unreadable_images_are_left_out_and_named(faces_folder: Path, tmp_path: Path) -> None:
    for name in ("real_0_0", "fake_70_1"):
        (faces_folder / f"images/{name}.jpg").write_bytes(b"\xff\xd8 broken")
    faces = FaceSet.open(faces_folder)
    done = convert_set(faces, tmp_path / "out", shard_rows=100)
    assert done.faces == 286 and len(FaceSet.open(tmp_path / "out")) == 286
    assert [line.split(":")[0] for line in done.unreadable] == ["images/real_0_0.jpg", "images/fake_70_1.jpg"]
    assert convert_set(faces, tmp_path / "out", shard_rows=100) == module.Conversion(
        shards=3, resumed=3, faces=286, unreadable=done.unreadable
    )
    with pytest.raises(
        DataError, match=r"1 of 288 images cannot be read.*images/real_0_0\.jpg.*--max-unreadable"
    ):
        convert_set(faces, tmp_path / "strict", shard_rows=100, max_unreadable=0.0)


def test_a_class_that_cannot_be_read_at_all_is_an_error(faces_folder: Path, tmp_path: Path) -> None:
    for path in (faces_folder / "images").glob("fake_*.jpg"):
        path.write_bytes(b"\xff\xd8 broken")
    with pytest.raises(DataError, match="no image of the class fake can be read"):
        convert_set(FaceSet.open(faces_folder), tmp_path / "out", shard_rows=100, max_unreadable=0.9)


def test_parquet_converts_to_other_shards(faces_folder: Path, tmp_path: Path) -> None:
    convert_set(FaceSet.open(faces_folder), tmp_path / "a", shard_rows=100)
    convert_set(FaceSet.open(tmp_path / "a"), tmp_path / "b", shard_rows=200)
    a, b = FaceSet.open(tmp_path / "a"), FaceSet.open(tmp_path / "b")
    assert a.columns().equals(b.columns()) and a.fingerprint() == b.fingerprint()
    assert all(a.encoded(i) == b.encoded(i) for i in range(len(a)))


def test_options_out_of_range_are_refused(faces_folder: Path, tmp_path: Path) -> None:
    for options in ({"shard_rows": 10}, {"max_unreadable": 2.0}):
        with pytest.raises(InputError, match="max unreadable"):
            convert_set(FaceSet.open(faces_folder), tmp_path / "out", **options)
