from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, JpegImagePlugin

from tests.conftest import full_disk
from tests.faces.bright import RULE, BrightSquares, clip, cut, photo, picture
from verovolto.core.errors import InputError
from verovolto.data.decode import decode_image, encode_jpeg
from verovolto.data.layouts import MediaItem
from verovolto.faces.detection.base import Face
from verovolto.preparation import extract as module
from verovolto.preparation.extract import (
    Extractor,
    Job,
    Record,
    Rules,
    choose,
    frame_numbers,
    part_path,
    read_record,
)

Extract = Callable[..., tuple[Record, list[dict[str, Any]]]]


def item(path: Path, **others: Any) -> MediaItem:
    metadata: dict[str, Any] = {"path": path, "frames": None, "label": "real", "dataset": "set"}
    return MediaItem(**metadata | {"video": path.stem, "source_video": path.stem} | others)


@pytest.fixture
def extract(tmp_path: Path) -> Extract:
    """Extracts one item; returns its record and the rows of its part (empty where there is none)."""

    def run(one: MediaItem, detector: Any = None, **rules: Any) -> tuple[Record, list[dict[str, Any]]]:
        work = tmp_path / "work"
        part_path(work, "part").unlink(missing_ok=True)
        extractor = Extractor(
            detector=detector or BrightSquares(), rules=Rules(rule=RULE, **rules), work=work
        )
        record = extractor(Job(item=one, name="part", path=one.path.name))
        assert read_record(work, "part") == record, "the record on disk is another one"
        part = part_path(work, "part")
        return record, pq.read_table(part).to_pylist() if part.exists() else []

    return run


def test_a_video_becomes_rows(tmp_path: Path, extract: Extract) -> None:
    one = item(clip(tmp_path / "007.mp4", frames=16), method=None, compression="c23", target_identity="7")
    record, rows = extract(one, fps=2)
    assert (record.status, record.frames, record.faces, record.no_face) == ("ok", 4, 4, {})
    assert [row["frame"] for row in rows] == [0, 4, 8, 12]
    assert [row["time"] for row in rows] == [0.0, 0.5, 1.0, 1.5]
    first = rows[0]
    assert first["face"] == "set/real/-/c23/007/000000-0"
    assert (first["video"], first["source_video"], first["target_identity"]) == ("007", "007", "7")
    assert first["split"] is None and first["pair"] is None
    assert np.abs(np.array(first["box"]) - (24, 16, 56, 48)).max() <= 1
    pixels = decode_image(first["image"])
    assert tuple(pixels.shape) == (3, first["crop_height"], first["crop_width"])
    assert first["image_bytes"] == len(first["image"]) and pixels.float().mean() > 230


def test_crops_are_stored_without_chroma_subsampling() -> None:
    image = torch.randint(0, 256, (3, 40, 40), dtype=torch.uint8)
    stored = Image.open(io.BytesIO(encode_jpeg(image)))
    assert isinstance(stored, JpegImagePlugin.JpegImageFile)
    assert JpegImagePlugin.get_sampling(stored) == 0 and encode_jpeg(image) == encode_jpeg(image.clone())
    smooth = torch.linspace(0, 255, 40).to(torch.uint8).expand(3, 40, 40)
    assert (decode_image(encode_jpeg(smooth)).float() - smooth).abs().max() <= 3


def test_frames_are_sampled_by_number_too(tmp_path: Path, extract: Extract) -> None:
    _, rows = extract(item(clip(tmp_path / "a.mp4", frames=9)), frames=3)
    assert [row["frame"] for row in rows] == [0, 3, 6]


def test_one_face_or_all(tmp_path: Path, extract: Extract) -> None:
    two = item(clip(tmp_path / "a.mp4", [(4, 4, 20), (50, 20, 40)], frames=1))
    _, rows = extract(two, faces="all")
    assert [row["face"][-2:] for row in rows] == ["-0", "-1"]
    assert rows[0]["crop_width"] > rows[1]["crop_width"]
    _, largest = extract(two)
    assert largest == rows[:1]


