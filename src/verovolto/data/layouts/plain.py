"""A plain folder: `real/` and `fake/`, or `real/` and a folder a method, of images or videos.

```
[train/ | val/ | test/]{real, fake, <method>}/x.mp4                 a video
[train/ | val/ | test/]{real, fake, <method>}/x.jpg                 a photograph
[train/ | val/ | test/]{real, fake, <method>}/<video>/0001.png      frames of a video
```
`fake/Deepfakes/...` names the method as well. What the forgeries were made of, and of whom, names in the form of
a known collection tell (`FORMS`), or a `manifest.csv` (or `metadata.csv`) beside the folders, whose column
`path` names photographs and videos and whose other columns are those of a face set.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any, Literal

from verovolto.data.file_types import LOOP, NO_MEDIA, Problems, media_of
from verovolto.data.layouts import Layout, MediaItem, People, celebdf, ffpp, uadfv
from verovolto.data.layouts.disk import (
    FAKE_FOLDERS,
    FFPP_METHODS,
    LEVELS,
    REAL_FOLDERS,
    SPLIT_FOLDERS,
    entries,
)
from verovolto.data.schema import physical_name
from verovolto.data.tables import find_manifest, path_column, read_csv

OUTSIDE = "files outside real/, fake/ and the folders of methods (left out)"
_LISTED = ("split", "dataset", "method", "compression", "source_video", "target_identity", "donor_identity")
OTHER_FOLDER = "folders beside train/, val/, test/ (left out)"
Form = Callable[[str, bool], People | None]
"""From a name and whether it is a fake's to its people; None for a name of another form."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Class:
    """A folder whose label is known."""

    folder: Path
    label: Literal["real", "fake"]
    method: str | None
    split: str | None
    root: Path
    dataset: str


def _matches(root: Path) -> bool:
    """Some folder is called real or fake (or as a method of FaceForensics++), possibly below `train/`, ..."""
    names = entries(root)[0]
    below = [folder for name in names if name.lower() in SPLIT_FOLDERS for folder in entries(root / name)[0]]
    labelled = REAL_FOLDERS | FAKE_FOLDERS | FFPP_METHODS
    return any(name.lower() in labelled for name in (*names, *below))


def _walk(root: Path, problems: Problems) -> Iterator[MediaItem]:
    classes = list(_classes(root, problems))
    fakes = (item for each in classes if each.label == "fake" for item in _all_items(each, Problems()))
    forms = forms_of(map(_own_name, fakes))
    listed = _listed(root)
    for each in classes:
        problems.expected.add(each.label)
        for item in _all_items(each, problems):
            place = item.path.relative_to(root).as_posix()
            yield replace(_with_people(item, forms), **listed.get(place, {}))


def _listed(root: Path) -> dict[str, dict[str, Any]]:
    """What a manifest beside the folders knows of each photograph and video, by its path below `root`."""
    manifest = find_manifest(root)
    if manifest is None:
        return {}
    table = read_csv(manifest)
    path = path_column(table)
    if path is None:
        return {}
    known = {name: physical_name(name, table.column_names) for name in _LISTED}
    columns = {name: table[column].to_pylist() for name, column in known.items() if column is not None}
    return {
        str(place).strip().replace("\\", "/"): {
            name: values[row] for name, values in columns.items() if values[row]
        }
        for row, place in enumerate(table[path].to_pylist())
    }


def _all_items(each: _Class, problems: Problems) -> Iterator[MediaItem]:
    return _items(each, each.folder, "", problems, above=())


def _own_name(item: MediaItem) -> str:
    return (item.source_video or item.path.stem).rsplit("/", 1)[-1]


def _with_people(item: MediaItem, forms: Collection[Form]) -> MediaItem:
    """The item with the people that its name tells, if it has one of `forms`."""
    photograph = item.source_video is None
    people = people_of(_own_name(item), forms, fake=item.label == "fake", photograph=photograph)
    if people is None:
        return item
    video = None if photograph else people.source_video
    return replace(item, source_video=video, target_identity=people.target, donor_identity=people.donor)


def _classes(root: Path, problems: Problems) -> Iterator[_Class]:
    names, files = entries(root, problems)
    for name in chain(*media_of(root, files, problems)):
        problems.add(OUTSIDE, root / name)
    splits = [name for name in names if name.lower() in SPLIT_FOLDERS]
    if not splits:
        yield from _labelled(root, root, names, None, problems)
        return
    for name in names:
        if name not in splits:
            problems.add(OTHER_FOLDER, root / name)
            continue
        below, files = entries(root / name, problems)
        for file in chain(*media_of(root / name, files, problems)):
            problems.add(OUTSIDE, root / name / file)
        yield from _labelled(root, root / name, below, SPLIT_FOLDERS[name.lower()], problems)


def _labelled(
    root: Path, folder: Path, names: list[str], split: str | None, problems: Problems
) -> Iterator[_Class]:
    """The folders of one level by their label; any other name is a method only where `real/` stands beside it."""
    methods = any(name.lower() in REAL_FOLDERS for name in names)
    labelled = partial(_Class, split=split, root=root, dataset=root.resolve().name)
    for name in names:
        place, lower = folder / name, name.lower()
        if lower in REAL_FOLDERS:
            yield labelled(folder=place, label="real", method=None)
        elif lower in FAKE_FOLDERS:
            yield labelled(folder=place, label="fake", method=None)
        elif lower in FFPP_METHODS or (methods and lower not in NO_MEDIA | LEVELS):
            yield labelled(folder=place, label="fake", method=name)
        else:
            problems.add(OUTSIDE, place)


