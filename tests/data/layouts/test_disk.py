"""What is looked at in folders: what files are decides, links are followed, helpers' folders are left out."""

from __future__ import annotations

import os
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.media.drawing import write_video
from verovolto.core.errors import DataError
from verovolto.data.faceset import FaceSet
from verovolto.data.file_types import LOOP, NOT_MEDIA, Problems, category_of
from verovolto.data.layouts.disk import walk
from verovolto.media import UnreadableMedia, file_type_of

Image = Callable[..., bytes]
PHOTOS = ["a.jfif", "b.jpe", "c.mpo", "d.JPG", "e.pnm", "no ending", "f.photo", "g.tmp", ".hidden/x.jpg"]
VIDEOS = ["a.mts", "b.m2ts", "c.vob", "d.3g2", "e.mp4v", "f.ivf", "g", "h.dat", "i.MOV"]


def tiff(order: str, *tags: tuple[int, int, int]) -> bytes:
    """The head of a TIFF whose first picture has these (tag, type, value), all of one number."""
    mark = b"II*\0" if order == "<" else b"MM\0*"
    field = {3: "HHIHxx", 4: "HHII", 1: "HHIBxxx"}
    fields = b"".join(struct.pack(order + field[kind], tag, kind, 1, value) for tag, kind, value in tags)
    return mark + struct.pack(order + "IH", 8, len(tags)) + fields + bytes(64)


