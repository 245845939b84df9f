"""The documents as a site: every page has its place in the order. Building it is `make docs`."""

from __future__ import annotations

import ast
from pathlib import Path

import verovolto

DOCS = Path(__file__).parents[1] / "docs"


def settings() -> dict[str, object]:
    """What `docs/conf.py` sets to plain values; it is not imported, since Sphinx need not be installed."""
    tree = ast.parse((DOCS / "conf.py").read_text(encoding="utf-8"))
    found: dict[str, object] = {}
    for node in tree.body:
        target = node.target if isinstance(node, ast.AnnAssign) else None
        if isinstance(target, ast.Name) and isinstance(node, ast.AnnAssign) and node.value is not None:
            found[target.id] = ast.literal_eval(node.value)
    return found


def test_every_page_has_its_place() -> None:
    order = settings()["ORDER"]
    assert isinstance(order, dict)
    placed = [page for pages in order.values() for page in pages]
    there = {path.relative_to(DOCS).with_suffix("").as_posix() for path in DOCS.glob("*.md")}
    assert len(placed) == len(set(placed))
    assert set(placed) == there - {"index"} | {"detectors/index"}


def test_the_reference_has_every_public_name() -> None:
    reference = settings()["REFERENCE"]
    assert isinstance(reference, dict)
    described = {entry.rpartition(".")[2] for entries in reference.values() for entry in entries}
    assert set(verovolto._HOMES) <= described
