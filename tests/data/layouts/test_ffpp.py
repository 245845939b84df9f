"""FaceForensics++ as its download script lays it out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from verovolto.core.errors import DataError, SplitError
from verovolto.data.layouts import People
from verovolto.data.layouts.disk import NAME, NO_FILE, NO_LIST, TWICE
from verovolto.data.layouts.ffpp import (
    CROSS_SPLIT,
    METHODS,
    NO_DFD_SPLIT,
    NO_LISTS,
    UNKNOWN_FOLDER,
    parse_name,
    split_by_people,
)
from verovolto.data.layouts.registry import list_media

LISTS = {"train": [["000", "003"], ["001", "870"]], "val": [["010", "011"]], "test": [["020", "021"]]}
ORIGINALS = [
    f"original_sequences/youtube/c23/videos/{v}.mp4" for v in ("000", "003", "010", "011", "020", "021")
]


def fakes(*names: str, method: str = "Deepfakes", compression: str = "c23") -> list[str]:
    return [f"manipulated_sequences/{method}/{compression}/videos/{name}.mp4" for name in names]


def test_all_manipulations_and_compressions(tree: Any, read: Any) -> None:
    paths = [
        *(p for m in METHODS.values() if m != "DeepFakeDetection" for p in fakes("000_003", method=m)),
        *fakes("000_003", compression="c40"),
        *fakes("000_003", compression="c0"),
        "original_sequences/youtube/raw/videos/000.mp4",
        "original_sequences/youtube/c40/videos/000.mp4",
    ]
    items, listing = read(tree(paths))
    assert listing.layout == "ffpp" and set(items) == set(paths)
    fake = items["manipulated_sequences/NeuralTextures/c23/videos/000_003.mp4"]
    assert fake.key == ("FaceForensics++", "fake", "NeuralTextures", "c23", "000_003")
    assert (fake.label, fake.source_video, fake.target_identity, fake.donor_identity) == (
        "fake",
        "000",
        "000",
        "003",
    )
    real = items["original_sequences/youtube/raw/videos/000.mp4"]
    assert (real.label, real.method, real.target_identity, real.donor_identity) == ("real", None, "000", None)
    assert items["manipulated_sequences/Deepfakes/c0/videos/000_003.mp4"].compression == "raw"
    assert not listing.problems and listing.problems.notes == (NO_LISTS,)


def test_masks_are_left_alone_and_other_folders_named(tree: Any, read: Any) -> None:
    paths = [
        *fakes("000_003"),
        "manipulated_sequences/Deepfakes/masks/videos/000_003.mp4",
        "manipulated_sequences/Deepfakes/c23/masks/000_003/0000.png",
        "manipulated_sequences/Deepfakes/c23/videos/._000_003.mp4",
        "manipulated_sequences/MyMethod/c23/videos/000_003.mp4",
        "manipulated_sequences/Deepfakes/c30/videos/000_003.mp4",
    ]
    items, listing = read(tree(paths))
    assert list(items) == fakes("000_003")
    assert listing.problems.counts == {UNKNOWN_FOLDER: 2}


def test_extracted_frames_come_in_the_order_of_their_numbers(tree: Any, read: Any) -> None:
    names = ["0000.png", "0002.png", "0010.png", "10000.png", "9999.png"]
    items, _ = read(tree(f"manipulated_sequences/FaceSwap/c40/images/000_003/{name}" for name in names))
    [item] = items.values()
    assert item.frames is not None
    assert [f.name for f in item.frames] == ["0000.png", "0002.png", "0010.png", "9999.png", "10000.png"]
    assert item.video == "000_003" and item.path.name == "000_003" and item.compression == "c40"


def test_a_video_beside_its_frames_is_one_item(tree: Any, read: Any) -> None:
    folder = "original_sequences/youtube/c23"
    items, listing = read(tree([f"{folder}/videos/000.mp4", f"{folder}/images/000/0000.png"]))
    assert list(items) == [f"{folder}/videos/000.mp4"]
    assert listing.problems.counts == {TWICE: 1}


def test_actors_and_deepfakedetection_are_a_collection_of_their_own(tree: Any, read: Any) -> None:
    real = "original_sequences/actors/c23/videos/01__exit_phone_room.mp4"
    [fake] = fakes("01_02__exit_phone_room__YVGY8LOK", method="DeepFakeDetection")
    items, listing = read(tree([real, fake]))
    assert items[fake].source_video == items[real].video == items[real].source_video == "01__exit_phone_room"
    assert (items[fake].target_identity, items[fake].donor_identity) == ("01", "02")
    assert (
        items[real].target_identity == "01"
        and items[real].dataset == items[fake].dataset == "DeepFakeDetection"
    )
    assert not listing.problems and listing.problems.notes == (NO_DFD_SPLIT,)


@pytest.mark.parametrize("place", ["", "splits"])
def test_official_splits(tree: Any, read: Any, put: Any, place: str) -> None:
    paths = [*ORIGINALS, *fakes("000_003", "003_000", "010_011", "021_020", "000_010")]
    root = tree(paths)
    for split, pairs in LISTS.items():
        put(root / place / f"{split}.json", pairs)
    items, listing = read(root)
    split = {item.video: item.split for item in items.values()}
    assert split["000"] == split["003"] == split["000_003"] == split["003_000"] == "train"
    assert split["010"] == split["010_011"] == "val" and split["021_020"] == "test"
    assert split["000_010"] is None, "target in train, donor in val"
    assert listing.problems.counts == {CROSS_SPLIT: 1, NO_FILE: 2}
    assert listing.problems.examples(NO_FILE) == ("original 001", "original 870")


def test_videos_in_no_list_are_counted(tree: Any, read: Any, put: Any) -> None:
    root = tree([*ORIGINALS, "original_sequences/youtube/c23/videos/500.mp4"])
    for split, pairs in LISTS.items():
        put(root / f"{split}.json", pairs)
    items, listing = read(root)
    assert items["original_sequences/youtube/c23/videos/500.mp4"].split is None
    assert listing.problems.counts[NO_LIST] == 1


def test_damaged_lists_are_an_error_and_half_the_lists_are_none(tree: Any, put: Any, read: Any) -> None:
    root = tree(ORIGINALS)
    put(root / "train.json", LISTS["train"])
    items, listing = read(root)
    assert {item.split for item in items.values()} == {None} and listing.problems.notes == (NO_LISTS,)
    put(root / "val.json", "[[")
    put(root / "test.json", LISTS["test"])
    with pytest.raises(DataError, match=r"val\.json"):
        list(list_media(root).items)
    put(root / "val.json", [["000", "011"]])
    with pytest.raises(SplitError, match="000"):
        list(list_media(root).items)


def test_odd_names_keep_their_label_and_no_people(tree: Any, read: Any) -> None:
    items, listing = read(tree(fakes("000-003", "copy of 000_003")))
    assert {item.label for item in items.values()} == {"fake"}
    assert {item.target_identity for item in items.values()} == {None}
    assert listing.problems.counts == {NAME: 2}


digits = st.integers(0, 999).map("{:03d}".format)
actor = st.integers(1, 28).map("{:02d}".format)
scene = st.from_regex(r"[a-z]+(_[a-z]+){0,4}", fullmatch=True)
suffix = st.from_regex(r"[A-Z0-9]{8}", fullmatch=True)


@given(digits, digits)
def test_names_of_fakes_give_back_target_and_donor(target: str, donor: str) -> None:
    people = parse_name(f"{target}_{donor}", dfd=False, fake=True)
    assert people and (people.source_video, people.target, people.donor) == (target, target, donor)
    assert parse_name(f"{target}_{donor}", dfd=False, fake=False) is None
    assert parse_name(target, dfd=False, fake=True) is None


@given(actor, actor, scene, suffix)
def test_names_of_deepfakedetection_lead_to_the_actors_video(a: str, b: str, where: str, end: str) -> None:
    fake = parse_name(f"{a}_{b}__{where}__{end}", dfd=True, fake=True)
    real = parse_name(f"{a}__{where}", dfd=True, fake=False)
    assert fake and real and fake.source_video == real.source_video == f"{a}__{where}"
    assert (fake.target, fake.donor, real.target, real.donor) == (a, b, a, None)


@given(st.text(max_size=40), st.booleans(), st.booleans())
def test_any_name_is_read_or_refused(name: str, dfd: bool, fake: bool) -> None:
    people = parse_name(name, dfd=dfd, fake=fake)
    assert people is None or (people.target is not None and name.startswith(people.target))
    assert people is None or (people.donor is not None) == fake


@given(
    st.dictionaries(digits, st.sampled_from(["train", "val", "test"])),
    digits,
    st.none() | digits,
)
def test_a_fake_is_in_a_split_only_with_both_people(
    split_of: dict[str, str], target: str, donor: str | None
) -> None:
    split = split_by_people(People(source_video=target, target=target, donor=donor), split_of)
    assert split is None or split == split_of[target] == (split if donor is None else split_of[donor])


@pytest.mark.data
def test_the_four_clips(real_data: Path) -> None:
    listing = list_media(real_data / "ffpp-clips")
    found = {item.video: item for item in listing.items}
    assert {video: (item.label, item.method) for video, item in found.items()} == {
        "519": ("real", None),
        "634": ("real", None),
        "519_515": ("fake", "Deepfakes"),
        "634_660": ("fake", "FaceSwap"),
    }
    assert (found["519_515"].target_identity, found["519_515"].donor_identity) == ("519", "515")
    assert found["634_660"].source_video == found["634"].video and found["634_660"].donor_identity == "660"
    assert {(item.dataset, item.compression, item.frames) for item in found.values()} == {
        ("FaceForensics++", "c23", None)
    }
    assert not listing.problems and listing.problems.notes == (NO_LISTS,)
