"""Face sets that are folders of images, with or without a manifest.

Without a manifest the names of folders decide: `real/`, `fake/` or a folder a method, possibly under `train/`, `val/`,
`test/`. Below them a folder is a video, `real/<video>/<frame>.png`; `fake/Deepfakes/...` names the method. A folder
that holds only images is a set of unknown labels.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from verovolto.core.errors import DataError, UnreadableImage
from verovolto.data.crop_rule import Look
from verovolto.data.file_types import HEIC_SUFFIXES, Problems, category_of
from verovolto.data.layouts.disk import (
    FAKE_FOLDERS,
    FFPP_METHODS,
    REAL_FOLDERS,
    SPLIT_FOLDERS,
    frame_number,
    walk,
)
from verovolto.data.layouts.plain import forms_of, people_of
from verovolto.data.schema import COLUMNS, check_faces, check_names, column_names, conform
from verovolto.data.storage import BLOCK, Rows
from verovolto.data.tables import path_column, read_csv, separator_hint, shown

NOT_IN_SETS = "videos and HEIC photos (left out of the set: `verovolto prepare` reads them)"


class FolderSource:
    """Images in files, at `paths` below `path`; `table` has all columns of the schema, and extras."""

    def __init__(
        self, path: Path, table: pa.Table, paths: pa.ChunkedArray, *, left_out: Sequence[str] = ()
    ) -> None:
        self.path = path
        self.left_out = tuple(left_out)
        self.name = path.resolve().name
        self.crop_rule = _crop_rule(path)
        self._table = table
        self._paths = paths

    def __len__(self) -> int:
        return len(self._table)

    def names(self) -> list[str]:
        """See `Source.names`."""
        return column_names(self._table.column_names)

    def table(self, names: Sequence[str], start: int, stop: int) -> pa.Table:
        """See `Source.table`."""
        check_names(names, self._table.column_names, where=str(self.path))
        return self._table.select(list(names)).slice(start, stop - start)

    def encoded(self, row: int) -> bytes:
        """See `Source.encoded`."""
        name = str(self._paths[row].as_py())
        try:
            return (self.path / name).read_bytes()
        except OSError as error:
            raise UnreadableImage(f"{name}: {error.strerror}") from error

    def look(self, row: int) -> Look | None:
        """See `Source.look`."""
        return None

    def blocks(self, rows: Rows) -> Rows:
        """See `Source.blocks`."""
        return rows // BLOCK

    def sizes(self, rows: Rows) -> Rows:
        """See `Source.sizes`."""
        return np.fromiter(
            (_size(self.path / self._paths[int(row)].as_py()) for row in rows), np.int64, len(rows)
        )


def open_folder(path: Path) -> FolderSource:
    """Open a folder of images without a manifest, laid out as above.

    Raises `DataError` for a folder without images and for folders of unknown label.
    """
    problems = Problems()
    images = list(_scan(path, problems))
    if not images:
        raise DataError(
            f"{path} holds no images",
            hint="; ".join(
                (
                    "a set is a folder real/ and fake/, a folder with manifest.csv, or Parquet files",
                    *problems.lines(),
                )
            ),
        )
    images = sorted(_with_people(images), key=lambda face: face.path)
    fields = {name: pa.array([getattr(face, name) for face in images], COLUMNS[name]) for name in _FIELDS}
    paths = pa.chunked_array([pa.array([face.path for face in images], pa.string())])
    table = conform(pa.table({"face": paths, **fields}), COLUMNS, where=str(path))
    return FolderSource(path, table, paths, left_out=problems.lines())


def open_manifest(manifest: Path) -> FolderSource:
    """Open a folder by its manifest: a CSV file with a header, `path` (or `file_name`) and `label` at least.

    Paths are relative to the manifest's folder. Raises `DataError` for missing columns, unknown labels, ids that occur
    twice, paths that leave the folder, and files that are not there (counted, the first named).
    """
    where = str(manifest)
    raw = read_csv(manifest)
    key = path_column(raw)
    if key is None or "label" not in raw.column_names:
        missing = "'path' (or 'file_name')" if key is None else "'label'"
        raise DataError(
            f"{where} has no column {missing}",
            hint=separator_hint(raw.column_names) or f"it has: {shown(raw.column_names)}",
        )
    if not len(raw):
        raise DataError(f"{where} lists no faces", hint="it has a header only")
    paths = pc.replace_substring(pc.utf8_trim_whitespace(raw[key]), "\\", "/")
    _check_paths(manifest.parent, paths, where)
    raw = raw.drop_columns([key])
    if "face" not in raw.column_names:
        raw = raw.append_column("face", paths)
    table = conform(raw, column_names(raw.column_names), where=where)
    check_faces(table["face"], where=where)
    return FolderSource(manifest.parent, _with_named_people(table), paths)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Face:
    path: str
    label: str
    split: str | None = None
    method: str | None = None
    source_video: str | None = None
    target_identity: str | None = None
    donor_identity: str | None = None
    frame: int | None = None


_FIELDS = ("label", "split", "method", "source_video", "target_identity", "donor_identity", "frame")


def _scan(root: Path, problems: Problems) -> Iterator[_Face]:
    """All images below `root`, labelled by the folders they lie in."""
    relative = list(_images(root, problems))
    parts = [name.split("/") for name in relative]
    depth = 1 if any(len(p) > 1 and p[0].lower() in SPLIT_FOLDERS for p in parts) else 0
    folders = {p[depth].lower() for p in parts if len(p) > depth + 1}
    if not folders and not depth:
        yield from (_Face(path=name, label="unknown") for name in relative)
        return
    for name, part in zip(relative, parts, strict=True):
        if depth and part[0].lower() not in SPLIT_FOLDERS:
            raise DataError(
                f"{root}: {name} lies outside train/, val/ and test/",
                hint="move it, or list the images in manifest.csv",
            )
        if len(part) < depth + 2:
            raise DataError(
                f"{root}: {name} lies outside real/ and fake/",
                hint="move it, or list the images in manifest.csv",
            )
        split = SPLIT_FOLDERS[part[0].lower()] if depth else None
        yield _label(name, part[depth:], split, methods=bool(folders & REAL_FOLDERS), root=root)


def _label(name: str, part: list[str], split: str | None, *, methods: bool, root: Path) -> _Face:
    """One image `<label or method>/[<video>/...]<file>`; a folder is a method only beside `real/`."""
    folder, below = part[0], part[1:]
    lower = folder.lower()
    method = None
    if lower in FAKE_FOLDERS and len(below) > 1 and below[0].lower() in FFPP_METHODS:
        method, below = below[0], below[1:]
    elif lower not in REAL_FOLDERS | FAKE_FOLDERS:
        if not methods and lower not in FFPP_METHODS:
            raise DataError(
                f"{root}: nothing says whether the images in {folder}/ are real or fake",
                hint="name the folders real/ and fake/ (or one a method, beside real/), or add a manifest",
            )
        method = folder
    video = "/".join(below[:-1]) or None
    return _Face(
        path=name,
        label="real" if lower in REAL_FOLDERS else "fake",
        split=split,
        method=method,
        source_video=video,
        frame=_frame(name) if video else None,
    )


def _with_people(faces: list[_Face]) -> list[_Face]:
    """Faces with the people that the names of their videos (or files) tell, where these follow a known set's form."""
    names = [(face.source_video or Path(face.path).stem).rsplit("/", 1)[-1] for face in faces]
    forms = forms_of(name for name, face in zip(names, faces, strict=True) if face.label == "fake")
    if not forms:
        return faces
    result = []
    for name, face in zip(names, faces, strict=True):
        people = people_of(name, forms, fake=face.label == "fake", photograph=face.source_video is None)
        if people is not None:
            # People keep a fake with its original; where none are named, the name of the original must.
            video = face.source_video if people.target else people.source_video
            face = replace(
                face, source_video=video, target_identity=people.target, donor_identity=people.donor
            )
        result.append(face)
    return result


