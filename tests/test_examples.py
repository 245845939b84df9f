"""Every example does what it says, on drawn faces."""

from __future__ import annotations

import csv
import json
import os
import re
import runpy
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

import pytest

import verovolto
from tests.conftest import write_set
from tests.detectors import toy  # noqa: F401  the known method that the new one is compared with
from tests.detectors.conftest import make_detector
from tests.faces.bright import RULE, BrightSquares
from tests.scanning.drawn import ODD, by_brightness, film, walk
from tests.test_hints import COMMANDS
from verovolto import Detector
from verovolto.data.crop_rule import TIGHT
from verovolto.data.faceset import FaceSet
from verovolto.data.storage.convert import convert_set
from verovolto.detectors import registry
from verovolto.detectors.registry import MethodConfig
from verovolto.scanning import run as scanning

ROOT = Path(__file__).parents[1]
EXAMPLES = ROOT / "examples"


def run(monkeypatch: pytest.MonkeyPatch, name: str, *words: object) -> None:
    monkeypatch.setattr(sys, "argv", [name, *map(str, words)])
    runpy.run_path(str(EXAMPLES / name), run_name="__main__")


def test_a_folder_that_is_watched(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    rule = tmp_path / "rule.json"
    rule.write_text(json.dumps(RULE.to_dict()))
    detector = by_brightness()

    def scan(*paths: Path) -> Any:
        return verovolto.scan(*paths, detector=detector, crop=str(rule), smallest=8.0)

    monkeypatch.setattr(scanning, "open_detector", lambda name: BrightSquares())
    monkeypatch.setattr(detector, "scan", scan)
    monkeypatch.setattr(Detector, "from_pretrained", staticmethod(lambda name: detector))
    table = tmp_path / "verdicts.csv"
    (tmp_path / "inbox" / "desk").mkdir(parents=True)
    film(tmp_path / "inbox" / "odd.mp4", walk(6, level=ODD))
    run(monkeypatch, "watch_folder.py", tmp_path / "inbox", table, "--once")
    film(tmp_path / "inbox" / "desk" / "second.mp4", walk(6, level=ODD, seed=1))
    (tmp_path / "inbox" / "note.jpg").write_text("no picture")
    for _ in range(2):
        run(monkeypatch, "watch_folder.py", tmp_path / "inbox", table, "--once")
    with table.open(newline="", encoding="utf-8") as handle:
        rows = [(row["file"], row["verdict"]) for row in csv.DictReader(handle)]
    assert rows == [("odd.mp4", "suspect"), ("desk/second.mp4", "suspect"), ("note.jpg", "unreadable")]


def test_calibrating_to_ones_own_footage(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    detector = make_detector()
    assert detector.preprocessing is not None
    detector.metadata |= {"trained_on": {"faces": 24}, "chosen_on": {"faces": 12}}
    detector.preprocessing = replace(detector.preprocessing, crop_rule=TIGHT.to_dict())
    monkeypatch.setattr(Detector, "from_pretrained", staticmethod(lambda name: detector))
    convert_set(FaceSet.open(write_set(tmp_path / "images", train=40, people=20)), tmp_path / "press")
    run(monkeypatch, "own_footage.py", tmp_path / "ours", "--reals", tmp_path / "press")
    shown = capsys.readouterr().out
    assert "thresholds set on 120 more" in shown
    ours = Detector.load(tmp_path / "ours")
    assert f"{ours.calibration['rmse'].threshold(0.05):.3f}" in shown


def test_a_new_detector_against_a_known_one(
    monkeypatch: pytest.MonkeyPatch, face_set: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(registry, "_METHODS", dict(registry._METHODS))
    monkeypatch.setattr(MethodConfig, "by_model", dict(MethodConfig.by_model))
    run(monkeypatch, "new_detector.py", face_set, tmp_path, "toy")
    shown = capsys.readouterr().out
    assert "| toy/test" in shown and "| colour/test" in shown and "[" in shown
    assert (tmp_path / "colour" / "test" / "report.html").is_file()
    assert len((EXAMPLES / "new_detector.py").read_text().split("@dataclass", 1)[1].splitlines()) <= 60


def test_a_job_array_scans_each_file_once(tmp_path: Path) -> None:
    """The command is a stand-in that writes down what it was given, and leaves as if a file could not be read."""
    script = (EXAMPLES / "slurm" / "scan.sbatch").read_text()
    assert set(re.findall(r" (--[a-z]+)", script.split("\nverovolto scan")[1])) <= COMMANDS["scan"]
    command = tmp_path / "bin" / "verovolto"
    command.parent.mkdir()
    command.write_text('#!/bin/bash\nprintf "%s\\n" "$@" > given\nexit ${CODE:-1}\n')
    command.chmod(0o755)

    def task(number: int, **more: str) -> int:
        given = {"PATH": f"{command.parent}:{os.environ['PATH']}", "VEROVOLTO_DETECTOR": "lite0",
                 "SLURM_ARRAY_TASK_ID": str(number), "SLURM_ARRAY_TASK_COUNT": "2"}  # fmt: skip
        words = ["bash", str(EXAMPLES / "slurm" / "scan.sbatch"), "my files.txt", "results"]
        return subprocess.run(words, cwd=tmp_path, env=os.environ | given | more, check=False).returncode

    assert "#SBATCH --array=1-" in script, "shards count from 1"
    assert (task(1), task(2)) == (0, 0)
    words = (tmp_path / "given").read_text().splitlines()
    assert words[:7] == ["scan", "--list", "my files.txt", "--out", "results", "--shard", "2/2"]
    assert words[7:] == ["--workers", "1", "--detector", "lite0"]
    assert task(2, CODE="2") != 0, "wrong use, or a full disk, is a failure"


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a service whose detector takes bright squares for faces."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = [
        sys.executable,
        "-m",
        "tests.service.stand_in",
        str(tmp_path_factory.mktemp("service")),
        str(port),
    ]
    process = subprocess.Popen(words, cwd=ROOT)
    url = f"http://127.0.0.1:{port}"
    try:
        end = time.monotonic() + 300
        while True:
            try:
                urlopen(f"{url}/health", timeout=10).close()
                break
            except (URLError, OSError):
                assert process.poll() is None and time.monotonic() < end, "the service does not answer"
                time.sleep(0.2)
        yield url
    finally:
        process.terminate()
        process.wait()


@pytest.mark.parametrize("client", ["service_client.py", "service_client.mjs"])
def test_a_client_of_the_service(client: str, service: str, tmp_path: Path) -> None:
    pytest.importorskip("fastapi", reason="the extra serve is not installed")
    clip = film(tmp_path / "a clip.mp4", walk(6, level=ODD))
    if client.endswith(".mjs"):
        if shutil.which("node") is None:
            pytest.skip("Node.js is not here")
        words = ["node", str(EXAMPLES / client), str(clip), service]
    else:
        words = [sys.executable, str(EXAMPLES / client), str(clip), "--url", service]
    done = subprocess.run(words, capture_output=True, text=True, check=True, timeout=300)
    assert done.stdout.startswith("a clip.mp4: suspect, p = 0.00")


def test_every_example_is_listed_and_tried() -> None:
    listed = (EXAMPLES / "README.md").read_text(encoding="utf-8")
    tried = Path(__file__).read_text(encoding="utf-8")
    for path in EXAMPLES.rglob("*"):
        if path.is_file() and path.name != "README.md" and "__pycache__" not in path.parts:
            assert f"]({path.relative_to(EXAMPLES)})" in listed
            assert path.name in tried or path.suffix == ".ipynb"  # nbmake runs each that there is
