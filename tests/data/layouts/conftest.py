"""Trees in the official form: empty files under the right names, since layouts never look inside media."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

from verovolto.data.layouts import Listing, MediaItem
from verovolto.data.layouts.registry import list_media


@pytest.fixture
def tree(tmp_path: Path) -> Callable[..., Path]:
    """Writes empty files at paths below a folder; returns the folder."""

    def write(paths: Iterable[str], *, name: str = "set") -> Path:
        root = tmp_path / name
        root.mkdir(parents=True, exist_ok=True)
        for path in paths:
            file = root / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.touch()
        return root

    return write


@pytest.fixture
def put() -> Callable[[Path, Any], None]:
    """Writes text, or a value as JSON, creating the folder."""

    def write(file: Path, value: Any) -> None:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(value if isinstance(value, str) else json.dumps(value), encoding="utf-8")

    return write


@pytest.fixture
def read() -> Callable[..., tuple[dict[str, MediaItem], Listing]]:
    """Items of a folder by the path of their file (with `/`), and the listing read to its end."""

    def listed(root: Path, layout: str = "auto") -> tuple[dict[str, MediaItem], Listing]:
        listing = list_media(root, layout=layout)
        items = list(listing.items)
        found = {item.path.relative_to(root).as_posix(): item for item in items}
        assert len(found) == len(items), "a path came twice"
        assert len({item.key for item in items}) == len(items), "a key names two videos"
        return found, listing

    return listed