def test_frames_without_a_face_are_counted_by_reason(tmp_path: Path, extract: Extract) -> None:
    empty = item(clip(tmp_path / "empty.mp4", [], frames=2))
    assert extract(empty)[0].no_face == {"nothing found": 2}
    small = item(clip(tmp_path / "small.mp4", [(10, 10, 16)], frames=2))
    assert extract(small, smallest=20)[0].no_face == {"smaller than --smallest": 2}
    doubtful = item(clip(tmp_path / "doubtful.mp4", level=190, frames=2))
    record, rows = extract(doubtful, confidence=0.9)
    assert (record.no_face, rows, record.status) == ({"below --confidence": 2}, [], "ok")
    assert extract(doubtful, confidence=0.5)[0].faces == 2


def test_a_box_outside_the_frame_is_counted(tmp_path: Path, extract: Extract) -> None:
    class Astray(BrightSquares):
        def detect(self, image: torch.Tensor) -> list[Face]:
            return [Face(box=(500.0, 500.0, 520.0, 520.0), score=1.0, landmarks=torch.zeros(5, 2))]

    record, rows = extract(item(clip(tmp_path / "a.mp4", frames=2)), Astray())
    assert record.no_face == {"crop outside the frame": 2} and not rows


def test_an_animation_among_photographs_gives_faces_of_its_frames(tmp_path: Path, extract: Extract) -> None:
    drawn = [Image.fromarray(picture([(10 * at, 10, 30)])) for at in range(1, 4)]
    drawn[0].save(tmp_path / "a.gif", save_all=True, append_images=drawn[1:], duration=500)
    record, rows = extract(item(tmp_path / "a.gif", frames=(tmp_path / "a.gif",), source_video=None), fps=2)
    assert record.frames == 3 and [(row["frame"], row["time"]) for row in rows] == [
        (0, 0.0),
        (1, 0.5),
        (2, 1.0),
    ]
    assert len({row["face"] for row in rows}) == 3


def test_extracted_frames_keep_their_numbers(tmp_path: Path, extract: Extract) -> None:
    paths = tuple(photo(tmp_path / "v" / f"{number:04d}.png") for number in (3, 5, 12, 40))
    record, rows = extract(item(tmp_path / "v", frames=paths, video="v"), fps=2)
    assert [row["frame"] for row in rows] == [3, 5, 12, 40] and record.frames == 4
    assert {row["time"] for row in rows} == {None}
    _, rows = extract(item(tmp_path / "v", frames=paths), frames=2)
    assert [row["frame"] for row in rows] == [3, 12]


def test_a_damaged_frame_does_not_stop_the_others(tmp_path: Path, extract: Extract) -> None:
    paths = tuple(photo(tmp_path / "v" / f"{number}.png") for number in range(3))
    cut(paths[1], 0.5)
    record, rows = extract(item(tmp_path / "v", frames=paths))
    assert record.status == "damaged" and record.reasons[0].startswith("1.png: ")
    assert [row["frame"] for row in rows] == [0, 2]
    for path in paths:
        path.write_bytes(b"")
    record, rows = extract(item(tmp_path / "w", frames=paths))
    assert (record.status, record.frames, rows) == ("unreadable", 0, [])


def test_a_photograph_has_no_frame_and_no_time(tmp_path: Path, extract: Extract) -> None:
    path = photo(tmp_path / "ein Bild ü.png")
    record, rows = extract(item(path, frames=(path,), source_video=None))
    assert (record.frames, record.faces) == (1, 1)
    assert (rows[0]["frame"], rows[0]["time"], rows[0]["face"]) == (None, None, "set/real/-/-/ein Bild ü/0")


def test_of_a_damaged_photograph_no_face_is_taken(tmp_path: Path, extract: Extract) -> None:
    path = photo(tmp_path / "a.jpg")
    data = path.read_bytes()
    path.write_bytes(data[:-2] + b"\x12" * 40 + data[-2:])
    record, rows = extract(item(path, frames=(path,), source_video=None))
    assert (record.status, record.frames, record.faces, rows) == ("damaged", 1, 0, [])
    assert "extraneous" in record.reasons[0] and record.no_face == {"the picture is damaged": 1}
    frames = (path, photo(tmp_path / "b.jpg"))
    record, rows = extract(item(tmp_path / "v", frames=frames, video="v"))
    assert (
        record.status == "damaged" and record.reasons[0].startswith("a.jpg: damaged JPEG") and len(rows) == 1
    )


