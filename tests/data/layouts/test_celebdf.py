"""Celeb-DF v1 and v2."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from verovolto.data.layouts.celebdf import (
    BAD_LINE,
    CONTRADICTION,
    NO_LIST_NOTE,
    OTHER_FOLDER,
    SPLIT_NOTE,
    parse_name,
    version,
)
from verovolto.data.layouts.disk import NAME, NO_FILE

LIST = "List_of_testing_videos.txt"
VIDEOS = ["Celeb-real/id0_0000.mp4", "Celeb-synthesis/id0_id16_0000.mp4", "YouTube-real/00170.mp4"]


@pytest.mark.parametrize("level", ["", "videos/"])
@pytest.mark.parametrize("spelling", [str, str.lower])
def test_labels_and_people(tree: Any, read: Any, put: Any, level: str, spelling: Any) -> None:
    folders = [path.replace("/", f"/{level}") for path in VIDEOS]
    paths = [spelling(folder.rsplit("/", 1)[0]) + "/" + folder.rsplit("/", 1)[1] for folder in folders]
    root = tree(paths, name="Celeb-DF-v2")
    put(root / LIST, "1 YouTube-real/00170.mp4\n0 Celeb-synthesis/id0_id16_0000.mp4\n")
    items, listing = read(root)
    assert listing.layout == "celebdf" and set(items) == set(paths)
    real, fake, stranger = (items[path] for path in paths)
    assert (real.label, fake.label, stranger.label) == ("real", "fake", "real")
    assert (fake.source_video, fake.target_identity, fake.donor_identity) == ("id0_0000", "id0", "id16")
    assert (real.target_identity, real.source_video) == (
        "id0",
        "id0_0000",
    ) and stranger.target_identity is None
    assert (real.split, fake.split, stranger.split) == (None, "test", "test"), "1 = real, listed = test"
    assert {item.dataset for item in items.values()} == {"Celeb-DF-v2"}
    assert not listing.problems and listing.problems.notes == (SPLIT_NOTE,)


def test_faults_of_the_list_are_counted(tree: Any, read: Any, put: Any) -> None:
    root = tree(VIDEOS)
    lines = [
        "0 YouTube-real/00170.mp4",  # written as if 1 were fake
        "1 Celeb-synthesis/id0_id16_0000.mp4",
        "1 Celeb-real/id9_0009.mp4",
        "real Celeb-real/id0_0000.mp4",
        "1 Elsewhere/id0_0000.mp4",
        "",
    ]
    put(root / LIST, "\ufeff" + "\r\n".join(lines))
    items, listing = read(root)
    assert [item.label for item in items.values()] == ["real", "fake", "real"], "the folder counts"
    assert listing.problems.counts == {CONTRADICTION: 2, BAD_LINE: 2, NO_FILE: 1}
    assert listing.problems.examples(NO_FILE) == ("Celeb-real/id9_0009",)


def test_without_a_list_there_are_no_splits(tree: Any, read: Any) -> None:
    items, listing = read(tree(VIDEOS))
    assert {item.split for item in items.values()} == {None}
    assert listing.problems.notes == (NO_LIST_NOTE,) and not listing.problems


def test_prepared_frames_and_odd_names(tree: Any, read: Any) -> None:
    paths = [
        "Celeb-real/frames/id0_0000/010.png",
        "Celeb-real/frames/id0_0000/9.png",
        "Celeb-real/landmarks/id0_0000/010.npy",
        "Celeb-real/id3_id4_0000.mp4",  # a fake's name among the reals
        "Celeb-synthesis/id5_0000.mp4",
    ]
    items, listing = read(tree(paths))
    frames = items["Celeb-real/frames/id0_0000"].frames
    assert frames is not None and [f.name for f in frames] == ["9.png", "010.png"]
    assert listing.problems.counts == {NAME: 2} and len(items) == 3
    assert items["Celeb-real/id3_id4_0000.mp4"].donor_identity is None


@pytest.mark.parametrize(
    ("name", "listed", "expected"),
    [
        ("Celeb-DF-v1", 518, "Celeb-DF-v1"),
        ("celeb_df_v2", 0, "Celeb-DF-v2"),
        ("Celeb-DF", 518, "Celeb-DF-v2"),
        ("Celeb-DF", 100, "Celeb-DF-v1"),
        ("Celeb-DF", 3, "Celeb-DF"),
    ],
)
def test_versions(tree: Any, name: str, listed: int, expected: str) -> None:
    assert version(tree([], name=name), listed) == expected


person = st.integers(0, 61).map("id{}".format)


@given(person, person, st.integers(0, 9999).map("{:04d}".format))
def test_names_lead_a_fake_to_its_original(target: str, donor: str, number: str) -> None:
    fake, real = parse_name(f"{target}_{donor}_{number}"), parse_name(f"{target}_{number}")
    assert fake and real and fake.source_video == real.source_video == f"{target}_{number}"
    assert (fake.target, fake.donor, real.target, real.donor) == (target, donor, target, None)


@given(st.text(max_size=30))
def test_any_name_is_read_or_refused(name: str) -> None:
    found = parse_name(name)
    assert found is None or found.donor is not None or found.source_video == name


PLUS = [
    "Celeb-real/id0_0003.mp4",
    "YouTube-real/00170.mp4",
    "Celeb-synthesis/FaceSwap/Celeb-DF/id0_id16_0003.mp4",
    "Celeb-synthesis/FaceSwap/SimSwap/id0_id16_0003.mp4",
    "Celeb-synthesis/FaceReenact/LivePortrait/id0_0003_id5_0001.mp4",
    "Celeb-synthesis/TalkingFace/SadTalker/id0_0003_speech.mp4",
]


def test_celeb_df_plus_plus_has_a_folder_a_method(tree: Any, read: Any, put: Any) -> None:
    root = tree(PLUS)
    put(root / LIST, "1 Celeb-real/id0_0003.mp4\n0 Celeb-synthesis/FaceSwap/SimSwap/id0_id16_0003.mp4\n")
    items, listing = read(root)
    assert set(items) == set(PLUS) and not listing.problems and listing.layout == "celebdf"
    assert [items[path].method for path in PLUS] == [
        None,
        None,
        "Celeb-DF",
        "SimSwap",
        "LivePortrait",
        "SadTalker",
    ]
    assert {item.dataset for item in items.values()} == {"Celeb-DF++"}
    assert {items[path].source_video for path in PLUS[2:]} == {"id0_0003"}
    assert [items[path].donor_identity for path in PLUS[2:]] == ["id16", "id16", "id5", None]
    assert [path for path in PLUS if items[path].split == "test"] == [PLUS[0], PLUS[3]]


@pytest.mark.parametrize("level", ["", "frames/"])
def test_methods_of_celeb_df_plus_plus_as_frames(tree: Any, read: Any, level: str) -> None:
    folder = f"Celeb-synthesis/FaceSwap/SimSwap/{level}id0_id16_0003"
    items, listing = read(tree(["Celeb-real/id0_0003.mp4", f"{folder}/000.png", f"{folder}/001.png"]))
    assert set(items) == {"Celeb-real/id0_0003.mp4", folder} and not listing.problems
    assert items[folder].method == "SimSwap" and len(items[folder].frames or ()) == 2


def test_methods_beside_the_reals(tree: Any, read: Any) -> None:
    paths = [
        "Celeb-real/id0_0003.mp4",
        "real/00170.mp4",
        "SimSwap/id0_id16_0003.mp4",
        "FaceSwap/GHOST/id0_id1_0003.mp4",
    ]
    items, listing = read(tree([*paths, "notes/x.mp4"]))
    assert {path: item.label for path, item in items.items()} == dict(
        zip(paths, ["real", "real", "fake", "fake"], strict=True)
    )
    assert listing.problems.counts == {OTHER_FOLDER: 1} and listing.problems.expected == {"real", "fake"}
