"""`verovolto models`: tables and diagrams of single networks, and what is refused."""

from __future__ import annotations

import io
import re
from pathlib import Path

import pytest
from PIL import Image

from tests.conftest import Command


@pytest.fixture
def run(command_line: Command) -> Command:
    """Run `verovolto models`."""
    return lambda *words: command_line("models", *words)


def counted(out: str) -> int:
    """Sum of the parameters in the rows of a table of layers, the only column of bare numbers before a module."""
    rows = [
        line for line in out.splitlines() if re.match(r" (encoder|bottleneck|decoder|second encoder) ", line)
    ]
    return sum(int(re.split(r"\s{2,}", row.strip())[-2].replace(",", "")) for row in rows)


@pytest.mark.parametrize(
    ("words", "parameters"),
    [
        (["oc-fakedect1"], 23_729_776),
        (["resnet-ocvae1"], 13_895_827),
        (["resnet-ocvae2"], 41_644_288),
        (["resnet-ocvae2", "--bottleneck", "spatial"], 22_876_416),
        (["resnet-ocvae-latent", "--bottleneck", "pooled"], 25_575_168),
    ],
)
def test_the_rows_of_a_table_add_up(run: Command, words: list[str], parameters: int) -> None:
    code, out, err = run("--layers", *words)
    assert code == 0, err
    assert counted(out) == parameters and f"{parameters:,} parameters" in out
    assert "…" not in out


def test_size_latent_and_second_encoder_reach_the_table(run: Command) -> None:
    code, out, _ = run(
        "--layers", "oc-fakedect2", "--size", 32, "--latent", 7, "--second-encoder", "separate"
    )
    assert code == 0
    assert "oc-fakedect2 at 32 px" in out and "16 × 8 × 8" in out and "second_encoder.mu" in out
    assert re.search(r"bottleneck +μ: linear +1,024 +7 +7,175 ", out)


def test_a_diagram_is_written_whole_where_it_was_asked_for(run: Command, tmp_path: Path) -> None:
    path = tmp_path / "new" / "network.png"
    code, out, err = run(
        "--diagram", path, "--model", "resnet-ocvae2", "--size", 32, "--bottleneck", "spatial"
    )
    assert code == 0, err
    assert str(path) in out and [one.name for one in path.parent.iterdir()] == ["network.png"]
    from verovolto.networks.registry import Architecture
    from verovolto.report.network_diagrams import diagram

    png = diagram(Architecture(model="resnet-ocvae2", size=32, bottleneck="spatial"))
    assert path.read_bytes() == png
    assert Image.open(io.BytesIO(png)).width >= 1100


def test_table_and_diagram_come_together(run: Command, tmp_path: Path) -> None:
    code, out, _ = run("--layers", "oc-ae", "--size", 8, "--diagram", tmp_path / "ae.png")
    assert code == 0
    assert counted(out) > 0 and (tmp_path / "ae.png").is_file()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--diagram", "net.png"], "--model NAME"),
        (["--model", "oc-ae"], "--diagram FILE.png"),
        (["--diagram", "net.jpg", "--model", "oc-ae"], "net.jpg"),
        (["--layers", "oc-ae", "--model", "oc-fakedect1"], "two networks"),
        (["--layers", "oc-vae"], "oc-fakedect1"),
        (["--layers", "oc-ae", "--bottleneck", "flat"], "no choice of bottlenecks"),
        (["--layers", "oc-fakedect1", "--second-encoder", "shared"], "no second encoder"),
        (["--layers", "resnet-ocvae2", "--size", 50], "multiple of 32"),
        (["--layers", "oc-ae", "--size", 0], "--size 0"),
        (["--layers", "oc-ae", "--latent", 0], "--latent 0"),
        (["--bottleneck", "flat"], "--bottleneck is of one network"),
        (["--latent", 3], "--latent is of one network"),
        (["--second-encoder", "separate"], "--second-encoder is of one network"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(run: Command, words: list[object], said: str) -> None:
    code, out, err = run(*words)
    lines = [line for line in err.splitlines() if line.startswith("error: ")]
    assert code == 2 and len(lines) == 1 and not out
    assert said in lines[0]


def test_a_diagram_that_cannot_be_written_is_said(run: Command, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    code, _, err = run("--diagram", tmp_path / "file" / "a.png", "--model", "oc-ae", "--size", 8)
    assert code == 2 and err.startswith("error: ") and "Traceback" not in err


def test_help_names_the_flags(run: Command) -> None:
    code, out, _ = run("--help")
    assert code == 0
    for flag in ("--layers", "--diagram", "--model", "--size", "--bottleneck", "--second-encoder"):
        assert flag in out
