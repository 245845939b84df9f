from __future__ import annotations

import json
import multiprocessing
import pickle
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from verovolto.core.errors import DataError, UnreadableImage
from verovolto.data.faceset import FaceSet
from verovolto.data.schema import COLUMNS
from verovolto.data.storage.convert import convert_set

Draw = Callable[..., bytes]
Rows = Callable[..., list[dict[str, Any]]]
Write = Callable[..., Path]


def put(root: Path, names: list[str], draw: Draw) -> Path:
    for index, name in enumerate(names):
        file = root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(draw(index))
    return root


def listing(faces: FaceSet, *names: str) -> list[tuple[Any, ...]]:
    return [tuple(row.values()) for row in faces.columns(*names).to_pylist()]


class TestFolders:
    def test_real_and_fake(self, tmp_path: Path, image: Draw) -> None:
        faces = FaceSet.open(
            put(tmp_path, ["real/b.jpg", "real/a.jpg", "Fake/c.jpg", "real/notes.txt"], image)
        )
        assert listing(faces, "face", "label") == [
            ("Fake/c.jpg", "fake"),
            ("real/a.jpg", "real"),
            ("real/b.jpg", "real"),
        ]
        assert faces.image(0).shape == (3, 24, 24)
        assert faces.crop_rule is None and faces.name == tmp_path.name

    def test_a_folder_a_method_under_splits(self, tmp_path: Path, image: Draw) -> None:
        names = ["train/real/a.jpg", "test/real/b.jpg", "test/FaceSwap/c.jpg", "validation/Own/d.jpg"]
        faces = FaceSet.open(put(tmp_path, names, image))
        assert listing(faces, "split", "label", "method") == [
            ("test", "fake", "FaceSwap"),
            ("test", "real", None),
            ("train", "real", None),
            ("val", "fake", "Own"),
        ]

    def test_a_folder_below_the_label_is_a_video(self, tmp_path: Path, image: Draw) -> None:
        names = ["real/000/0007.jpg", "fake/Deepfakes/000_003/f12.jpg"]
        faces = FaceSet.open(put(tmp_path, names, image))
        assert listing(faces, "method", "source_video", "frame") == [
            ("Deepfakes", "000_003", 12),
            (None, "000", 7),
        ]

    def test_only_images_are_of_unknown_label(self, tmp_path: Path, image: Draw) -> None:
        faces = FaceSet.open(put(tmp_path, ["a.jpg", "b.jpg"], image))
        assert listing(faces, "label") == [("unknown",), ("unknown",)]

    @pytest.mark.parametrize(
        ("names", "message"),
        [
            (["alice/a.jpg", "bob/b.jpg"], "nothing says whether the images in alice/"),
            (["real/a.jpg", "b.jpg"], "outside real/ and fake/"),
            (["train/real/a.jpg", "real/b.jpg"], "outside train/, val/ and test/"),
            (["real/notes.txt", ".hidden/a.jpg"], "holds no images"),
        ],
    )
    def test_what_nobody_can_tell_is_refused(
        self, tmp_path: Path, image: Draw, names: list[str], message: str
    ) -> None:
        with pytest.raises(DataError, match=message):
            FaceSet.open(put(tmp_path, names, image))

    def test_a_crop_rule_beside_the_images(self, tmp_path: Path, image: Draw) -> None:
        put(tmp_path, ["real/a.jpg"], image)
        bare = FaceSet.open(tmp_path).fingerprint()
        (tmp_path / "faceset.json").write_text(json.dumps({"crop_rule": {"scale": 1.3}}))
        assert FaceSet.open(tmp_path).crop_rule == {"scale": 1.3}
        assert FaceSet.open(tmp_path).fingerprint() != bare

    def test_missing_and_other_files_are_named(self, tmp_path: Path) -> None:
        (tmp_path / "beside").mkdir()
        with pytest.raises(DataError, match=r"does not exist \(beside it: beside\)"):
            FaceSet.open(tmp_path / "sett")
        (tmp_path / "set.zip").write_bytes(b"")
        with pytest.raises(DataError, match="is no face set"):
            FaceSet.open(tmp_path / "set.zip")