RAWS = {
    "dng": tiff("<", (0xFE, 4, 1), (0xC612, 1, 1)),
    "nef": tiff(">", (0xFE, 4, 1), (0x106, 3, 2), (0x14A, 4, 99)),
    "pef": tiff(">", (0x106, 3, 32803)),
    "linear": tiff("<", (0x106, 3, 34892)),
    "cr2": b"II*\0\x10\0\0\0CR\2\0" + bytes(64),
    "cr3": b"\0\0\0\x18ftypcrx \0\0\0\1crx isom",
    "raf": b"FUJIFILMCCD-RAW 0201" + bytes(64),
    "rw2": b"IIU\0\x08\0\0\0" + bytes(64),
    "orf": b"IIRO\x08\0\0\0" + bytes(64),
}


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A short transport stream: names of it are of other containers, or none."""
    return write_video(tmp_path_factory.mktemp("clip") / "a.ts", codec="libx264", frames=4).read_bytes()


def put(root: Path, names: list[str], content: bytes) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)
    return root


def test_what_a_file_is_its_content_says(tmp_path: Path, read: Any, image: Image, clip: bytes) -> None:
    put(tmp_path / "set/real", PHOTOS, image(1))
    put(tmp_path / "set/fake", VIDEOS, clip)
    items, listing = read(tmp_path / "set")
    shown = [f"real/{name}" for name in PHOTOS if not name.startswith(".")] + [
        f"fake/{name}" for name in VIDEOS
    ]
    assert set(items) == set(shown) and not listing.problems
    assert {path for path, item in items.items() if item.frames is None} == {
        f"fake/{name}" for name in VIDEOS
    }


@pytest.mark.parametrize("root", ["Celeb-synthesis", "manipulated_sequences/Deepfakes/c23/videos", "fake"])
def test_every_layout_looks_at_the_content(tmp_path: Path, read: Any, clip: bytes, root: str) -> None:
    put(tmp_path / "set" / root, ["id0_id1_0000.m2ts", "id0_id2_0000"], clip)
    items, _ = read(tmp_path / "set")
    assert {Path(path).name for path in items} == {"id0_id1_0000.m2ts", "id0_id2_0000"}


def test_what_is_left_out_is_counted_with_the_reason(tmp_path: Path, read: Any, image: Image) -> None:
    root = put(tmp_path / "set", ["real/a.jpg", "fake/b.jpg"], image(1))
    others = {"c": b"", "d.bin": bytes(99), "e.xyz": b"some text", "f.nef": RAWS["nef"], "notes.txt": b"text"}
    for name, content in others.items():
        (root / "real" / name).write_bytes(content)
    os.mkfifo(root / "real" / "pipe")
    _, listing = read(root)
    assert listing.problems.counts == {NOT_MEDIA: 5}
    reasons = [line.rsplit("(", 1)[1] for line in listing.problems.examples(NOT_MEDIA)]
    assert reasons == [
        "0 bytes))",
        "a file of zeros)",
        "a text file)",
        "a camera raw file)",
        "no file)",
    ]
    faces = FaceSet.open(root)
    assert len(faces) == 2 and len(faces.left_out) == 1 and faces.left_out[0].startswith(f"5 {NOT_MEDIA}: ")


def test_face_sets_name_what_they_do_not_hold(tmp_path: Path, image: Image, clip: bytes) -> None:
    put(tmp_path, ["real/a.jfif", "real/b", "fake/c.jpe"], image(1))
    put(tmp_path, ["real/d.mts"], clip)
    put(tmp_path, ["fake/e.heic"], b"\0\0\0\x18ftypheic\0\0\0\0mif1heic")
    faces = FaceSet.open(tmp_path)
    assert faces.columns("face")["face"].to_pylist() == ["fake/c.jpe", "real/a.jfif", "real/b"]
    assert [faces.image(i).shape for i in range(3)] == [(3, 24, 24)] * 3
    [line] = faces.left_out
    assert line.startswith("2 videos and HEIC photos") and "d.mts" in line and "e.heic" in line


@pytest.mark.parametrize("kind", RAWS)
def test_camera_raw_files_are_refused_as_such(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "picture.tif"
    path.write_bytes(RAWS[kind])
    with pytest.raises(UnreadableMedia, match="a camera raw file, not a photo") as refused:
        file_type_of(path)
    assert refused.value.hint == "develop it to JPEG or TIFF first"


def test_a_tiff_is_raw_by_its_name_alone_only_where_that_is_a_camera_s(tmp_path: Path) -> None:
    plain = tiff("<", (0xFE, 4, 0), (0x106, 3, 2))
    for name, raw in (("a.tif", False), ("a.ARW", True), ("a", False)):
        (tmp_path / name).write_bytes(plain)
        problems = Problems()
        assert (category_of(tmp_path / name, problems) is None) == raw == bool(problems)


def test_links_are_followed(tmp_path: Path, read: Any, image: Image) -> None:
    put(tmp_path / "elsewhere", ["fakes/v/1.jpg", "one.jpg"], image(1))
    root = put(tmp_path / "set", ["real/v/1.jpg"], image(2))
    (root / "fake").symlink_to(tmp_path / "elsewhere/fakes", target_is_directory=True)
    (root / "real/w").mkdir()
    (root / "real/w/2.jpg").symlink_to(tmp_path / "elsewhere/one.jpg")
    assert set(read(root)[0]) == {"real/v", "fake/v", "real/w"}
    assert FaceSet.open(root).columns("face", "label").to_pylist() == [
        {"face": "fake/v/1.jpg", "label": "fake"},
        {"face": "real/v/1.jpg", "label": "real"},
        {"face": "real/w/2.jpg", "label": "real"},
    ]


def test_links_never_lead_in_circles(tmp_path: Path, read: Any, image: Image) -> None:
    root = put(tmp_path / "set", ["real/v/1.jpg", "fake/v/1.jpg"], image(1))
    (root / "real/v/up").symlink_to(root / "real", target_is_directory=True)
    (root / "fake/v/self").symlink_to(root / "fake/v", target_is_directory=True)
    items, listing = read(root)
    assert set(items) == {"real/v", "fake/v"} and listing.problems.counts == {LOOP: 2}
    faces = FaceSet.open(root)
    assert len(faces) == 2 and faces.left_out[0].startswith(f"2 {LOOP}")


@pytest.mark.parametrize("layout", ["celebdf", "dfdc-preview"])
def test_no_layout_goes_in_circles(tmp_path: Path, tree: Any, read: Any, put_json: Any, layout: str) -> None:
    if layout == "celebdf":
        root = tree(["Celeb-real/id0_0000.mp4", "Celeb-synthesis/FaceSwap/A/id0_id1_0000.mp4"])
        (root / "Celeb-synthesis/FaceSwap/loop").symlink_to(
            root / "Celeb-synthesis", target_is_directory=True
        )
        wanted = 2
    else:
        root = tree(["method_A/x.mp4"])
        put_json(root / "dataset.json", {"method_A/x.mp4": {"label": "fake", "set": "test"}})
        (root / "method_A/loop").symlink_to(root / "method_A", target_is_directory=True)
        wanted = 1
    items, listing = read(root, layout)
    assert len(items) == wanted and listing.problems.counts == {LOOP: 1}


@pytest.fixture
def put_json(put: Any) -> Any:
    return put


HELPERS = [
    "masks",
    "Mask",
    "@eaDir",
    ".thumbnails",
    "thumbnails",
    "__MACOSX",
    "landmarks",
    "#recycle",
    "audio",
]


@pytest.mark.parametrize("helper", HELPERS)
@pytest.mark.parametrize("where", ["{}/a.jpg", "real/{}/a.jpg", "fake/v/{}/a.jpg"])
def test_helpers_folders_are_left_out_everywhere(
    tmp_path: Path, read: Any, image: Image, helper: str, where: str
) -> None:
    root = put(tmp_path / "set", ["real/v/1.jpg", "fake/v/1.jpg", where.format(helper)], image(1))
    faces = FaceSet.open(root)
    assert faces.columns("face")["face"].to_pylist() == ["fake/v/1.jpg", "real/v/1.jpg"]
    assert set(read(root)[0]) == {"real/v", "fake/v"}


def test_a_set_of_nothing_says_what_was_there(tmp_path: Path, clip: bytes) -> None:
    with pytest.raises(DataError, match="holds no images") as refused:
        FaceSet.open(put(tmp_path, ["real/a.mts"], clip))
    assert refused.value.hint and "verovolto prepare" in refused.value.hint


def test_walk_is_in_natural_order(tmp_path: Path) -> None:
    put(tmp_path, ["10/a.jpg", "9/b.jpg", "9/10.jpg", "9/9.jpg"], b"")
    assert list(walk(tmp_path, Problems())) == [
        ("", []), ("9/", ["9.jpg", "10.jpg", "b.jpg"]), ("10/", ["a.jpg"])
    ]  # fmt: skip
