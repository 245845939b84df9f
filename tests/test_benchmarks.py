"""Benchmarks and tools start: whatever they import from the package is there, also what they import late."""

from __future__ import annotations

import ast
import json
import os
import runpy
import subprocess
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

import av
import numpy as np
import pytest

from tests.conftest import write_set
from verovolto.networks.registry import NETWORKS

ROOT = Path(__file__).parents[1]
BENCHMARKS = sorted((ROOT / "benchmarks").glob("*.py"))
SCRIPTS = [*BENCHMARKS, *sorted((ROOT / "tools").glob("*.py"))]


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("path", [*BENCHMARKS, ROOT / "tools" / "reach.py"], ids=name)
def test_each_explains_itself(
    path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", [str(path), "--help"])
    monkeypatch.syspath_prepend(str(path.parent))  # as Python does for a script
    with pytest.raises(SystemExit) as end:
        runpy.run_path(str(path), run_name="__main__")
    assert not end.value.code and "usage:" in capsys.readouterr().out


@pytest.mark.parametrize("path", SCRIPTS, ids=name)
def test_names_of_the_package_exist(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and str(node.module).startswith("verovolto"):
            module = import_module(str(node.module))
            for alias in node.names:
                assert hasattr(module, alias.name) or import_module(f"{node.module}.{alias.name}")


def test_reach_counts_this_source(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["reach.py", "--static"])
    runpy.run_path(str(ROOT / "tools" / "reach.py"), run_name="__main__")
    out = capsys.readouterr().out
    assert "train --model resnet-ocvae2" in out and "with typed returns" in out


@pytest.mark.slow
def test_the_gpu_benchmark_runs_without_one(tmp_path: Path) -> None:
    data = write_set(tmp_path / "faces", train=24, people=12)
    out = tmp_path / "gpu.jsonl"
    words = [str(ROOT / "benchmarks" / "gpu.py"), "--data", str(data), "--out", str(out), "--smoke"]
    environment = os.environ | {"PYTHONPATH": str(ROOT / "src"), "CUDA_VISIBLE_DEVICES": ""}
    subprocess.run([sys.executable, *words], check=True, env=environment, capture_output=True)
    lines = out.read_text().splitlines()
    found = {each["what"]: each for each in map(json.loads, lines)}
    assert found["matrix"]["tflops"] > 0 and found["score"]["crops"] >= 32
    assert all(found[f"train {model}"]["images_per_s"] > 0 for model in NETWORKS)
    subprocess.run([sys.executable, *words], check=True, env=environment, capture_output=True)
    assert out.read_text().splitlines() == lines  # nothing is done twice


@pytest.mark.slow
@pytest.mark.data
def test_the_gpu_script_retrains(tmp_path: Path, real_data: Path) -> None:
    script = str(ROOT / "benchmarks" / "gpu.sh")
    environment = os.environ | {
        "PYTHON": sys.executable, "PYTHONPATH": str(ROOT / "src"), "CUDA_VISIBLE_DEVICES": "",
    }  # fmt: skip
    words = [script, str(real_data / "dfdc-faces"), str(tmp_path / "out"), "--smoke"]
    subprocess.run(words, check=True, env=environment, capture_output=True)
    assert (tmp_path / "out" / "retrained" / "detector" / "detector.json").is_file()


def test_ways_take_turns_and_are_set_against_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    bench, turns = import_module("bench"), []

    def job(name: str, *speeds: float) -> Callable[[], float]:
        rest = iter(speeds)
        return lambda: turns.append(name) or next(rest)

    found = bench.in_turn({"": job("ours", 1, 4, 6, 8), "plain": job("plain", 9, 2, 2, 4)}, rounds=3)
    assert turns == ["ours", "plain"] * 4
    assert (found["images_per_s"], found["plain_images_per_s"], found["over_plain"]) == (6, 2, 2)
    assert found["peak_mib"] > 0


@pytest.mark.slow
def test_the_bench_measures_a_model(tmp_path: Path) -> None:
    data, out = write_set(tmp_path / "faces", train=128, people=2), tmp_path / "bench.json"
    words = ["--data", str(data), "--models", "oc-ae", "--rounds", "1", "--peers", "none", "--out", str(out)]
    done = subprocess.run(
        [sys.executable, str(ROOT / "benchmarks" / "bench.py"), *words],
        check=True, capture_output=True, text=True, env=os.environ | {"PYTHONPATH": str(ROOT / "src")},
    )  # fmt: skip
    assert "no peer is measured: there is no none" in done.stdout
    found = json.loads(out.read_text())
    assert all(value > 0 for value in found["rates"].values())
    training, scoring = found["train"]["oc-ae"], found["score"]["oc-ae"]
    assert training["network_images_per_s"] > 0 and 0 < training["of_matrix_rate"] < 1
    assert scoring["images_per_s"] > 0 and 0 <= scoring["auroc_32"] <= 1
    # A processor that only emulates bf16 is not measured in it: it would take half of the time.
    emulated = found["rates"]["bf16_gflops"] <= found["rates"]["float32_gflops"] / 4
    assert emulated == ("bf16_images_per_s" not in scoring) == ("auroc_bf16" not in scoring)


def test_a_video_with_b_pictures_is_looped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    looped = import_module("scan").looped
    source = tmp_path / "short.mp4"
    with av.open(str(source), "w") as made:
        stream = made.add_stream("libx264", rate=10, options={"bf": "2", "b-adapt": "0"})
        stream.width = stream.height = 64
        for number in range(12):
            picture = np.full((64, 64, 3), 20 * number, dtype=np.uint8)
            made.mux(stream.encode(av.VideoFrame.from_ndarray(picture, "rgb24")))
        made.mux(stream.encode())
    with av.open(str(looped(source, tmp_path / "long.mp4", 3.0))) as long:
        times = [frame.time for frame in long.decode(video=0)]
    assert len(times) == 36
    np.testing.assert_allclose(np.diff(times), 0.1, atol=1e-3)
