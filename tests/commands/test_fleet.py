"""`verovolto fleet` as a user meets it; what it does over a cluster is tested in tests/fleet."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Command
from tests.faces.bright import RULE, BrightSquares
from tests.scanning.drawn import network, photo
from tests.test_hints import COMMANDS
from verovolto.commands import fleet
from verovolto.core.parallel import run_jobs


@pytest.fixture
def one_machine(monkeypatch: pytest.MonkeyPatch) -> list[str | None]:
    """This process stands in for a cluster; gives the addresses asked for."""
    asked: list[str | None] = []

    def here(jobs: Any, work: Any, /, *, workers: int) -> Any:
        return run_jobs(jobs, work, workers=0)

    @contextmanager
    def cluster(address: str | None) -> Iterator[Any]:
        asked.append(address)
        yield 5, here

    monkeypatch.setattr(fleet, "_cluster", cluster)
    monkeypatch.setattr("verovolto.scanning.run.open_detector", lambda name: BrightSquares())
    return asked


def test_it_has_the_flags_of_the_commands_themselves() -> None:
    assert COMMANDS["fleet prepare"] == COMMANDS["prepare"] | {"--address"}
    kept = COMMANDS["scan"] - {
        "--shard",
        "--json",
        "--report",
        "--form",
        "--bundle",
        "--no-faces",
        "--no-no-faces",
    }
    assert COMMANDS["fleet scan"] == kept | {"--address"}


def test_scans_into_a_folder_that_scan_reads(
    command_line: Command, one_machine: list[str | None], tmp_path: Path
) -> None:
    network().save(tmp_path / "detector")
    (tmp_path / "rule.json").write_text(json.dumps(RULE.to_dict()))
    (tmp_path / "files.txt").write_text(f"{photo(tmp_path / 'a.png')}\n{tmp_path / 'gone.png'}\n")
    words = ("--list", tmp_path / "files.txt", "--out", tmp_path / "out", "--detector", tmp_path / "detector",
             "--crop", tmp_path / "rule.json", "--smallest", 8, "--every-frame")  # fmt: skip
    code, _, err = command_line("fleet", "scan", *words, "--address", "head:1")
    assert code == 1 and "2 files, 1 of them could not be scanned" in err and one_machine == ["head:1"]
    code, _, err = command_line("scan", *words, "--workers", 0)
    assert code == 1 and "2 files (1 were there)" in err, "the same scan in the same folder"


def test_prepares_as_prepare_does(
    command_line: Command, one_machine: list[str | None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("verovolto.preparation.pipeline.open_detector", lambda name: BrightSquares(name=name))
    photo(tmp_path / "src/real/a.png", level=255)
    words = ("fleet", "prepare", tmp_path / "src", "--out", tmp_path / "out", "--one-class", "--smallest", 8)
    code, out, _ = command_line(*words, "--workers", 1)
    assert code == 0 and "1 face" in out and list((tmp_path / "out").glob("*.parquet"))


@pytest.mark.parametrize(
    ("words", "match"),
    [(("scan", "--out", "{}/out"), "nothing to scan"), (("scan", "--list", "{}/no"), "--out"),
     (("scan", "--list", "{}/no", "--out", "{}/out"), "there is no list")],
)  # fmt: skip
def test_wrong_use(
    command_line: Command, one_machine: list[str | None], tmp_path: Path, words: tuple[str, ...], match: str
) -> None:
    code, _, err = command_line("fleet", *(word.format(tmp_path) for word in words))
    assert code == 2 and match in err


def test_without_ray_it_says_what_to_install(
    command_line: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    monkeypatch.delitem(sys.modules, "verovolto.fleet", raising=False)
    code, _, err = command_line("fleet", "prepare", tmp_path, "--out", tmp_path / "out")
    assert code == 2 and 'pip install "verovolto[fleet]"' in err
