"""The documents as a site: every page has its place in the order. Building it is `make docs`."""

from __future__ import annotations

import ast
import importlib.util
import re
from pathlib import Path

import verovolto

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"


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


def test_programs_are_told_of_every_page_in_a_sentence() -> None:
    spec = importlib.util.spec_from_file_location("llms", ROOT / "tools" / "llms.py")
    assert spec is not None and spec.loader is not None
    llms = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(llms)
    order = settings()["ORDER"]
    assert isinstance(order, dict)
    title, _, summary, *lines = llms.llms_txt(DOCS, order).splitlines()
    assert title == "# verovolto" and summary.startswith("> Tells real faces from deepfakes")
    entries = [line for line in lines if line and not line.startswith("## ")]
    found = {re.fullmatch(r"- \[[^\]]+\]\(([\w/-]+)\.html\): .{20,}\.", line) for line in entries}
    assert None not in found, [line for line in entries if not line.endswith(".")]
    pages = {path.relative_to(DOCS).with_suffix("").as_posix() for path in DOCS.rglob("*.md")}
    assert {match[1] for match in found if match} == pages - {"index"} and len(entries) == len(pages) - 1
