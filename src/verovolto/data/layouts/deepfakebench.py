"""Frames prepared by DeepfakeBench (Yan et al., NeurIPS 2023), by the JSON file of each set.

```
{set: {label: {split: {video: {"label": ..., "frames": [path, ...]}}}}}                 most sets
{set: {label: {split: {compression: {video: {"label": ..., "frames": [...]}}}}}}        the FaceForensics++ family
```
The files lie in the folder itself, in `dataset_json*/` or in `preprocessing/dataset_json*/`; the frames where their
paths say, or below the folder, `rgb/` or `datasets/rgb/`. Paths may be absolute (of another machine), relative, or
with backslashes; frames are in no order. A video may be listed in several splits and several files: it is
taken once. The lists' train and val share videos or people with their test in most sets, so splits are not
theirs: they are built again from the official lists, or left empty.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from verovolto.core.errors import DataError
from verovolto.data.file_types import Problems
from verovolto.data.layouts import Clip, Layout, MediaItem, celebdf, ffpp, uadfv
from verovolto.data.layouts.disk import (
    BAD_LIST,
    NO_FILE,
    NO_FRAMES,
    beginning,
    entries,
    in_order,
    read_json_object,
)

FFPP_LABELS = {
    "FF-real": None, "FF-DF": "Deepfakes", "FF-F2F": "Face2Face", "FF-FS": "FaceSwap", "FF-NT": "NeuralTextures",
    "FF-FH": "FaceShifter", "FF-SH": "FaceShifter", "DFD_real": None, "DFD_fake": "DeepFakeDetection",
}  # fmt: skip
METHODS = {"DFDCP_FakeA": "method_A", "DFDCP_FakeB": "method_B", "DF_fake": "DF-VAE"}
BAD_ENTRY = "entries that are not a video with frames"
BAD_LABEL = "labels that are neither real nor fake (left out)"
NO_FRAME = "frames listed, but not there"
SPLIT_NOTE = "DeepfakeBench: its train and val are not leak-proof; splits are built from the official lists, else empty"
_FORM = re.compile(r'\s*\{\s*"[^"]*"\s*:\s*\{\s*"[^"]*"\s*:\s*\{\s*"(?:train|val|test)"\s*:\s*\{')


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """One listed video: where it stands in the list, and the paths of its frames as they are written."""

    label: str
    compression: str | None
    video: str
    frames: tuple[str, ...]


def parse_path(text: str) -> tuple[str, ...]:
    r"""Parts of a path in any spelling: `/a/b.png`, `./a/b.png`, `a\b.png` and `C:\a\b.png`, without root and dots."""
    parts = re.split(r"[/\\]+", text.strip())
    return tuple(
        part for part in parts if part not in ("", ".", "..") and not re.fullmatch(r"[A-Za-z]:", part)
    )


def read_entries(value: dict[str, Any], problems: Problems) -> Iterator[tuple[str, Entry]]:
    """All videos of a parsed file, as (set, entry), with and without the level of compressions.

    What is not of the form is counted. A video that stands where a table of videos should (`val` of the DFDC
    file is one) is named by its frames' folder.
    """
    for dataset, labels in _tables(value, problems, "a set"):
        for label, splits in _tables(labels, problems, dataset):
            for _, table in _tables(splits, problems, f"{dataset}/{label}"):
                yield from ((dataset, entry) for entry in _videos(label, None, table, problems))


def _tables(value: Any, problems: Problems, where: str) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        yield from value.items()
    else:
        problems.add(BAD_ENTRY, where)


def _videos(label: str, compression: str | None, table: Any, problems: Problems) -> Iterator[Entry]:
    if _is_video(table):
        table = {_folder_name(table["frames"]): table}
    for name, value in _tables(table, problems, label):
        if _is_video(value):
            yield Entry(label=label, compression=compression, video=name, frames=tuple(value["frames"]))
        elif compression is None and isinstance(value, dict) and name.lower() in ffpp.COMPRESSIONS:
            yield from _videos(label, ffpp.COMPRESSIONS[name.lower()], value, problems)
        else:
            problems.add(BAD_ENTRY, f"{label}/{name}")


def _is_video(value: Any) -> bool:
    frames = value.get("frames") if isinstance(value, dict) else None
    return isinstance(frames, list) and all(isinstance(frame, str) for frame in frames)


def _folder_name(frames: list[str]) -> str:
    parts = parse_path(frames[0]) if frames else ()
    return parts[-2] if len(parts) > 1 else ""


@dataclass(kw_only=True)
class Finder:
    """Finds listed frames on this machine, listing each folder once and remembering where paths are rooted."""

    bases: tuple[Path, ...]
    _root: tuple[Path, int] | None = field(default=None, init=False)

    def find(self, frames: tuple[str, ...], problems: Problems) -> tuple[Path, tuple[Path, ...]] | None:
        """Folder and frames, in numerical order, of a listed video; None if no frame is there."""
        wanted: dict[tuple[str, ...], set[str]] = {}
        for text in frames:
            parts = parse_path(text)
            if parts:
                wanted.setdefault(parts[:-1], set()).add(parts[-1])
        present: list[Path] = []
        for parts, names in wanted.items():
            folder = self._folder(parts, absolute=frames[0].strip().startswith("/"))
            there = set(entries(folder)[1]) if folder else set()
            for name in sorted(names - there):
                problems.add(NO_FRAME, "/".join((*parts, name)))
            if folder:
                present += [folder / name for name in names & there]
        return (present[0].parent, in_order(present)) if present else None

    def _folder(self, parts: tuple[str, ...], *, absolute: bool) -> Path | None:
        """The folder that `parts` name: where the last one was rooted, else as written, else below a base.

        Leading parts are those of the machine that wrote the list: fewer and fewer of them are kept.
        """
        most = max(1, len(parts) - 1)
        if self._root is not None:
            base, skipped = self._root
            # A missing folder must not be taken for one of the same name elsewhere: nothing looser from now on.
            most = min(most, skipped + 1)
            if skipped < len(parts) and base.joinpath(*parts[skipped:]).is_dir():
                return base.joinpath(*parts[skipped:])
        if absolute and Path("/", *parts).is_dir():
            return Path("/", *parts)
        # At least two parts must agree: a bare `000` would be found in any folder of videos.
        for skipped in range(most):
            for base in self.bases:
                folder = base.joinpath(*parts[skipped:])
                if folder.is_dir():
                    self._root = base, skipped
                    return folder
        return None


def _files(root: Path) -> list[Path]:
    """JSON files of DeepfakeBench's form, by the beginning of each."""
    places = [root]
    for above in (root, root / "preprocessing"):
        places += [above / name for name in entries(above)[0] if name.lower().startswith("dataset_json")]
    files = [place / name for place in places for name in entries(place)[1] if name.lower().endswith(".json")]
    return [file for file in files if _FORM.match(beginning(file))]


