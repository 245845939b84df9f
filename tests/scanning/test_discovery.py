"""Which files are scanned."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.media.drawing import encoded
from verovolto.data.file_types import LOOP, NOT_MEDIA, Problems
from verovolto.scanning.run import HELPER, MediaPath, find_media


def make(folder: Path, *names: str) -> Path:
    """Empty files; folders between are made."""
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder


def listed(*paths: Path, below: Path) -> list[str]:
    """Files found, below a folder."""
    found = list(find_media(paths))
    assert all(each.problem is None for each in found)
    return [each.path.relative_to(below).as_posix() for each in found]


def test_photos_and_videos_of_a_folder_in_natural_order(tmp_path: Path) -> None:
    make(
        tmp_path, "10.mp4", "9.JPG", "b/2.png", "b/a/x.webm", "notes.txt", "list.json", "c.HEIC", "no suffix"
    )
    assert listed(tmp_path, below=tmp_path) == ["9.JPG", "10.mp4", "b/2.png", "b/a/x.webm", "c.HEIC"]


def test_paths_keep_the_order_in_which_they_are_given(tmp_path: Path) -> None:
    make(tmp_path, "b/1.mp4", "a/1.mp4", "z.jpg")
    given = [tmp_path / "z.jpg", tmp_path / "b", tmp_path / "a"]
    assert listed(*given, below=tmp_path) == ["z.jpg", "b/1.mp4", "a/1.mp4"]


def test_hidden_files_are_passed_over_unless_named(tmp_path: Path) -> None:
    make(tmp_path, ".a.mp4", "._b.mp4", ".cache/c.mp4", "d.mp4")
    assert listed(tmp_path, below=tmp_path) == ["d.mp4"]
    named = [tmp_path / ".a.mp4", tmp_path / ".cache"]
    assert listed(*named, below=tmp_path) == [".a.mp4", ".cache/c.mp4"]


def test_a_file_that_is_named_is_listed_whatever_its_name(tmp_path: Path) -> None:
    make(tmp_path, "notes.txt", "text.mp4")
    assert listed(tmp_path / "notes.txt", below=tmp_path) == ["notes.txt"]
    assert listed(tmp_path, below=tmp_path) == ["text.mp4"]
    assert listed(tmp_path / "absent.mp4", below=tmp_path) == ["absent.mp4"], "scanning it says what is wrong"


def test_nothing_is_listed_twice(tmp_path: Path) -> None:
    make(tmp_path, "a/1.mp4", "a/2.mp4")
    (tmp_path / "a" / "3.mp4").symlink_to(tmp_path / "a" / "1.mp4")
    (tmp_path / "b").symlink_to(tmp_path / "a", target_is_directory=True)
    again = [tmp_path / "a", tmp_path / "a" / "1.mp4", tmp_path / "b", tmp_path / "a" / ".." / "a" / "2.mp4"]
    assert listed(*again, below=tmp_path) == ["a/1.mp4", "a/2.mp4"]
    assert listed(tmp_path / "b" / "2.mp4", tmp_path, below=tmp_path) == ["b/2.mp4", "a/1.mp4"]


def test_a_link_to_a_file_elsewhere_is_followed_and_one_to_nothing_is_listed(tmp_path: Path) -> None:
    make(tmp_path, "elsewhere/odd name", "here/a.txt")
    (tmp_path / "here" / "b.mp4").symlink_to(tmp_path / "elsewhere" / "odd name")
    (tmp_path / "here" / "c.mp4").symlink_to(tmp_path / "gone.mp4")
    (tmp_path / "here" / "d.mp4").symlink_to("d.mp4")  # to itself
    assert listed(tmp_path / "here", below=tmp_path) == ["here/b.mp4", "here/c.mp4", "here/d.mp4"]


def test_folders_that_contain_themselves(tmp_path: Path) -> None:
    make(tmp_path, "a/1.mp4")
    (tmp_path / "a" / "loop").symlink_to(tmp_path, target_is_directory=True)
    assert listed(tmp_path, below=tmp_path) == ["a/1.mp4"]


def test_a_folder_may_be_called_like_a_video(tmp_path: Path) -> None:
    make(tmp_path, "frames.mp4/0.png", "frames.mp4/1.png", "empty.mp4/.x")
    assert listed(tmp_path, below=tmp_path) == ["frames.mp4/0.png", "frames.mp4/1.png"]


@pytest.mark.parametrize(
    "name", ["with space.mp4", "Größe 画.mp4", "<script>alert(1).mp4", "line\nbreak.mp4", "-rf.mp4", "%s.mp4"]
)
def test_any_name_will_do(tmp_path: Path, name: str) -> None:
    make(tmp_path / name, name)
    assert [found.path for found in find_media([tmp_path])] == [tmp_path / name / name]


def test_names_that_are_no_utf_8(tmp_path: Path) -> None:
    odd = tmp_path / os.fsdecode(b"b\xff")
    try:
        make(odd, os.fsdecode(b"a\xfe.mp4"))
    except OSError:
        pytest.skip("this file system takes UTF-8 names only")
    [found] = find_media([tmp_path])
    assert os.fsencode(found.path.name) == b"a\xfe.mp4" and found.path.exists()


def test_a_name_that_no_file_can_have(tmp_path: Path) -> None:
    odd = Path("a\0b.mp4")
    assert list(find_media([odd, odd])) == [MediaPath(path=odd)]


def test_nothing_at_all(tmp_path: Path) -> None:
    assert list(find_media([])) == list(find_media([tmp_path])) == []


def test_a_folder_that_cannot_be_read_is_told_and_the_rest_is_listed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(tmp_path, "a/1.mp4", "locked/2.mp4", "z/3.mp4")
    plain = os.scandir

    def locked(path: Any) -> Iterator[os.DirEntry[str]]:
        if Path(path).name == "locked":
            raise PermissionError(13, "Permission denied", str(path))
        return plain(path)

    monkeypatch.setattr(os, "scandir", locked)
    found = list(find_media([tmp_path]))
    assert [each.path.relative_to(tmp_path).as_posix() for each in found] == ["a/1.mp4", "locked", "z/3.mp4"]
    assert [each.problem for each in found] == [None, "the folder cannot be read (Permission denied)", None]


def test_what_a_file_is_its_content_says_where_its_name_does_not(tmp_path: Path) -> None:
    photo = encoded(Image.new("RGB", (9, 5)), "JPEG")
    (tmp_path / "b").mkdir()
    for name in ("a.jfif", "b/no ending", "c.tmp", "d.mpo"):
        (tmp_path / name).write_bytes(photo)
    (tmp_path / "e.xyz").write_bytes(b"some text")
    (tmp_path / "f").write_bytes(b"")
    (tmp_path / "g.CR2").write_bytes(b"II*\0\x10\0\0\0CR\2\0")
    make(tmp_path, "notes.txt", "h.m2ts")
    left_out = Problems()
    found = [each.path.relative_to(tmp_path).as_posix() for each in find_media([tmp_path], left_out)]
    assert found == ["a.jfif", "b/no ending", "c.tmp", "d.mpo", "h.m2ts"]
    assert left_out.counts == {NOT_MEDIA: 3}
    [line] = left_out.lines()
    assert "a text file" in line and "empty" in line and "camera raw" in line


def test_linked_folders_are_looked_into_never_in_circles(tmp_path: Path) -> None:
    make(tmp_path, "elsewhere/2.mp4", "here/1.mp4")
    (tmp_path / "here" / "linked").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    (tmp_path / "elsewhere" / "loop").symlink_to(tmp_path / "here", target_is_directory=True)
    left_out = Problems()
    found = [each.path.relative_to(tmp_path).as_posix() for each in find_media([tmp_path / "here"], left_out)]
    assert found == ["here/1.mp4", "here/linked/2.mp4"] and left_out.counts == {LOOP: 1}


@pytest.mark.parametrize("helper", ["masks", "@eaDir", "thumbnails", "__MACOSX"])
def test_helpers_folders_are_left_out_unless_named(tmp_path: Path, helper: str) -> None:
    make(tmp_path, "a.mp4", f"{helper}/b.jpg")
    left_out = Problems()
    assert [each.path.name for each in find_media([tmp_path], left_out)] == ["a.mp4"]
    assert left_out.counts == {HELPER: 1}
    assert [each.path.name for each in find_media([tmp_path / helper])] == ["b.jpg"]