class TestManifests:
    def test_columns_have_the_schemas_names_and_types(self, faces_folder: Path) -> None:
        faces = FaceSet.open(faces_folder)
        table = faces.columns()
        assert table.column_names == [*COLUMNS, "note"]
        assert all(table.schema.field(name).type == kind for name, kind in COLUMNS.items())
        first = table.slice(0, 1).to_pylist()[0]
        assert (
            first["target_identity"] == "p0"
            and first["face"] == "images/real_0_0.jpg"
            and first["method"] is None
        )
        assert faces.columns("pair", "label").column_names == ["pair", "label"]
        assert FaceSet.open(faces_folder / "manifest.csv").fingerprint() == faces.fingerprint()

    def test_empty_cells_are_null_and_labels_lose_their_case(self, tmp_path: Path, manifest: Write) -> None:
        rows = [
            {
                "file_name": "a.jpg",
                "path": "a.jpg",
                "label": "REAL ",
                "identity": "",
                "frame": "7",
                "box": "1 2 3.5 4",
            },
            {
                "file_name": "b.jpg",
                "path": "b.jpg",
                "label": "",
                "identity": " p ",
                "frame": "",
                "box": "[1, 2, 3, 4]",
            },
        ]
        faces = FaceSet.open(manifest(tmp_path, rows, name="metadata.csv"))
        assert listing(faces, "label", "target_identity", "frame", "box") == [
            ("real", None, 7, [1, 2, 3.5, 4]),
            ("unknown", "p", None, [1, 2, 3, 4]),
        ]

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"label": "1"}, "disagree on whether 1 is real or fake"),
            ({"label": "genuine"}, "unknown labels 'genuine'"),
            ({"path": "../outside.jpg"}, "1 paths leave the folder"),
            ({"path": "/etc/passwd"}, "1 paths leave the folder"),
            ({"frame": "seven"}, "column 'frame' is not int32"),
            ({"box": "1 2 3"}, "not four numbers"),
            ({"box": "a b c d"}, "not four numbers"),
        ],
    )
    def test_wrong_values_are_named(
        self, tmp_path: Path, rows: Rows, manifest: Write, change: dict[str, str], message: str
    ) -> None:
        table = [{**row, "frame": "", "box": ""} for row in rows(3)]
        folder = manifest(tmp_path / "set", table)
        lines = [dict(table[0]) | change, *table[1:]]
        text = "\n".join(
            ",".join(str(v) for v in row.values()) for row in [dict.fromkeys(table[0]), *lines][1:]
        )
        (folder / "manifest.csv").write_text(",".join(table[0]) + "\n" + text + "\n")
        with pytest.raises(DataError, match=message):
            FaceSet.open(folder)

    @pytest.mark.parametrize("column", ["path", "label"])
    def test_missing_columns_are_named(
        self, tmp_path: Path, rows: Rows, manifest: Write, column: str
    ) -> None:
        folder = manifest(tmp_path, [{k: v for k, v in row.items() if k != column} for row in rows(2)])
        with pytest.raises(DataError, match=rf"has no column '{column}'.*it has: "):
            FaceSet.open(folder)

    def test_missing_files_are_counted(self, faces_folder: Path) -> None:
        for name in ("real_0_0", "fake_1_1"):
            (faces_folder / f"images/{name}.jpg").unlink()
        with pytest.raises(DataError, match=r"2 of 288 images are not there, first 'images/real_0_0\.jpg'"):
            FaceSet.open(faces_folder)

    def test_faces_must_differ(self, tmp_path: Path, rows: Rows, manifest: Write) -> None:
        with pytest.raises(DataError, match="1 face ids occur more than once"):
            FaceSet.open(manifest(tmp_path, [*rows(2), rows(2)[0]]))

    @pytest.mark.parametrize(
        "text", ["", "path,label\n", "path,label\na,b,c\n", "path,path,label\n", "\udcff"]
    )
    def test_broken_files_are_data_errors(self, tmp_path: Path, text: str) -> None:
        (tmp_path / "manifest.csv").write_bytes(text.encode("utf-8", "surrogateescape"))
        with pytest.raises(DataError, match=r"manifest\.csv"):
            FaceSet.open(tmp_path)