def _with_named_people(table: pa.Table) -> pa.Table:
    """A manifest's table with the people that the names of its videos tell, where it names nobody itself."""
    given = ("target_identity", "donor_identity", "source_video")
    if any(name in table.column_names and table[name].null_count < len(table) for name in given[:2]):
        return table
    if "source_video" not in table.column_names:
        return table
    videos, labels = table["source_video"].to_pylist(), table["label"].to_pylist()
    forms = forms_of({str(v) for v, label in zip(videos, labels, strict=True) if v and label == "fake"})
    if not forms:
        return table
    people = [
        people_of(video, forms, fake=label == "fake") if video else None
        for video, label in zip(videos, labels, strict=True)
    ]
    found = {
        "target_identity": [each and each.target for each in people],
        "donor_identity": [each and each.donor for each in people],
        "source_video": [
            each.source_video if each and not each.target else video
            for each, video in zip(people, videos, strict=True)
        ],
    }
    for name, values in found.items():
        column = pa.array(values, COLUMNS[name])
        at = table.schema.get_field_index(name)
        table = table.append_column(name, column) if at < 0 else table.set_column(at, name, column)
    return table


def _frame(name: str) -> int | None:
    """The number at the end of a name that fits its column."""
    number = frame_number(Path(name)) if re.search(r"[0-9]$", Path(name).stem) else None
    return number if number is None or number < 2**31 else None


