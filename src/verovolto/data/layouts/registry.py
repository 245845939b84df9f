"""The layouts that there are by name, which of them a folder has, and the media in it."""

from __future__ import annotations

import difflib
from itertools import islice
from pathlib import Path
from typing import Literal

from verovolto.core.errors import DataError, InputError
from verovolto.data.file_types import Problems, media_of
from verovolto.data.layouts import (
    Layout,
    Listing,
    celebdf,
    deepfakebench,
    dfdc,
    dfdc_preview,
    ffpp,
    plain,
    uadfv,
)
from verovolto.data.layouts.disk import entries

AUTO = "auto"
_COLLECTIONS = (
    ffpp.LAYOUT, celebdf.LAYOUT, dfdc.LAYOUT, dfdc_preview.LAYOUT, deepfakebench.LAYOUT, uadfv.LAYOUT,
)  # fmt: skip
LAYOUTS: dict[str, Layout] = {each.name: each for each in (*_COLLECTIONS, plain.LAYOUT)}
"""All layouts by name. The plain folder comes last: it is what `real/` and `fake/` are where nothing else fits."""


ONE_LABEL = "Where all are of one kind, say so: --label real or --label fake"


def recognise(root: Path) -> Layout:
    """The layout of a folder.

    Raises `InputError` for what is not a folder that can be read, `DataError` where nothing is recognised (with
    all that was looked for, and a folder below that would be) or two collections are.
    """
    _check_folder(root)
    matching = [layout for layout in _COLLECTIONS if layout.matches(root)]
    if len(matching) > 1:
        names = " and ".join(layout.name for layout in matching)
        raise DataError(
            f"{root} looks like {names}",
            hint=f"say which with --layout {matching[0].name}, or give one's own folder",
        )
    if matching:
        return matching[0]
    if plain.LAYOUT.matches(root):
        return plain.LAYOUT
    if any(media_of(root, entries(root)[1])):
        raise DataError(
            f"{root} holds photographs or videos directly, and nothing tells whether they are real or fake",
            hint=f"put them into real/ (and fake/) in it. {ONE_LABEL}",
        )
    raise DataError(f"{root} is laid out like no known data set", hint=_what_was_looked_for(root))


def by_name(name: str) -> Layout:
    """The layout called `name`; raises `InputError`, with the names there are, for any other."""
    if name not in LAYOUTS:
        close = difflib.get_close_matches(name, LAYOUTS, n=1)
        hint = f"did you mean {close[0]}?" if close else f"there are: {AUTO}, {', '.join(LAYOUTS)}"
        raise InputError(f"no layout is called {name!r}", hint=hint)
    return LAYOUTS[name]


def list_media(root: Path, *, layout: str = AUTO, label: Literal["real", "fake"] | None = None) -> Listing:
    """The media below `root`, read lazily: by the layout recognised, by the one named, or all with one label.

    Raises as `recognise` and `by_name` do, at once; `DataError` or `SplitError` while items are read, where an
    official list that everything depends on is damaged. All else is counted in `problems`.
    """
    _check_folder(root)
    if label is not None:
        return _all_of(label, layout, root).listing(root)
    return (recognise(root) if layout == AUTO else by_name(layout)).listing(root)


def _all_of(label: Literal["real", "fake"], layout: str, root: Path) -> Layout:
    """The layout of a folder without folders for labels; `InputError` for one that is laid out otherwise."""
    other = [each.name for each in LAYOUTS.values() if each.matches(root)] if layout == AUTO else [layout]
    if other:
        raise InputError(
            f"--label {label} is for a folder that is all {label}, and {root} has the layout {other[0]}",
            hint="leave the label out, or give the folder of one label alone",
        )
    return plain.all_of(label)


def _check_folder(root: Path) -> None:
    if not root.is_dir():
        what = "is not a folder" if root.exists() else "does not exist"
        raise InputError(f"{root} {what}", hint="give the folder of the data set")
    problems = Problems()
    entries(root, problems)
    if problems:
        raise InputError(f"{root} cannot be read", hint="check its permissions")


def _what_was_looked_for(root: Path) -> str:
    looked = "; ".join(layout.looks_for for layout in LAYOUTS.values())
    there = entries(root)[0]
    inner = (
        f"{name}/ ({layout.name})"
        for name in islice(there, 50)
        for layout in LAYOUTS.values()
        if layout.matches(root / name)
    )
    below = ", ".join(islice(inner, 3))
    return f"looked for: {looked}" + (f". Did you mean, in it: {below}?" if below else f". {ONE_LABEL}")
