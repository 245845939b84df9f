"""Figures in documents are those of the results kept beside them, and these of the detectors that come along."""

from __future__ import annotations

import importlib.util
import json
import re
from pathlib import Path
from types import ModuleType

import pytest

from verovolto import Detector
from verovolto.detectors.io import SHIPPED
from verovolto.report.scan_text import operating_point_lines
from verovolto.scanning.result import OperatingPoint

ROOT = Path(__file__).parents[1]
HISTORY = {ROOT / "docs" / "lab-notebook.md"}
"""Pages that say what was measured when."""


@pytest.fixture(scope="module")
def figures() -> ModuleType:
    spec = importlib.util.spec_from_file_location("figures", ROOT / "tools" / "figures.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_pages_have_the_figures_of_the_results(figures: ModuleType) -> None:
    old = [
        page.name
        for page in figures.pages()
        if figures.written(text := page.read_text(encoding="utf-8")) != text
    ]
    assert old == [], "run: python tools/figures.py"


def test_figures_were_measured_with_the_detectors_that_come_along(figures: ModuleType) -> None:
    kept = [path.stem for path in figures.FIGURES.glob("*.json") if path.stem.split("-")[0] in SHIPPED]
    assert set(SHIPPED) <= set(kept)
    for name in kept:
        shipped = figures.description(name.split("-")[0])
        asked = (figures.RATE, shipped["score"])
        [value] = [each["value"] for each in shipped["thresholds"] if (each["name"], each["score"]) == asked]
        assert figures.read(name)["threshold"] == pytest.approx(value, abs=1e-9), (
            f"docs/figures/{name}.json is of another detector: evaluate, then tools/figures.py keep {name} RESULT"
        )


def test_the_default_detectors_figures_are_typed_nowhere(figures: ModuleType) -> None:
    found = [figures.shown("default", key) for key in ("auroc", "pairs", "flagged", "missed")]
    for page in set(figures.pages()) - HISTORY:
        rest = figures.MARK.sub("", page.read_text(encoding="utf-8"))
        assert not [text for text in found if text in rest], page


def test_the_page_of_a_detector_that_was_measured_types_no_figure(figures: ModuleType) -> None:
    pages = [
        path
        for path in (ROOT / "docs" / "detectors").glob("*.md")
        if (figures.FIGURES / f"{path.stem}.json").exists()
    ]
    assert pages
    for page in pages:
        rest = figures.MARK.sub("", page.read_text(encoding="utf-8"))
        assert not re.search(r"\b0\.\d{3} \[|\d % \[", rest), page


def test_the_readme_says_what_a_scan_by_the_default_detector_says() -> None:
    detector = Detector.default()
    point = OperatingPoint.of(detector.calibration[detector.default_score], 0.05, detector.metadata)
    lines = [
        line for line in operating_point_lines(point) if line.startswith(("Faces of", "Missed fakes: of"))
    ]
    readme = " ".join((ROOT / "README.md").read_text(encoding="utf-8").split())
    assert len(lines) == 2 and all(line in readme for line in lines)


def test_every_kept_result_is_shown(figures: ModuleType) -> None:
    words = {word for page in figures.pages() for mark in figures.MARK.finditer(page.read_text(encoding="utf-8"))
             for word in mark[1].split()}  # fmt: skip
    assert {path.stem for path in figures.FIGURES.glob("*.json")} <= words


def test_what_is_kept_of_an_evaluation(figures: ModuleType) -> None:
    metrics = json.loads((ROOT / "tests/samples/v0.1.0/result/metrics.json").read_text(encoding="utf-8"))
    found = figures.kept(metrics)
    assert found["auroc"] == metrics["auroc"] and found["pairs"] == metrics["pairs_ordered"]
    assert found["faces"] == {"real": 12, "fake": 12} and set(found["trivial"]) == set(metrics["baselines"])
    assert found["threshold"] is None and figures.share(found["missed"]) == "–"  # evaluated at another rate
    at = next(each for each in metrics["thresholds"] if each["kind"] == "one-class")
    found = figures.kept(metrics | {"thresholds": [at | {"name": figures.RATE}]})
    assert found["missed"] == at["missed_fakes"] and found["threshold"] == at["value"]


def test_marks_are_filled_in_a_line_and_around_a_table(
    figures: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = {
        "auroc": {"value": 0.8374, "low": 0.8, "high": 0.87},
        "missed": {"value": 0.6361, "low": None, "high": None},
        "flagged": {"value": 0.015, "low": 0.004, "high": 0.03},
    }
    monkeypatch.setattr(figures, "read", lambda name: known)
    line = "| a | <!--fig x auroc-->old<!--/fig--> | <!--fig x missed value--><!--/fig--> |\n"
    page = f"{line}\n<!--fig headline x-->\n<!--/fig-->\n"
    text = figures.written(page)
    assert (
        "| a | <!--fig x auroc-->0.837 [0.800, 0.870]<!--/fig--> | <!--fig x missed value-->63.6 %<!--/fig--> |"
        in text
    )
    table = text.partition("<!--fig headline x-->")[2]
    assert re.fullmatch(r"\n\n\| \| \|\n\|---\|---\|\n(\|.*\|\n){3}\n<!--/fig-->\n", table)
    assert "**1.5 %** [0.4, 3.0]" in table and figures.written(text) == text