@pytest.mark.parametrize("content", [b"", b"this is no video", b"\0\0\0\x18ftypmp42" + bytes(64)])
def test_what_cannot_be_read_is_recorded(content: bytes, tmp_path: Path, extract: Extract) -> None:
    path = tmp_path / "a.mp4"
    path.write_bytes(content)
    record, rows = extract(item(path))
    assert record.status == "unreadable" and not rows and record.frames == record.faces == 0
    assert record.reasons[0] and str(tmp_path) not in record.reasons[0]


def test_a_truncated_video_gives_what_is_there(tmp_path: Path, extract: Extract) -> None:
    record, rows = extract(item(cut(clip(tmp_path / "a.mp4", frames=40), 0.6)))
    assert record.status == "damaged" and 0 < len(rows) < 40
    assert any("missing" in reason for reason in record.reasons)


def test_a_bug_at_one_video_is_recorded(tmp_path: Path, extract: Extract) -> None:
    class Broken(BrightSquares):
        def detect(self, image: torch.Tensor) -> list[Face]:
            raise IndexError("list index out of range")

    record, _ = extract(item(clip(tmp_path / "a.mp4", frames=2)), Broken())
    assert (record.status, record.reasons) == ("unreadable", ("IndexError: list index out of range",))
    assert not list((tmp_path / "work").glob("*part*.parquet")), "half a part was left"


def test_a_full_disk_is_no_fault_of_the_video(
    tmp_path: Path, extract: Extract, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("verovolto.data.storage.parquet.atomic_path", full_disk(tmp_path))
    with pytest.raises(OSError):
        extract(item(clip(tmp_path / "a.mp4", frames=2)))
    assert read_record(tmp_path / "work", "part") is None


def test_the_same_video_gives_the_same_bytes(tmp_path: Path, extract: Extract) -> None:
    one = item(clip(tmp_path / "a.mp4"))
    found = []
    for _ in range(2):
        extract(one)
        found.append(part_path(tmp_path / "work", "part").read_bytes())
        part_path(tmp_path / "work", "part").unlink()
    assert found[0] == found[1]


def test_more_rows_than_a_row_group(tmp_path: Path, extract: Extract) -> None:
    record, rows = extract(item(clip(tmp_path / "a.mp4", frames=70)))
    assert record.faces == len(rows) == 70
    groups = pq.ParquetFile(part_path(tmp_path / "work", "part"))
    assert groups.num_row_groups == 2


@pytest.mark.parametrize(
    "wrong", [{"fps": 1.0, "frames": 2}, {"frames": 0}, {"smallest": -1.0}, {"confidence": 1.5}, {"fps": 0.0}]
)
def test_rules_without_meaning_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(InputError):
        Rules(rule=RULE, **wrong)


FACES = st.builds(
    lambda x, y, side, score: Face(box=(x, y, x + side, y + side), score=score, landmarks=torch.zeros(5, 2)),
    st.floats(0, 100),
    st.floats(0, 100),
    st.floats(1, 100),
    st.floats(0, 1),
)


@given(st.lists(FACES, max_size=6), st.floats(0, 100), st.floats(0, 1))
def test_chosen_faces_keep_the_limits_and_the_order(
    found: list[Face], smallest: float, confidence: float
) -> None:
    rules = Rules(rule=RULE, smallest=smallest, confidence=confidence, faces="all")
    kept, reason = choose(found, rules)
    assert kept == [face for face in found if face in kept]
    assert all(face.score >= confidence and max(face.width, face.height) >= smallest for face in kept)
    assert (reason is None) == (len(kept) == len(found))
    assert choose(found, replace(rules, faces="largest"))[0] == kept[:1]


@given(st.lists(st.one_of(st.integers(0, 999).map(str), st.sampled_from(["a", "b1", "c01"])), max_size=8))
def test_frame_numbers_never_repeat(names: list[str]) -> None:
    numbers = frame_numbers(tuple(Path(f"{name}.png") for name in names))
    assert len(set(numbers)) == len(numbers) == len(names)


def test_frame_numbers_too_large_for_the_column_become_places() -> None:
    assert frame_numbers((Path("99999999999.png"), Path("5.png"))) == [0, 1]
    assert module.frame_numbers((Path("0009.png"), Path("0010.png"))) == [9, 10]