class TestViews:
    def test_select_and_take_compose(self, faces_folder: Path) -> None:
        faces = FaceSet.open(faces_folder)
        val = faces.select(split="val", label="real")
        assert set(listing(val, "split", "label")) == {("val", "real")}
        some = val.take([5, 2, 2])
        assert listing(some, "face") == [listing(val, "face")[i] for i in (5, 2, 2)]
        assert some.encoded(0) == (faces_folder / some.face(0)).read_bytes()
        assert faces.select() is faces
        assert len(val.take([])) == 0 and val.take([]).columns("face").num_rows == 0

    def test_nothing_selected_lists_what_is_there(self, faces_folder: Path) -> None:
        with pytest.raises(
            DataError, match=r"no faces of split dev \(there are: 48 test/fake, 48 test/real, 48 train/"
        ):
            FaceSet.open(faces_folder).select(split="dev")

    def test_unknown_columns_get_a_suggestion(self, faces_folder: Path) -> None:
        with pytest.raises(DataError, match="did you mean source_video"):
            FaceSet.open(faces_folder).columns("source_vid")

    @pytest.mark.parametrize("position", [-1, 288])
    def test_positions_outside_are_refused(self, faces_folder: Path, position: int) -> None:
        faces = FaceSet.open(faces_folder)
        with pytest.raises(IndexError):
            faces.take([position])
        with pytest.raises(IndexError):
            faces.encoded(position)

    def test_unreadable_images_are_named(self, faces_folder: Path, tmp_path: Path) -> None:
        file = faces_folder / "images/real_0_0.jpg"
        file.write_bytes(file.read_bytes()[:100])
        faces = FaceSet.open(faces_folder)
        with pytest.raises(UnreadableImage, match=r"^images/real_0_0\.jpg: "):
            faces.image(0)
        file.unlink()
        with pytest.raises(UnreadableImage, match=r"^images/real_0_0\.jpg: No such file"):
            faces.image(0)


class TestFingerprint:
    def test_it_changes_with_rows_labels_sizes_and_order(self, faces_folder: Path) -> None:
        faces = FaceSet.open(faces_folder)
        known = {
            faces.fingerprint(),
            faces.take(range(287)).fingerprint(),
            faces.take(range(287, -1, -1)).fingerprint(),
        }
        text = (faces_folder / "manifest.csv").read_text()
        (faces_folder / "manifest.csv").write_text(text.replace("jpg,real,", "jpg,fake,", 1))
        known.add(FaceSet.open(faces_folder).fingerprint())
        (faces_folder / "manifest.csv").write_text(text)
        assert FaceSet.open(faces_folder).fingerprint() == faces.fingerprint()
        with (faces_folder / "images/real_0_0.jpg").open("ab") as handle:
            handle.write(b"\0")
        known.add(FaceSet.open(faces_folder).fingerprint())
        assert len(known) == 5


