"""`llms.txt` of the site: the pages in their order, each with a link and its first sentence, for programs that read.

`docs/conf.py` calls it. Every page therefore begins with a sentence that says what it is about.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

LINK = re.compile(r"\[([^\]]*)\]\([^)]*\)")
MARK = re.compile(r"<!--.*?-->", re.DOTALL)


def llms_txt(folder: Path, order: Mapping[str, tuple[str, ...]]) -> str:
    """The text.

    Args:
        folder: The documents.
        order: The pages by heading, as paths without `.md`; `NAME/index` brings those of its folder.
    """
    title, summary = _begin(folder / "index.md")
    lines = [f"# {title}", "", f"> {summary}", ""]
    for heading, pages in order.items():
        lines += [f"## {heading}", "", *(_entry(folder, page) for page in _whole(folder, pages)), ""]
    return "\n".join(lines)


def _whole(folder: Path, pages: tuple[str, ...]) -> Iterator[str]:
    """The pages, and after an index those of its folder."""
    for page in pages:
        yield page
        if page.endswith("/index"):
            beside = sorted((folder / page).parent.glob("*.md"))
            yield from (
                path.relative_to(folder).with_suffix("").as_posix() for path in beside if path.stem != "index"
            )


def _entry(folder: Path, page: str) -> str:
    title, sentence = _begin(folder / f"{page}.md")
    return f"- [{title}]({page}.html): {sentence}"


def _begin(path: Path) -> tuple[str, str]:
    """Title and first sentence of a page, without links; the sentence is empty where a page begins otherwise."""
    text = MARK.sub("", path.read_text(encoding="utf-8"))
    title, _, rest = text.removeprefix("# ").partition("\n")
    first = " ".join(LINK.sub(r"\1", rest.strip().partition("\n\n")[0]).split())
    sentence = re.match(r"[\w*`].*?[a-z0-9)`*]\.(?=\s|$)", first)
    return title, sentence[0] if sentence else ""