def _items(
    each: _Class, folder: Path, prefix: str, problems: Problems, *, above: tuple[Path, ...]
) -> Iterator[MediaItem]:
    """Items of a folder, then of those below it; `prefix` is its path below the class, with a final `/`."""
    real = folder.resolve()
    if real in above:
        problems.add(LOOP, folder)
        return
    names, files = entries(folder, problems)
    names_of_images, videos = media_of(folder, files, problems)
    images = tuple(folder / name for name in names_of_images)
    if prefix and images:
        yield _item(each, folder, images, prefix.rstrip("/"))
    elif images:
        for image in images:
            yield _item(each, image, (image,), image.name)
    stems = Counter([*(Path(name).stem for name in videos), *names])
    for name in videos:
        # Two of one stem (`a.mp4`, `a.avi`, or the frames `a/`) are two videos: the suffix tells them apart.
        stem = Path(name).stem
        yield _item(each, folder / name, None, prefix + (stem if stems[stem] == 1 else name))
    for name in names:
        if name.lower() not in NO_MEDIA:
            inner, below = _enter(each, folder / name, prefix)
            yield from _items(inner, folder / name, below, problems, above=(*above, real))


def _enter(each: _Class, folder: Path, prefix: str) -> tuple[_Class, str]:
    """Class and prefix of a folder below a class: `fake/Deepfakes/` is a method, `real/videos/` only a level."""
    name = folder.name
    if not prefix and each.method is None and each.label == "fake" and name.lower() in FFPP_METHODS:
        return replace(each, folder=folder, method=name), ""
    if not prefix and name.lower() in LEVELS:
        return each, ""
    return each, f"{prefix}{name}/"


def _item(each: _Class, path: Path, frames: tuple[Path, ...] | None, name: str) -> MediaItem:
    """`video` is the place below the whole folder, which is unique; `source_video` the one below the class.

    So `train/real/7` and `test/real/7` are two videos, and the leak check sees that they may be one.
    """
    place = path.parent.relative_to(each.root) / name.rsplit("/", 1)[-1]
    photograph = frames is not None and frames == (path,)
    return MediaItem(
        path=path,
        frames=frames,
        label=each.label,
        dataset=each.dataset,
        video=place.as_posix(),
        source_video=None if photograph else name,
        method=each.method,
        split=each.split,
    )


def all_of(label: Literal["real", "fake"]) -> Layout:
    """The layout of a folder whose media all have one label, directly in it or in a folder a video."""

    def walk(root: Path, problems: Problems) -> Iterator[MediaItem]:
        whole = _Class(
            folder=root, label=label, method=None, split=None, root=root, dataset=root.resolve().name
        )
        return _items(whole, root, "", problems, above=())

    return Layout(name=f"all {label}", looks_for="nothing", matches=lambda root: False, walk=walk)


LAYOUT = Layout(
    name="folder",
    looks_for="real/ or fake/, possibly in train/, val/, test/ (a plain folder)",
    matches=_matches,
    walk=_walk,
)


def _uadfv(name: str, fake: bool) -> People | None:
    source = uadfv.parse_name(name, fake=fake)
    return People(source_video=source) if source else None


def _celebdf(name: str, fake: bool) -> People | None:
    people = celebdf.parse_name(name)
    return people if people and people.target and fake == (people.donor is not None) else None


FORMS: tuple[Form, ...] = (
    lambda name, fake: ffpp.parse_name(name, dfd=False, fake=fake),
    lambda name, fake: ffpp.parse_name(name, dfd=True, fake=fake),
    _celebdf,
    _uadfv,
)
"""`519_515`, `01_02__walking__A1B2C3D4`, `id0_id16_0000` and `0000_fake`, with the names of their originals."""


def forms_of(fakes: Iterable[str]) -> Collection[Form]:
    """The forms that a set follows, by the names of its fakes: those of reals, such as `519`, are anybody's.

    >>> len(forms_of(["519_515", "a"])), len(forms_of(["519", "a"]))
    (1, 0)
    """
    left, found = list(FORMS), []
    for name in fakes:
        matching = [form for form in left if form(name, True) or form(_without_frame(name), True)]
        found += matching
        left = [form for form in left if form not in matching]
        if not left:
            break
    return found


def people_of(name: str, forms: Collection[Form], *, fake: bool, photograph: bool = False) -> People | None:
    """The people of a video or photograph by its name; None where it tells none.

    Args:
        name: of a video's file or folder, or of a photograph, without suffix.
        forms: those that the set follows.
        fake: whether it is a fake's.
        photograph: whether its name may end in a frame's number.

    >>> people_of("519_515", FORMS, fake=True)
    People(source_video='519', target='519', donor='515')
    >>> people_of("519_0012", FORMS, fake=False, photograph=True)
    People(source_video='519', target='519', donor=None)
    """
    names = (name, _without_frame(name)) if photograph else (name,)
    return next((people for each in names for form in forms if (people := form(each, fake))), None)


def _without_frame(name: str) -> str:
    return re.sub(r"_[0-9]+$", "", name)