def _images(root: Path, problems: Problems) -> Iterator[str]:
    """Paths of all images below `root`, relative, with `/`; what is left out is counted."""
    for prefix, files in walk(root, problems):
        for name in files:
            category = category_of(root / prefix / name, problems)
            if category == "video" or (category and Path(name).suffix.lower() in HEIC_SUFFIXES):
                problems.add(NOT_IN_SETS, root / prefix / name)
            elif category:
                yield prefix + name


def _check_paths(root: Path, paths: pa.ChunkedArray, where: str) -> None:
    if paths.null_count:
        raise DataError(f"{where}: {paths.null_count} rows have no path")
    leaving = paths.filter(pc.match_substring_regex(paths, r"^/|^[A-Za-z]:|(^|/)\.\.(/|$)"))
    if len(leaving):
        raise DataError(
            f"{where}: {len(leaving)} paths leave the folder, first {leaving[0].as_py()!r}",
            hint="paths are relative to the manifest's folder",
        )
    there = pa.array(_listing(root, pc.unique(_parents(paths)).to_pylist()), pa.string())
    missing = paths.filter(pc.invert(pc.is_in(pc.replace_substring_regex(paths, r"^\./", ""), there)))
    if len(missing):
        raise DataError(
            f"{where}: {len(missing)} of {len(paths)} images are not there, first {missing[0].as_py()!r}",
            hint="restore the files or take the rows out of the manifest",
        )


def _parents(paths: pa.ChunkedArray) -> pa.ChunkedArray:
    return pc.replace_substring_regex(paths, r"(^|/)[^/]*$", "")


def _listing(root: Path, folders: list[str]) -> Iterator[str]:
    """Files of some folders, relative to `root`: one listing a folder instead of one look a file."""
    for folder in folders:
        prefix = folder.removeprefix("./").removeprefix(".")
        prefix = prefix + "/" if prefix else ""
        if (root / folder).is_dir():
            with os.scandir(root / folder) as entries:
                yield from (prefix + entry.name for entry in entries if entry.is_file())


def _size(file: Path) -> int:
    try:
        return file.stat().st_size
    except OSError:
        return -1


def _crop_rule(path: Path) -> dict[str, Any] | None:
    """The crop rule in a folder's `faceset.json`, if there is one."""
    file = path / "faceset.json"
    if not file.is_file():
        return None
    try:
        rule = json.loads(file.read_text(encoding="utf-8")).get("crop_rule")
        if rule is not None and not isinstance(rule, dict):
            raise ValueError("the rule is no object")
    except (ValueError, AttributeError) as error:
        raise DataError(f"{file} is not a JSON object with a crop_rule") from error
    return rule