def _matches(root: Path) -> bool:
    return bool(_files(root))


def _walk(root: Path, problems: Problems) -> Iterator[MediaItem]:
    below = (root, root / "rgb", root / "datasets" / "rgb", root / "datasets")
    bases = tuple(base for base in (*below, root.parent, root.parent / "rgb") if base.is_dir())
    problems.note(SPLIT_NOTE)
    seen: set[tuple[str, str, str | None, str]] = set()
    describer = _Describer(bases=bases, problems=problems)
    for file in _files(root):
        try:
            value = read_json_object(file)
        except DataError as error:
            problems.add(BAD_LIST, error.message)
            continue
        finder = Finder(bases=bases)
        for dataset, entry in read_entries(value, problems):
            item = describer.item(dataset, entry, finder, seen)
            if item is not None:
                yield item


@dataclass(kw_only=True)
class _Describer:
    """Turns entries into items, with the official lists of the collections that it meets."""

    bases: tuple[Path, ...]
    problems: Problems
    _ffpp: dict[str, str] | None = field(default=None, init=False)
    _tests: dict[str, dict[str, str] | None] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        self._ffpp = ffpp.find_official(*self.bases, *(base / ffpp.DATASET for base in self.bases))

    def item(
        self, dataset: str, entry: Entry, finder: Finder, seen: set[tuple[str, str, str | None, str]]
    ) -> MediaItem | None:
        """The item of an entry; None if it was seen before, is not there, or nobody knows its label."""
        fake = _is_fake(entry.label)
        if fake is None:
            self.problems.add(BAD_LABEL, f"{entry.label}/{entry.video}")
            return None
        self.problems.expected.add("fake" if fake else "real")
        key = (_collection(dataset, entry.label), entry.label, entry.compression, entry.video)
        if key in seen:  # listed in several splits and files by design, so no problem
            return None
        if not entry.frames:  # not seen yet: another split may list its frames
            self.problems.add(NO_FRAMES, f"{entry.label}/{entry.video}")
            return None
        seen.add(key)
        located = finder.find(entry.frames, self.problems)
        if located is None:
            self.problems.add(NO_FILE, f"{entry.label}/{entry.video}")
            return None
        clip = Clip(name=entry.video, path=located[0], frames=located[1])
        return self._describe(_collection(dataset, entry.label), entry, clip, fake=fake)

    def _describe(self, dataset: str, entry: Entry, clip: Clip, *, fake: bool) -> MediaItem:
        if entry.label in FFPP_LABELS:
            return ffpp.describe(
                clip,
                method=FFPP_LABELS[entry.label],
                dfd=dataset == ffpp.DFD,
                compression=entry.compression,
                split_of=self._ffpp,
                problems=self.problems,
            )
        if dataset.startswith("Celeb-DF"):
            test = self._celeb_tests(dataset)
            return celebdf.describe(clip, fake=fake, dataset=dataset, test=test, problems=self.problems)
        if dataset == uadfv.DATASET:
            return uadfv.describe(clip, fake=fake, problems=self.problems)
        self.problems.note(f"{dataset}: no official list is read here, its splits are empty")
        method = METHODS.get(entry.label) if fake else None
        return clip.item("fake" if fake else "real", dataset, method=method, compression=entry.compression)

    def _celeb_tests(self, dataset: str) -> dict[str, str] | None:
        """The official test videos of a version of Celeb-DF, if its list lies in its folder."""
        if dataset not in self._tests:
            files = (celebdf.find_list(base / dataset) for base in self.bases)
            file = next((file for file in files if file is not None), None)
            self.problems.note(celebdf.SPLIT_NOTE if file else celebdf.NO_LIST_NOTE)
            self._tests[dataset] = celebdf.read_list(file, self.problems) if file else None
        return self._tests[dataset]


def _is_fake(label: str) -> bool | None:
    """Whether a label such as `FF-DF`, `DFDC_Real` or `CelebDFv2_fake` is of fakes; None if it does not say."""
    if label in FFPP_LABELS:
        return FFPP_LABELS[label] is not None
    match = re.search(r"(?:^|[_-])(real|fake)[A-Z]?$", label, re.IGNORECASE)
    return match[1].lower() == "fake" if match else None


def _collection(dataset: str, label: str) -> str:
    """The collection of a label: FaceForensics++ is listed under five sets' names, its reals in each."""
    if label in FFPP_LABELS:
        return ffpp.DFD if label.startswith("DFD") else ffpp.DATASET
    return dataset


LAYOUT = Layout(
    name="deepfakebench",
    looks_for="a JSON file {set: {label: {train, val, test}}} here or in dataset_json*/ (DeepfakeBench)",
    matches=_matches,
    walk=_walk,
)