class TestParquet:
    @pytest.fixture
    def shards(self, faces_folder: Path, tmp_path: Path) -> Path:
        convert_set(FaceSet.open(faces_folder), tmp_path / "shards", shard_rows=128, crop_rule={"scale": 1.3})
        return tmp_path / "shards"

    def test_it_holds_the_same_faces(self, faces_folder: Path, shards: Path) -> None:
        folder, parquet = FaceSet.open(faces_folder), FaceSet.open(shards)
        names = [name for name in folder.column_names if name != "image_bytes"]
        assert parquet.columns(*names).equals(folder.columns(*names))
        assert [parquet.encoded(i) for i in range(288)] == [folder.encoded(i) for i in range(288)]
        assert parquet.sizes().tolist() == folder.sizes().tolist()
        assert parquet.crop_rule == {"scale": 1.3} and parquet.name == "set"
        assert len(FaceSet.open(shards / "faces-00000-of-00003.parquet")) == 128

    def test_blocks_are_row_groups(self, shards: Path) -> None:
        faces = FaceSet.open(shards)
        assert np.bincount(faces.blocks).tolist() == [64, 64, 64, 64, 32]
        assert faces.take([200, 3]).blocks.tolist() == [3, 0]

    def test_parts_of_columns_are_the_parts(self, shards: Path) -> None:
        faces = FaceSet.open(shards)
        whole = faces.columns("face", "method")
        for rows in (range(0, 288), range(60, 70), range(120, 260), [130], [287, 0, 130, 130], []):
            assert faces.take(rows).columns("face", "method").equals(whole.take(pa.array(rows, pa.int64())))
        assert faces.take([5, 200]).columns("method", "box").num_rows == 2

    def test_views_pickle_and_survive_forks_and_threads(self, shards: Path) -> None:
        faces = FaceSet.open(shards).take([200, 3, 100])
        expected = [faces.encoded(i) for i in range(3)]
        copy = pickle.loads(pickle.dumps(faces))
        assert [copy.encoded(i) for i in range(3)] == expected
        with multiprocessing.get_context("fork").Pool(1) as pool:
            assert pool.map(faces.encoded, range(3)) == expected
        whole, found = FaceSet.open(shards), {}
        threads = [
            threading.Thread(
                target=lambda k=k: found.update({k: [whole.encoded(i) for i in range(k, 288, 4)]})
            )
            for k in range(4)
        ]
        [thread.start() for thread in threads]
        [thread.join() for thread in threads]
        assert found == {k: [whole.encoded(i) for i in range(k, 288, 4)] for k in range(4)}

    def test_the_cache_stays_small(self, shards: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        from verovolto.data.storage import parquet

        monkeypatch.setattr(parquet, "CACHED_GROUPS", 2)
        monkeypatch.setattr(parquet, "OPEN_FILES", 1)
        source = parquet.open_parquet(shards)
        faces = FaceSet(source)
        images = [faces.encoded(i) for i in range(0, 288, 32)]
        assert len(source._cache) == 2 and len(source._handles) == 1
        assert source._cached_bytes == sum(part.nbytes for part in source._cache.values())
        assert images == [FaceSet.open(shards).encoded(i) for i in range(0, 288, 32)]

    def test_the_image_column_is_plain(self, shards: Path) -> None:
        meta = pq.ParquetFile(shards / "faces-00000-of-00003.parquet").metadata
        column = meta.row_group(0).column(1)
        assert column.path_in_schema == "image" and meta.row_group(0).num_rows == 64
        assert column.compression == "UNCOMPRESSED"
        assert not column.has_dictionary_page and not column.is_stats_set

    def test_a_newer_schema_is_refused(self, shards: Path) -> None:
        file = shards / "faces-00000-of-00003.parquet"
        table = pq.read_table(file)
        pq.write_table(table.replace_schema_metadata({b"verovolto": b'{"schema_version": 99}'}), file)
        with pytest.raises(DataError, match=r"schema 99.*reads up to 1.*update verovolto"):
            FaceSet.open(file)

    def test_files_of_others_open_when_their_columns_fit(self, tmp_path: Path, image: Draw) -> None:
        table = pa.table(
            {
                "face": ["a", "b"],
                "image": [image(0), image(1)],
                "label": ["REAL", "Fake"],
                "identity": ["x", None],
                "n": [1, 2],
            }
        )
        pq.write_table(table, tmp_path / "own.parquet")
        faces = FaceSet.open(tmp_path / "own.parquet")
        assert listing(faces, "label", "target_identity", "n") == [("real", "x", "1"), ("fake", None, "2")]
        assert faces.image(1).shape == (3, 24, 24) and faces.name == "own"
        before = faces.fingerprint()
        pq.write_table(table.set_column(1, "image", [[image(0), image(1) + b"\0"]]), tmp_path / "own.parquet")
        assert FaceSet.open(tmp_path / "own.parquet").fingerprint() != before

    @pytest.mark.parametrize(
        ("columns", "message"),
        [
            ({"label": ["real"], "image": [b"x"]}, "no column 'face'"),
            ({"face": ["a"], "label": ["real"]}, "no column 'image'"),
            ({"face": ["a"], "label": ["real"], "image": ["text"]}, "column 'image' is string"),
            (
                {
                    "face": pa.array([], pa.string()),
                    "label": pa.array([], pa.string()),
                    "image": pa.array([], pa.binary()),
                },
                "no faces",
            ),
        ],
    )
    def test_wrong_columns_are_named(self, tmp_path: Path, columns: dict[str, Any], message: str) -> None:
        pq.write_table(pa.table(columns), tmp_path / "x.parquet")
        with pytest.raises(DataError, match=message):
            FaceSet.open(tmp_path / "x.parquet")

    def test_what_is_no_parquet_or_no_image_is_refused(self, tmp_path: Path) -> None:
        (tmp_path / "x.parquet").write_bytes(b"PAR1 or not")
        with pytest.raises(DataError, match="not a readable Parquet file"):
            FaceSet.open(tmp_path / "x.parquet")
        pq.write_table(
            pa.table({"face": ["a"], "label": ["real"], "image": pa.array([None], pa.binary())}),
            tmp_path / "x.parquet",
        )
        with pytest.raises(UnreadableImage, match="no image"):
            FaceSet.open(tmp_path / "x.parquet").image(0)

    def test_one_set_a_folder(self, shards: Path) -> None:
        file = shards / "faces-00001-of-00003.parquet"
        table = pq.read_table(file)
        pq.write_table(table.replace_schema_metadata({}), file)
        with pytest.raises(DataError, match="belong to different sets"):
            FaceSet.open(shards)
        pq.write_table(table.drop_columns(["note"]), file)
        with pytest.raises(DataError, match="other columns"):
            FaceSet.open(shards)
        file.unlink()
        with pytest.raises(DataError, match="1 of 3 shards missing"):
            FaceSet.open(shards)
