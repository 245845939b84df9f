"""People told by the names of files, wherever these lie: no split may tear a fake from its original."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from verovolto.commands.data import split
from verovolto.core.errors import SplitError
from verovolto.data.faceset import FaceSet
from verovolto.data.layouts.plain import FORMS, forms_of, people_of
from verovolto.data.splits import SPLIT_COLUMNS, check_disjoint, make_splits

Image = Callable[..., bytes]


def put(root: Path, names: list[str], image: Image) -> Path:
    for index, name in enumerate(names):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(image(index))
    return root


def people(faces: FaceSet) -> dict[str, tuple[str | None, str | None]]:
    table = faces.columns("face", "target_identity", "donor_identity").to_pylist()
    return {row["face"]: (row["target_identity"], row["donor_identity"]) for row in table}


@pytest.mark.parametrize(
    ("real", "fake", "source", "target", "donor"),
    [
        ("519", "519_515", "519", "519", "515"),
        ("01__walking_down", "01_02__walking_down__A1B2C3D4", "01__walking_down", "01", "02"),
        ("id0_0000", "id0_id16_0000", "id0_0000", "id0", "id16"),
        ("0000", "0000_fake", "0000", None, None),
    ],
)
def test_a_plain_folder_of_videos_tells_people_by_its_names(
    tree: Any, read: Any, real: str, fake: str, source: str, target: str, donor: str
) -> None:
    # The other two keep it from being recognised as a collection of its own.
    items, listing = read(
        tree([f"original/{real}.mp4", f"Deepfakes/{fake}.mp4", "original/x.mp4", "Deepfakes/y.mp4"])
    )
    assert listing.layout == "folder"
    a, b = items[f"original/{real}.mp4"], items[f"Deepfakes/{fake}.mp4"]
    assert (b.source_video, b.target_identity, b.donor_identity) == (source, target, donor)
    assert (a.source_video, a.target_identity, a.donor_identity) == (source, target, None)
    other = items["Deepfakes/y.mp4"]
    assert (other.source_video, other.target_identity) == ("y", None)


def test_names_of_reals_alone_tell_nothing(tree: Any, read: Any) -> None:
    items, _ = read(tree(["real/519.mp4", "fake/519.mp4", "real/id0_0000.mp4"], name="mine"))
    assert {item.target_identity for item in items.values()} == {None}
    assert items["fake/519.mp4"].source_video == "519"


@pytest.mark.parametrize("place", ["{}/0001.jpg", "{}.jpg", "{}_0012.jpg", "{}_012.jpg"])
def test_a_face_set_tells_people_by_its_names(tmp_path: Path, image: Image, place: str) -> None:
    names = [f"original/{place.format('519')}", f"Deepfakes/{place.format('519_515')}"]
    faces = FaceSet.open(put(tmp_path, names, image))
    assert people(faces) == {names[0]: ("519", None), names[1]: ("519", "515")}


def test_a_split_keeps_a_fake_with_both_its_people(
    tmp_path: Path, image: Image, capsys: pytest.CaptureFixture[str]
) -> None:
    pairs = [(f"{2 * k:03d}", f"{2 * k + 1:03d}") for k in range(10)]
    names = [f"original/{v}/1.jpg" for pair in pairs for v in pair]
    names += [f"Deepfakes/{a}_{b}/1.jpg" for x, y in pairs for a, b in ((x, y), (y, x))]
    folder = put(tmp_path / "set", names, image)
    table = FaceSet.open(folder).columns(*SPLIT_COLUMNS)
    for seed in range(5):
        made = make_splits(table, parts={"train": 0.6, "val": 0.2, "test": 0.2}, seed=seed)
        at = dict(zip(table["face"].to_pylist(), made.split.to_pylist(), strict=True))
        assert made.dropped_fakes == 0
        for name in names:
            if name.startswith("Deepfakes"):
                a, b = name.split("/")[1].split("_")
                assert at[name] == at[f"original/{a}/1.jpg"] == at[f"original/{b}/1.jpg"]
    split(folder, tmp_path / "s.parquet")
    split(tmp_path / "s.parquet", check=True)
    assert "as far as they are known" not in capsys.readouterr().out


def test_a_leak_through_names_is_seen(tmp_path: Path, image: Image) -> None:
    faces = FaceSet.open(put(tmp_path, ["test/original/519.jpg", "train/Deepfakes/519_515.jpg"], image))
    with pytest.raises(SplitError, match=r"1 identities: 519 \(test, train\)"):
        check_disjoint(faces.columns(*SPLIT_COLUMNS))


def test_the_check_says_what_it_could_not_check(
    tmp_path: Path, image: Image, capsys: pytest.CaptureFixture[str]
) -> None:
    split(put(tmp_path, ["train/real/a/1.jpg", "test/real/b.jpg", "test/fake/c/1.jpg"], image), check=True)
    lines = capsys.readouterr().out.splitlines()
    assert lines[-4:] == [
        "no identity and no source video is shared between splits, as far as they are known:",
        "  2 rows of unknown identity: checked by source video alone",
        "  1 rows of unknown identity and source video: not checked",
        "  1 fakes of unknown donor: whose face was put in is not checked",
    ]


def test_forms_are_those_of_the_fakes() -> None:
    assert not forms_of(["519", "id0_0000", "0000", "a_b"])
    assert people_of("519", forms_of(["519_515"]), fake=False) is not None
    assert people_of("519_515", FORMS, fake=False) is None


def test_a_manifest_that_names_nobody_is_read_by_the_names_of_its_videos(
    tmp_path: Path, image: bytes
) -> None:
    rows = [("a", "real", "519"), ("b", "fake", "519_515"), ("c", "real", "515"), ("d", "real", "634")]
    put(tmp_path, [f"{name}.jpg" for name, _, _ in rows], image)
    lines = [f"{name}.jpg,{label},{video}" for name, label, video in rows]
    manifest = tmp_path / "manifest.csv"
    manifest.write_text("\n".join(["path,label,source_video", *lines]))
    table = FaceSet.open(tmp_path).columns("target_identity", "donor_identity", "source_video")
    assert table.to_pydict() == {
        "target_identity": ["519", "519", "515", "634"],
        "donor_identity": [None, "515", None, None],
        "source_video": ["519", "519_515", "515", "634"],
    }
    manifest.write_text(
        "\n".join(["path,label,source_video,identity", *(f"{line},p{i}" for i, line in enumerate(lines))])
    )
    named = FaceSet.open(tmp_path).columns("target_identity", "donor_identity").to_pydict()
    assert named == {"target_identity": ["p0", "p1", "p2", "p3"], "donor_identity": [None] * 4}, (
        "it has the last word"
    )
