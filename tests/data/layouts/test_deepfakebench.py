"""DeepfakeBench's prepared frames and JSON files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from verovolto.core.files import natural
from verovolto.data.file_types import Problems
from verovolto.data.layouts.deepfakebench import BAD_ENTRY, BAD_LABEL, NO_FRAME, parse_path, read_entries
from verovolto.data.layouts.disk import BAD_LIST, NO_FILE, NO_FRAMES
from verovolto.data.layouts.registry import list_media

REAL = "FaceForensics++/original_sequences/youtube/c23/frames"
FAKE = "FaceForensics++/manipulated_sequences/Deepfakes/c23/frames"
NAMES = ["010.png", "002.png", "001.png", "100.png"]  # as a directory gives them: in no order
SPELLINGS = {
    "relative": "{}",
    "dotted": "./datasets/rgb/{}",
    "absolute": "/home/somebody/DeepfakeBench/datasets/rgb/{}",
    "windows": "D:\\data\\rgb\\{}",
}


def spelled(spelling: str, path: str) -> str:
    text = SPELLINGS[spelling].format(path)
    return text.replace("/", "\\") if spelling == "windows" else text


def ffpp_json(spelling: str = "relative") -> dict[str, Any]:
    def videos(label: str, folder: str, *names: str) -> dict[str, Any]:
        table = {
            v: {"label": label, "frames": [spelled(spelling, f"{folder}/{v}/{n}") for n in NAMES]}
            for v in names
        }
        return {"c23": table}

    return {
        "FaceForensics++": {
            "FF-real": {"train": videos("FF-real", REAL, "000", "010"), "test": {}, "val": {"c23": {}}},
            # its train and test both hold 000_003: what is listed is no split
            "FF-DF": {split: videos("FF-DF", FAKE, "000_003") for split in ("train", "test")},
        }
    }


def frames(base: str, *videos: str) -> list[str]:
    return [f"{base}{video}/{name}" for video in videos for name in NAMES]


FILES = (f"{REAL}/000", f"{REAL}/010", f"{FAKE}/000_003")


@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize("base", ["", "rgb/", "datasets/rgb/"])
@pytest.mark.parametrize("place", ["", "dataset_json/", "preprocessing/dataset_json_v3/"])
def test_paths_in_every_spelling(
    tree: Any, read: Any, put: Any, spelling: str, base: str, place: str
) -> None:
    root = tree(frames(base, *FILES))
    put(root / place / "FaceForensics++.json", ffpp_json(spelling))
    items, listing = read(root)
    assert listing.layout == "deepfakebench" and len(items) == 3 and not listing.problems
    fake = items[f"{base}{FAKE}/000_003"]
    assert fake.key == ("FaceForensics++", "fake", "Deepfakes", "c23", "000_003")
    assert (fake.label, fake.source_video, fake.target_identity, fake.donor_identity) == (
        "fake",
        "000",
        "000",
        "003",
    )
    assert fake.frames is not None
    assert [f.name for f in fake.frames] == ["001.png", "002.png", "010.png", "100.png"]
    assert all(frame.is_file() for frame in fake.frames)
    assert {item.split for item in items.values()} == {None}
    assert any("not leak-proof" in note for note in listing.problems.notes)


def test_an_absolute_path_that_is_right_is_taken_as_it_is(
    tree: Any, put: Any, read: Any, tmp_path: Path
) -> None:
    elsewhere = tree(frames("", f"{REAL}/000"), name="elsewhere")
    root = tmp_path / "lists"
    listed = {v: [str(elsewhere / f"{REAL}/{v}/{n}") for n in NAMES] for v in ("000",)}
    put(root / "X.json", {"FF-DF": {"FF-real": {"train": {"c23": {"000": {"frames": listed["000"]}}}}}})
    [item] = list_media(root).items
    assert item.path == elsewhere / f"{REAL}/000" and item.dataset == "FaceForensics++"


def test_splits_come_from_the_official_lists(tree: Any, read: Any, put: Any) -> None:
    root = tree(frames("rgb/", *FILES))
    put(root / "dataset_json/FaceForensics++.json", ffpp_json())
    pairs = {"train": [["010", "011"]], "val": [["020", "021"]], "test": [["000", "003"]]}
    for split, value in pairs.items():
        put(root / f"rgb/FaceForensics++/{split}.json", value)
    items, _ = read(root)
    assert {i.video: i.split for i in items.values()} == {"000": "test", "010": "train", "000_003": "test"}


def test_a_video_listed_in_several_files_is_taken_once(tree: Any, read: Any, put: Any) -> None:
    root = tree(frames("", *FILES))
    value = ffpp_json()
    put(root / "FaceForensics++.json", value)
    put(root / "FF-DF.json", {"FF-DF": value["FaceForensics++"]})
    items, listing = read(root)
    assert len(items) == 3 and not listing.problems


def test_sets_without_the_level_of_compressions(tree: Any, read: Any, put: Any) -> None:
    paths = {
        "Celeb-DF-v2": ("CelebDFv2_fake", "Celeb-DF-v2/Celeb-synthesis/frames/id0_id1_0000"),
        "UADFV": ("UADFV_Fake", "UADFV/fake/frames/0000_fake"),
        "DFDCP": ("DFDCP_FakeB", "DFDCP/method_B/frames/643049_A_001"),
        "DFDC": ("DFDC_Real", "DFDC/test/frames/aassnaulhq"),
        "DeepFakeDetection": (
            "DFD_fake",
            "FaceForensics++/manipulated_sequences/DeepFakeDetection/c23/frames/01_02__walk__ABCD1234",
        ),
    }
    root = tree(frames("rgb/", *(path for _, path in paths.values())))
    put(root / "rgb/Celeb-DF-v2/List_of_testing_videos.txt", "0 Celeb-synthesis/id0_id1_0000.mp4\n")
    for dataset, (label, path) in paths.items():
        entry = {"label": label, "frames": [f"datasets\\rgb\\{path}\\{n}".replace("/", "\\") for n in NAMES]}
        table: dict[str, Any] = {path.rsplit("/", 1)[1]: entry}
        if dataset == "DeepFakeDetection":
            table = {"c23": table}
        value = {"train": table, "val": entry if dataset == "DFDC" else table, "test": {}}
        put(root / f"dataset_json/{dataset}.json", {dataset: {label: value}})
    items, listing = read(root)
    found = {i.dataset: i for i in items.values()}
    assert set(found) == set(paths) and not listing.problems
    assert (found["Celeb-DF-v2"].split, found["Celeb-DF-v2"].donor_identity) == ("test", "id1")
    assert (found["UADFV"].source_video, found["UADFV"].label) == ("0000", "fake")
    assert (found["DFDCP"].method, found["DFDCP"].split) == ("method_B", None)
    assert (found["DFDC"].label, found["DFDC"].video) == ("real", "aassnaulhq")
    dfd = found["DeepFakeDetection"]
    assert (dfd.method, dfd.source_video, dfd.compression) == ("DeepFakeDetection", "01__walk", "c23")


def test_what_is_missing_or_damaged_is_counted(tree: Any, read: Any, put: Any) -> None:
    root = tree([f"{REAL}/000/001.png", "frames/003/001.png"])
    table = {
        "000": {"label": "FF-real", "frames": [f"{REAL}/000/001.png", f"{REAL}/000/002.png"]},
        # not there; `frames/003`, which is, belongs to something else
        "003": {"label": "FF-real", "frames": [f"{REAL}/003/001.png"]},
        "004": {"label": "FF-real", "frames": []},
        "005": 3,
    }
    odd = {"x": {"label": "?", "frames": [f"{REAL}/000/001.png"]}}
    put(
        root / "a.json",
        {"FaceForensics++": {"FF-real": {"train": {"c23": table}}, "Odd": {"train": odd}, "Z": 1}},
    )
    put(root / "b.json", '{"UADFV": {"UADFV_Real": {"train": {')
    items, listing = read(root)
    assert list(items) == [f"{REAL}/000"]
    counts = {NO_FRAME: 2, NO_FILE: 1, NO_FRAMES: 1, BAD_ENTRY: 2, BAD_LABEL: 1, BAD_LIST: 1}
    assert listing.problems.counts == counts


part = st.from_regex(r"[a-z0-9_+-]{1,8}", fullmatch=True)


@given(st.lists(part, min_size=1, max_size=6), st.sampled_from(["", "./", "/", "C:\\", "..\\"]))
def test_paths_are_read_in_any_spelling(parts: list[str], start: str) -> None:
    for separator in ("/", "\\", "//"):
        assert parse_path(start + separator.join(parts)) == tuple(parts)


@given(st.lists(st.integers(0, 10**6), min_size=1, unique=True))
def test_frames_sort_by_number(numbers: list[int]) -> None:
    names = sorted((f"frame_{n}.png" for n in numbers), key=natural)
    assert names == [f"frame_{n}.png" for n in sorted(numbers)]


@given(st.text(max_size=8), st.text(max_size=8))
def test_the_order_is_total(a: str, b: str) -> None:
    """Any two names compare, digits or not, and only equal ones tie: order never depends on the directory's."""
    assert (natural(a) < natural(b)) + (natural(b) < natural(a)) == (a != b)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["train", "c23", "frames", "label", "v"]) | st.text(max_size=3), inner
        )
    ),
    max_leaves=12,
)


@given(st.dictionaries(st.text(max_size=4), json_values, max_size=3))
def test_any_json_gives_entries_or_problems(value: dict[str, Any]) -> None:
    problems = Problems()
    for _, entry in read_entries(value, problems):
        assert all(isinstance(frame, str) for frame in entry.frames)
    assert all(count > 0 for count in problems.counts.values())
