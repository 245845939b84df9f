"""The DeepFake Detection Challenge (Dolhansky et al., 2020): parts to train on, and the test set.

```
dfdc_train_part_{0..49}/metadata.json   {"x.mp4": {"label": "REAL" or "FAKE", "split": "train", "original": "y.mp4"}}
test/labels.csv                         filename,label; here 1 is fake
```
Parts come with and without leading zeros, directly in the folder, in `train/`, or one inside the other as their
archives unpack. `original` names the video that a fake was made of. Methods and people are not recorded.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from verovolto.core.errors import DataError
from verovolto.core.files import natural
from verovolto.data.file_types import Problems
from verovolto.data.layouts import Clip, Layout, MediaItem, People
from verovolto.data.layouts.disk import (
    BAD_LIST,
    NO_FILE,
    NO_LIST,
    TWICE,
    beginning,
    clips,
    entries,
    read_json_object,
)
from verovolto.data.tables import csv_text

DATASET = "DFDC"
METADATA = "metadata.json"
LABELS = "labels.csv"
SAMPLE = "train_sample_videos"
BAD_ENTRY = "entries of a list without a label that can be understood"
NO_ORIGINAL = "fakes whose original is not in their part"
PEOPLE_NOTE = "DFDC names no people: its splits are the official ones, otherwise by source video"


def part_number(name: str) -> int | None:
    """Number of a part by its folder's name: 7 for `dfdc_train_part_7` and `dfdc_train_part_07`; else None."""
    match = re.fullmatch(r"dfdc_train_part_([0-9]+)", name.lower())
    return int(match[1]) if match else None


def stem(name: object) -> str | None:
    """`x` for `x.mp4`, also with a path before it; None for what is no name (`null`, empty, NaN)."""
    if not isinstance(name, str):
        return None
    last = re.split(r"[/\\]", name.strip())[-1]
    return re.sub(r"\.[A-Za-z0-9]+$", "", last) or None


def read_metadata(file: Path, problems: Problems) -> dict[str, dict[str, Any]]:
    """`{video: entry}` of a part's metadata; a damaged file is counted, and empty."""
    try:
        value = read_json_object(file)
    except DataError as error:
        problems.add(BAD_LIST, error.message)
        return {}
    listed: dict[str, dict[str, Any]] = {}
    for name, entry in value.items():
        video = stem(name)
        if video is None or not isinstance(entry, dict) or _label(entry) is None:
            problems.add(BAD_ENTRY, f"{file}: {name}")
        else:
            listed[video] = entry
    return listed


def read_labels(file: Path, problems: Problems) -> dict[str, Literal["real", "fake"]]:
    """`{video: label}` of the test set's `labels.csv`, where 1 is fake; a damaged file is counted, and empty."""
    listed: dict[str, Literal["real", "fake"]] = {}
    try:
        rows = list(csv.DictReader(csv_text(file).splitlines()))
    except (OSError, DataError, csv.Error) as error:
        problems.add(BAD_LIST, f"{file} ({error})")
        return listed
    for row in rows:
        video, value = stem(row.get("filename")), (row.get("label") or "").strip()
        if video is None or value not in ("0", "1", "0.0", "1.0"):
            problems.add(BAD_ENTRY, f"{file}: {row.get('filename')}")
        else:
            listed[video] = "fake" if value.startswith("1") else "real"
    return listed


def _label(entry: dict[str, Any]) -> Literal["real", "fake"] | None:
    labels: dict[str, Literal["real", "fake"]] = {"REAL": "real", "FAKE": "fake"}
    return labels.get(str(entry.get("label", "")).strip().upper())


def _parts(root: Path) -> list[Path]:
    """Folders with a `metadata.json`: parts by their number, then the sample; the folder itself may be one."""
    if _has_metadata(root):
        return [root]
    parts: list[tuple[int, Path]] = []
    for folder in (root, root / "train"):
        for name in entries(folder)[0]:
            number = part_number(name)
            if number is not None:
                parts += [(number, part) for part in _unpacked(folder / name) if _has_metadata(part)]
    if _has_metadata(root / SAMPLE):
        parts.append((10**9, root / SAMPLE))
    return [part for _, part in sorted(parts, key=lambda each: (each[0], natural(str(each[1]))))]


def _unpacked(part: Path) -> list[Path]:
    """A part, or the one inside it: archive `dfdc_train_part_07.zip` holds a folder `dfdc_train_part_7/`."""
    if (part / METADATA).is_file():
        return [part]
    return [part / name for name in entries(part)[0] if part_number(name) is not None]


def _has_metadata(part: Path) -> bool:
    return bool(re.search(r'"label"\s*:\s*"(REAL|FAKE)"', beginning(part / METADATA), re.IGNORECASE))


def _tests(root: Path) -> list[Path]:
    return [folder for folder in (root / "test", root) if _has_labels(folder)]


def _has_labels(folder: Path) -> bool:
    lines = beginning(folder / LABELS).lower().replace(" ", "").split("\n")
    return any(
        {"filename", "label"} <= set(line.strip().split(",")) for line in lines[:2]
    )  # `sep=,` may stand first


def _matches(root: Path) -> bool:
    return bool(_parts(root) or _tests(root))


def _walk(root: Path, problems: Problems) -> Iterator[MediaItem]:
    problems.note(PEOPLE_NOTE)
    seen: dict[str, set[str]] = {}
    for part in _parts(root):
        # A part that is there under two spellings of its number would give each video twice.
        taken = seen.setdefault(str(part_number(part.name)), set())
        for item in _part_items(part, problems):
            if item.video in taken:
                problems.add(TWICE, item.path)
                continue
            taken.add(item.video)
            yield item
    for folder in _tests(root):
        yield from _test_items(folder, problems)


def _part_items(part: Path, problems: Problems) -> Iterator[MediaItem]:
    listed = read_metadata(part / METADATA, problems)
    problems.expected |= {label for entry in listed.values() if (label := _label(entry))}
    missing = dict.fromkeys(listed)
    for clip in clips(part, problems):
        entry = listed.get(clip.name)
        label = _label(entry) if entry else None
        if entry is None or label is None:
            problems.add(NO_LIST, clip.path)
            continue
        del missing[clip.name]
        original = stem(entry.get("original")) if label == "fake" else None
        if label == "fake" and original not in listed:
            problems.add(NO_ORIGINAL, clip.path)
        split = entry.get("split")
        yield _item(clip, label, original, split if isinstance(split, str) and split else None)
    for video in missing:
        problems.add(NO_FILE, part / f"{video}.mp4")


def _test_items(folder: Path, problems: Problems) -> Iterator[MediaItem]:
    listed = read_labels(folder / LABELS, problems)
    problems.expected |= set(listed.values())
    missing = dict.fromkeys(listed)
    for clip in clips(folder, problems):
        if clip.name not in listed:
            problems.add(NO_LIST, clip.path)
            continue
        del missing[clip.name]
        yield _item(clip, listed[clip.name], None, "test")
    for video in missing:
        problems.add(NO_FILE, folder / f"{video}.mp4")


def _item(clip: Clip, label: Literal["real", "fake"], original: str | None, split: str | None) -> MediaItem:
    return clip.item(label, DATASET, People(source_video=original or clip.name), split=split)


LAYOUT = Layout(
    name="dfdc",
    looks_for="dfdc_train_part_*/metadata.json or test/labels.csv (DFDC)",
    matches=_matches,
    walk=_walk,
)
