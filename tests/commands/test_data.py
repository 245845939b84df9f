from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from verovolto.commands.data import convert, info, split
from verovolto.core.errors import DataError, InputError, SplitError
from verovolto.data.crop_rule import FFPP, TIGHT
from verovolto.data.face_batch import epoch_order
from verovolto.data.faceset import FaceSet
from verovolto.data.splits import SPLIT_COLUMNS, check_disjoint, cluster_ids, halve
from verovolto.data.storage.convert import convert_set

Write = Callable[..., Path]
Rows = Callable[..., list[dict[str, Any]]]


def test_info_counts(faces_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    info(faces_folder, json=True)
    summary = json.loads(capsys.readouterr().out)
    assert summary["faces"] == 288
    assert summary["counts"][0] == {"split": "test", "label": "fake", "faces": 48}
    assert summary["target_identities"] == {"distinct": 72, "unknown_rows": 0}
    assert summary["per_split"]["val"]["source_videos"] == 48
    assert summary["images"]["sizes_in_sample"] == {"24x24": 256}
    assert summary["images"]["total_bytes"] == sum(
        f.stat().st_size for f in (faces_folder / "images").iterdir()
    )
    assert summary["clusters"] == {"identity": {"clusters": 72, "rows": 288}}
    assert summary["fingerprint"] == FaceSet.open(faces_folder).fingerprint()
    info(faces_folder, sheet=tmp_path / "sheet.png")
    text = capsys.readouterr().out
    assert "train  fake      48" in text and "warning" not in text and summary["fingerprint"] in text
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.size == (12 * 96, 6 * 118) and len(sheet.getcolors(1 << 20) or []) > 100
    with pytest.raises(InputError, match=r"name a \.png file"):
        info(faces_folder, sheet=tmp_path / "sheet.txt")


def test_info_warns_of_leaks_and_damage(
    tmp_path: Path, rows: Rows, manifest: Write, capsys: pytest.CaptureFixture[str]
) -> None:
    table = [{**row, "identity": "same"} for row in rows(6)]
    folder = manifest(tmp_path / "set", table)
    (folder / table[0]["path"]).write_bytes(b"broken")
    info(folder, sheet=tmp_path / "s.png")
    text = capsys.readouterr().out
    assert "warning: splits share 1 identities: same (test, train, val)" in text
    assert "warning: 1 images of the sample cannot be read" in text


def test_convert_command(faces_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rule = tmp_path / "rule.json"
    rule.write_text('{"scale": 1.3}')
    (faces_folder / "images/real_0_0.jpg").write_bytes(b"broken")
    convert(faces_folder, tmp_path / "out", shard_rows=128, crop_rule=str(rule))
    text = capsys.readouterr().out
    assert "287 faces in 3 shards" in text and "left out, unreadable: 1\n  images/real_0_0.jpg: " in text
    assert FaceSet.open(tmp_path / "out").crop_rule == FFPP.to_dict()
    convert(faces_folder, tmp_path / "named", shard_rows=128, crop_rule="tight")
    assert FaceSet.open(tmp_path / "named").crop_rule == TIGHT.to_dict()
    for bad in ("[1]", "nonsense"):
        rule.write_text(bad)
        with pytest.raises(InputError, match="JSON"):
            convert(faces_folder, tmp_path / "other", crop_rule=str(rule))


def test_split_writes_a_set_for_every_form(
    faces_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    convert_set(FaceSet.open(faces_folder), tmp_path / "shards", shard_rows=128)
    plain = tmp_path / "plain"
    for label in ("real", "fake"):
        (plain / label).mkdir(parents=True)
        for file in sorted((faces_folder / "images").glob(f"{label}*"))[:40]:
            shutil.copy(file, plain / label / file.name)
    for base in (faces_folder, tmp_path / "shards", plain):
        out = tmp_path / f"{base.name}-split.parquet"
        split(base, out, train=0.5, val=0.25, test=0.25, seed=7)
        faces, whole = FaceSet.open(out), FaceSet.open(base)
        check_disjoint(faces.columns(*SPLIT_COLUMNS))
        assert abs(len(faces.select(split="train")) - len(whole) / 2) <= 4
        assert faces.encoded(3) == whole.encoded(3) and faces.blocks.tolist() == whole.blocks.tolist()
        assert faces.sizes().tolist() == whole.sizes().tolist() and faces.column_names == whole.column_names
        assert faces.name == whole.name and faces.fingerprint() != whole.fingerprint()
        assert faces.take([5, 80 - 1]).columns("split", "face")["split"].to_pylist() == [
            faces.columns("split")["split"][i].as_py() for i in (5, 79)
        ]
    assert "nothing says whether splits share their people" in capsys.readouterr().out
    folder_split, shard_split = (FaceSet.open(tmp_path / f"{n}-split.parquet") for n in ("set", "shards"))
    assert folder_split.fingerprint() == shard_split.fingerprint()


def test_a_split_file_moves_with_its_set_and_notices_changes(faces_folder: Path, tmp_path: Path) -> None:

    out = tmp_path / "split.parquet"
    split(faces_folder, out)
    moved = tmp_path / "moved"
    moved.mkdir()
    shutil.move(faces_folder, moved / "set")
    with pytest.raises(DataError, match="which is not there"):
        FaceSet.open(out)
    shutil.move(out, moved / "split.parquet")
    assert len(FaceSet.open(moved / "split.parquet")) == 288
    lines = (moved / "set/manifest.csv").read_text().splitlines()
    (moved / "set/manifest.csv").write_text("\n".join(lines[:-1]) + "\n")
    with pytest.raises(DataError, match="has changed since it was split"):
        FaceSet.open(moved / "split.parquet")


def test_split_overwrites_nothing_but_old_splits(faces_folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "s.parquet"
    with pytest.raises(InputError, match="not given"):
        split(faces_folder)
    with pytest.raises(InputError, match=r"name one: .*NAME\.parquet"):
        split(faces_folder, tmp_path / "s.csv")
    split(faces_folder, out, seed=1)
    first = out.read_bytes()
    with pytest.raises(InputError, match="--force"):
        split(faces_folder, out)
    split(faces_folder, out, seed=2, force=True)
    assert out.read_bytes() != first
    with pytest.raises(InputError, match="not an old split"):
        split(out, out, force=True)
    convert_set(FaceSet.open(faces_folder), tmp_path / "shards")
    shard = tmp_path / "shards/faces-00000-of-00001.parquet"
    with pytest.raises(InputError, match="not an old split"):
        split(faces_folder, shard, force=True)
    assert len(FaceSet.open(shard)) == 288


def test_split_check(
    faces_folder: Path, tmp_path: Path, rows: Rows, manifest: Write, capsys: pytest.CaptureFixture[str]
) -> None:
    split(faces_folder, check=True)
    assert "no identity and no source video is shared" in capsys.readouterr().out
    leaking = manifest(tmp_path / "leak", [{**row, "identity": "eve"} for row in rows(3)])
    with pytest.raises(SplitError, match=r"1 identities: eve \(test, train, val\)"):
        split(leaking, check=True)
    unsplit = manifest(tmp_path / "un", [{**row, "split": ""} for row in rows(3)])
    with pytest.raises(DataError, match="has no splits"):
        split(unsplit, check=True)


def test_official_pairs_are_followed_and_leaks_refused(tmp_path: Path, manifest: Write) -> None:
    for name, pair in (("train", ["000", "003"]), ("val", ["720", "672"]), ("test", ["953", "974"])):
        (tmp_path / f"{name}.json").write_text(json.dumps([pair]))
    videos = ["000", "000_003", "720", "953", "974_953", "000_974"]
    table = [
        {"path": f"{v}.jpg", "label": "fake" if "_" in v else "real", "source_video": v, "identity": v[:3]}
        for v in videos
    ]
    out = tmp_path / "s.parquet"
    split(manifest(tmp_path / "set", table), out, official=tmp_path)
    assert FaceSet.open(out).columns("split")["split"].to_pylist() == [
        "train",
        "train",
        "val",
        "test",
        "test",
        None,
    ]
    table[3]["identity"] = "000"
    with pytest.raises(SplitError, match=r"1 identities: 000 \(test, train\)"):
        split(manifest(tmp_path / "leak", table), tmp_path / "leak.parquet", official=tmp_path)
    assert not (tmp_path / "leak.parquet").exists()


def test_a_split_that_loses_all_fakes_is_refused_unless_asked_for(tmp_path: Path, manifest: Write) -> None:
    for name, pair in (("train", ["000", "003"]), ("val", ["720", "672"]), ("test", ["953", "974"])):
        (tmp_path / f"{name}.json").write_text(json.dumps([pair]))
    videos = ["000", "720", "953", "000_974"]  # the only fake is of two splits
    table = [{"path": f"{v}.jpg", "label": "fake" if "_" in v else "real", "source_video": v} for v in videos]
    folder, out = manifest(tmp_path / "set", table), tmp_path / "s.parquet"
    with pytest.raises(SplitError, match=r"all fake faces .* in no split.*--one-class"):
        split(folder, out, official=tmp_path)
    assert not out.exists()
    split(folder, out, official=tmp_path, one_class=True)
    assert set(FaceSet.open(out).select(split="train").columns("label")["label"].to_pylist()) == {"real"}


@pytest.mark.data
def test_the_real_faces(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    if "VEROVOLTO_DATA" not in os.environ:
        pytest.skip("VEROVOLTO_DATA does not say where the real data lies")
    faces = FaceSet.open(Path(os.environ["VEROVOLTO_DATA"]) / "dfdc-faces")
    assert len(faces) == 8600 and len(faces.select(split="train", label="real")) == 6000
    check_disjoint(faces.columns(*SPLIT_COLUMNS))
    val = faces.select(split="val")
    table = val.columns(*SPLIT_COLUMNS)
    choose, ids = halve(table, seed=0), cluster_ids(table)
    assert abs(int(choose.sum()) - 500) <= 4 and not set(ids[choose]) & set(ids[~choose])
    convert_set(val, tmp_path / "val", shard_rows=512)
    shards = FaceSet.open(tmp_path / "val")
    assert shards.fingerprint() == val.fingerprint()
    order = epoch_order(shards.blocks, seed=0, epoch=0)
    assert all(shards.encoded(int(i)) == val.encoded(int(i)) for i in order)
