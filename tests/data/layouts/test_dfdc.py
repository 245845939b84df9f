"""The DeepFake Detection Challenge and its preview."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from verovolto.core.errors import DataError
from verovolto.data.layouts.dfdc import BAD_ENTRY, NO_ORIGINAL, part_number, stem
from verovolto.data.layouts.disk import BAD_LIST, NO_FILE, NO_LIST, TWICE
from verovolto.data.layouts.registry import list_media

ENTRIES = {
    "aa.mp4": {"label": "FAKE", "split": "train", "original": "bb.mp4"},
    "bb.mp4": {"label": "REAL", "split": "train", "original": None},
}


@pytest.mark.parametrize(
    "part",
    [
        "dfdc_train_part_7",
        "dfdc_train_part_07",
        "train/dfdc_train_part_7",
        "dfdc_train_part_07/dfdc_train_part_7",
        "train_sample_videos",
        ".",
    ],
)
def test_parts_wherever_they_are(tree: Any, read: Any, put: Any, part: str) -> None:
    root = tree([f"{part}/aa.mp4", f"{part}/bb.mp4"])
    put(root / part / "metadata.json", ENTRIES)
    items, listing = read(root)
    fake, real = items.values()
    assert listing.layout == "dfdc" and not listing.problems
    assert (fake.video, fake.label, fake.source_video, fake.split) == ("aa", "fake", "bb", "train")
    assert (real.video, real.label, real.source_video, real.split) == ("bb", "real", "bb", "train")
    assert fake.key == ("DFDC", "fake", None, None, "aa") and fake.target_identity is None


def test_parts_come_by_number_and_one_under_two_names_counts_once(tree: Any, read: Any, put: Any) -> None:
    parts = ["dfdc_train_part_10", "dfdc_train_part_2", "dfdc_train_part_02"]
    root = tree([*(f"{part}/{v}" for part in parts[1:] for v in ENTRIES), f"{parts[0]}/cc.mp4"])
    for part in parts:
        put(root / part / "metadata.json", ENTRIES if part != parts[0] else {"cc.mp4": {"label": "REAL"}})
    items, listing = read(root)
    assert [item.video for item in items.values()] == ["aa", "bb", "cc"]
    assert listing.problems.counts == {TWICE: 2}


def test_faults_of_the_metadata_are_counted(tree: Any, read: Any, put: Any) -> None:
    root = tree([f"dfdc_train_part_0/{name}.mp4" for name in ("aa", "stray", "odd")])
    odd = {"gone.mp4": {"label": "FAKE", "original": "bb.mp4"}, "odd.mp4": {"label": "MAYBE"}, "x.mp4": 3}
    put(root / "dfdc_train_part_0/metadata.json", {"aa.mp4": ENTRIES["aa.mp4"], **odd})
    put(root / "dfdc_train_part_1/metadata.json", '{"y.mp4": {"label": "REAL"}')
    items, listing = read(root)
    assert [item.video for item in items.values()] == ["aa"]
    assert items["dfdc_train_part_0/aa.mp4"].source_video == "bb"
    assert listing.problems.counts == {BAD_ENTRY: 2, NO_LIST: 2, NO_FILE: 1, NO_ORIGINAL: 1, BAD_LIST: 1}


@pytest.mark.parametrize("level", ["", "videos/"])
def test_in_the_test_labels_1_is_fake(tree: Any, read: Any, put: Any, level: str) -> None:
    root = tree([f"test/{level}{name}.mp4" for name in ("aa", "bb", "stray")])
    put(root / "test/labels.csv", "filename,label\r\naa.mp4,1\r\nbb.mp4,0\r\ngone.mp4,1\r\nodd.mp4,real\r\n")
    put(root / "test/metadata.json", {"aa.mp4": {"is_fake": 1}})
    items, listing = read(root)
    assert {item.video: (item.label, item.split) for item in items.values()} == {
        "aa": ("fake", "test"),
        "bb": ("real", "test"),
    }
    assert listing.problems.counts == {BAD_ENTRY: 1, NO_LIST: 1, NO_FILE: 1}


@given(st.integers(0, 49), st.integers(0, 3))
def test_part_numbers_ignore_leading_zeros(number: int, zeros: int) -> None:
    assert part_number(f"dfdc_train_part_{'0' * zeros}{number}") == number
    assert part_number(f"dfdc_train_part_{number}.zip") is None


@given(st.from_regex(r"[a-z]{1,10}", fullmatch=True), st.sampled_from(["", ".mp4", ".MP4", ".avi"]))
def test_stems_drop_folders_and_suffixes(name: str, suffix: str) -> None:
    assert stem(f"a/b/{name}{suffix}") == stem(f"a\\{name}{suffix}") == stem(name + suffix) == name


@pytest.mark.parametrize("value", [None, "", "  ", float("nan"), 3])
def test_what_is_no_name_has_no_stem(value: object) -> None:
    assert stem(value) is None


def test_preview(tree: Any, read: Any, put: Any) -> None:
    real, a, b = (
        "original_videos/643049/643049_A_001.mp4",
        "method_A/111/643049/111_643049_A_001.mp4",
        "method_B/222_A_002.mp4",
    )
    root = tree([real, a, "method_B/frames/222_A_002/003.png", "method_A/111/stray.mp4"])
    put(
        root / "dataset.json",
        {
            real: {"label": "real", "set": "train"},
            a: {"label": "fake", "set": "test", "target_id": "643049", "swapped_id": "111"},
            b: {"label": "fake", "set": "train"},
            "method_B/gone.mp4": {"label": "fake", "set": "train"},
            "../outside/x.mp4": {"label": "fake", "set": "train"},
            "method_A/odd.mp4": {"label": "?", "set": "train"},
        },
    )
    items, listing = read(root)
    assert listing.layout == "dfdc-preview" and len(items) == 3
    assert (items[real].label, items[real].split, items[real].target_identity) == ("real", "train", "643049")
    fake = items[a]
    assert (fake.method, fake.split, fake.target_identity, fake.donor_identity) == (
        "method_A",
        "test",
        "643049",
        "111",
    )
    frames = items["method_B/frames/222_A_002"]
    assert frames.frames is not None and frames.method == "method_B" and frames.target_identity is None
    assert listing.problems.counts == {NO_FILE: 1, BAD_ENTRY: 2, NO_LIST: 1}


def test_a_damaged_preview_list_is_an_error(tree: Any, put: Any) -> None:
    root = tree(["method_A/x.mp4"])
    put(root / "dataset.json", '{"method_A/x.mp4": {"label": "fake", "set": "train"}')
    with pytest.raises(DataError, match=r"dataset\.json"):
        list(list_media(root).items)
