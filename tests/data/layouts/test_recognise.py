"""Which layout a folder has; plain folders and UADFV, which only their names tell apart."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from verovolto.core.errors import DataError, InputError
from verovolto.data.file_types import EXAMPLES, Problems
from verovolto.data.layouts.disk import UNREADABLE_FOLDER, frame_number
from verovolto.data.layouts.plain import LOOP, OTHER_FOLDER, OUTSIDE
from verovolto.data.layouts.registry import LAYOUTS, by_name, list_media, recognise


def test_uadfv(tree: Any, read: Any) -> None:
    items, listing = read(tree(["real/0000.mp4", "fake/0000_fake.mp4", "fake/Thumbs.db"]))
    assert listing.layout == "uadfv" and not listing.problems
    real, fake = items["real/0000.mp4"], items["fake/0000_fake.mp4"]
    assert (real.label, real.source_video, real.method) == ("real", "0000", None)
    assert (fake.label, fake.source_video, fake.method) == ("fake", "0000", "FakeApp")
    assert fake.key == ("UADFV", "fake", "FakeApp", None, "0000_fake") and fake.split is None


def test_uadfv_prepared_as_frames(tree: Any, read: Any) -> None:
    items, listing = read(
        tree(["real/frames/0001/000.png", "real/landmarks/0001/000.npy", "fake/frames/0001_fake/000.png"])
    )
    assert listing.layout == "uadfv" and {i.source_video for i in items.values()} == {"0001"}


def test_real_and_fake_with_other_names_are_a_plain_folder(tree: Any, read: Any) -> None:
    items, listing = read(tree(["real/0000.mp4", "fake/0000.mp4"], name="mine"))
    assert listing.layout == "folder" and {i.dataset for i in items.values()} == {"mine"}
    assert {i.label: i.source_video for i in items.values()} == {"real": "0000", "fake": "0000"}
    assert {i.video for i in items.values()} == {"real/0000", "fake/0000"}


def test_plain_folder_of_everything(tree: Any, read: Any) -> None:
    paths = [
        "real/a.mp4",
        "real/b.JPG",
        "real/clip/2.png",
        "real/clip/10.png",
        "real/deep/er/1.png",
        "real/videos/x.mov",
        "real/.hidden.mp4",
        "real/notes.txt",
        "real/masks/m.png",
        "fake/FaceSwap/c.mp4",
        "fake/d e\u0301.webm",
        "MyGAN/photo.heic",
        "masks/z.png",
        "stray.png",
    ]
    items, listing = read(tree(paths))
    assert {path: (i.label, i.method, i.video) for path, i in items.items()} == {
        "real/b.JPG": ("real", None, "real/b.JPG"),
        "real/a.mp4": ("real", None, "real/a"),
        "real/clip": ("real", None, "real/clip"),
        "real/deep/er": ("real", None, "real/deep/er"),
        "real/videos/x.mov": ("real", None, "real/videos/x"),
        "fake/FaceSwap/c.mp4": ("fake", "FaceSwap", "fake/FaceSwap/c"),
        "fake/d e\u0301.webm": ("fake", None, "fake/d e\u0301"),
        "MyGAN/photo.heic": ("fake", "MyGAN", "MyGAN/photo.heic"),
    }
    clip, photo = items["real/clip"], items["real/b.JPG"]
    assert clip.frames is not None and [f.name for f in clip.frames] == ["2.png", "10.png"]
    assert photo.frames == (photo.path,) and photo.source_video is None and clip.source_video == "clip"
    assert items["real/videos/x.mov"].source_video == "x"
    assert listing.problems.counts == {OUTSIDE: 2}


def test_plain_splits(tree: Any, read: Any) -> None:
    paths = [
        "train/real/a.mp4",
        "Validation/real/b.mp4",
        "test/fake/c.mp4",
        "test/real/a.mp4",
        "extra/d.mp4",
        "test/e.mp4",
    ]
    items, listing = read(tree(paths))
    assert {i.video: (i.split, i.source_video) for i in items.values()} == {
        "train/real/a": ("train", "a"),
        "Validation/real/b": ("val", "b"),
        "test/fake/c": ("test", "c"),
        "test/real/a": ("test", "a"),  # the same name in two splits: the leak check must see it
    }
    assert listing.problems.counts == {OTHER_FOLDER: 1, OUTSIDE: 1}


def test_two_videos_of_one_stem_are_two_videos(tree: Any, read: Any) -> None:
    items, _ = read(tree(["real/a.mp4", "real/a.avi", "real/a/0.png"]))
    assert sorted(i.video for i in items.values()) == ["real/a", "real/a.avi", "real/a.mp4"]


def test_a_link_to_a_folder_above_ends(tree: Any, read: Any) -> None:
    root = tree(["real/a.mp4"])
    (root / "real" / "again").symlink_to(root / "real")
    items, listing = read(root)
    assert list(items) == ["real/a.mp4"] and listing.problems.counts == {LOOP: 1}


def test_nothing_recognised_lists_what_was_looked_for(tree: Any) -> None:
    root = tree(["whatever/x.txt", "FF/original_sequences/youtube/c23/videos/000.mp4"])
    with pytest.raises(DataError) as caught:
        recognise(root)
    assert all(layout.looks_for in str(caught.value) for layout in LAYOUTS.values())
    assert "FF/ (ffpp)" in str(caught.value) and "\n" not in str(caught.value)


def test_two_collections_in_one_folder_are_an_error_and_a_name_decides(tree: Any, read: Any) -> None:
    root = tree(["original_sequences/youtube/c23/videos/000.mp4", "Celeb-real/id0_0000.mp4"])
    with pytest.raises(DataError, match="ffpp and celebdf"):
        recognise(root)
    items, listing = read(root, "celebdf")
    assert list(items) == ["Celeb-real/id0_0000.mp4"] and listing.layout == "celebdf"


def test_wrong_use(tree: Any, tmp_path: Path) -> None:
    root = tree(["real/a.mp4"])
    with pytest.raises(InputError, match="did you mean celebdf"):
        by_name("celebdfv2")
    with pytest.raises(InputError, match="there are: auto, ffpp"):
        list_media(root, layout="qqq")
    with pytest.raises(InputError, match="does not exist"):
        recognise(tmp_path / "nowhere")
    with pytest.raises(InputError, match="is not a folder"):
        recognise(root / "real/a.mp4")


def test_items_are_lazy_and_repeatable(tree: Any) -> None:
    root = tree(f"real/{i}.mp4" for i in (10, 9, 1))
    layout = recognise(root)
    assert [item.video for item in layout.items(root)] == ["real/1", "real/9", "real/10"]
    assert list(layout.items(root)) == list(layout.items(root))
    listing = list_media(root)
    next(listing.items)
    (root / "real" / "9.mp4").unlink()
    assert [item.video for item in listing.items] == ["real/9", "real/10"]


def test_problems_keep_few_examples_and_count_all() -> None:
    problems = Problems()
    assert not problems and problems.lines() == []
    for index in range(100):
        problems.add("things", index)
    problems.note("said once")
    problems.note("said once")
    assert problems.counts == {"things": 100} and len(problems.examples("things")) == EXAMPLES
    assert problems.lines() == ["100 things: 0, 1, 2, 3, 4, ...", "said once"]


@pytest.mark.parametrize(("name", "number"), [("0012.png", 12), ("v2_frame_7.jpg", 7), ("face.png", None)])
def test_frame_numbers(name: str, number: int | None) -> None:
    assert frame_number(Path(name)) == number


def test_a_folder_that_cannot_be_read_is_counted_and_the_rest_goes_on(
    tree: Any, read: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tree(["real/città nuova.mp4", "real/closed/0.png", "fake/x.mp4"], name="più dati")
    scandir = os.scandir

    def closed(path: Path) -> Any:
        # As for a user without permission; the superuser, whom tests may run as, would be let in.
        if Path(path).name == "closed":
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    monkeypatch.setattr(os, "scandir", closed)
    items, listing = read(root)
    assert set(items) == {"real/città nuova.mp4", "fake/x.mp4"}
    assert listing.problems.counts == {UNREADABLE_FOLDER: 1}
    with pytest.raises(InputError, match="cannot be read"):
        list_media(root / "real/closed")
